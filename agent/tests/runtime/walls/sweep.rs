//! What root of a guest can write, mount and open, found by trying everything instead of a list of known bad things: a
//! knob that a new kernel brings is found too.

use berth_proto::VpsId;

use super::as_a_service;
use super::attacks::{END, PRELUDE};
use crate::world::World;

/// The attack's names in SECURITY.md.
pub(super) const SETTINGS: &str = "every setting below /proc/sys";
pub(super) const KNOBS: &str = "every file of /sys";
pub(super) const FILE_SYSTEMS: &str = "every file system of the kernel, in nested user namespaces too";
pub(super) const DEVICES: &str = "every device node in /dev";

/// Settings that belong to one of the guest's own namespaces (IPC, UTS, pid; `net` and `user` are their namespaces' own).
const OWN_SETTINGS: &[&str] = &[
    "net/",
    "user/",
    "fs/mqueue/",
    "kernel/auto_msgmni",
    "kernel/domainname",
    "kernel/hostname",
    "kernel/msg",
    "kernel/ns_last_pid",
    "kernel/pid_max",
    "kernel/random/boot_id", // covered by a file of the guest's own
    "kernel/sem",
    "kernel/shm",
];

/// File systems that the kernel gives to user namespaces. What cgroup v1 shows there cannot be written, see the attacks.
const OWN_FILE_SYSTEMS: &[&str] = &[
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "cpuset",
    "devpts",
    "fuse",
    "mqueue",
    "overlay",
    "proc",
    "ramfs",
    "sysfs",
    "tmpfs",
];

const OWN_DEVICES: &[&str] =
    &["console", "full", "fuse", "net/tun", "null", "ptmx", "random", "tty", "urandom", "zero"];

/// Writes to every setting what it holds already. Those that took it and are not the guest's own.
pub(super) fn settings(world: &World, id: VpsId) {
    let look = "proc 'find $p/sys -type f -writable | while read -r f; do
            v=$(timeout 2 cat $f) && printf %s \"$v\" > $f && echo \"wrote ${f#$p/sys/}\"; done; false'";
    let wrote = lines_after(world, id, "wrote ", look);
    assert!(wrote.iter().any(|name| name == "kernel/msgmax"), "the sweep works: {wrote:?}");
    let foreign: Vec<_> =
        wrote.iter().filter(|name| !OWN_SETTINGS.iter().any(|own| name.starts_with(own))).collect();
    assert!(foreign.is_empty(), "{SETTINGS}: {foreign:?}");
}

/// Files of sysfs that may be opened for writing, other than those of the guest's interfaces and of its cgroups.
pub(super) fn knobs(world: &World, id: VpsId) {
    let look = "sys 'find $s -xdev -type f -writable | while read -r f; do ( : >> $f ) && echo \"wrote ${f#$s/}\"; done; false'";
    let wrote = lines_after(world, id, "wrote ", look);
    let foreign: Vec<_> = wrote.iter().filter(|name| !name.starts_with("devices/virtual/net/")).collect();
    assert!(foreign.is_empty(), "{KNOBS}: {foreign:?}");
}

/// Mounts one of each.
pub(super) fn file_systems(world: &World, id: VpsId) {
    for (place, how) in [("the guest", "sh -s"), ("a nested user namespace", "unshare -UrmC sh -s")] {
        let look = format!(
            "{how} <<'END'
             for t in $(sed 's/.*\\t//' /proc/filesystems) efivarfs pstore nfs cifs 9p virtiofs; do
             mount -i -t $t none /mnt && {{ echo \"wrote $t\"; umount /mnt; }}; done\nEND"
        );
        let mounted = lines_after(world, id, "wrote ", &look);
        assert!(mounted.iter().any(|name| name == "tmpfs"), "the sweep works: {mounted:?}");
        let foreign: Vec<_> =
            mounted.iter().filter(|name| !OWN_FILE_SYSTEMS.contains(&name.as_str())).collect();
        assert!(foreign.is_empty(), "{FILE_SYSTEMS}: {foreign:?} in {place}");
    }
}

pub(super) fn devices(world: &World, id: VpsId) {
    // Each node is a mount of its own on an empty file, which is what `find -type` goes by: stat is asked. The spare proc
    // and sysfs hold none.
    let look = "find /dev -path /dev/.berth -prune -o -exec stat -c '%F %n' {} + |
        sed -n 's,^\\(block\\|character\\) special file /dev/,wrote ,p'";
    let found = lines_after(world, id, "wrote ", look);
    assert!(found.iter().any(|name| name == "null"), "the sweep works: {found:?}");
    let foreign: Vec<_> = found
        .iter()
        .filter(|name| !name.starts_with("pts/") && !OWN_DEVICES.contains(&name.as_str()))
        .collect();
    assert!(foreign.is_empty(), "{DEVICES}: {foreign:?}");
}

fn lines_after(world: &World, id: VpsId, mark: &str, look: &str) -> Vec<String> {
    let said = as_a_service(world, id, &format!("{PRELUDE}\n{look}\n{END}"));
    let mut found: Vec<String> =
        said.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}
