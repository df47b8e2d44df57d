//! The CPU: cap, weight, guarantee.

use std::time::{Duration, Instant};

use berth_agent::host::Host;
use berth_proto::{LimitName, VpsId};

use super::{boot, change, held, hit, near, told};
use crate::world::{self, World};

/// How long CPU time is counted for one figure.
const WINDOW: Duration = Duration::from_secs(2);
/// A busy machine may give less than a cap allows; this long it is looked for a moment in which it does not.
const PATIENCE: Duration = Duration::from_secs(60);

async fn used(world: &World, id: VpsId) -> f64 {
    world.host.vps_metrics(id).await.unwrap().cpu_usec as f64
}

/// A process of a guest that spins; it ends with the guest.
const SPINS: &str = "perl -e 'alarm 200; 1 while 1' >/dev/null 2>&1 &";

#[test]
fn the_cpu_cap_holds() {
    world::run(async |world| {
        let mut spec = boot(world, |limits| limits.cpu_milli = 300).await;
        let id = spec.id;
        world.in_guest(id, &format!("{SPINS} {SPINS}"));
        for milli in [300, 600, 150] {
            change(world, &mut spec, |limits| limits.cpu_milli = milli).await;
            held(world, id, LimitName::CpuMilli, milli).await;
            let began = Instant::now();
            loop {
                let (before, clock) = (used(world, id).await, Instant::now());
                std::thread::sleep(WINDOW);
                let share = (used(world, id).await - before) / clock.elapsed().as_micros() as f64 * 1000.0;
                assert!(
                    share <= milli as f64 * 1.1,
                    "{share} thousandths of a core where {milli} are allowed"
                );
                if share >= milli as f64 * 0.9 || began.elapsed() > PATIENCE {
                    near("thousandths of a core", share, milli as f64);
                    break;
                }
            }
        }
        assert!(world.host.vps_metrics(id).await.unwrap().hits.cpu_throttled_usec > 0);
        assert!(hit(world, id, LimitName::CpuMilli).await);
    });
}

#[test]
fn cpu_weights_and_guarantees_hold() {
    world::run(async |world| {
        let cores = std::thread::available_parallelism().unwrap().get();
        let all = i64::try_from(cores).unwrap() * 1000;
        let plan = |limits: &mut berth_proto::Limits| limits.cpu_milli = all;
        let (mut one, mut other) = (boot(world, plan).await, boot(world, plan).await);
        // One of each guest on each CPU, and nothing else: a guest whose processes share a CPU has its whole weight there
        // alone, and with each start and end of another process the kernel weighs a group anew and may keep it waiting.
        for id in [one.id, other.id] {
            let spins = (0..cores).map(|cpu| format!("taskset -c {cpu} {SPINS}\n")).collect::<String>();
            world.in_guest(id, &format!("{spins} : >/calm"));
        }
        // weights of both, a guarantee of the first, and the share of what both get that the first must have
        let rows = [(100, 300, 0, 0.25), (300, 100, 0, 0.75), (100, 400, all / 2, 0.5), (100, 100, 0, 0.5)];
        for (first, second, guarantee, share) in rows {
            change(world, &mut other, |limits| limits.cpu_weight = second).await;
            change(world, &mut one, |limits| {
                limits.cpu_weight = first;
                limits.cpu_guarantee_milli = guarantee;
            })
            .await;
            held(world, other.id, LimitName::CpuWeight, second).await;
            if guarantee > 0 {
                held(world, one.id, LimitName::CpuGuaranteeMilli, guarantee).await;
                let weight = told(world, one.id, LimitName::CpuWeight).await;
                assert_eq!(weight.applied, Some(second), "{weight:?}");
            } else {
                held(world, one.id, LimitName::CpuWeight, first).await;
            }
            let began = Instant::now();
            loop {
                let before = (used(world, one.id).await, used(world, other.id).await);
                std::thread::sleep(WINDOW);
                let now = (used(world, one.id).await, used(world, other.id).await);
                let (mine, theirs) = (now.0 - before.0, now.1 - before.1);
                let got = mine / (mine + theirs);
                if (got - share).abs() <= share / 10.0 || began.elapsed() > PATIENCE {
                    near("share of the CPU", got, share);
                    break;
                }
            }
        }
        // More than there is: told with what it amounts to.
        change(world, &mut other, |limits| limits.cpu_guarantee_milli = all / 4 * 3).await;
        change(world, &mut one, |limits| limits.cpu_guarantee_milli = all / 4 * 3).await;
        let state = told(world, one.id, LimitName::CpuGuaranteeMilli).await;
        let why = state.why.unwrap_or_default();
        assert!(
            state.applied < Some(state.asked) && why.contains("another host"),
            "{:?}: {why}",
            state.applied
        );
    });
}
