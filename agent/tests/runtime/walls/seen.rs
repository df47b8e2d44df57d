//! What a guest can see of its host, and what it must be able to do all the same.

use std::path::Path;

use berth_proto::VpsId;

use super::as_a_service;
use crate::world::{World, sh};

pub(super) fn nothing_of_the_host(world: &World, id: VpsId) {
    let look = |command: &str| as_a_service(world, id, command);
    let dir = world.dir.display().to_string();
    let host = sh("uname -n");
    // Descriptors that were left open, and where PID 1 stands (CVE-2016-9962, CVE-2024-21626).
    let links = look("ls -l /proc/1/fd /proc/1/cwd /proc/1/root | sed 's/.*-> //'");
    assert!(!links.contains(&dir) && !links.contains("berth"), "{links}");
    assert_eq!(look("readlink /proc/1/cwd"), "/");
    for (what, command) in [
        ("mounts", "cat /proc/1/mountinfo"),
        ("environment", "tr '\\0' '\\n' < /proc/1/environ"),
        ("processes", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
        ("cgroups", "cat /proc/[0-9]*/cgroup"),
        ("names", "uname -n; cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname"),
        ("sockets", "cat /proc/net/unix"),
    ] {
        let seen = look(command);
        let mentions = |part: &str| !part.is_empty() && seen.contains(part);
        assert!(
            !mentions(&dir) && !mentions("berth-monitor") && !mentions(&world.config.cgroup_parent),
            "{what}: {seen}"
        );
        assert!(what != "names" || !mentions(&host), "{what}: {seen}");
    }
    let path = Path::new(&dir).file_name().unwrap().to_string_lossy().into_owned();
    assert_eq!(look(&format!("find / -xdev -name '{path}' 2>/dev/null | head -n1")), "");
    // Kernel threads, of which every pid namespace of the host's own has some.
    assert_eq!(look("grep -l kthreadd /proc/[0-9]*/comm 2>/dev/null; true"), "");
}

pub(super) fn what_a_computer_can_do(world: &World, id: VpsId) {
    for command in [
        "unshare -Ur true",
        "unshare -m sh -c 'mount -t tmpfs none /mnt && touch /mnt/x'",
        "unshare -n ip link set lo up",
        "sysctl -qw net.ipv4.ip_forward=1",
        "su daemon -s /bin/sh -c 'id -u'",
        "mount -t tmpfs none /mnt && umount /mnt",
        "ip link add br9 type bridge && ip link del br9",
        "ip tuntap add tun9 mode tun && ip link del tun9",
        "nft list ruleset || true",
        "mkdir -p /sys/fs/cgroup/made && rmdir /sys/fs/cgroup/made",
    ] {
        let said = as_a_service(world, id, &format!("({command}) && echo it worked"));
        assert!(said.ends_with("it worked"), "{command}: {said}");
    }
}
