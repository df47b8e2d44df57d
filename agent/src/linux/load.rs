//! The host's own load and what it can give to VPSes.

use std::sync::Mutex;

use berth_proto::{Capacity, HostMetrics};

use super::disk::Pool;

/// Measures the host; remembers the last look at the CPU's counters.
#[derive(Debug, Default)]
pub struct Load {
    last: Mutex<Option<(u64, u64)>>,
}

impl Load {
    /// The load now; `cpu_busy` is the share since the last call.
    pub fn measure(&self, pool: Pool) -> HostMetrics {
        let memory = Memory::read();
        HostMetrics {
            cpu_busy: self.cpu_busy(),
            load1: read("/proc/loadavg").split(' ').next().and_then(|l| l.parse().ok()).unwrap_or(0.0),
            memory_used_bytes: signed(memory.total.saturating_sub(memory.available)),
            memory_total_bytes: signed(memory.total),
            disk_used_bytes: signed(pool.used),
            disk_total_bytes: signed(pool.total),
        }
    }

    fn cpu_busy(&self) -> f64 {
        let Some(now) = cpu_ticks(&read("/proc/stat")) else { return 0.0 };
        let before = self.last.lock().expect("no code panics while holding this lock").replace(now);
        let (busy, all) = before.map_or(now, |b| (now.0.saturating_sub(b.0), now.1.saturating_sub(b.1)));
        if all == 0 { 0.0 } else { busy as f64 / all as f64 }
    }
}

/// What the host has for VPSes in all, less what it keeps for itself.
#[must_use]
pub fn capacity(pool: Pool, memory_reserve: u64, disk_reserve: u64) -> Capacity {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Capacity {
        cpu_milli: signed(cpus as u64) * 1000,
        memory_bytes: signed(Memory::read().total.saturating_sub(memory_reserve)),
        disk_bytes: signed(pool.total.saturating_sub(disk_reserve)),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Memory {
    total: u64,
    available: u64,
}

impl Memory {
    fn read() -> Self {
        Self::parse(&read("/proc/meminfo"))
    }

    fn parse(meminfo: &str) -> Self {
        let kib = |key: &str| {
            let line = meminfo.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
            line.and_then(|v| v.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Self { total: kib("MemTotal"), available: kib("MemAvailable") }
    }
}

/// Busy and all ticks from the first line of `/proc/stat`; waiting for disks counts as idle.
fn cpu_ticks(stat: &str) -> Option<(u64, u64)> {
    let ticks: Vec<u64> =
        stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().map_while(|t| t.parse().ok()).collect();
    let all = ticks.iter().take(8).sum::<u64>(); // guest time is part of user time
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_not_work() {
        assert_eq!(cpu_ticks("cpu  10 5 5 70 10 0 0 0 3 0\ncpu0 1 2 3\n"), Some((20, 100)));
        assert_eq!(cpu_ticks("nonsense"), None);
    }

    #[test]
    fn meminfo_is_read_in_bytes() {
        let memory = Memory::parse("MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    400 kB\n");
        assert_eq!(memory, Memory { total: 1_024_000, available: 409_600 });
    }

    #[test]
    fn a_host_keeps_its_reserve() {
        let pool = Pool { total: 100 << 30, used: 0, free: 100 << 30 };
        assert_eq!(capacity(pool, 0, 10 << 30).disk_bytes, 90 << 30);
        assert_eq!(
            capacity(pool, u64::MAX, u64::MAX),
            Capacity { cpu_milli: capacity(pool, 0, 0).cpu_milli, ..Capacity::default() }
        );
    }
}
