//! What root inside a guest may not do to its host, tried from inside. Each line is a known way out of containers, or a
//! way to look at the host; the classes are those of the CVEs named beside them.
//!
//! Commands run as a service of the guest's own systemd, so that the filter of system calls, the capabilities and the
//! keyring are those of every process there; a process that the test lets in from outside has none of these.

use std::path::Path;
use std::process::Command;

use berth_proto::VpsId;

use crate::images;
use crate::world::{self, World, sh};

/// What must fail, as shell. Nothing here harms a host on which it succeeds.
const REFUSED: &[(&str, &str)] = &[
    (
        "release_agent (CVE-2022-0492)",
        "mkdir -p /tmp/v1; mount -t cgroup -o memory none /tmp/v1 && echo /tmp/x > /tmp/v1/release_agent",
    ),
    (
        "own limits by a v1 mount",
        "mkdir -p /tmp/v1; mount -t cgroup -o memory none /tmp/v1; echo -1 > /tmp/v1/memory.limit_in_bytes",
    ),
    ("own limits by cgroup2", "echo max > /sys/fs/cgroup/memory.max || echo max > /sys/fs/cgroup/pids.max"),
    ("cgroups above its own", "echo 1 > /sys/fs/cgroup/../cgroup.procs"),
    ("core_pattern", "echo '|/tmp/x' > /proc/sys/kernel/core_pattern"),
    ("modprobe", "echo /tmp/x > /proc/sys/kernel/modprobe"),
    ("kernel settings", "echo 1 > /proc/sys/kernel/panic_on_oops"),
    ("memory settings", "echo 1 > /proc/sys/vm/drop_caches"),
    ("file settings", "echo 1000000 > /proc/sys/fs/file-max"),
    ("uevent_helper", "echo /tmp/x > /sys/kernel/uevent_helper"),
    ("a writable sysfs", "mount -o remount,rw /sys && echo 0 > /sys/module/loop/parameters/max_part"),
    ("kernel memory", "head -c 1 /proc/kcore | grep -q ."),
    ("keys of others", "grep -q . /proc/keys"),
    ("kernel addresses", "awk '$1 !~ /^0+$/' /proc/kallsyms | grep -q ."),
    ("the kernel's log", "dmesg | grep -q ."),
    ("firmware", "ls /sys/firmware | grep -q ."),
    ("debugfs", "mount -t debugfs none /mnt"),
    ("tracefs", "mount -t tracefs none /mnt"),
    ("securityfs", "mount -t securityfs none /mnt"),
    ("a block device", "mknod /tmp/disk b 7 0"),
    ("a device node of any kind", "mknod /tmp/null c 1 3"),
    ("loop devices", "losetup -f"),
    ("swap", "truncate -s 1M /tmp/swap && chmod 600 /tmp/swap && mkswap /tmp/swap && swapon /tmp/swap"),
    ("the clock", "date -s 2001-01-01"),
    ("modules", "modprobe dummy || insmod /tmp/none.ko"),
    ("a raised nice of another namespace", "renice -n -20 -p 0 && chrt -r -p 50 $$"),
];

/// System calls that the filter refuses: name, number on x86-64, and the error that it gives.
const CALLS: &[(&str, u32, &str)] = &[
    ("init_module", 175, "EPERM"),
    ("delete_module", 176, "EPERM"),
    ("finit_module", 313, "EPERM"),
    ("kexec_load", 246, "EPERM"),
    ("open_by_handle_at", 304, "EPERM"),
    ("perf_event_open", 298, "EPERM"),
    ("bpf", 321, "EPERM"),
    ("userfaultfd", 323, "ENOSYS"),
    ("io_uring_setup", 425, "ENOSYS"),
    ("init_module by the x32 ABI", 0x4000_0000 + 175, "ENOSYS"),
    ("getpid by the x32 ABI", 0x4000_0000 + 39, "ENOSYS"),
];

/// Runs a script as a service of the guest; what it printed.
fn as_a_service(world: &World, id: VpsId, script: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    world.in_guest(id, &format!("systemd-run --quiet --wait --pipe --collect sh -c '{quoted}' 2>&1"))
}

#[test]
fn root_inside_reaches_nothing_outside() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let spec = world.spec(&image);
        let id = spec.id;
        world.boot(&spec).await;
        assert_eq!(world.booted(id), "running");

        assert_eq!(as_a_service(world, id, "id -u; echo works > /tmp/file && cat /tmp/file"), "0\nworks");
        for (what, attack) in REFUSED {
            let said = as_a_service(world, id, &format!("if ({attack}); then echo GOT THROUGH; fi"));
            assert!(!said.contains("GOT THROUGH"), "{what}: {attack}\n{said}");
        }
        if cfg!(target_arch = "x86_64") {
            calls_are_refused(world, id);
            calls_of_32_bits_are_refused(world, id);
        }
        nothing_of_the_host_is_seen(world, id);
        what_a_computer_can_do_still_works(world, id);
    });
}

fn calls_are_refused(world: &World, id: VpsId) {
    let perl = |number: u32| {
        format!("perl -MPOSIX -e '$! = 0; print syscall({number}, 0, 0, 0, 0, 0) < 0 ? $!+0 : \"ok\"'")
    };
    assert_eq!(as_a_service(world, id, &perl(39)), "ok", "getpid, to see that this can tell");
    for (name, number, error) in CALLS {
        let expected = if *error == "EPERM" { libc::EPERM } else { libc::ENOSYS };
        assert_eq!(as_a_service(world, id, &perl(*number)), expected.to_string(), "{name}");
    }
}

/// A 64-bit program may enter the kernel by its 32-bit door, where calls have other numbers.
fn calls_of_32_bits_are_refused(world: &World, id: VpsId) {
    let source = r#"
        static long call(long n) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(n), "b"(0), "c"(0), "d"(0) : "memory", "r8", "r9", "r10", "r11"); return r; }
        void _start(void) {
            long code = 0;
            if (call(20) <= 0) code |= 1;       /* getpid, to see that the door is there */
            if (call(128) != -1) code |= 2;     /* init_module: EPERM */
            if (call(342) != -1) code |= 4;     /* open_by_handle_at: EPERM */
            if (call(425) != -38) code |= 8;    /* io_uring_setup: ENOSYS */
            if (call(404) != -1) code |= 16;    /* clock_settime64: EPERM */
            __asm__ volatile("syscall" : : "a"(60), "D"(code));
        }"#;
    let program = world.dir.join("door");
    std::fs::write(program.with_extension("c"), source).unwrap();
    let status = Command::new("cc")
        .args(["-O1", "-static", "-nostdlib", "-fno-stack-protector", "-o"])
        .args([&program, &program.with_extension("c")])
        .status()
        .unwrap();
    assert!(status.success());
    let bytes = hex::encode(std::fs::read(&program).unwrap());
    world.in_guest(
        id,
        &format!(
            "echo {bytes} | perl -ne 'chomp; print pack(\"H*\", $_)' > /root/door && chmod 755 /root/door"
        ),
    );
    assert_eq!(as_a_service(world, id, "/root/door; echo $?"), "0", "bits say which call was not refused");
}

fn nothing_of_the_host_is_seen(world: &World, id: VpsId) {
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
}

fn what_a_computer_can_do_still_works(world: &World, id: VpsId) {
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

#[test]
fn two_guests_share_no_id_and_a_range_is_not_given_again() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        use berth_agent::host::Host;
        let (one, two) = (world.spec(&image), world.spec(&image));
        for spec in [&one, &two] {
            world.boot(spec).await;
        }
        let (first, second) = (world.host_uid(&one), world.host_uid(&two));
        assert!(first.abs_diff(second) >= 65536, "{first} {second}");
        let map = sh(&format!("cat /proc/{}/uid_map", world.pid(one.id)));
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", &first.to_string(), "65536"]);
        // Its data is there as long as it is: off, it keeps its range.
        world.host.kill(one.id).await.unwrap();
        world.host.remove_leftovers(one.id).await.unwrap();
        let three = world.spec(&image);
        world.boot(&three).await;
        assert!(![first, second].contains(&world.host_uid(&three)));
    });
}
