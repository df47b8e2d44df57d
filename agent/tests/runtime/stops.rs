//! Inits of every kind are asked to stop by the signal that means it to them, and how PID 1 ended is told.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use berth_agent::host::Host;
use berth_proto::{Exit, VpsId};

use crate::life::ended;
use crate::tiny::{self, STAYS};
use crate::world::{self, World, sh, wait_for};

/// A script for an init that stops on `good` and notes every other signal that inits know as a wrong one.
fn init(shell: &str, good: &str, wrong: &[&str]) -> String {
    let wrong: String =
        wrong.iter().map(|signal| format!("trap 'echo {signal} >>/wrong' {signal}\n")).collect();
    format!("#!{shell}\n{wrong}trap 'exit 0' {good}\n: >/ready\nwhile :; do sleep 0.05; done\n")
}

fn inside(world: &World, id: VpsId, file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{}/root/{file}", world.pid(id))).ok()
}

/// Boots it, waits until it listens, asks it to stop; it must.
async fn stops(world: &World, what: &str, init: &str, change: impl FnOnce(&Path)) {
    let spec = world.spec(&tiny::template(world, init, change));
    let id = spec.id;
    world.boot(&spec).await;
    wait_for(&format!("{what} to be ready"), Duration::from_secs(60), || {
        inside(world, id, "ready").is_some()
    });
    world.host.ask_to_stop(id).await.unwrap();
    assert_eq!(ended(world, id).await, (1, Exit::Stopped), "{what}");
    // The next boot finds what the last one noted on the disk.
    world.host.remove_leftovers(id).await.unwrap();
    let mut again = spec.clone();
    again.boot_epoch = 2;
    world.host.start(&again).await.unwrap();
    assert_eq!(inside(world, id, "wrong"), None, "{what} got a signal that means something else");
    world.host.kill(id).await.unwrap();
    ended(world, id).await;
    world.host.remove_leftovers(id).await.unwrap();
}

#[test]
fn each_init_is_asked_by_its_own_signal() {
    world::run(async |world| {
        let bash = |root: &Path| tiny::add(root, "/bin/bash");
        stops(world, "systemd", &init("/bin/bash", "RTMIN+3", &["PWR", "USR2", "TERM", "INT"]), bash).await;
        let wrong = ["PWR", "USR1", "TERM", "HUP", "INT", "QUIT"];
        stops(world, "busybox", &init("/bin/sh", "USR2", &wrong), |_| {}).await;
        stops(world, "sysvinit", &init("/bin/sh", "PWR", &["USR1", "USR2", "HUP", "INT"]), |_| {}).await;
        stops(world, "openrc-init", &init("/bin/sh", "TERM", &["INT", "HUP"]), |_| {}).await;
    });
}

/// The real busybox, as Alpine has it: `shutdown` of its inittab runs, and it is not rebooted.
#[test]
fn busybox_runs_its_shutdown() {
    let Some(busybox) =
        ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())
    else {
        assert!(std::env::var_os("CI").is_none(), "on CI there must be a busybox (deploy/setup.sh)");
        eprintln!("SKIPPED: there is no busybox on this machine");
        return;
    };
    world::run(async move |world| {
        let install = |root: &Path| {
            tiny::add(root, busybox);
            fs::remove_file(root.join("sbin/init")).unwrap();
            symlink(busybox, root.join("sbin/init")).unwrap();
            // Named by its own path: the shell of the image is not busybox.
            let inittab = format!(
                "::sysinit:{busybox} touch /ready\n::respawn:{busybox} sleep 1000\n::shutdown:{busybox} touch /shut-down\n"
            );
            fs::write(root.join("etc/inittab"), inittab).unwrap();
            fs::set_permissions(root.join("etc/inittab"), fs::Permissions::from_mode(0o644)).unwrap();
        };
        let spec = world.spec(&tiny::template(world, STAYS, install));
        let id = spec.id;
        world.boot(&spec).await;
        wait_for("busybox to be ready", Duration::from_secs(60), || inside(world, id, "ready").is_some());
        assert_eq!(inside(world, id, "shut-down"), None);
        world.host.ask_to_stop(id).await.unwrap();
        assert_eq!(ended(world, id).await, (1, Exit::Stopped));
        world.host.remove_leftovers(id).await.unwrap();
        let mut again = spec.clone();
        again.boot_epoch = 2;
        world.host.start(&again).await.unwrap();
        assert!(inside(world, id, "shut-down").is_some(), "its shutdown ran");

        // What it does by itself is told apart.
        wait_for("busybox to be ready", Duration::from_secs(60), || {
            world.try_in_guest(id, &format!("{busybox} ps | {busybox} grep -q '[s]leep 1000'")).0
        });
        world.try_in_guest(id, &format!("{busybox} poweroff"));
        assert_eq!(ended(world, id).await, (2, Exit::Halt));
        world.host.remove_leftovers(id).await.unwrap();
        again.boot_epoch = 3;
        world.host.start(&again).await.unwrap();
        wait_for("busybox to be ready", Duration::from_secs(60), || {
            world.try_in_guest(id, &format!("{busybox} ps | {busybox} grep -q '[s]leep 1000'")).0
        });
        world.try_in_guest(id, &format!("{busybox} reboot"));
        assert_eq!(ended(world, id).await, (3, Exit::Reboot));
    });
}

#[test]
fn one_that_ignores_everything_is_still_there_to_be_killed() {
    world::run(async |world| {
        let ignores =
            "#!/bin/sh\ntrap '' HUP INT QUIT USR1 USR2 TERM PWR\n: >/ready\nwhile :; do sleep 0.05; done\n";
        let spec = world.spec(&tiny::template(world, ignores, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        wait_for("it to be ready", Duration::from_secs(60), || inside(world, id, "ready").is_some());
        world.host.ask_to_stop(id).await.unwrap();
        assert!(world.host.find(id).await.guest.is_some());
        world.host.kill(id).await.unwrap();
        assert_eq!(ended(world, id).await, (1, Exit::Stopped));
    });
}

#[test]
fn crash_exit_and_want_of_memory_are_told_apart() {
    world::run(async |world| {
        // PID 1 itself eats the memory.
        let hungry = "#!/bin/sh\nx=1234567890123456\nwhile :; do x=$x$x; done\n";
        let mut spec = world.spec(&tiny::template(world, hungry, |_| {}));
        spec.limits.memory_bytes = 64 << 20;
        world.boot(&spec).await;
        assert_eq!(ended(world, spec.id).await, (1, Exit::Oom));

        // A process of the guest does, and PID 1 is told of it and returns.
        let init = "#!/bin/sh\n(x=1234567890123456; while :; do x=$x$x; done)\nexit 5\n";
        let mut spec = world.spec(&tiny::template(world, init, |_| {}));
        spec.limits.memory_bytes = 64 << 20;
        world.boot(&spec).await;
        assert_eq!(ended(world, spec.id).await, (1, Exit::Code(5)));

        let spec = world.spec(&tiny::template(world, "#!/bin/sh\nexit 0\n", |_| {}));
        world.boot(&spec).await;
        assert_eq!(ended(world, spec.id).await, (1, Exit::Code(0)));

        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        world.boot(&spec).await;
        sh(&format!("kill -SEGV {0}; kill -9 {0}", world.pid(spec.id)));
        let (epoch, exit) = ended(world, spec.id).await;
        assert!(epoch == 1 && matches!(exit, Exit::Signal(9 | 11)), "{exit:?}");
    });
}
