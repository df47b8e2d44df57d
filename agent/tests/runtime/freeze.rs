//! Guests that stand still: nothing hangs because of them, and they can be ended in every way.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use berth_agent::host::Host;
use berth_agent::monitor::wire::{Answer, Request};
use berth_proto::{VpsId, VpsSpec};

use crate::tiny;
use crate::world::{self, World, sh, wait_for};

/// Counts in a file until it is asked to stop.
const COUNTS: &str =
    "#!/bin/sh\ntrap 'exit 0' PWR\nn=0\nwhile :; do n=$((n+1)); echo $n >/count; sleep 0.01; done\n";

/// Does not listen.
const DEAF: &str = "#!/bin/sh\nn=0\nwhile :; do n=$((n+1)); echo $n >/count; sleep 0.01; done\n";

async fn boot(world: &World, init: &str) -> VpsSpec {
    let spec = world.spec(&tiny::template(world, init, |_| {}));
    world.boot(&spec).await;
    wait_for("the guest to count", Duration::from_secs(60), || count(world, spec.id) > 0);
    spec
}

/// What the guest has counted, read from outside: who joins a frozen guest stands still with it.
fn count(world: &World, id: VpsId) -> u64 {
    let file = format!("/proc/{}/root/count", world.pid(id));
    fs::read_to_string(file).ok().and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

fn group(world: &World, id: VpsId) -> PathBuf {
    let v2 =
        ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].iter().map(PathBuf::from).find(|p| p.is_dir()).unwrap();
    v2.join(&world.config.cgroup_parent).join(id.to_string())
}

async fn frozen(world: &World, id: VpsId) -> bool {
    let found = world.host.find(id).await;
    assert!(!found.unsure && !found.leftovers, "{found:?}");
    found.guest.is_some_and(|guest| guest.frozen)
}

async fn freeze(world: &World, id: VpsId) {
    world.host.freeze(id).await.unwrap();
    assert!(frozen(world, id).await);
    let events = fs::read_to_string(group(world, id).join("cgroup.events")).unwrap();
    assert!(events.contains("frozen 1"), "{events}");
}

#[test]
fn a_frozen_guest_stands_still_answers_and_goes_on() {
    world::run(async |world| {
        let spec = boot(world, COUNTS).await;
        let id = spec.id;
        assert!(!frozen(world, id).await);
        freeze(world, id).await;
        freeze(world, id).await; // twice is once

        let (before, used) = (count(world, id), world.host.vps_metrics(id).await.unwrap().cpu_usec);
        // Whatever needs no guest works: limits, figures, the console with what it has shown and keys that nobody reads.
        let mut tighter = spec.clone();
        tighter.limits.pids = 100;
        world.host.apply(&tighter).await.unwrap();
        assert!(matches!(world.ask(id, &Request::Disk), Some(Answer::Disk { .. })));
        drop(world.host.console(id).await.unwrap());
        world.host.resize_console(id, 100, 30).await;
        // What needs one is refused at once.
        let fault = world.host.set_password(&spec).await.unwrap_err();
        assert!(fault.message.contains("thaw it first"), "{fault:?}");

        world.restart_agent().await;
        assert!(frozen(world, id).await, "a new agent finds it as it is");
        assert_eq!((count(world, id), world.host.vps_metrics(id).await.unwrap().cpu_usec), (before, used));

        world.host.thaw(id).await.unwrap();
        assert!(!frozen(world, id).await);
        world.host.thaw(id).await.unwrap();
        wait_for("the guest to go on", Duration::from_secs(60), || count(world, id) > before);
    });
}

#[test]
fn a_frozen_guest_ends_in_every_way() {
    world::run(async |world| {
        let mut spec = boot(world, COUNTS).await;
        let id = spec.id;
        freeze(world, id).await;
        world.host.ask_to_stop(id).await.unwrap();
        assert_eq!(crate::life::ended(world, id).await, (1, berth_proto::Exit::Stopped));
        world.host.remove_leftovers(id).await.unwrap();

        spec.boot_epoch = 2;
        world.host.start(&spec).await.unwrap();
        assert!(!frozen(world, id).await, "the next guest is not frozen");
        freeze(world, id).await;
        world.host.kill(id).await.unwrap();
        assert_eq!(crate::life::ended(world, id).await, (2, berth_proto::Exit::Stopped));
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);

        // Its monitor dies, and it with it.
        spec.boot_epoch = 3;
        world.host.start(&spec).await.unwrap();
        freeze(world, id).await;
        sh(&format!("kill -9 {}", world.monitor_pid(id)));
        assert_eq!(crate::life::ended(world, id).await, (3, berth_proto::Exit::Lost));
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);

        spec.boot_epoch = 4;
        world.host.start(&spec).await.unwrap();
        freeze(world, id).await;
        world.host.kill_for_deletion(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        world.host.delete_disk(id).await.unwrap();
        world.assert_no_traces(id);
    });
}

#[test]
fn a_deaf_frozen_guest_is_killed() {
    world::run(async |world| {
        let spec = boot(world, DEAF).await;
        freeze(world, spec.id).await;
        world.host.ask_to_stop(spec.id).await.unwrap();
        assert!(!frozen(world, spec.id).await, "who is asked must be able to hear");
        world.host.kill(spec.id).await.unwrap();
        world.host.remove_leftovers(spec.id).await.unwrap();
        world.assert_no_traces(spec.id);
    });
}

/// A monitor's copy that joined the guest stands still with it, and holds the VPS's lock when the monitor is dead. The VPS
/// must not be neither running nor stopped for ever.
#[test]
fn a_copy_that_keeps_the_lock_in_a_frozen_group_is_cleared_away() {
    world::run(async |world| {
        let mut spec = boot(world, DEAF).await;
        let id = spec.id;
        let (monitor, lock) = (world.monitor_pid(id), world.config.run_dir.join(id.to_string()).join("lock"));
        freeze(world, id).await;
        sh(&format!("kill -9 {monitor}"));
        wait_for("the monitor to be gone", Duration::from_secs(60), || {
            fs::read_to_string(format!("/proc/{monitor}/stat")).map_or(true, |stat| stat.contains(") Z "))
        });
        let copy = format!(
            "exec 9<>{}; flock -x 9 && echo $$ >{}/cgroup.procs && exec sleep 1000",
            lock.display(),
            group(world, id).join("guest").display()
        );
        let mut copy = Command::new("sh").args(["-c", &copy]).stdin(Stdio::null()).spawn().unwrap();
        let procs = group(world, id).join("guest/cgroup.procs");
        wait_for("the copy to stand still", Duration::from_secs(60), || {
            fs::read_to_string(&procs).is_ok_and(|pids| pids.lines().any(|pid| pid == copy.id().to_string()))
        });

        let found = world.host.find(id).await;
        assert!(found.guest.is_none() && found.leftovers && !found.unsure, "{found:?}");
        world.host.remove_leftovers(id).await.unwrap();
        copy.wait().unwrap();
        world.assert_no_traces(id);
        spec.boot_epoch += 1;
        world.host.start(&spec).await.unwrap();
        assert!(!frozen(world, id).await);
    });
}

/// The monitor's own helpers keep nothing of it: one that hangs does not hold the lock when the monitor is dead.
#[test]
#[cfg(feature = "failpoints")]
fn a_helper_that_hangs_does_not_hold_the_lock() {
    use std::os::unix::fs::PermissionsExt;
    const POINT: &str = "monitor.helper.begun";
    world::run(async |world| {
        let (marks, wrapper) = (world.dir.join("marks"), world.dir.join("monitor"));
        fs::create_dir(&marks).unwrap();
        let real = world.config.monitor_path.clone().unwrap();
        let script = format!(
            "#!/bin/sh\nBERTH_FAILPOINT={POINT} BERTH_FAILPOINT_DIR={} exec {} \"$@\"\n",
            marks.display(),
            real.display()
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        world.config.monitor_path = Some(wrapper);
        world.restart_agent().await;

        let mut spec = boot(world, DEAF).await;
        let (id, monitor) = (spec.id, world.monitor_pid(spec.id));
        let ask = world.host.set_password(&spec);
        let mark = marks.join(POINT);
        let hangs = async {
            while fs::read_to_string(&mark).map_or(true, |pid| pid.is_empty()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            sh(&format!("kill -9 {monitor}"));
        };
        let (answer, ()) = tokio::join!(ask, hangs);
        assert!(answer.is_err());
        let helper: i32 = fs::read_to_string(&mark).unwrap().parse().unwrap();
        wait_for("the VPS to be known as down", Duration::from_secs(60), || {
            let stat = fs::read_to_string(format!("/proc/{monitor}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        });
        let found = world.host.find(id).await;
        assert!(found.guest.is_none() && !found.unsure, "{found:?}");
        world.host.remove_leftovers(id).await.unwrap();
        spec.boot_epoch += 1;
        world.host.start(&spec).await.unwrap();
        sh(&format!("kill -9 {helper} 2>/dev/null || true"));
    });
}
