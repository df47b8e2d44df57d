//! Memory: the limit and who is killed, swap, the mark from which on a guest is slowed down, and what it is sure of.

use std::fs;
use std::time::Duration;

use berth_agent::host::Host;
use berth_proto::{LimitName, VpsHappening, VpsId};

use super::{boot, change, group, held, hit, near, refused, unified};
use crate::world::{self, World, sh, wait_for};

const MIB: i64 = 1 << 20;

/// MiB that a process of a guest can have before it is killed, at most `most`.
fn grab(world: &World, id: VpsId, most: i64) -> i64 {
    let program = "$| = 1; my @x; for (1..$ARGV[0]) { push @x, \"x\" x (1048576 + $_); print \"$_\\n\" }";
    let said = world.try_in_guest(id, &format!("perl -e '{program}' {most} 2>&1")).1;
    said.lines().filter_map(|line| line.trim().parse().ok()).next_back().unwrap_or(0)
}

/// Bytes that a guest has, page cache included.
fn current(world: &World, id: VpsId) -> i64 {
    fs::read_to_string(group(world, Some(id)).join("memory.current")).unwrap().trim().parse().unwrap()
}

#[test]
fn the_memory_limit_holds_and_victims_are_named() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.memory_bytes = 128 * MIB).await;
        let id = spec.id;
        held(world, id, LimitName::MemoryBytes, 128 * MIB).await;
        near("MiB", grab(world, id, 1000) as f64, 128.0);
        change(world, &mut spec, |limits| limits.memory_bytes = 256 * MIB).await;
        held(world, id, LimitName::MemoryBytes, 256 * MIB).await;
        near("MiB", grab(world, id, 1000) as f64, 256.0);
        change(world, &mut spec, |limits| limits.memory_bytes = 96 * MIB).await;
        held(world, id, LimitName::MemoryBytes, 96 * MIB).await;
        near("MiB", grab(world, id, 1000) as f64, 96.0);

        assert_eq!(world.host.vps_metrics(id).await.unwrap().hits.oom_kills, 3);
        let events = world.host.vps_events(id).await;
        let victims: Vec<_> = events
            .iter()
            .filter_map(|event| match &event.what {
                VpsHappening::OomKill { victim, .. } => Some(victim.as_str()),
                _ => None,
            })
            .collect();
        // The kernel's log can be read on all machines that these tests run on.
        assert_eq!(victims, ["perl"; 3], "{events:?}");
        if unified() {
            assert!(hit(world, id, LimitName::MemoryBytes).await, "{events:?}");
        }
        // An agent that has just been started tells the same, and nothing twice.
        world.restart_agent().await;
        assert_eq!(world.host.vps_events(id).await, events);
    });
}

#[test]
fn swap_holds() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.swap_bytes = 32 * MIB).await;
        let id = spec.id;
        let counted =
            unified() || std::path::Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists();
        if !counted {
            return refused(world, id, LimitName::SwapBytes, "swapaccount").await;
        }
        held(world, id, LimitName::SwapBytes, 32 * MIB).await;
        for mib in [64, 16, 0] {
            change(world, &mut spec, |limits| limits.swap_bytes = mib * MIB).await;
            held(world, id, LimitName::SwapBytes, mib * MIB).await;
        }
        if !unified() || std::env::var_os("CI").is_none() {
            return; // only a machine of our own gets swap
        }
        let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("swap");
        sh(&format!(
            "dd if=/dev/zero of={0} bs=1M count=192 status=none && chmod 600 {0} && mkswap -q {0} && swapon {0}",
            file.display()
        ));
        let grabbed: Vec<_> = {
            let mut figures = Vec::new();
            for swap in [0, 96, 48] {
                change(world, &mut spec, |limits| {
                    limits.memory_bytes = 96 * MIB;
                    limits.swap_bytes = swap * MIB;
                })
                .await;
                figures.push((swap, grab(world, id, 1000)));
            }
            figures
        };
        // Reclaim does not even try when it knows that no swap is left: only who is on the way then is counted.
        let mut told = hit(world, id, LimitName::SwapBytes).await;
        for _ in 0..20 {
            if told {
                break;
            }
            grab(world, id, 1000);
            told = hit(world, id, LimitName::SwapBytes).await;
        }
        sh(&format!("swapoff {0} && rm {0}", file.display()));
        for (swap, mib) in grabbed {
            near("MiB of memory and swap", mib as f64, (96 + swap) as f64);
        }
        assert!(told);
    });
}

#[test]
fn the_high_mark_holds() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.memory_high_bytes = 32 * MIB).await;
        let id = spec.id;
        if !unified() {
            return refused(world, id, LimitName::MemoryHighBytes, "cgroup v1").await;
        }
        // Page cache that could be as large as the limit is kept below the mark.
        let fill = "dd if=/dev/zero of=/file bs=1M count=96 conv=fsync status=none; cat /file >/dev/null";
        for mib in [32, 64, 24] {
            change(world, &mut spec, |limits| limits.memory_high_bytes = mib * MIB).await;
            held(world, id, LimitName::MemoryHighBytes, mib * MIB).await;
            world.in_guest(id, fill);
            let mut last = 0;
            wait_for("the guest to be below its mark", Duration::from_secs(60), || {
                last = current(world, id);
                last <= mib * MIB / 10 * 11
            });
            assert!(last >= mib * MIB / 2, "{last} bytes are far less than {mib} MiB");
        }
        assert!(hit(world, id, LimitName::MemoryHighBytes).await);
        change(world, &mut spec, |limits| limits.memory_high_bytes = 0).await;
        world.in_guest(id, fill);
        assert!(current(world, id) >= 80 * MIB, "{} bytes", current(world, id));
    });
}

#[test]
fn guaranteed_memory_is_kept() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.memory_guarantee_bytes = 64 * MIB).await;
        let id = spec.id;
        if !unified() {
            return refused(world, id, LimitName::MemoryGuaranteeBytes, "cgroup v1").await;
        }
        held(world, id, LimitName::MemoryGuaranteeBytes, 64 * MIB).await;
        world.in_guest(
            id,
            "dd if=/dev/zero of=/file bs=1M count=128 conv=fsync status=none; cat /file >/dev/null",
        );
        // What the kernel does to all guests when the host is short.
        let short = || {
            for _ in 0..8 {
                let _ = fs::write(group(world, None).join("memory.reclaim"), "64M"); // fails when it got less
            }
        };
        for mib in [64, 32, 96] {
            world.in_guest(id, "cat /file >/dev/null");
            change(world, &mut spec, |limits| limits.memory_guarantee_bytes = mib * MIB).await;
            held(world, id, LimitName::MemoryGuaranteeBytes, mib * MIB).await;
            short();
            near("MiB that are left", current(world, id) as f64 / MIB as f64, mib as f64);
        }
        change(world, &mut spec, |limits| limits.memory_guarantee_bytes = 0).await;
        short();
        assert!(
            current(world, id) < 24 * MIB,
            "{} bytes are kept that nobody is sure of",
            current(world, id)
        );
    });
}
