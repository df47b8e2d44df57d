//! Writes limits and reads them back: the one place that knows what they are called on v1 and on v2.
//!
//! Typed files are written through cgroups-rs, which knows both names of each. What it swallows (a write to a file that
//! is not there, a value that the kernel rounds) is why everything is read back here.

use std::path::Path;

use berth_proto::Limits;
use cgroups_rs::fs::MaxValue;
use cgroups_rs::fs::cpu::CpuController;
use cgroups_rs::fs::cpuset::CpuSetController;
use cgroups_rs::fs::memory::MemController;
use cgroups_rs::fs::pid::PidController;

use super::{CgroupError, Hierarchy, Result, read, weights, write as write_file};

/// Period over which the CPU cap counts, microseconds; the kernel's default.
const PERIOD_US: i64 = 100_000;

/// The kernel's smallest quota, microseconds.
const SMALLEST_QUOTA_US: i64 = 1_000;

/// The smallest CPU cap, thousandths of a core.
pub(super) const SMALLEST_CPU_MILLI: i64 = SMALLEST_QUOTA_US * 1000 / PERIOD_US;

/// Puts the limits of those controllers that this hierarchy holds in force in one group.
pub(super) fn write(hierarchy: &Hierarchy, group: &Path, limits: &Limits, cpus: &str) -> Result<()> {
    let v2 = hierarchy.v2;
    let at = || (group.to_owned(), hierarchy.root.clone(), v2);
    if hierarchy.has("cpu") {
        let (point, root, v2) = at();
        cpu(&CpuController::new(point, root, v2), group, limits, v2)?;
    }
    if hierarchy.has("memory") {
        let (point, root, v2) = at();
        memory(&MemController::new(point, root, v2), group, limits, v2)?;
        if !v2 {
            super::sockets::limit_v1(group, limits)?;
        }
    }
    if hierarchy.has("pids") {
        let (point, root, v2) = at();
        checked(group, "pids.max", &limits.pids.to_string(), || {
            PidController::new(point, root, v2).set_pid_max(MaxValue::Value(limits.pids))
        })?;
    }
    if hierarchy.has("cpuset") {
        let (point, root, v2) = at();
        let written = CpuSetController::new(point, root, v2).set_cpus(cpus);
        written.map_err(|e| failed(group, "cpuset.cpus", e))?;
        let file = group.join("cpuset.cpus");
        let found = read(&file)?;
        if super::cpus::parse_list(&found) != super::cpus::parse_list(cpus) {
            return Err(CgroupError::NotHeld { path: file, wanted: cpus.to_owned(), found });
        }
    }
    Ok(())
}

fn cpu(controller: &CpuController, group: &Path, limits: &Limits, v2: bool) -> Result<()> {
    let quota = (limits.cpu_milli * PERIOD_US / 1000).max(SMALLEST_QUOTA_US);
    if v2 {
        checked(group, "cpu.max", &format!("{quota} {PERIOD_US}"), || {
            controller.set_cfs_quota_and_period(Some(quota), Some(PERIOD_US.unsigned_abs()))
        })?;
        return Ok(());
    }
    checked(group, "cpu.cfs_period_us", &PERIOD_US.to_string(), || {
        controller.set_cfs_period(PERIOD_US.unsigned_abs())
    })?;
    checked(group, "cpu.cfs_quota_us", &quota.to_string(), || controller.set_cfs_quota(quota))
}

/// Puts a weight in force in one group.
pub(super) fn set_weight(hierarchy: &Hierarchy, group: &Path, weight: i64) -> Result<()> {
    if hierarchy.v2 {
        plain(group, "cpu.weight", &weight.to_string())
    } else {
        plain(group, "cpu.shares", &weights::to_shares(weight).to_string())
    }
}

/// The weight that the kernel holds.
pub(super) fn weight(hierarchy: &Hierarchy, group: &Path) -> Option<i64> {
    let file = group.join(if hierarchy.v2 { "cpu.weight" } else { "cpu.shares" });
    let held = read(&file).ok()?.trim().parse().ok()?;
    Some(if hierarchy.v2 { held } else { weights::from_shares(held) })
}

/// The CPU cap that the kernel holds, thousandths of a core; none for no cap.
pub(super) fn cap_milli(hierarchy: &Hierarchy, group: &Path) -> Option<i64> {
    let (quota, period) = if hierarchy.v2 {
        let text = read(&group.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse::<i64>().ok()?, period.parse::<i64>().ok()?)
    } else {
        let number = |file| read(&group.join(file)).ok()?.trim().parse::<i64>().ok();
        (number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    };
    (quota > 0 && period > 0).then(|| quota * 1000 / period)
}

fn memory(controller: &MemController, group: &Path, limits: &Limits, v2: bool) -> Result<()> {
    let pages = |bytes: i64| (bytes / 4096 * 4096).to_string();
    if v2 {
        let high = if limits.memory_high_bytes > 0 { pages(limits.memory_high_bytes) } else { "max".into() };
        plain(group, "memory.high", &high)?;
        plain(group, "memory.min", &pages(limits.memory_guarantee_bytes.max(0)))?;
        checked(group, "memory.max", &pages(limits.memory_bytes), || {
            controller.set_limit(limits.memory_bytes)
        })?;
        if group.join("memory.swap.max").exists() {
            let swap = pages(limits.swap_bytes);
            return checked(group, "memory.swap.max", &swap, || {
                controller.set_memswap_limit(limits.swap_bytes)
            });
        }
        return Ok(());
    }
    // v1 counts swap together with memory, and refuses a sum below its part: the one that grows goes first
    let sum = limits.memory_bytes + limits.swap_bytes;
    let limit = || {
        checked(group, "memory.limit_in_bytes", &pages(limits.memory_bytes), || {
            controller.set_limit(limits.memory_bytes)
        })
    };
    let both = "memory.memsw.limit_in_bytes";
    if !group.join(both).exists() {
        return limit();
    }
    let now: i64 = read(&group.join(both))?.trim().parse().unwrap_or(i64::MAX);
    if sum < now {
        limit()?;
    }
    checked(group, both, &pages(sum), || controller.set_memswap_limit(sum))?;
    limit()
}

/// Writes a file, unless it holds the value, and makes sure that it does.
pub(super) fn plain(group: &Path, file: &'static str, wanted: &str) -> Result<()> {
    checked(group, file, wanted, || Ok(()))
}

/// Writes through the typed controller, then makes sure that the file holds the value.
fn checked(
    group: &Path,
    file: &'static str,
    wanted: &str,
    set: impl FnOnce() -> cgroups_rs::fs::error::Result<()>,
) -> Result<()> {
    let path = group.join(file);
    if read(&path)?.trim() == wanted {
        return Ok(());
    }
    let typed = set();
    if typed.is_err() || read(&path)?.trim() != wanted {
        write_file(&path, wanted)?; // the kernel's own error says more than the crate's
    }
    let found = read(&path)?;
    if found.trim() == wanted {
        return Ok(());
    }
    Err(CgroupError::NotHeld { path, wanted: wanted.to_owned(), found: found.trim().to_owned() })
}

fn failed(group: &Path, file: &str, e: impl std::error::Error + Send + Sync + 'static) -> CgroupError {
    CgroupError::Io { what: "writing", path: group.join(file), source: std::io::Error::other(e) }
}
