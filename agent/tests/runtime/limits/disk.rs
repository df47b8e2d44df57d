//! The disk: bytes and operations a second, and inodes.

use berth_agent::host::Host;
use berth_proto::{LimitName, Limits, VpsId};

use super::{boot, change, held, near, refused, told, unified};
use crate::world::{self, World};

const MIB: i64 = 1 << 20;

/// Lets so many dd do the same with `/file` at once; blocks a second of all. One alone has nothing waiting while it asks
/// for its next block, so on a slow machine it stays below its limit.
fn blocks_a_second(world: &World, id: VpsId, at_once: usize, operands: &str, count: i64) -> f64 {
    let dd = format!("dd {operands} count={count} 2>&1 & ");
    let said = world.in_guest(id, &format!("{}wait", dd.repeat(at_once)));
    let seconds: Vec<f64> = said
        .lines()
        .filter_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" s")))
        .map(|seconds| seconds.parse().unwrap())
        .collect();
    assert_eq!(seconds.len(), at_once, "{said}");
    count as f64 * at_once as f64 / seconds.into_iter().fold(0.0, f64::max)
}

/// One of the limits of the disk's rates.
struct Row {
    limit: LimitName,
    set: fn(&mut Limits, i64),
    dd: &'static str,
    /// What one block of dd's counts as.
    unit: i64,
    /// Blocks a second: at start, raised, lowered.
    rates: [i64; 3],
}

const WRITE: &str = "if=/dev/zero of=/file oflag=direct conv=notrunc";
const READ: &str = "if=/file of=/dev/null iflag=direct";

#[test]
fn the_rates_of_the_disk_hold() {
    let rows = [
        Row {
            limit: LimitName::DiskWriteBps,
            set: |l, v| l.disk_write_bps = v,
            dd: WRITE,
            unit: MIB,
            rates: [8, 16, 4],
        },
        Row {
            limit: LimitName::DiskReadBps,
            set: |l, v| l.disk_read_bps = v,
            dd: READ,
            unit: MIB,
            rates: [8, 16, 4],
        },
        Row {
            limit: LimitName::DiskWriteIops,
            set: |l, v| l.disk_write_iops = v,
            dd: WRITE,
            unit: 1,
            rates: [100, 200, 50],
        },
        Row {
            limit: LimitName::DiskReadIops,
            set: |l, v| l.disk_read_iops = v,
            dd: READ,
            unit: 1,
            rates: [100, 200, 50],
        },
    ];
    world::run(async |world| {
        // Two guests: what is set before the start, and what is changed later.
        let mut spec = boot(world, |limits| limits.disk_write_bps = 8 * MIB).await;
        let id = spec.id;
        let rate = blocks_a_second(world, id, 1, &format!("{WRITE} bs=1M"), 24);
        near("MiB a second from the start on", rate, 8.0);
        change(world, &mut spec, |limits| limits.disk_write_bps = 0).await;
        world.in_guest(id, &format!("dd {WRITE} bs=1M count=48 status=none"));
        for row in &rows {
            let size = if row.unit == 1 { "4096" } else { "1M" };
            for rate in row.rates {
                change(world, &mut spec, |limits| (row.set)(limits, rate * row.unit)).await;
                let state = told(world, id, row.limit).await;
                assert_eq!(state.applied, Some(rate * row.unit), "{state:?}");
                let writes = matches!(row.limit, LimitName::DiskWriteBps | LimitName::DiskWriteIops);
                if writes && !unified() {
                    refused(world, id, row.limit, "cgroup v1").await;
                } else {
                    held(world, id, row.limit, rate * row.unit).await;
                }
                let measured = blocks_a_second(world, id, 2, &format!("{} bs={size}", row.dd), rate * 5 / 4);
                near(&format!("{:?}", row.limit), measured, rate as f64);
            }
            change(world, &mut spec, |limits| (row.set)(limits, 0)).await;
            let states = world.host.vps_limits(id).await;
            assert!(states.iter().all(|state| state.limit != row.limit), "{states:?}");
        }
        if unified() {
            // What the kernel writes back is the guest's too.
            change(world, &mut spec, |limits| limits.disk_write_bps = 4 * MIB).await;
            let rate = blocks_a_second(world, id, 1, "if=/dev/zero of=/file conv=fsync bs=1M", 16);
            assert!(rate <= 4.4, "{rate} MiB a second through the page cache where 4 are allowed");
        }
    });
}

#[test]
fn inodes_run_out_and_come_with_a_larger_disk() {
    world::run(async |world| {
        const GIB: i64 = 1 << 30;
        let mut spec = boot(world, |limits| limits.inodes = 5000).await;
        let id = spec.id;
        held(world, id, LimitName::Inodes, 5000).await;
        let fill = "mkdir -p /d; perl -e '$n = 0; while (open(my $f, \">\", \"/d/$n\")) { $n++; last if $n > 50000 } print $n'";
        near("files", world.in_guest(id, fill).parse().unwrap(), 5000.0);
        // The disk was made with so many; more come only as it grows.
        change(world, &mut spec, |limits| limits.inodes = 10_000).await;
        refused(world, id, LimitName::Inodes, "only as it grows").await;
        change(world, &mut spec, |limits| limits.inodes = 1000).await;
        refused(world, id, LimitName::Inodes, "never shrinks").await;
        spec.limits.inodes = 10_000;
        spec.limits.disk_bytes = 6 * GIB;
        if world.host.apply(&spec).await.is_err() {
            world.host.kill(id).await.unwrap();
            world.host.remove_leftovers(id).await.unwrap();
            spec.boot_epoch += 1;
            world.host.start(&spec).await.unwrap();
        }
        held(world, id, LimitName::Inodes, 10_000).await;
        held(world, id, LimitName::DiskBytes, 6 * GIB).await;
        near("files", world.in_guest(id, fill).parse().unwrap(), 10_000.0);
    });
}
