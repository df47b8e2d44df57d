//! Two guests of one host, a Debian 12 and a Debian 13: neither sees, reaches or uses up what is the other's.

use std::time::Duration;

use berth_agent::host::Host;
use berth_agent::monitor::wire::Request;
use berth_proto::{HostSettings, VpsId};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::as_a_service;
use crate::images;
use crate::tiny;
use crate::world::{self, World, sh, wait_for};

#[test]
fn two_guests_share_no_id_and_a_range_is_not_given_again() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let (one, two) = (world.spec(&image), world.spec(&image));
        for spec in [&one, &two] {
            world.boot(spec).await;
        }
        let (first, second) = (world.host_uid(&one), world.host_uid(&two));
        assert!(first.abs_diff(second) >= 262_144, "{first} {second}");
        let map = sh(&format!("cat /proc/{}/uid_map", world.pid(one.id)));
        assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", &first.to_string(), "262144"]);
        // Its data is there as long as it is: off, it keeps its range.
        world.host.kill(one.id).await.unwrap();
        world.host.remove_leftovers(one.id).await.unwrap();
        let three = world.spec(&image);
        world.boot(&three).await;
        assert!(![first, second].contains(&world.host_uid(&three)));
        // Nor is it lost with the agent's memory, and it comes back with its VPS.
        world.restart_agent().await;
        let settings = HostSettings { nat_pools: vec!["10.77.0.0/16".into()], ..HostSettings::default() };
        world.host.configure(&settings).await.unwrap();
        let four = world.spec(&image);
        world.boot(&four).await;
        assert!(![first, second].contains(&world.host_uid(&four)));
        assert_eq!(world.host_uid(&one), first);
    });
}

#[test]
fn neighbours_are_strangers() {
    let (Some(old), Some(new)) = (images::debian(12), images::debian(13)) else { return };
    world::run(async move |world| {
        let (mut one, mut two) = (world.spec(&old), world.spec(&new));
        one.hostname = "neighbour-one".into();
        two.hostname = "neighbour-two".into();
        for spec in [&one, &two] {
            world.boot(spec).await;
        }
        for (spec, other) in [(&one, &two), (&two, &one)] {
            assert_eq!(world.booted(spec.id), "running");
            names(world, spec.id, &other.hostname);
        }
        for (a, b) in [(one.id, two.id), (two.id, one.id)] {
            keys(world, a, b);
            objects(world, a, b);
            mounts(world, a, b);
            binary_formats(world, a, b);
        }
    });
}

fn names(world: &World, id: VpsId, other: &str) {
    let look = format!(
        "echo {other} > /tmp/pattern
         grep -rIlf /tmp/pattern /proc/[0-9]*/cmdline /proc/[0-9]*/environ /proc/[0-9]*/mountinfo /proc/net /etc /run 2>/dev/null
         find /proc/sys /sys /dev /run -name '*{other}*' 2>/dev/null; true"
    );
    assert_eq!(as_a_service(world, id, &look), "", "the other's name");
}

/// Keys are counted and looked up by the kernel's user, and a range of ids makes each guest users of its own.
fn keys(world: &World, a: VpsId, b: VpsId) {
    // Perl gives only variables to system calls. Operations of keyctl: 1 joins a session keyring by its name, 7 empties
    // one, 8 links, 10 searches, 11 reads; -4 is the user's keyring and -3 the session's.
    let common = format!(
        "my ($add, $ctl) = ({}, {}); my ($type, $name, $value, $session, $buffer) = (\"user\", \"berth-secret\", \"opensesame\", \"berth-shared\", \"-\" x 64);
         syscall($ctl, 1, $session); syscall($ctl, 8, -4, -3);
         sub found {{ my $n = syscall($ctl, 11, $_[0], $buffer, 64); print $n < 0 ? \"refused\" : substr($buffer, 0, $n), \"\\n\";
             print syscall($ctl, 10, -4, $type, $name, 0) < 0 ? \"nothing\" : \"found\", \"\\n\" }}",
        libc::SYS_add_key,
        libc::SYS_keyctl
    );
    let made = perl(
        world,
        a,
        &format!(
            "{common}\nmy $serial = syscall($add, $type, $name, $value, 10, -4); print \"$serial\\n\"; found($serial);"
        ),
    );
    let said: Vec<&str> = made.lines().collect();
    let serial: i64 = said[0].parse().unwrap_or_else(|e| panic!("{e}: {made}"));
    assert!(serial > 0 && said[1..] == ["opensesame", "found"], "{made}");
    assert_eq!(
        perl(world, b, &format!("{common}\nfound({serial});")),
        "refused\nnothing",
        "a key of the other's"
    );
    let listed = as_a_service(
        world,
        b,
        "mkdir -p /tmp/proc; mount -t proc proc /tmp/proc; grep -c berth-secret /tmp/proc/keys; umount /tmp/proc",
    );
    assert_eq!(listed, "0");
    // One that uses up its quota leaves the other's alone.
    let fill = "for my $n (1..100000) { my $other = \"fill-$n\"; syscall($add, $type, $other, $value, 1, -4) > 0 or last } print $!+0;";
    assert_eq!(
        perl(world, a, &format!("{common}\n{fill}")),
        libc::EDQUOT.to_string(),
        "the quota is used up"
    );
    let one = "my $mine = \"mine\"; print syscall($add, $type, $mine, $value, 1, -4) > 0 ? \"added\" : $!+0;";
    assert_eq!(perl(world, b, &format!("{common}\n{one}")), "added");
    perl(world, a, &format!("{common}\nsyscall($ctl, 7, -4);"));
}

/// System V shared memory, a POSIX queue, an abstract socket, and a file of /dev/shm.
fn objects(world: &World, a: VpsId, b: VpsId) {
    let make = format!(
        "mkdir -p /tmp/o; touch /dev/shm/berth-object
         perl -e 'print shmget(0xbe47, 4096, 01666) // \"none\", \"\\n\"; my $q = \"berth-queue\"; print syscall({}, $q, 0102, 0666, 0) < 0 ? \"none\" : \"made\", \"\\n\"'
         systemd-run --quiet --unit=berth-listens perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un(\"\\0berth-object\")); listen($s, 1); sleep 60'",
        libc::SYS_mq_open
    );
    let made = as_a_service(world, a, &make);
    assert!(!made.contains("none"), "{made}");
    wait_for("a socket", Duration::from_secs(60), || {
        world.try_in_guest(a, "grep berth-object /proc/net/unix").0
    });
    let look = format!(
        "ls /dev/shm /dev/mqueue | grep berth; grep berth-object /proc/net/unix; awk '$1 == 48711' /proc/sysvipc/shm
         perl -MSocket -e 'print \"shm\\n\" if defined shmget(0xbe47, 4096, 0); my $q = \"berth-queue\"; print \"queue\\n\" if syscall({}, $q, 0, 0, 0) >= 0;
         socket(my $s, AF_UNIX, SOCK_STREAM, 0); print \"socket\\n\" if connect($s, pack_sockaddr_un(\"\\0berth-object\"))'; true",
        libc::SYS_mq_open
    );
    assert_eq!(as_a_service(world, b, &look), "", "objects of the other's");
    as_a_service(
        world,
        a,
        "systemctl stop berth-listens; rm -f /dev/shm/berth-object /dev/mqueue/berth-queue; ipcrm -M 0xbe47",
    );
}

fn mounts(world: &World, a: VpsId, b: VpsId) {
    world.in_guest(a, "mkdir -p /mnt/berth-mounted && mount -t tmpfs none /mnt/berth-mounted");
    assert!(world.in_guest(a, "cat /proc/1/mountinfo").contains("berth-mounted"), "it propagates inside");
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !host.contains("berth-mounted")
            && !world.in_guest(b, "cat /proc/1/mountinfo").contains("berth-mounted")
    );
    let place = world.dir.join("mounted-by-the-host");
    std::fs::create_dir_all(&place).unwrap();
    mount(None::<&str>, &place, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    let seen: Vec<_> = [a, b].iter().map(|id| world.in_guest(*id, "cat /proc/1/mountinfo")).collect();
    umount2(&place, MntFlags::MNT_DETACH).unwrap();
    assert!(seen.iter().all(|mounts| !mounts.contains("mounted-by-the-host")), "{seen:?}");
    world.in_guest(a, "umount /mnt/berth-mounted");
}

/// Newer kernels give each user namespace its own; older ones give guests none.
fn binary_formats(world: &World, a: VpsId, b: VpsId) {
    let registered = as_a_service(
        world,
        a,
        "mkdir -p /tmp/formats; mount -t binfmt_misc none /tmp/formats && echo ':berth-test:M::BERTH::/bin/true:' > /tmp/formats/register; ls /tmp/formats",
    );
    let look = "mkdir -p /tmp/formats; mount -t binfmt_misc none /tmp/formats 2>/dev/null; ls /tmp/formats /proc/sys/fs/binfmt_misc | grep berth-test; umount /tmp/formats 2>/dev/null; true";
    let host = sh(&format!("unshare --mount sh -c '{}'", look.replace("/tmp/formats", "/mnt")));
    let other = as_a_service(world, b, look);
    as_a_service(world, a, "echo -1 > /tmp/formats/berth-test; umount /tmp/formats");
    assert!(!host.contains("berth-test") && !other.contains("berth-test"), "{registered}: {host} {other}");
}

fn perl(world: &World, id: VpsId, program: &str) -> String {
    as_a_service(world, id, &format!("perl <<'END'\n{program}\nEND")).replace('\0', "")
}

#[test]
fn the_dead_are_buried() {
    world::run(async |world| {
        // An init that waits for nobody.
        let init =
            "#!/bin/sh\nn=0; while [ $n -lt 20 ]; do (sleep 15 &); n=$((n+1)); done\nexec sleep 100000\n";
        let spec = world.spec(&tiny::template(world, init, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let uid = world.host_uid(&spec);
        let dead = || with("Uid:", &uid.to_string()).into_iter().filter(|state| state == "Z").count();
        wait_for("children without a parent to wait for them", Duration::from_secs(120), || dead() >= 15);
        let monitor = world.monitor_pid(id);
        let _ = world.host.set_password(&spec).await;
        let _ = world.ask(id, &Request::Status);
        wait_for("the monitor to have no dead children", Duration::from_secs(60), || {
            with("PPid:", &monitor.to_string()).len() == 1
        });
        world.host.kill(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        assert_eq!(with("Uid:", &uid.to_string()), Vec::<String>::new(), "dead or alive");
    });
}

/// States of all processes whose status has this value in a field, the dead too.
fn with(wanted: &str, value: &str) -> Vec<String> {
    let mut states = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.to_owned())
        };
        if field(wanted).is_some_and(|found| found == value) {
            states.extend(field("State:"));
        }
    }
    states
}
