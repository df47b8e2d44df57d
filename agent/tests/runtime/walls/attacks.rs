//! Ways out of containers, and ways to look at the host, as shell that root of a guest runs. All must fail, and nothing
//! here harms a host on which it succeeds.
//!
//! The user namespace lets root of a guest mount proc and sysfs anew, which takes away what covers parts of `/proc` and
//! `/sys`. So what is there is tried in every place where a guest can find it: `proc '…'` and `sys '…'` run their word
//! with `$p` and `$s` as each of these, until it succeeds.

/// What the attacks use. Also mounts proc and sysfs anew, and tries to make the latter writable.
pub(super) const PRELUDE: &str = r#"
mkdir -p /tmp/proc /tmp/sys /tmp/v1
mount -t proc proc /tmp/proc
mount -t sysfs -o ro sysfs /tmp/sys
mount -o remount,rw /sys
mount -o remount,rw /tmp/sys
proc() { for p in /proc /dev/.berth/proc /tmp/proc; do eval "$1" && return 0; done; return 1; }
sys() { for s in /sys /dev/.berth/sys /tmp/sys; do eval "$1" && return 0; done; return 1; }
"#;

/// What undoes the prelude.
pub(super) const END: &str = "umount /tmp/proc /tmp/sys; mount -o remount,ro /sys";

/// The attack's name in SECURITY.md, and the attack.
pub(super) const REFUSED: &[(&str, &str)] = &[
    // The host runs a program of the guest's.
    (
        "release_agent of a v1 hierarchy (CVE-2022-0492)",
        "for c in memory cpu pids devices rdma; do mount -t cgroup -o $c none /tmp/v1 || continue
         echo /tmp/x > /tmp/v1/release_agent && exit 0; umount /tmp/v1; done; false",
    ),
    (
        "release_agent from nested namespaces",
        "unshare -UrmC sh -c 'mount -t cgroup -o rdma none /tmp/v1 && echo /tmp/x > /tmp/v1/release_agent'",
    ),
    ("core_pattern", "proc 'echo \"|/tmp/x\" > $p/sys/kernel/core_pattern'"),
    (
        "modprobe, hotplug and poweroff programs",
        "proc 'for f in modprobe hotplug poweroff_cmd usermodehelper/bset; do echo /tmp/x > $p/sys/kernel/$f && exit 0; done; false'",
    ),
    ("uevent_helper", "sys 'echo /tmp/x > $s/kernel/uevent_helper'"),
    // Settings of the kernel that all share.
    ("kernel settings", "proc 'echo 1 > $p/sys/kernel/panic_on_oops || echo 0 > $p/sys/kernel/kptr_restrict'"),
    ("memory settings", "proc 'echo 1 > $p/sys/vm/drop_caches || echo 1 > $p/sys/vm/overcommit_memory'"),
    ("file settings", "proc 'echo 1000000 > $p/sys/fs/file-max || echo 2 > $p/sys/fs/suid_dumpable'"),
    ("a writable sysfs", "sys 'echo 0 > $s/module/loop/parameters/max_part'"),
    ("events of devices", "sys 'for u in $s/block/*/uevent; do echo add > $u && exit 0; done; false'"),
    ("sysrq", "proc '! [ -c $p/sysrq-trigger ] && echo h > $p/sysrq-trigger'"),
    // Memory and secrets of the kernel.
    (
        "kernel memory",
        "proc 'head -c 1 $p/kcore | grep -q .' || [ -e /dev/mem ] || [ -e /dev/kmem ] || [ -e /dev/port ]",
    ),
    ("kernel addresses", "proc \"awk '\\$1 !~ /^0+\\$/' \\$p/kallsyms | grep -q .\""),
    ("the map of physical memory", "proc \"awk '\\$1 !~ /^0+-0+\\$/' \\$p/iomem | grep -q .\""),
    ("page frames", "proc 'head -c 8 $p/kpagecount | grep -q . || head -c 8 $p/kpageflags | grep -q .'"),
    ("slabs and timers of the kernel", "proc 'head -c 1 $p/slabinfo $p/timer_list | grep -q [a-z0-9]$'"),
    ("keys of others by /proc/keys", "grep -q . /proc/keys"),
    (
        "the kernel's log",
        "dmesg | grep -q . || [ -e /dev/kmsg ] || proc 'timeout 2 head -c 1 $p/kmsg | grep -q .'",
    ),
    (
        "firmware",
        "ls /sys/firmware /proc/acpi | grep -q '^[^/]' || sys 'head -c 1 $s/firmware/acpi/tables/DSDT $s/firmware/dmi/tables/DMI | grep -q .'",
    ),
    // File systems that are the host's.
    ("debugfs", "mount -t debugfs none /mnt"),
    ("tracefs", "mount -t tracefs none /mnt"),
    ("securityfs", "mount -t securityfs none /mnt"),
    ("pstore, EFI variables and configfs", "for t in pstore efivarfs configfs; do mount -t $t none /mnt && exit 0; done; false"),
    (
        "a file system of the guest's making read by the kernel",
        "truncate -s 8M /tmp/fs && mkfs.ext4 -q -F /tmp/fs; for t in ext4 erofs squashfs btrfs xfs; do mount -t $t -o loop /tmp/fs /mnt && exit 0; mount -i -t $t /tmp/fs /mnt && exit 0; done; false",
    ),
    (
        "the same from a nested user namespace",
        "unshare -Urm sh -c 'mount -i -t erofs /tmp/fs /mnt || mount -t debugfs none /mnt || mount -t ext4 /dev/loop0 /mnt'",
    ),
    // Devices.
    ("a block device", "mknod /tmp/disk b 7 0 || mknod /dev/shm/disk b 8 0 || mknod /var/lib/docker/disk b 254 0"),
    (
        "a device node of any kind",
        "for n in 'c 1 1' 'c 1 2' 'c 1 3' 'c 1 4' 'c 1 11' 'c 4 64' 'c 5 1' 'c 10 237' 'c 10 229' 'b 7 0' 'b 259 0'; do mknod /tmp/node $n && exit 0; done; false",
    ),
    (
        "a device node in a nested user namespace or on a new file system",
        "unshare -Urm mknod /tmp/node c 1 3 || { mount -t tmpfs -o dev none /mnt; mknod /mnt/node c 1 3; r=$?; umount /mnt; [ $r = 0 ]; }",
    ),
    ("opening a disk", "find / -xdev -type b | grep -q . || find /dev -path /dev/.berth -prune -o -exec stat -c %F {} + | grep -q block || [ -e /dev/mapper/control ]"),
    ("the host's terminals", "[ -e /dev/tty0 ] || [ -e /dev/ttyS0 ] || [ -e /dev/hvc0 ] || [ -e /dev/vcs ]"),
    ("loop devices", "[ -e /dev/loop-control ] || { truncate -s 1M /tmp/loop; losetup -f --show /tmp/loop; }"),
    ("swap", "truncate -s 1M /tmp/swap && chmod 600 /tmp/swap && mkswap /tmp/swap && swapon /tmp/swap"),
    ("the clock", "date -s 2001-01-01 || hwclock -w"),
    ("modules", "modprobe dummy || insmod /tmp/none.ko"),
    // More than its share.
    (
        "own limits by a v1 mount",
        "mount -t cgroup -o memory none /tmp/v1; echo -1 > /tmp/v1/memory.limit_in_bytes; r=$?; umount /tmp/v1; [ $r = 0 ]",
    ),
    (
        "own limits by cgroup2",
        "for f in memory.max memory.high pids.max cpu.max io.max cpuset.cpus; do echo max > /sys/fs/cgroup/$f && exit 0; done; false",
    ),
    (
        "cgroups above its own",
        "echo $$ > /sys/fs/cgroup/../cgroup.procs || { mount -t cgroup2 none /mnt; [ ! -e /mnt/cgroup.type ] && [ -e /mnt/cgroup.procs ]; r=$?; umount /mnt; [ $r = 0 ]; }",
    ),
    ("priority over other guests", "renice -n -20 -p $$ || chrt -r -p 50 $$ || ionice -c 1 -n 0 -p $$"),
    ("being spared by the OOM killer", "echo -1000 > /proc/self/oom_score_adj"),
    ("raising its resource limits", "ulimit -Hn 2000000"),
    (
        "capabilities over the host",
        "bounding=0x$(awk '/CapBnd/ { print $2 }' /proc/self/status); [ $((bounding & 0x2b42030000)) != 0 ]",
    ),
    // Going back to where the guest came from.
    (
        "the tree below its root",
        "unshare -m sh -c 'umount -l /proc; umount -l /sys; umount -l /dev; [ -e /proc/kcore ] || [ -e /dev/mem ] ||
         { cd /; umount -l /; [ -e /../lower ] || [ -e /../disk ] || [ -e /lower ] || [ -e /disk ]; }'",
    ),
    (
        "breaking out of a chroot",
        "perl -e 'mkdir \"/tmp/jail\"; chroot \"/tmp/jail\"; chdir \"..\" for 1..64; chroot \".\"; exit(-e \"/etc/shadow\" && !-e \"/dev/.berth/boot_id\" ? 0 : 1)'",
    ),
    (
        "descriptors and directories that were left open (CVE-2016-9962, CVE-2024-21626)",
        "ls -l /proc/[0-9]*/fd /proc/[0-9]*/cwd /proc/[0-9]*/root | sed -n 's/.*-> //p' | grep -E 'berth-|/state/vps/|/run/[0-9]+/'",
    ),
];
