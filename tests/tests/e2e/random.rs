//! A thousand random operations, of people and of fate, over ten VPSes: whatever came in between, in the end each VPS is
//! what was asked of it last, and nothing is left of any of them.
//!
//! The order of operations follows from the seed; how they meet in time does not, and shall not: requests are sent while
//! earlier ones are still on their way, and agents and monitors are killed under them.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_tests::check;
use berth_tests::client::Answer;
use berth_tests::e2e::cell::{Cell, Made, PLAN};
use berth_tests::wait::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::json;

/// The seed of the order of operations.
const SEED: u64 = 20_261_130;
/// Operations in all.
const OPERATIONS: usize = 1000;
/// VPSes that they are done to.
const VPSES: usize = 10;
/// After so many operations it is waited until nothing is on its way, and looked whether all is well.
const STRETCH: usize = 125;
/// How long that may take: a guest that still boots does not listen to its power button, and is killed after a minute;
/// an agent that was killed in between waits anew.
const QUIET: Duration = Duration::from_mins(4);

/// What is done, with how often of a hundred.
const WHAT: [(u32, Op); 12] = [
    (12, Op::Act("poweron")),
    (8, Op::Act("poweroff")),
    (7, Op::Act("shutdown")),
    (10, Op::Act("reboot")),
    (6, Op::Act("reset")),
    (10, Op::Berth("freeze")),
    (11, Op::Berth("thaw")),
    (12, Op::Resize),
    (12, Op::Exec),
    (2, Op::KillAgent),
    (5, Op::KillMonitor),
    (5, Op::KillInit),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    /// An action of the hcloud API.
    Act(&'static str),
    /// An action of our own.
    Berth(&'static str),
    /// To the other plan.
    Resize,
    /// A program is run inside.
    Exec,
    /// The host's agent is killed, and started again.
    KillAgent,
    /// The monitor is killed, and its guest with it.
    KillMonitor,
    /// The guest's PID 1 is killed.
    KillInit,
}

fn draw(random: &mut StdRng) -> Op {
    let mut at = random.random_range(0..WHAT.iter().map(|(weight, _)| weight).sum());
    for (weight, op) in WHAT {
        if at < weight {
            return op;
        }
        at -= weight;
    }
    unreachable!("the weights were added up")
}

/// Kills the process, if it is still the one that was looked at.
fn kill_process(pid: u32) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).expect("a pid fits")), Signal::SIGKILL);
}

/// The parent of a guest's PID 1 is its monitor.
fn monitor_of(init: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).ok()?;
    name.contains("berth-monitor").then_some(parent)
}

/// Does one thing; what the API answered, if it was asked.
async fn perform(cell: &mut Cell, op: Op, made: &Made, larger: &str, random: &mut StdRng) -> Option<Answer> {
    let id = made.id;
    let post = |path: String, body: serde_json::Value| {
        let api = cell.api.clone();
        async move { api.send(Method::POST, &path, Some(body.to_string())).await }
    };
    match op {
        Op::Act(what) => Some(post(format!("/v1/servers/{id}/actions/{what}"), json!({})).await),
        Op::Berth(what) => Some(post(format!("/berth/v1/servers/{id}/actions/{what}"), json!({})).await),
        Op::Resize => {
            let plan = if random.random_bool(0.5) { larger } else { PLAN };
            let body = json!({"server_type": plan, "upgrade_disk": false});
            Some(post(format!("/v1/servers/{id}/actions/change_type"), body).await)
        }
        Op::Exec => {
            let body = json!({"argv": ["/bin/sleep", "1"]});
            Some(post(format!("/berth/v1/servers/{id}/exec"), body).await)
        }
        Op::KillAgent => {
            cell.hosts[made.host].kill_agent();
            cell.hosts[made.host].start_agent(None);
            None
        }
        Op::KillMonitor | Op::KillInit => {
            for (init, _) in cell.hosts[made.host].first_processes(id) {
                let victim = if op == Op::KillInit { Some(init) } else { monitor_of(init) };
                victim.into_iter().for_each(kill_process);
            }
            None
        }
    }
}

/// Each VPS is what the inventory says that was asked of it.
async fn comes_true(cell: &Cell, vpses: &[Made], when: &str) {
    let db = cell.db.pool().await;
    check::settled_within(&db, QUIET).await;
    for made in vpses {
        until(&format!("{when}: server {} to be as was asked", made.id), QUIET, async || {
            let (power, frozen, state): (String, bool, String) =
                sqlx::query_as("select power, frozen, observed_state from vps where id = $1")
                    .bind(made.id)
                    .fetch_one(&db)
                    .await
                    .map_err(|e| e.to_string())?;
            let running = cell.hosts[made.host].first_processes(made.id);
            let wanted = usize::from(power == "running");
            let seen = format!("asked: {power}, frozen {frozen}; observed: {state}; PID 1: {running:?}");
            let agree = state == if wanted == 1 { "running" } else { "stopped" };
            if running.len() == wanted && agree { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_random_operations_end_as_was_asked_and_leave_nothing() {
    let mut cell = Cell::start(1).await;
    let larger = cell.control.larger_plan().await;
    // A test machine has fewer cores than ten VPSes may want; they want little.
    let sold = sqlx::query("update hosts set cpu_overcommit = 100").execute(&cell.db.pool().await).await;
    sold.expect("a host");
    let image = cell.images[0].clone();
    let mut vpses = Vec::new();
    for n in 0..VPSES {
        vpses.push(cell.create(&format!("web-{n}"), &image, true).await);
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let mut answers: BTreeMap<(Op, u16), usize> = BTreeMap::new();
    for n in 0..OPERATIONS {
        let (op, made) = (draw(&mut random), &vpses[random.random_range(0..VPSES)]);
        if let Some(answer) = perform(&mut cell, op, made, larger, &mut random).await {
            // Asked for, or refused with a reason: locked by another action, off, frozen.
            let known = matches!(answer.status, 200 | 201 | 409 | 412 | 422 | 423 | 503);
            assert!(known, "operation {n}, {op:?}: {} {}", answer.status, answer.body);
            *answers.entry((op, answer.status)).or_default() += 1;
        }
        if (n + 1) % STRETCH == 0 {
            comes_true(&cell, &vpses, &format!("after {} operations", n + 1)).await;
        }
    }
    eprintln!("answers: {answers:#?}");
    // Most were really done: a test in which all is refused shows nothing.
    for op in WHAT.map(|(_, op)| op) {
        let done: usize = answers.iter().filter(|((o, s), _)| *o == op && *s < 300).map(|(_, n)| n).sum();
        let asked: usize = answers.iter().filter(|((o, _), _)| *o == op).map(|(_, n)| n).sum();
        assert!(asked == 0 || done > 0, "{op:?} was never done: {answers:?}");
    }
    cell.finish().await;
}
