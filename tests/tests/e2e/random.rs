//! A thousand random operations, of people and of fate, over ten VPSes: whatever came in between, in the end each VPS is
//! what was asked of it last, and nothing is left of any of them.
//!
//! The order of operations follows from the seed; how they meet in time does not, and shall not: requests are sent while
//! earlier ones are still on their way, and agents and monitors are killed under them.

use std::collections::BTreeMap;
use std::time::Duration;

use berth_proto::ExecEnd;
use berth_tests::check;
use berth_tests::client::{Answer, DEADLINE};
use berth_tests::e2e::cell::{Cell, Made, PLAN};
use berth_tests::e2e::process::kill9;
use berth_tests::exec::Exec;
use berth_tests::wait::until;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
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

/// What came of an operation.
enum Outcome {
    Answered(Answer),
    /// So many processes.
    Killed(usize),
}

/// The parent of a guest's PID 1 is its monitor.
fn monitor_of(init: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{init}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).ok()?;
    name.contains("berth-monitor").then_some(parent)
}

/// Does one thing.
async fn perform(cell: &mut Cell, op: Op, made: &Made, plan: &str) -> Outcome {
    let id = made.id;
    let (path, body) = match op {
        Op::Act(what) => (format!("/v1/servers/{id}/actions/{what}"), json!({})),
        Op::Berth(what) => (format!("/berth/v1/servers/{id}/actions/{what}"), json!({})),
        Op::Resize => (
            format!("/v1/servers/{id}/actions/change_type"),
            json!({"server_type": plan, "upgrade_disk": false}),
        ),
        Op::Exec => (format!("/berth/v1/servers/{id}/exec"), json!({"argv": ["/bin/sleep", "1"]})),
        Op::KillAgent => {
            cell.hosts[made.host].kill_agent();
            cell.hosts[made.host].start_agent(None);
            return Outcome::Killed(1);
        }
        Op::KillMonitor | Op::KillInit => {
            let inits = cell.hosts[made.host].first_processes(id).into_iter().map(|(init, _)| init);
            let victims: Vec<_> = inits
                .filter_map(|init| if op == Op::KillInit { Some(init) } else { monitor_of(init) })
                .collect();
            victims.iter().copied().for_each(kill9);
            return Outcome::Killed(victims.len());
        }
    };
    Outcome::Answered(cell.api.post(&path, body).await)
}

/// Runs the program of an answer; whether it came to its end. What is done to its guest meanwhile ends it otherwise, and
/// one that is frozen leaves it waiting.
async fn ran(answer: serde_json::Value) -> bool {
    let Ok(mut program) = Exec::open(&answer).await else { return false };
    let closed = tokio::time::timeout(DEADLINE, program.closed()).await;
    closed.is_ok() && program.end == Some(ExecEnd { code: Some(0), signal: None })
}

/// What the inventory asks of a VPS and what it saw last.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    power: String,
    frozen: bool,
    observed_state: String,
    observed_frozen: bool,
    /// The generation that was seen is the one that is asked for, and so is the boot epoch.
    current: bool,
    /// Memory in bytes that was sold, and that the kernel was seen to hold for a running guest.
    memory_bytes: i64,
    applied: Option<i64>,
}

/// Each VPS is what the inventory says that was asked of it.
async fn comes_true(cell: &Cell, vpses: &[Made], when: &str) {
    let db = cell.db.pool().await;
    check::settled_within(&db, QUIET).await;
    for made in vpses {
        until(&format!("{when}: server {} to be as was asked", made.id), QUIET, async || {
            let row: Row = sqlx::query_as(
                "select power, frozen, observed_state, observed_frozen, memory_bytes,
                        observed_generation = generation
                        and (power <> 'running' or observed_boot_epoch = boot_epoch) as current,
                        (select (state->>'applied')::bigint from jsonb_array_elements(observed_limits) as state
                         where state->>'limit' = 'memory_bytes') as applied
                 from vps where id = $1",
            )
            .bind(made.id)
            .fetch_one(&db)
            .await
            .map_err(|e| e.to_string())?;
            let inits = cell.hosts[made.host].first_processes(made.id);
            let true_of_it = if row.power == "running" {
                row.observed_state == "running"
                    && row.observed_frozen == row.frozen
                    && row.applied == Some(row.memory_bytes)
                    && inits.len() == 1
            } else {
                row.observed_state == "stopped" && inits.is_empty()
            };
            if row.current && true_of_it { Ok(()) } else { Err(format!("{row:?}, PID 1: {inits:?}")) }
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
    let mut programs = Vec::new();
    let mut answers: BTreeMap<(Op, u16), usize> = BTreeMap::new();
    let mut killed: BTreeMap<Op, usize> = BTreeMap::new();
    for n in 0..OPERATIONS {
        let (_, op) = *WHAT.choose_weighted(&mut random, |(weight, _)| *weight).expect("weights above 0");
        let made = &vpses[random.random_range(0..VPSES)];
        let plan = if random.random_bool(0.5) { larger } else { PLAN };
        match perform(&mut cell, op, made, plan).await {
            Outcome::Answered(answer) => {
                // Asked for, or refused with a reason: locked by another action, off, frozen.
                let known = matches!(answer.status, 200 | 201 | 409 | 412 | 422 | 423 | 503);
                assert!(known, "operation {n}, {op:?}: {} {}", answer.status, answer.body);
                *answers.entry((op, answer.status)).or_default() += 1;
                if (op, answer.status) == (Op::Exec, 201) {
                    programs.push(tokio::spawn(ran(answer.body)));
                }
            }
            Outcome::Killed(victims) => *killed.entry(op).or_default() += victims,
        }
        if (n + 1) % STRETCH == 0 {
            comes_true(&cell, &vpses, &format!("after {} operations", n + 1)).await;
        }
    }
    let mut ended = 0;
    for program in programs {
        ended += usize::from(program.await.expect("every stream was closed with a reason"));
    }
    eprintln!("answers: {answers:#?}, killed: {killed:#?}, programs that came to their end: {ended}");
    // All were really done: a test in which all is refused shows nothing.
    for (_, op) in WHAT {
        let done: usize = answers.iter().filter(|((o, s), _)| *o == op && *s < 300).map(|(_, n)| n).sum();
        let victims = killed.get(&op).copied().unwrap_or_default();
        assert!(done + victims > 0, "{op:?} was never done: {answers:?}, killed: {killed:?}");
    }
    assert!(ended > 0, "no program ever ran");
    cell.finish().await;
}
