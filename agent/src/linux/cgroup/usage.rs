//! What a VPS uses, read from whichever hierarchy holds the controller. What a host does not count is zero.

use std::path::{Path, PathBuf};

use berth_proto::LimitHits;

use super::Hierarchy;

/// Use of resources of one VPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, microseconds.
    pub cpu_usec: i64,
    /// Memory without reclaimable page cache, bytes.
    pub memory_bytes: i64,
    /// Swap, bytes.
    pub swap_bytes: i64,
    /// Processes and threads.
    pub pids: i64,
    /// How often limits were hit.
    pub hits: LimitHits,
    /// Periods in which the CPU cap made processes wait.
    pub cpu_throttled: i64,
    /// Times that memory was wanted above `memory.high`.
    pub memory_high: i64,
    /// Times that swap was wanted above its limit.
    pub swap_max: i64,
}

pub(super) fn read<'a>(groups: impl Iterator<Item = (&'a Hierarchy, PathBuf)>) -> Usage {
    let mut usage = Usage::default();
    for (hierarchy, group) in groups {
        let v2 = hierarchy.v2;
        if hierarchy.has("cpuacct") {
            usage.cpu_usec = number(&group.join("cpuacct.usage")) / 1000;
        } else if v2 && hierarchy.has("cpu") {
            usage.cpu_usec = keyed(&group.join("cpu.stat"), "usage_usec");
        }
        if hierarchy.has("cpu") {
            let stat = group.join("cpu.stat");
            usage.cpu_throttled = keyed(&stat, "nr_throttled");
            // v2 counts in microseconds, v1 in nanoseconds
            usage.hits.cpu_throttled_usec =
                if v2 { keyed(&stat, "throttled_usec") } else { keyed(&stat, "throttled_time") / 1000 };
        }
        if hierarchy.has("pids") {
            usage.pids = number(&group.join("pids.current"));
            // Before 6.10 a refusal is counted only where the limit is that refuses: at the guest's own group.
            let (outer, inner) = (group.join("pids.events"), group.join("guest/pids.events"));
            usage.hits.pids_max = keyed(&outer, "max").max(keyed(&inner, "max"));
        }
        if hierarchy.has("memory") && v2 {
            let cache = keyed(&group.join("memory.stat"), "inactive_file");
            usage.memory_bytes = (number(&group.join("memory.current")) - cache).max(0);
            usage.swap_bytes = number(&group.join("memory.swap.current"));
            usage.hits.memory_max = keyed(&group.join("memory.events"), "max");
            usage.hits.oom_kills = keyed(&group.join("memory.events"), "oom_kill");
            usage.memory_high = keyed(&group.join("memory.events"), "high");
            usage.swap_max = keyed(&group.join("memory.swap.events"), "max");
        } else if hierarchy.has("memory") {
            let cache = keyed(&group.join("memory.stat"), "total_inactive_file");
            usage.memory_bytes = (number(&group.join("memory.usage_in_bytes")) - cache).max(0);
            usage.swap_bytes = keyed(&group.join("memory.stat"), "total_swap");
            // a charge goes to memory and swap together first, and only then to memory alone
            let both = number(&group.join("memory.memsw.failcnt"));
            usage.hits.memory_max = number(&group.join("memory.failcnt")) + both;
            usage.hits.oom_kills = keyed(&group.join("memory.oom_control"), "oom_kill");
        }
    }
    usage
}

fn number(path: &Path) -> i64 {
    std::fs::read_to_string(path).ok().and_then(|t| t.trim().parse().ok()).unwrap_or(0)
}

fn keyed(path: &Path, key: &str) -> i64 {
    std::fs::read_to_string(path).map_or(0, |text| find(&text, key))
}

fn find(text: &str, key: &str) -> i64 {
    let line = text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
    line.and_then(|v| v.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_not_found_inside_another() {
        let stat = "inactive_file 5\ntotal_inactive_file 7\n";
        assert_eq!(find(stat, "inactive_file"), 5);
        assert_eq!(find(stat, "total_inactive_file"), 7);
        assert_eq!(find(stat, "inactive"), 0);
    }
}
