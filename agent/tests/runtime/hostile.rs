//! Images that were made to reach the host, or to hang it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use berth_agent::host::Host;
use berth_proto::VpsFault;
use nix::sys::stat::Mode;

use crate::tiny::{self, STAYS};
use crate::world::{self, World};

/// Tries to start a hostile image, which must fail with a word about `part`, harm nothing and leave nothing.
async fn is_refused(world: &World, part: &str, change: impl FnOnce(&Path, &Path)) {
    let precious = world.dir.join("precious");
    fs::create_dir_all(&precious).unwrap();
    let fault = start(world, STAYS, |root| change(root, &precious)).await.unwrap_err();
    assert_eq!(fault.code, "start_failed");
    assert!(fault.terminal, "{fault:?}");
    assert!(fault.message.contains(part), "{fault:?}");
    assert_eq!(fs::read_dir(&precious).unwrap().count(), 0, "{part}");
}

async fn start(world: &World, init: &str, change: impl FnOnce(&Path)) -> Result<(), VpsFault> {
    let spec = world.spec(&tiny::template(world, init, change));
    world.host.create_disk(&spec).await.unwrap();
    let started = world.host.start(&spec).await;
    if started.is_err() {
        world.assert_no_traces(spec.id);
    }
    started.map(|_| ())
}

#[test]
fn links_in_place_of_directories_are_refused() {
    world::run(async |world| {
        for part in ["dev", "proc", "sys", "run"] {
            is_refused(world, part, |root, precious| symlink(precious, root.join(part)).unwrap()).await;
        }
        is_refused(world, "first files", |root, precious| {
            fs::remove_dir(root.join("root")).unwrap();
            symlink(precious, root.join("root")).unwrap();
        })
        .await;
        is_refused(world, "first files", |root, precious| symlink(precious, root.join("root/.ssh")).unwrap())
            .await;
        is_refused(world, "first files", |root, precious| {
            fs::remove_dir_all(root.join("etc")).unwrap();
            symlink(precious, root.join("etc")).unwrap();
        })
        .await;
    });
}

#[test]
fn odd_files_do_not_hang_the_start() {
    world::run(async |world| {
        is_refused(world, "regular file", |root, _| {
            nix::unistd::mkfifo(&root.join("etc/shadow"), Mode::S_IRWXU).unwrap();
        })
        .await;
        is_refused(world, "larger", |root, _| {
            fs::File::create(root.join("etc/shadow")).unwrap().set_len(1 << 40).unwrap();
        })
        .await;
        // Replaced, not followed.
        start(world, STAYS, |root| {
            for file in ["hostname", "machine-id", "resolv.conf"] {
                symlink("/dev/full", root.join("etc").join(file)).unwrap();
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn an_image_without_a_usable_init_says_so() {
    world::run(async |world| {
        is_refused(world, "init", |root, _| fs::remove_file(root.join("sbin/init")).unwrap()).await;
        is_refused(world, "/sbin/init", |root, _| fs::write(root.join("sbin/init"), "no program").unwrap())
            .await;
    });
}

#[test]
fn root_in_a_guest_has_no_power_over_the_host() {
    world::run(async |world| {
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        assert_eq!(world.in_guest(id, "id -u"), "0");
        let status = fs::read_to_string(format!("/proc/{}/status", world.pid(id))).unwrap();
        let uid = format!("Uid:\t{0}\t{0}\t{0}\t{0}", world.host_uid(&spec));
        assert!(status.contains(&uid), "{status}");
        assert!(status.contains("Seccomp:\t2"), "{status}");
        for forbidden in [
            "mknod /tmp/vda b 254 0",
            "echo 1 >/proc/sys/kernel/panic",
            "echo x >/proc/sysrq-trigger && [ -s /proc/sysrq-trigger ]",
            "echo core >/proc/sys/kernel/core_pattern",
            "cat /proc/kcore | { read -r x && echo read; } && false",
            "ls /sys/firmware/*",
            "mkdir /sys/x",
            "echo 999999999 >/sys/fs/cgroup/memory.max",
            "ls /sys/fs/cgroup/../cgroup/memory",
            "cat /dev/vda",
            "ls /dev/loop0",
        ] {
            let (ok, said) = world.try_in_guest(id, forbidden);
            assert!(!ok, "{forbidden}: {said}");
        }
        assert_eq!(world.in_guest(id, "ls /dev/.berth"), "boot_id\nempty\nproc\nsys");
        // Nothing of the host's is open or mounted in there.
        let mounts = world.in_guest(id, "cat /proc/self/mounts");
        assert!(!mounts.contains(world.dir.to_str().unwrap()), "{mounts}");
        for fd in fs::read_dir(format!("/proc/{}/fd", world.pid(id))).unwrap().flatten() {
            let target = fs::read_link(fd.path()).unwrap().display().to_string();
            assert!(target.starts_with("/dev/pts/") || target.starts_with("/sbin/init"), "{target}");
        }
    });
}
