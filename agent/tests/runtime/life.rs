//! The life of a guest: ends of all kinds, an agent that dies meanwhile, limits that change.

use std::time::{Duration, Instant};

use berth_agent::host::{Event, Host};
use berth_agent::monitor::wire::{Answer, Request};
use berth_proto::{Exit, VpsId, VpsSpec};

use crate::images;
use crate::tiny::{self, STAYS};
use crate::world::{self, World, sh, wait_for};

/// Waits for the event that a guest ended, and says how.
pub(crate) async fn ended(world: &World, id: VpsId) -> (i64, Exit) {
    let event = tokio::time::timeout(Duration::from_secs(60), world.host.next_event()).await;
    assert_eq!(event.expect("the guest ends"), Event::Ended(id));
    let found = world.host.find(id).await;
    assert_eq!(found.guest, None);
    found.last_exit.unwrap()
}

/// The next boot of a guest that has ended.
async fn boot_again(world: &World, spec: &mut VpsSpec) {
    world.host.remove_leftovers(spec.id).await.unwrap();
    world.assert_no_traces(spec.id);
    spec.boot_epoch += 1;
    world.host.start(spec).await.unwrap();
    world.booted(spec.id);
}

#[test]
fn reboot_halt_and_stop_are_told_apart() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        let id = spec.id;
        world.boot(&spec).await;
        world.booted(id);
        world.in_guest(id, "echo kept >/root/file; echo in-docker >/var/lib/docker/file; cat /proc/sys/kernel/random/boot_id >/root/boot");

        world.in_guest(id, "systemctl reboot");
        assert_eq!(ended(world, id).await, (1, Exit::Reboot));
        boot_again(world, &mut spec).await;
        assert_eq!(world.in_guest(id, "cat /root/file /var/lib/docker/file"), "kept\nin-docker");
        let before = world.in_guest(id, "cat /root/boot");
        assert_ne!(world.in_guest(id, "cat /proc/sys/kernel/random/boot_id"), before, "each boot has an id");

        world.in_guest(id, "systemctl poweroff");
        assert_eq!(ended(world, id).await, (2, Exit::Halt));
        boot_again(world, &mut spec).await;

        let began = Instant::now();
        world.host.ask_to_stop(id).await.unwrap();
        assert_eq!(ended(world, id).await, (3, Exit::Stopped));
        eprintln!("stopped in {:?}", began.elapsed());
        boot_again(world, &mut spec).await;

        world.host.kill(id).await.unwrap();
        assert_eq!(ended(world, id).await, (4, Exit::Stopped));
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);
        let found = world.host.find(id).await;
        assert!(found.disk && found.guest.is_none() && !found.leftovers && !found.unsure, "{found:?}");
    });
}

#[test]
fn first_boot_files_are_the_guests_afterwards() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        let hash = "$6$abcdefgh$kGSnx2.dyvV6gOLdEyiSUbQaGJzOVhBm5/mBjwWZpyMzUvW1cxKGzSM9YKGEzNYHOWUhELxfx5jK8w0zDgfTo1";
        spec.access.root_password_hash = Some(hash.into());
        let id = spec.id;
        world.boot(&spec).await;
        world.booted(id);
        let root = "grep ^root: /etc/shadow | cut -d: -f2";
        assert_eq!(world.in_guest(id, root), hash);
        assert_eq!(world.in_guest(id, "stat -c '%a %U %G' /etc/shadow"), "640 root shadow");
        assert_eq!(world.in_guest(id, "ls /etc/ssh/*_key"), "/etc/ssh/ssh_host_ed25519_key");

        world.in_guest(id, "echo other >/etc/hostname; rm -r /root/.ssh; echo root:new | chpasswd");
        let changed = world.in_guest(id, root);
        world.in_guest(id, "systemctl reboot");
        ended(world, id).await;
        boot_again(world, &mut spec).await;
        assert_eq!(world.in_guest(id, "cat /etc/hostname"), "other");
        assert_eq!(world.in_guest(id, root), changed);
        assert_eq!(world.in_guest(id, "ls -A /root/.ssh 2>/dev/null | wc -l"), "0");

        spec.access.root_password_hash = Some("$6$new$hash".into());
        world.host.set_password(&spec).await.unwrap();
        assert_eq!(world.in_guest(id, root), "$6$new$hash");
        assert_eq!(world.in_guest(id, "stat -c '%a %U %G' /etc/shadow"), "640 root shadow");
        // A guest that makes this impossible gets its fault, and nothing hangs.
        world.in_guest(id, "rm /etc/shadow && mkfifo /etc/shadow");
        let fault = world.host.set_password(&spec).await.unwrap_err();
        assert!(fault.message.contains("regular file"), "{fault:?}");
    });
}

#[test]
fn an_agent_that_dies_is_not_noticed_by_guests() {
    world::run(async |world| {
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let (pid, first) = (world.pid(id), world.host.find(id).await);

        world.restart_agent().await;
        let again = world.host.find(id).await;
        assert_eq!(again, first);
        assert_eq!(again.guest.as_ref().map(|guest| guest.boot_epoch), Some(1));
        assert_eq!(
            world.host.start(&spec).await.unwrap(),
            again.guest.unwrap(),
            "a second start starts nothing"
        );
        assert_eq!(world.pid(id), pid);
        assert!(sh(&format!("ping -c1 -W2 {} || true", spec.net.ipv4.unwrap())).contains("1 received"));

        world.host.kill(id).await.unwrap();
        assert_eq!(ended(world, id).await, (1, Exit::Stopped));
    });
}

#[test]
fn a_monitor_that_is_killed_takes_everything_with_it() {
    world::run(async |world| {
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let (pid, monitor) = (world.pid(id), world.monitor_pid(id));
        sh(&format!("kill -9 {monitor}"));
        assert_eq!(ended(world, id).await, (1, Exit::Lost));
        wait_for("the guest to die with its monitor", Duration::from_secs(5), || {
            !std::path::Path::new(&format!("/proc/{pid}")).exists()
        });
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);
        // And it starts again on the same disk.
        world.host.start(&spec).await.unwrap();
    });
}

#[test]
fn a_monitor_that_hangs_is_unsure_and_still_killed() {
    world::run(async |world| {
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let monitor = world.monitor_pid(id);
        sh(&format!("kill -STOP {monitor}"));
        let found = world.host.find(id).await;
        assert!(found.unsure && found.guest.is_none() && !found.leftovers, "{found:?}");
        assert!(world.host.start(&spec).await.is_err(), "nothing is started beside it");
        assert!(world.host.remove_leftovers(id).await.is_err());
        world.host.kill(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        world.assert_no_traces(id);
    });
}

#[test]
fn limits_hold_and_change_while_it_runs() {
    world::run(async |world| {
        let mut spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let fork = "n=0; while [ $n -lt 60 ]; do sleep 5 & n=$((n+1)); done; echo all";
        assert!(world.try_in_guest(id, fork).0);
        spec.limits.pids = 30;
        spec.limits.memory_bytes = 256 << 20;
        world.host.apply(&spec).await.unwrap();
        let (_, said) = world.try_in_guest(id, fork);
        assert!(!said.ends_with("all"), "{said}");
        // What held is counted: the forks, the CPU of one that spins, the memory of one that wants too much.
        spec.limits.cpu_milli = 200;
        world.host.apply(&spec).await.unwrap();
        world.try_in_guest(id, "n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done");
        world.try_in_guest(id, "x=1234567890123456; while :; do x=$x$x; done");
        let hits = world.host.vps_metrics(id).await.unwrap().hits;
        assert!(hits.pids_max > 0 && hits.cpu_throttled_usec > 100_000, "{hits:?}");
        assert!(hits.oom_kills > 0, "{hits:?}");
        // Recent kernels keep the v1 file and do not count in it any more.
        let counts = world.host.facts().await.cgroup_mode == "unified";
        assert!(hits.memory_max > 0 || !counts, "{hits:?}");
        spec.limits.cpu_milli = 1000;
        world.host.apply(&spec).await.unwrap();
        let metrics = world.host.vps_metrics(id).await.unwrap();
        assert!(metrics.pids >= 2 && metrics.cpu_usec > 0 && metrics.memory_bytes > 0, "{metrics:?}");
        assert!(
            metrics.disk_total_bytes > 0 && metrics.disk_used_bytes < metrics.disk_total_bytes,
            "{metrics:?}"
        );
        sh(&format!("ping -c1 -W2 {}", spec.net.ipv4.unwrap()));
        let later = world.host.vps_metrics(id).await.unwrap();
        assert!(
            later.net_in_packets > metrics.net_in_packets && later.net_out_packets > metrics.net_out_packets
        );
        assert!(later.disk_write_bytes > 0, "{later:?}");
    });
}

#[test]
fn a_disk_grows_while_it_runs_or_says_that_it_cannot_and_grows_at_the_next_start() {
    world::run(async |world| {
        const GIB: i64 = 1 << 30;
        let mut spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let size = async |world: &World| world.host.vps_metrics(id).await.unwrap().disk_total_bytes;
        let near = |bytes: i64, sold: i64| bytes >= sold && bytes - sold < sold / 50;
        assert!(near(size(world).await, 3 * GIB), "{}", size(world).await);
        world.in_guest(id, "echo precious > /data");

        spec.limits.disk_bytes = 40 * GIB;
        match world.host.apply(&spec).await {
            Ok(()) => assert!(near(size(world).await, 40 * GIB), "{}", size(world).await),
            // Where the agent may not have it done by the kernel, it says what will be done.
            Err(fault) => {
                assert_eq!(
                    (fault.code.as_str(), fault.terminal),
                    ("kernel_feature_missing", true),
                    "{fault:?}"
                );
                assert!(near(size(world).await, 3 * GIB), "{}", size(world).await);
            }
        }
        for disk in [40, 41] {
            spec.limits.disk_bytes = disk * GIB;
            world.host.kill(id).await.unwrap();
            world.host.remove_leftovers(id).await.unwrap();
            spec.boot_epoch += 1;
            world.host.start(&spec).await.unwrap();
            assert!(near(size(world).await, disk * GIB), "{disk} GiB: {}", size(world).await);
            assert_eq!(world.in_guest(id, "cat /data").trim(), "precious");
        }
        // A smaller plan does not take anything away.
        spec.limits.disk_bytes = 3 * GIB;
        world.host.apply(&spec).await.unwrap();
        assert!(near(size(world).await, 41 * GIB), "{}", size(world).await);
    });
}

#[test]
fn init_without_signals_is_asked_again_and_its_code_is_told() {
    world::run(async |world| {
        // dash cannot catch SIGRTMIN+3; it catches SIGPWR a while after it has been started.
        let init = "#!/bin/sh\nsleep 1\ntrap 'exit 7' PWR\nwhile :; do sleep 0.1; done\n";
        let spec = world.spec(&tiny::template(world, init, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        world.host.ask_to_stop(id).await.unwrap();
        assert_eq!(ended(world, id).await, (1, Exit::Stopped));

        let spec = world.spec(&tiny::template(world, "#!/bin/sh\nsleep 0.2\nexit 7\n", |_| {}));
        world.boot(&spec).await;
        assert_eq!(ended(world, spec.id).await, (1, Exit::Code(7)));
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        world.boot(&spec).await;
        sh(&format!("kill -9 {}", world.pid(spec.id)));
        assert_eq!(ended(world, spec.id).await, (1, Exit::Signal(9)));
    });
}

#[test]
fn the_console_keeps_the_last_output_and_takes_keys() {
    use std::io::{Read, Write};
    world::run(async |world| {
        let init =
            "#!/bin/sh\necho hello from init\nwhile read line; do echo \"got $line\"; done\nsleep 60\n";
        let spec = world.spec(&tiny::template(world, init, |_| {}));
        world.boot(&spec).await;
        let socket = world.config.run_dir.join(spec.id.to_string()).join("ctl.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        writeln!(stream, "{}", serde_json::to_string(&Request::Console).unwrap()).unwrap();
        let mut seen = String::new();
        let mut until = |stream: &mut std::os::unix::net::UnixStream, wanted: &str| {
            let mut bytes = [0; 512];
            while !seen.contains(wanted) {
                let n = stream.read(&mut bytes).unwrap();
                assert!(n > 0, "{seen}");
                seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        };
        until(&mut stream, "hello from init");
        writeln!(stream, "keys").unwrap();
        until(&mut stream, "got keys");
        // One that shouts is read and forgotten; the monitor still answers.
        assert!(matches!(world.ask(spec.id, &Request::Status), Some(Answer::Status { .. })));
    });
}

#[test]
fn twenty_start_at_once_and_are_deleted() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let specs: Vec<_> = (0..20).map(|_| world.spec(&image)).collect();
        world.template(&image).await;
        // The blank of this size is there on any host that has made one disk.
        world.host.create_disk(&specs[0]).await.unwrap();
        let began = Instant::now();
        let starts = specs.iter().map(async |spec| {
            world.host.create_disk(spec).await.unwrap();
            world.host.start(spec).await.unwrap();
            began.elapsed()
        });
        let mut times = futures_util::future::join_all(starts).await;
        times.sort();
        eprintln!("20 at once: first {:?}, median {:?}, last {:?}", times[0], times[10], times[19]);
        for spec in &specs {
            assert_eq!(world.booted(spec.id), "running");
        }
        eprintln!("20 at once: all running after {:?}", began.elapsed());
        let delete = async |spec: &VpsSpec| {
            let began = Instant::now();
            world.host.kill_for_deletion(spec.id).await.unwrap();
            world.host.remove_leftovers(spec.id).await.unwrap();
            world.host.delete_disk(spec.id).await.unwrap();
            began.elapsed()
        };
        eprintln!("one deleted in {:?}", delete(&specs[0]).await);
        eprintln!("one deleted in {:?}", delete(&specs[1]).await);
        let began = Instant::now();
        futures_util::future::join_all(specs[2..].iter().map(delete)).await;
        eprintln!("18 deleted in {:?}", began.elapsed());
        for spec in &specs {
            world.assert_no_traces(spec.id);
        }
    });
}

/// Prints how long things take; run it alone: `cargo test -p berth-agent --test runtime -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a test"]
fn speed_of_create_and_delete() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut times: [Vec<f64>; 4] = Default::default();
        world.template(&image).await;
        for _ in 0..20 {
            let spec = world.spec(&image);
            let mut clock = Instant::now();
            let mut lap = |into: &mut Vec<f64>| {
                into.push(clock.elapsed().as_secs_f64() * 1000.0);
                clock = Instant::now();
            };
            world.host.create_disk(&spec).await.unwrap();
            lap(&mut times[0]);
            world.host.start(&spec).await.unwrap();
            lap(&mut times[1]);
            world.booted(spec.id);
            lap(&mut times[2]);
            world.host.kill_for_deletion(spec.id).await.unwrap();
            world.host.remove_leftovers(spec.id).await.unwrap();
            world.host.delete_disk(spec.id).await.unwrap();
            lap(&mut times[3]);
        }
        for (what, times) in ["create_disk", "start", "boot to running", "delete"].iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            eprintln!("{what}: min {:.1} ms, median {:.1} ms, max {:.1} ms", times[0], times[10], times[19]);
        }
    });
}
