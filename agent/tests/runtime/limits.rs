//! Every limit of a plan, against the real kernel: set, exceeded from inside a guest, refused or slowed down within a
//! tenth of the figure, changed while the guest runs, both ways, and told in the report with what was hit.
//!
//! What the machine's hierarchies cannot hold must be told with the reason. Rates are measured as ratios of what the
//! kernel counts, so that a slow or busy machine only takes longer.

mod cpu;
mod disk;
mod looks;
mod memory;
mod network;
mod processes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_agent::host::Host;
use berth_proto::{LimitName, LimitState, Limits, VpsEvent, VpsHappening, VpsId, VpsSpec};

use crate::tiny;
use crate::world::{World, wait_for};

/// An init that runs what it finds in `/ask` and leaves what that said in `/said`: what it runs inherits its limits.
/// It looks no more, and sleeps, once there is `/calm`.
const RUNS: &str = "#!/bin/sh
while [ ! -e /calm ]; do
    if [ -e /ask ]; then sh /ask >/saying 2>&1; rm /ask; mv /saying /said; fi
    sleep 0.1
done
exec sleep 1000000
";

/// A guest that does what tests want, with these limits.
async fn boot(world: &World, change: impl FnOnce(&mut Limits)) -> VpsSpec {
    let image = tiny::template(world, RUNS, |root| {
        for program in [
            "/bin/dd",
            "/bin/rm",
            "/bin/mv",
            "/usr/bin/perl",
            "/usr/bin/taskset",
            "/usr/bin/nproc",
            "/bin/df",
        ] {
            tiny::add(root, program);
        }
    });
    let mut spec = world.spec(&image);
    change(&mut spec.limits);
    world.boot(&spec).await;
    spec
}

/// Whether the kernel's controllers are on cgroup2.
fn unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The group of a VPS on cgroup2, or that of all of them.
fn group(world: &World, id: Option<VpsId>) -> PathBuf {
    let parent = Path::new("/sys/fs/cgroup").join(&world.config.cgroup_parent);
    id.map_or(parent.clone(), |id| parent.join(id.to_string()))
}

/// Changes limits of a running guest.
async fn change(world: &World, spec: &mut VpsSpec, change: impl FnOnce(&mut Limits)) {
    change(&mut spec.limits);
    world.host.apply(spec).await.unwrap();
}

/// What is reported of one limit.
async fn told(world: &World, id: VpsId, limit: LimitName) -> LimitState {
    let states = world.host.vps_limits(id).await;
    let of = |state: &&LimitState| state.limit == limit;
    states.iter().find(of).unwrap_or_else(|| panic!("{limit:?} is not told: {states:?}")).clone()
}

/// Asserts that a limit is reported as held.
async fn held(world: &World, id: VpsId, limit: LimitName, asked: i64) {
    let state = told(world, id, limit).await;
    assert_eq!(state, LimitState { limit, asked, applied: Some(asked), why: None });
}

/// Asserts that a limit is reported as one that this host cannot hold, for this reason.
async fn refused(world: &World, id: VpsId, limit: LimitName, reason: &str) {
    let state = told(world, id, limit).await;
    assert!(state.why.as_ref().is_some_and(|why| why.contains(reason)), "{state:?}");
}

/// Whether an event says that a limit was hit.
async fn hit(world: &World, id: VpsId, limit: LimitName) -> bool {
    let of = |event: &VpsEvent| matches!(&event.what, VpsHappening::LimitHit { limit: l, count } if *l == limit && *count > 0);
    world.host.vps_events(id).await.iter().any(of)
}

/// Asserts that a figure is within a tenth of another.
#[track_caller]
fn near(what: &str, figure: f64, wanted: f64) {
    eprintln!("{what}: {figure:.2} where {wanted:.2} is wanted");
    assert!((figure - wanted).abs() <= wanted / 10.0, "{what}: {figure:.2} where {wanted:.2} is wanted");
}

/// Lets the guest's init run something; what it said.
fn by_init(world: &World, id: VpsId, command: &str) -> String {
    world.in_guest(id, "rm /said 2>/dev/null; true");
    world.in_guest(id, &format!("cat >/asking <<'END'\n{command}\nEND\nmv /asking /ask"));
    wait_for("the guest's init", Duration::from_secs(90), || {
        world.in_guest(id, "[ -e /said ] && echo y; true") == "y"
    });
    world.in_guest(id, "cat /said")
}
