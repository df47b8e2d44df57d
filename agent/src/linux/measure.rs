//! What this host is, and what a VPS uses of it.

use berth_proto::{HostFacts, MissingFeature, TrafficCount, VpsId, VpsMetrics};

use super::LinuxHost;
use super::cgroup::Mode;
use crate::monitor::wire::{Answer, Request};

/// Bytes in a sector as block devices count, whatever their own sectors are.
const SECTOR: i64 = 512;

/// What this machine is.
pub(super) fn facts(mode: Mode, missing: Vec<MissingFeature>) -> HostFacts {
    let uname = nix::sys::utsname::uname();
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    let kernel = uname.as_ref().map(|u| text(u.release())).unwrap_or_default();
    HostFacts {
        kernel,
        os: os_name(&std::fs::read_to_string("/etc/os-release").unwrap_or_default()),
        arch: std::env::consts::ARCH.to_owned(),
        cgroup_mode: mode.to_string(),
        missing,
        underlay: None,
        address: None,
        wireguard: None,
    }
}

fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("unknown").trim_matches('"').to_owned()
}

impl LinuxHost {
    pub(super) async fn measure_vps(&self, id: VpsId) -> Option<VpsMetrics> {
        let Ok(Answer::Disk { total, used, loop_device, .. }) = self.monitors.ask(id, &Request::Disk).await
        else {
            return None;
        };
        let usage = self.tree.usage(id);
        let net = self.net.counters(id).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/sys/block/loop{loop_device}/stat")).unwrap_or_default();
        let io = DiskIo::parse(&stat);
        let private = self.net.private.counted(id);
        let private = |f: fn(&TrafficCount) -> i64| private.as_ref().map_or(0, f);
        Some(VpsMetrics {
            cpu_usec: usage.cpu_usec,
            memory_bytes: usage.memory_bytes,
            swap_bytes: usage.swap_bytes,
            pids: usage.pids,
            disk_used_bytes: i64::try_from(used).unwrap_or(i64::MAX),
            disk_total_bytes: i64::try_from(total).unwrap_or(i64::MAX),
            disk_read_bytes: io.read_sectors * SECTOR,
            disk_write_bytes: io.written_sectors * SECTOR,
            disk_read_ops: io.reads,
            disk_write_ops: io.writes,
            net_in_bytes: net.in_bytes,
            net_out_bytes: net.out_bytes,
            net_in_packets: net.in_packets,
            net_out_packets: net.out_packets,
            private_in_bytes: private(|p| p.in_bytes),
            private_out_bytes: private(|p| p.out_bytes),
            private_in_packets: private(|p| p.in_packets),
            private_out_packets: private(|p| p.out_packets),
            hits: usage.hits,
        })
    }
}

/// Counters of a block device. They begin at zero with each guest, because a loop device is made anew for each.
#[derive(Debug, Default, PartialEq, Eq)]
struct DiskIo {
    reads: i64,
    read_sectors: i64,
    writes: i64,
    written_sectors: i64,
}

impl DiskIo {
    /// Reads `/sys/block/<device>/stat`.
    fn parse(stat: &str) -> Self {
        let n: Vec<i64> = stat.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let at = |index: usize| n.get(index).copied().unwrap_or(0);
        Self { reads: at(0), read_sectors: at(2), writes: at(4), written_sectors: at(6) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_counters_are_read_by_place() {
        let stat = "     100        1     2000       30      400        5     6000       70        0       80      100\n";
        let expected = DiskIo { reads: 100, read_sectors: 2000, writes: 400, written_sectors: 6000 };
        assert_eq!(DiskIo::parse(stat), expected);
        assert_eq!(DiskIo::parse(""), DiskIo::default());
    }

    #[test]
    fn the_system_is_named_as_it_names_itself() {
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(os_name(""), "unknown");
    }
}
