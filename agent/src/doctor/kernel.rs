//! The kernel: version, namespaces, cgroups, file systems, devices.

use std::path::Path;

use nix::sys::statfs::{FsType, statfs};

use super::{Check, read};
use crate::linux::LinuxConfig;
use crate::linux::cgroup::{Layout, Mode};

/// Oldest kernel that the runtime is meant for: that of Debian 12.
const KERNEL: (u32, u32) = (6, 1);

/// File systems whose mounts can be shifted to other ids, by their magic numbers.
const IDMAPPABLE: [(i64, &str); 5] = [
    (0xEF53, "ext4"),
    (0x5846_5342, "XFS"),
    (0x9123_683E, "btrfs"),
    (0xF2F5_2010, "F2FS"),
    (0x2FC1_2FC1, "ZFS"),
];

pub(super) fn checks(config: &LinuxConfig) -> Vec<Check> {
    let mut checks = vec![version(), namespaces()];
    checks.extend(cgroups());
    checks.extend([
        file_system("overlay", "overlay"),
        file_system("ext4", "ext4"),
        idmapped(config),
        loop_devices(),
    ]);
    checks.extend([
        Check::wanted(
            "fuse",
            Path::new("/dev/fuse").exists(),
            "/dev/fuse",
            "guests cannot mount FUSE file systems, and there is no lxcfs",
        ),
        Check::wanted(
            "tun",
            Path::new("/dev/net/tun").exists(),
            "/dev/net/tun",
            "VPN software in guests does not work; load the module tun",
        ),
        Check::wanted(
            "vxlan",
            has_module("vxlan"),
            "kernel module",
            "servers in private networks reach each other on this host only; load the module vxlan",
        ),
        Check::wanted(
            "ipv6",
            Path::new("/proc/sys/net/ipv6/conf").exists(),
            "in the kernel",
            "servers have no IPv6, also those that were given addresses; boot without ipv6.disable=1",
        ),
        Check::wanted(
            "wireguard",
            has_module("wireguard"),
            "kernel module",
            "private networks between hosts cannot be encrypted by the kernel",
        ),
    ]);
    checks
}

fn version() -> Check {
    let release =
        nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let consequence = "guests cannot be started: idmapped mounts, overlay in user namespaces and clone into cgroups are needed; \
                       use Linux 6.1 or newer";
    Check::needed("kernel", parse(&release).is_some_and(|version| version >= KERNEL), release, consequence)
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn namespaces() -> Check {
    let kinds = ["user", "mnt", "pid", "net", "uts", "ipc", "cgroup"];
    let absent: Vec<_> =
        kinds.into_iter().filter(|kind| !Path::new("/proc/self/ns").join(kind).exists()).collect();
    let allowed = read("/proc/sys/user/max_user_namespaces").trim() != "0";
    let detail = match (absent.is_empty(), allowed) {
        (true, true) => "all".to_owned(),
        (true, false) => "user.max_user_namespaces is 0".to_owned(),
        (false, _) => format!("without {}", absent.join(", ")),
    };
    Check::needed(
        "namespaces",
        absent.is_empty() && allowed,
        detail,
        "guests cannot be isolated, so none is started",
    )
}

fn cgroups() -> Vec<Check> {
    let layout = Layout::parse(&read("/proc/self/mountinfo"));
    let mode = layout.mode();
    let lacking = |names: &[&str]| {
        let absent: Vec<_> =
            names.iter().copied().filter(|name| layout.with_controller(name).is_none()).collect();
        (
            absent.is_empty(),
            if absent.is_empty() { names.join(" ") } else { format!("without {}", absent.join(" ")) },
        )
    };
    let (limits, limits_found) = lacking(&["cpu", "memory", "pids"]);
    let (cpuset, cpuset_found) = lacking(&["cpuset"]);
    let swap = layout.with_controller("memory").is_some_and(|hierarchy| {
        let file = if hierarchy.v2 { "init.scope/memory.swap.max" } else { "memory.memsw.limit_in_bytes" };
        // On cgroup2 only groups below the root have the file; any of them will do.
        hierarchy.root.join(file).exists()
            || std::fs::read_dir(&hierarchy.root)
                .into_iter()
                .flatten()
                .flatten()
                .any(|entry| hierarchy.v2 && entry.path().join("memory.swap.max").exists())
    });
    vec![
        Check::needed(
            "cgroup2",
            mode != Mode::Legacy,
            mode.to_string(),
            "guests cannot be started: they see a cgroup2 tree; boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Check::wanted(
            "unified cgroups",
            mode == Mode::Unified,
            mode.to_string(),
            "services inside guests cannot limit each other; boot with systemd.unified_cgroup_hierarchy=1",
        ),
        Check::needed("limits", limits, limits_found, "guests cannot be limited, so none is started"),
        Check::wanted(
            "cpuset",
            cpuset,
            cpuset_found,
            "guests see all CPUs of the host, and nproc in them is wrong",
        ),
        Check::wanted(
            "swap accounting",
            swap,
            "memory controller",
            "the swap of a plan is not limited; boot with swapaccount=1",
        ),
    ]
}

fn file_system(feature: &'static str, name: &str) -> Check {
    let listed = read("/proc/filesystems").lines().any(|line| line.split_whitespace().last() == Some(name));
    let (ok, detail) = match (listed, has_module(name)) {
        (true, _) => (true, "in the kernel"),
        (false, true) => (true, "as a module"),
        (false, false) => (false, "absent"),
    };
    Check::needed(feature, ok, detail, "guests cannot get a root file system, so none is started")
}

/// Whether a module is built in, loaded, or lies ready.
fn has_module(name: &str) -> bool {
    if Path::new("/sys/module").join(name).exists() {
        return true;
    }
    let release =
        nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    ["modules.builtin", "modules.dep"].into_iter().any(|list| {
        let list = read(&format!("/lib/modules/{release}/{list}"));
        list.lines().any(|line| {
            let path = line.split(':').next().unwrap_or_default();
            let file = path.rsplit('/').next().unwrap_or_default();
            file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko"))
        })
    })
}

fn idmapped(config: &LinuxConfig) -> Check {
    let place = config.state_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let kind = statfs(place).map(|stat| stat.filesystem_type()).ok();
    let known = IDMAPPABLE
        .into_iter()
        .find(|(magic, _)| kind.is_some_and(|FsType(found)| found == libc::__fsword_t::from(*magic)));
    let detail = match known {
        Some((_, name)) => format!("{} is on {name}", place.display()),
        None => format!("{} is on an unknown file system", place.display()),
    };
    let consequence = "templates may not be usable by guests: put the state directory on ext4, XFS or btrfs";
    Check::wanted("idmapped mounts", known.is_some(), detail, consequence)
}

fn loop_devices() -> Check {
    let control = Path::new("/dev/loop-control").exists();
    Check::needed(
        "loop",
        control || has_module("loop"),
        "/dev/loop-control",
        "guests cannot get a disk, so none is started; load the module loop",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(parse("6.18.44-fc-v669"), Some((6, 18)));
        assert!(parse("6.1.0-28-amd64").unwrap() >= KERNEL);
        assert!(parse("5.15.0").unwrap() < KERNEL);
        assert_eq!(parse("x"), None);
    }
}
