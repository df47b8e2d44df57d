//! Processes that join a running guest: that it cannot catch them (CVE-2019-5736, CVE-2016-9962), and that nothing which
//! it does to its own tree sends them elsewhere or holds them (CVE-2019-19921, CVE-2025-52881).

use std::fs;
use std::time::Duration;

use berth_agent::host::Host;
use berth_agent::monitor::wire::{Answer, Request};
use sha2::{Digest as _, Sha256};

use super::as_a_service;
use crate::images;
use crate::world::{self, World, wait_for};

/// Looks at every process as fast as it can, for one that is not the guest's own, and tries to get hold of it.
const WATCHER: &str = r#"
open(my $out, ">", "/root/seen"); select($out); $| = 1; print "watching\n";
until (-e "/root/stop") {
    for my $p (glob "/proc/[0-9]*") {
        my $exe = readlink("$p/exe") // "";
        my $comm = do { open(my $f, "<", "$p/comm") ? <$f> // "" : "" };
        print "saw $p $exe $comm" if "$exe $comm" =~ /berth|\(deleted\)|memfd/;
        if ($exe =~ /berth/ && open(my $program, "+<", "$p/exe")) { print "opened $p\n" }
    }
}
print "done\n";
"#;

#[test]
fn a_helper_is_neither_seen_nor_overwritten_in_a_debian_12() {
    helper_is_not_seen(12);
}

#[test]
fn a_helper_is_neither_seen_nor_overwritten_in_a_debian_13() {
    helper_is_not_seen(13);
}

fn helper_is_not_seen(debian: u32) {
    let Some(image) = images::debian(debian) else { return };
    world::run(async move |world| {
        let program = || Sha256::digest(fs::read(env!("CARGO_BIN_EXE_berth-monitor")).unwrap());
        let before = program();
        let mut spec = world.spec(&image);
        let id = spec.id;
        world.boot(&spec).await;
        world.booted(id);
        as_a_service(
            world,
            id,
            &format!(
                "cat > /root/watcher <<'END'\n{WATCHER}\nEND\nsystemd-run --quiet --unit=watcher perl /root/watcher"
            ),
        );
        let seen = || world.try_in_guest(id, "cat /root/seen").1;
        wait_for("the watcher", Duration::from_secs(60), || seen().starts_with("watching"));
        for n in 0..30 {
            spec.access.root_password_hash = Some(format!("$6$salt$hash{n}"));
            world.host.set_password(&spec).await.unwrap();
        }
        world.in_guest(id, "touch /root/stop");
        wait_for("the watcher to end", Duration::from_secs(60), || seen().ends_with("done"));
        assert_eq!(seen(), "watching\ndone");
        assert!(world.in_guest(id, "grep ^root: /etc/shadow").contains("hash29"));
        assert!(program() == before, "the monitor's program was changed");
    });
}

/// What a guest does to its own tree before somebody asks for a new password, as shell.
const TRAPS: &[(&str, &str)] = &[
    ("link to a file of the host", "ln -s PRECIOUS /etc/shadow"),
    ("link to itself", "ln -s shadow /etc/shadow"),
    ("link through /proc", "ln -s /proc/self/exe /etc/shadow"),
    ("fifo", "mkfifo /etc/shadow"),
    ("socket", "perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); bind($s, pack_sockaddr_un(\"/etc/shadow\"))'"),
    ("directory", "mkdir -p /etc/shadow/and/more"),
    ("file without end", "truncate -s 1T /etc/shadow"),
    ("its temporary file is a directory", "cp -p /root/shadow /etc/shadow; mkdir -p /etc/.shadow.berth-new/x"),
    ("its temporary file cannot be replaced", "cp -p /root/shadow /etc/shadow; rm -rf /etc/.shadow.berth-new; touch /etc/.shadow.berth-new; chattr +i /etc/.shadow.berth-new"),
    ("a mount in its place", "touch /etc/shadow; mount --bind /dev/zero /etc/shadow"),
    ("a directory that is a link", "umount /etc/shadow; mv /etc /etc.real; ln -s PRECIOUS /etc"),
    ("a hidden /proc", "rm -f /etc; mv /etc.real /etc; cp -p /root/shadow /etc/shadow; mount -t tmpfs none /proc; mkdir -p /proc/self; ln -s PRECIOUS /proc/self/fd"),
    // Only what the shell has built in: every program would read /etc/ld.so.cache.
    // What joins waits in the kernel where nothing can kill it if another process waits there already; so either fault will
    // do, as long as the monitor answers.
    (
        "a file system that never answers",
        "umount /proc; perl -e 'open(my $f, \"+<\", \"/dev/fuse\"); my ($t, $at, $how) = (\"fuse\", \"/etc\", \"fd=\" . fileno($f) . \",rootmode=40000,user_id=0,group_id=0\"); syscall(MOUNT, $t, $at, $t, 0, $how) == 0 or die; sleep 100' </dev/null >/dev/null 2>&1 &
         n=0; while [ $n -lt 100000 ]; do n=$((n+1)); while read -r _ at _; do [ $at = /etc ] && break 2; done </proc/1/mounts; done",
    ),
];

#[test]
fn passwords_are_set_safely_in_a_debian_12_full_of_traps() {
    traps(12);
}

#[test]
fn passwords_are_set_safely_in_a_debian_13_full_of_traps() {
    traps(13);
}

fn traps(debian: u32) {
    let Some(image) = images::debian(debian) else { return };
    world::run(async move |world| {
        let precious = world.dir.join("precious");
        fs::write(&precious, "root:precious:1::::::\n").unwrap();
        let mut spec = world.spec(&image);
        let id = spec.id;
        world.boot(&spec).await;
        world.booted(id);
        world.in_guest(id, "cp -p /etc/shadow /root/shadow");
        spec.access.root_password_hash = Some("$6$salt$hash".into());
        for (what, trap) in TRAPS {
            let trap = trap
                .replace("PRECIOUS", &precious.display().to_string())
                .replace("MOUNT", &libc::SYS_mount.to_string());
            let clear = "chattr -i /etc/.shadow.berth-new 2>/dev/null; rm -rf /etc/.shadow.berth-new; umount /etc/shadow 2>/dev/null; rm -rf /etc/shadow;";
            world.try_in_guest(id, &format!("{clear} {trap}"));
            let set = tokio::time::timeout(Duration::from_secs(120), world.host.set_password(&spec)).await;
            match set.unwrap_or_else(|_| panic!("{what}: it hangs")) {
                Ok(()) => {
                    eprintln!("{what}: set");
                    assert_ne!(*what, "a file system that never answers");
                }
                Err(fault) => {
                    eprintln!("{what}: {}", fault.message);
                    assert!(fault.message.len() > 10, "{what}: {fault:?}");
                }
            }
            assert_eq!(fs::read_to_string(&precious).unwrap(), "root:precious:1::::::\n", "{what}");
            answers(world, id, what);
        }
        world.host.kill(id).await.unwrap();
    });
}

fn answers(world: &World, id: berth_proto::VpsId, what: &str) {
    assert!(matches!(world.ask(id, &Request::Status), Some(Answer::Status { .. })), "{what}: no answer");
}
