//! A monitor stays small, whatever its guest does: there is one for each VPS of a host.

use std::fs;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use berth_agent::host::Host;
use berth_agent::monitor::wire::{Answer, Request};

use crate::tiny;
use crate::world::{self, World, wait_for};

/// Bytes of private memory that a monitor may have.
const MOST: u64 = 1536 << 10;
/// Console output that it is given.
const VOLUME: u64 = 200 << 20;

/// Private memory of a process, in bytes: what it has written to, and shares with nobody. Pages of its program, which the
/// monitors of a host share, are not in it.
fn private(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

#[test]
fn a_monitor_does_not_grow_with_what_its_guest_says() {
    world::run(async |world| {
        // 64 KiB at a time, and each thousand lines one that says how far it is.
        let init = "#!/bin/sh
            x=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.
            while [ ${#x} -lt 65536 ]; do x=$x$x; done
            n=0; while :; do n=$((n + 1)); echo \"$x block $n.\"; done\n";
        let spec = world.spec(&tiny::template(world, init, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let monitor = world.monitor_pid(id);
        assert_eq!(threads(monitor), 1);
        // Viewers that read nothing, and calls of all kinds, while the guest shouts.
        let silent: Vec<_> = (0..4).map(|_| viewer(world, id)).collect();
        let mut reader = viewer(world, id);
        reader.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (mut said, mut early, mut bytes) = (0_u64, 0, vec![0; 256 << 10]);
        let mut tail = Vec::new();
        let mut blocks = 0;
        while blocks * 65536 < VOLUME {
            let n = reader.read(&mut bytes).unwrap();
            assert!(n > 0, "the console ended");
            said += n as u64;
            tail.extend_from_slice(&bytes[..n]);
            blocks = last_block(&tail).unwrap_or(blocks);
            let keep = tail.len().saturating_sub(1024);
            tail.drain(..keep);
            if early == 0 && blocks > 100 {
                early = private(monitor);
            }
            assert!(matches!(world.ask(id, &Request::Status), Some(Answer::Status { .. })));
        }
        drop(silent);
        let late = private(monitor);
        eprintln!(
            "{} MiB said, {} MiB seen; private memory {} KiB, then {} KiB",
            (blocks * 65536) >> 20,
            said >> 20,
            early >> 10,
            late >> 10
        );
        assert_eq!(threads(monitor), 1);
        assert!(late <= early + (64 << 10), "it grows: {early} to {late} bytes");
        assert!(late <= MOST, "{late} bytes");
        // Each of these makes a process, which must leave nothing behind either.
        for _ in 0..20 {
            let _ = world.host.set_password(&spec).await;
        }
        wait_for("the monitor to be as small as before", Duration::from_secs(60), || {
            private(monitor) <= early + (64 << 10)
        });
    });
}

fn viewer(world: &World, id: berth_proto::VpsId) -> UnixStream {
    use std::io::Write as _;
    let socket = world.config.run_dir.join(id.to_string()).join("ctl.sock");
    let mut stream = UnixStream::connect(socket).unwrap();
    writeln!(stream, "{}", serde_json::to_string(&Request::Console).unwrap()).unwrap();
    stream
}

/// The number of the last block that is whole in this piece of the console.
fn last_block(piece: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(piece);
    let (_, number) = text.rsplit_once(" block ").filter(|(_, rest)| rest.contains('.'))?;
    number.split_once('.')?.0.parse().ok()
}
