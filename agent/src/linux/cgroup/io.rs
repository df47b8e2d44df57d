//! Limits of a VPS's disk: bytes and operations a second, on its loop device.
//!
//! They count what passes the loop device. Reads of what the guest shares with its image's template do not: that is the
//! host's own page cache, which all its guests share. On v1 a write is limited where its process waits for the device
//! itself (`O_DIRECT`, `fsync` of little); what the kernel writes back later it writes for nobody in particular. cgroup2
//! knows whose pages they are and limits those too.

use std::path::Path;

use berth_proto::{LimitName, Limits};

use super::{CgroupError, Hierarchy, Result, read, write as write_file};

/// Major number of loop devices.
const LOOP: u32 = 7;

/// One of the four limits.
pub(super) struct Rate {
    /// Its name in reports.
    pub(super) limit: LimitName,
    /// Key in cgroup2's `io.max`.
    key: &'static str,
    /// File on v1.
    file: &'static str,
    /// What a plan asks for; 0 for no limit.
    pub(super) asked: fn(&Limits) -> i64,
}

/// The four limits.
pub(super) const RATES: [Rate; 4] = [
    Rate {
        limit: LimitName::DiskReadBps,
        key: "rbps",
        file: "blkio.throttle.read_bps_device",
        asked: |l| l.disk_read_bps,
    },
    Rate {
        limit: LimitName::DiskWriteBps,
        key: "wbps",
        file: "blkio.throttle.write_bps_device",
        asked: |l| l.disk_write_bps,
    },
    Rate {
        limit: LimitName::DiskReadIops,
        key: "riops",
        file: "blkio.throttle.read_iops_device",
        asked: |l| l.disk_read_iops,
    },
    Rate {
        limit: LimitName::DiskWriteIops,
        key: "wiops",
        file: "blkio.throttle.write_iops_device",
        asked: |l| l.disk_write_iops,
    },
];

impl Rate {
    fn file(&self, hierarchy: &Hierarchy) -> &'static str {
        if hierarchy.v2 { "io.max" } else { self.file }
    }

    /// What the kernel holds in a group for a loop device: 0 for no limit, none where it has no such file.
    pub(super) fn held(&self, hierarchy: &Hierarchy, group: &Path, number: u32) -> Option<i64> {
        let text = std::fs::read_to_string(group.join(self.file(hierarchy))).ok()?;
        Some(find(&text, number, hierarchy.v2.then_some(self.key)))
    }
}

/// Whether a hierarchy limits disks.
pub(super) fn controls(hierarchy: &Hierarchy) -> bool {
    hierarchy.has(if hierarchy.v2 { "io" } else { "blkio" })
}

/// Whether a plan limits its disk at all.
pub(super) fn wanted(limits: &Limits) -> bool {
    RATES.iter().any(|rate| (rate.asked)(limits) > 0)
}

/// Puts the limits in force for one loop device. A kernel without them is no error: [`Rate::held`] tells.
pub(super) fn write(hierarchy: &Hierarchy, group: &Path, number: u32, limits: &Limits) -> Result<()> {
    for rate in &RATES {
        let asked = (rate.asked)(limits).max(0);
        let Some(now) = rate.held(hierarchy, group, number) else { continue };
        if now == asked {
            continue;
        }
        let path = group.join(rate.file(hierarchy));
        let line = match (hierarchy.v2, asked) {
            (true, 0) => format!("{LOOP}:{number} {}=max", rate.key),
            (true, _) => format!("{LOOP}:{number} {}={asked}", rate.key),
            (false, _) => format!("{LOOP}:{number} {asked}"), // 0 takes the limit away
        };
        write_file(&path, &line)?;
        if rate.held(hierarchy, group, number) != Some(asked) {
            let found = read(&path)?.trim().to_owned();
            return Err(CgroupError::NotHeld { path, wanted: line, found });
        }
    }
    Ok(())
}

/// Reads `7:3 rbps=1 wbps=max …` (by key) or `7:3 1`; 0 when the device has no limit.
fn find(text: &str, number: u32, key: Option<&str>) -> i64 {
    let device = format!("{LOOP}:{number}");
    let mut words = text
        .lines()
        .map(str::split_whitespace)
        .filter_map(|mut words| (words.next() == Some(device.as_str())).then_some(words));
    let Some(mut words) = words.next() else { return 0 };
    let value = match key {
        Some(key) => words.find_map(|word| word.strip_prefix(key)?.strip_prefix('=')),
        None => words.next(),
    };
    value.and_then(|v| v.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_device_and_key() {
        let v2 = "7:1 rbps=5 wbps=max riops=max wiops=9\n7:11 rbps=6 wbps=7 riops=max wiops=max\n";
        let of = |number, key| find(v2, number, Some(key));
        assert_eq!(
            [of(1, "rbps"), of(1, "wbps"), of(1, "wiops"), of(11, "wbps"), of(2, "rbps")],
            [5, 0, 9, 7, 0]
        );
        assert_eq!([find("7:0 1024\n7:1 4096\n", 1, None), find("", 1, None)], [4096, 0]);
    }
}
