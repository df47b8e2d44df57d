//! The real reconciler on the simulated host: ends, counts of effects, crashes of the agent, crashes of guests.

use std::path::Path;
use std::time::Duration;

use berth_proto::{Desired, Exit, Power, StopMode, VpsFault, VpsObserved, VpsSpec, VpsState};

use super::*;
use crate::host::{Found, Guest};
use crate::plan::Effect;
use crate::record::MAX_ATTEMPTS;
use crate::sim::{Behaviour, Counts, SimHost};
use crate::testing::{at, deleted, spec};

const ID: VpsId = VpsId(7);
/// Waits are a fiftieth of what they are.
const PACE: f64 = 0.02;
const MANNER: Manner = Manner { start_parallelism: 4, pace: PACE };

/// An agent without a line, on a simulated host; the test is its control plane.
struct Rig {
    dir: tempfile::TempDir,
    host: SimHost,
    running: Option<(Reconciler<SimHost>, Arc<Board>, Tasks)>,
}

impl Rig {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut rig = Self { dir, host: SimHost::new(Behaviour::default()), running: None };
        rig.start().await;
        rig
    }

    fn state(&self) -> &Path {
        self.dir.path()
    }

    async fn start(&mut self) {
        let host = Arc::new(self.host.clone());
        let (board, tasks) = (Arc::new(Board::default()), Tasks::default());
        let images = Arc::new(Images::new(host.clone(), self.state().join("downloads"), None));
        let store = Store::open(self.state()).expect("a store");
        let reconciler = Reconciler::start(host, store, images, board.clone(), tasks.clone(), MANNER).await;
        self.running = Some((reconciler.expect("started"), board, tasks));
    }

    /// As `kill -9`.
    async fn kill_agent(&mut self) {
        if let Some((_, _, tasks)) = self.running.take() {
            tasks.abort().await;
        }
    }

    fn parts(&self) -> &(Reconciler<SimHost>, Arc<Board>, Tasks) {
        self.running.as_ref().expect("the agent runs")
    }

    fn answer(&self, full: bool, vpses: Vec<Desired>) {
        self.parts().0.take_in(&Watch { seq: 1, full, vpses, ..Watch::default() });
    }

    fn want(&self, change: impl FnOnce(&mut VpsSpec)) {
        let mut spec = spec(ID.0);
        change(&mut spec);
        self.answer(false, vec![Desired::Present(Box::new(spec))]);
    }

    fn told(&self, id: VpsId) -> Option<VpsObserved> {
        self.parts().1.collect(true).into_iter().find(|o| o.id == id)
    }

    /// Waits until what is told of the VPS is as it should be, and returns it.
    async fn until(&self, what: &str, mut is: impl FnMut(&VpsObserved) -> bool) -> VpsObserved {
        let seen = async {
            loop {
                if let Some(told) = self.told(ID).filter(&mut is) {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), seen).await {
            Ok(told) => told,
            Err(_) => panic!("never {what}: {:?}, host has {:?}", self.told(ID), self.host.look(ID)),
        }
    }

    async fn until_running(&self, generation: i64) -> VpsObserved {
        self.until("running", |o| o.state == VpsState::Running && o.generation >= generation).await
    }

    async fn until_state(&self, state: VpsState, generation: i64) -> VpsObserved {
        self.until("in that state", |o| o.state == state && o.generation >= generation).await
    }

    async fn until_forgotten(&self) {
        let gone = async {
            while self.told(ID).is_some() || self.state().join("vps/7").exists() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("forgotten");
    }

    fn counts(&self) -> Counts {
        self.host.counts(ID)
    }
}

fn deletion(generation: i64) -> Desired {
    deleted(ID.0, generation)
}

#[tokio::test]
async fn a_life() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    let told = rig.until_running(1).await;
    assert_eq!((told.boot_epoch, told.password_epoch, told.fault, told.orphan), (1, 1, None, false));

    rig.want(|s| (s.generation, s.boot_epoch) = (2, 2));
    assert_eq!(rig.until_running(2).await.boot_epoch, 2);
    assert_eq!(rig.counts(), Counts { creates: 1, starts: 2, asks: 1, ..Counts::default() });

    rig.want(|s| (s.generation, s.boot_epoch, s.access.password_epoch) = (3, 2, 2));
    assert_eq!(rig.until_running(3).await.password_epoch, 2);
    rig.want(|s| (s.generation, s.boot_epoch, s.access.password_epoch, s.limits.pids) = (4, 2, 2, 9));
    rig.until_running(4).await;

    rig.want(|s| {
        (s.generation, s.boot_epoch, s.access.password_epoch, s.limits.pids) = (5, 2, 2, 9);
        s.power = Power::Stopped;
    });
    assert_eq!(rig.until_state(VpsState::Stopped, 5).await.exit, Some(Exit::Stopped));

    rig.answer(false, vec![deletion(6)]);
    let told = rig.until_state(VpsState::Absent, 6).await;
    assert_eq!(rig.host.look(ID), Found::default());
    let all =
        Counts { creates: 1, starts: 2, asks: 2, deletes: 1, passwords: 1, applies: 1, ..Counts::default() };
    assert_eq!(rig.counts(), all);
    rig.parts().1.sent(&[told]);
    rig.until_forgotten().await;
}

#[tokio::test]
async fn a_guest_that_does_not_listen_is_killed_at_its_deadline() {
    let rig = Rig::new().await;
    rig.host.behave(|b| b.stop = None);
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.want(|s| {
        (s.generation, s.power, s.stop_mode) = (2, Power::Stopped, StopMode::Graceful { timeout_s: 1 });
    });
    rig.until("stopping", |o| o.state == VpsState::Stopping && o.generation == 1).await;
    assert_eq!(rig.counts().kills, 0);
    let told = rig.until_state(VpsState::Stopped, 2).await;
    assert_eq!((rig.counts().kills, told.exit), (1, Some(Exit::Stopped)));
}

#[tokio::test]
async fn a_hard_stop_overtakes_a_soft_one() {
    let rig = Rig::new().await;
    rig.host.behave(|b| b.stop = None);
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.want(|s| {
        (s.generation, s.power, s.stop_mode) = (2, Power::Stopped, StopMode::Graceful { timeout_s: 86_400 });
    });
    rig.until("stopping", |o| o.state == VpsState::Stopping).await;
    rig.want(|s| (s.generation, s.power, s.stop_mode) = (3, Power::Stopped, StopMode::Hard));
    rig.until_state(VpsState::Stopped, 3).await;
    assert_eq!((rig.counts().asks, rig.counts().kills), (1, 1));
}

#[tokio::test]
async fn what_a_guest_does_to_itself() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.host.end_guest(ID, Exit::Reboot);
    rig.until("rebooted", |o| o.state == VpsState::Running && o.exit == Some(Exit::Reboot)).await;
    rig.host.end_guest(ID, Exit::Signal(11));
    rig.until("waiting after a crash", |o| o.state == VpsState::Starting && o.exit == Some(Exit::Signal(11)))
        .await;
    assert_eq!(rig.counts().starts, 2, "a crash is not restarted at once");
    rig.until_running(1).await;
    assert_eq!(rig.counts().starts, 3);

    rig.host.end_guest(ID, Exit::Halt);
    let told = rig.until_state(VpsState::Stopped, 1).await;
    assert_eq!((told.exit, told.boot_epoch), (Some(Exit::Halt), 1));
    rig.want(|s| s.generation = 2);
    rig.until_state(VpsState::Stopped, 2).await;
    assert_eq!(rig.counts().starts, 3, "a guest that halted itself stays off in its epoch");
    rig.want(|s| (s.generation, s.boot_epoch) = (3, 2));
    rig.until_running(3).await;
    assert_eq!(rig.counts().starts, 4);
}

#[tokio::test]
async fn a_boot_loop_is_slowed_down() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    for n in 1..=6 {
        rig.until("up again", |o| o.state == VpsState::Running && rig.counts().starts == n).await;
        rig.host.end_guest(ID, Exit::Reboot);
    }
    let before = tokio::time::Instant::now();
    rig.until("waiting", |o| o.state == VpsState::Starting).await;
    rig.until_running(1).await;
    assert!(before.elapsed() >= Duration::from_secs(5).mul_f64(PACE), "{:?}", before.elapsed());
}

#[tokio::test]
async fn the_agent_dies_anywhere_and_there_is_one_guest() {
    // The times of the simulated effects make each of these moments fall into another step.
    for millisecond in 0..12 {
        let mut rig = Rig::new().await;
        rig.host.behave(|b| (b.create, b.start) = (Duration::from_millis(4), Duration::from_millis(4)));
        rig.want(|_| {});
        tokio::time::sleep(Duration::from_millis(millisecond)).await;
        rig.kill_agent().await;
        rig.start().await;
        rig.answer(true, vec![Desired::Present(Box::new(spec(ID.0)))]);
        rig.until_running(1).await;
        assert_eq!(rig.host.running(), [ID]);
        assert_eq!((rig.counts().creates, rig.counts().starts), (1, 1), "died after {millisecond} ms");

        rig.answer(false, vec![deletion(2)]);
        tokio::time::sleep(Duration::from_micros(millisecond * 200)).await;
        rig.kill_agent().await;
        rig.start().await;
        rig.answer(true, vec![deletion(2)]);
        let told = rig.until_state(VpsState::Absent, 2).await;
        rig.parts().1.sent(&[told]);
        rig.until_forgotten().await;
        assert_eq!((rig.counts().kills, rig.counts().deletes), (1, 1), "died after {millisecond} ms");
    }
}

#[tokio::test]
async fn a_guest_does_not_notice_that_its_agent_restarts() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    let before = rig.until_running(1).await;
    rig.kill_agent().await;
    rig.start().await;
    let after = rig.until_running(1).await;
    assert_eq!(before, after);
    assert_eq!((rig.counts().starts, rig.counts().applies), (1, 0));
}

#[tokio::test]
async fn a_host_comes_back_without_its_control_plane() {
    let mut rig = Rig::new().await;
    let mut off = spec(8);
    off.power = Power::Stopped;
    rig.answer(true, vec![Desired::Present(Box::new(spec(7))), Desired::Present(Box::new(off))]);
    let settings = HostSettings { nat_pools: vec!["10.9.0.0/24".into()], ..HostSettings::default() };
    rig.parts().0.take_in(&Watch { settings: Some(settings.clone()), ..Watch::default() });
    rig.until_running(1).await;
    while rig.host.settings().is_none() || !rig.host.look(VpsId(8)).disk {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.kill_agent().await;
    rig.host.lose_power();
    rig.start().await;
    assert_eq!(rig.host.settings(), Some(settings));
    let told = rig.until("up again", |o| o.state == VpsState::Running).await;
    assert_eq!((told.exit, rig.counts().starts), (Some(Exit::Lost), 2));
    assert_eq!(rig.host.running(), [VpsId(7)]);
}

#[tokio::test]
async fn a_halt_while_the_agent_was_down_is_seen() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.kill_agent().await;
    rig.host.end_guest(ID, Exit::Halt);
    rig.start().await;
    let told = rig.until_state(VpsState::Stopped, 1).await;
    assert_eq!((told.exit, rig.counts().starts), (Some(Exit::Halt), 1));
}

#[tokio::test]
async fn a_create_that_fails_for_good_leaves_nothing() {
    let rig = Rig::new().await;
    rig.host.fail(None, Effect::CreateDisk, VpsFault::terminal("disk_pool_full", "full"));
    rig.want(|_| {});
    let told = rig.until_state(VpsState::Absent, 1).await;
    assert_eq!(told.fault, Some(VpsFault::terminal("disk_pool_full", "full")));
    assert_eq!(rig.counts(), Counts::default());
    rig.answer(false, vec![deletion(2)]);
    rig.until_state(VpsState::Absent, 2).await;
}

#[tokio::test]
async fn a_first_start_that_fails_is_tried_again_and_then_rolled_back() {
    let mut rig = Rig::new().await;
    for _ in 0..MAX_ATTEMPTS {
        rig.host.fail(Some(ID), Effect::Start, VpsFault::passing("start_failed", "no"));
    }
    rig.want(|_| {});
    let trying = rig.until("in trouble", |o| o.fault.is_some()).await;
    assert_eq!((trying.state, trying.generation), (VpsState::Starting, 0));
    assert_eq!(trying.fault.map(|f| f.terminal), Some(false));
    let told = rig.until_state(VpsState::Absent, 1).await;
    assert_eq!(told.fault.map(|f| (f.code, f.terminal)), Some(("start_failed".into(), true)));
    assert_eq!(rig.counts(), Counts { creates: 1, deletes: 1, ..Counts::default() });
    rig.kill_agent().await;
    rig.start().await;
    let told = rig.until_state(VpsState::Absent, 1).await;
    assert!(told.fault.is_some_and(|f| f.terminal));
    assert_eq!(rig.counts().creates, 1, "what was given up is not tried again by a new process");
}

#[tokio::test]
async fn a_passing_fault_passes() {
    let rig = Rig::new().await;
    rig.host.fail(None, Effect::CreateDisk, VpsFault::passing("image_unavailable", "later"));
    rig.host.fail(None, Effect::Start, VpsFault::passing("start_failed", "later"));
    rig.want(|_| {});
    let told = rig.until_running(1).await;
    assert_eq!((told.fault, rig.counts().creates, rig.counts().starts), (None, 1, 1));
}

#[tokio::test]
async fn a_vps_that_has_run_keeps_its_disk_and_is_tried_again_slowly() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    for _ in 0..MAX_ATTEMPTS {
        rig.host.fail(None, Effect::Start, VpsFault::passing("start_failed", "no"));
    }
    rig.want(|s| (s.generation, s.boot_epoch, s.stop_mode) = (2, 2, StopMode::Hard));
    let told = rig.until_state(VpsState::Stopped, 2).await;
    assert_eq!(told.fault.map(|f| (f.code, f.terminal)), Some(("start_failed".into(), true)));
    let told = rig.until_running(2).await;
    assert_eq!((told.fault, told.boot_epoch), (None, 2));
    assert_eq!(rig.counts(), Counts { creates: 1, starts: 2, kills: 1, ..Counts::default() });
}

#[tokio::test]
async fn an_orphan_is_kept_as_it_is() {
    let mut rig = Rig::new().await;
    let guest = Guest { boot_epoch: 4, started_at: at(50), frozen: false };
    rig.host.put(ID, Found { disk: true, guest: Some(guest), ..Found::default() });
    rig.kill_agent().await;
    rig.start().await;
    rig.until("found", |o| o.orphan && o.state == VpsState::Running && o.generation == 0).await;
    rig.answer(true, vec![]);
    rig.host.end_guest(ID, Exit::Reboot);
    rig.until("off", |o| o.orphan && o.state == VpsState::Stopped).await;
    assert_eq!(rig.counts(), Counts::default());
    assert!(rig.host.look(ID).disk);

    rig.want(|s| (s.generation, s.boot_epoch) = (3, 4));
    let told = rig.until_running(3).await;
    assert_eq!((told.orphan, rig.counts().creates, rig.counts().starts), (false, 0, 1));
}

#[tokio::test]
async fn what_a_full_answer_leaves_out_is_kept_over_restarts() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.answer(true, vec![]);
    rig.until("an orphan", |o| o.orphan && o.state == VpsState::Running).await;
    rig.kill_agent().await;
    rig.host.lose_power();
    rig.start().await;
    rig.until("off", |o| o.orphan && o.state == VpsState::Stopped).await;
    assert_eq!(rig.counts(), Counts { creates: 1, starts: 1, ..Counts::default() });
    rig.answer(false, vec![deletion(2)]);
    rig.until_state(VpsState::Absent, 2).await;
    assert_eq!(rig.counts().deletes, 1);
}

#[tokio::test]
async fn debris_of_nobody_is_swept() {
    let mut rig = Rig::new().await;
    rig.kill_agent().await;
    rig.host.put(ID, Found { leftovers: true, ..Found::default() });
    rig.start().await;
    while rig.host.look(ID).leftovers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    rig.until_forgotten().await;
}

#[tokio::test]
async fn a_damaged_record_harms_nothing() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.kill_agent().await;
    rig.host.lose_power();
    std::fs::write(rig.state().join("vps/7/record.json"), b"{").expect("written");
    rig.start().await;
    let told = rig.until("told", |o| o.fault.is_some()).await;
    assert_eq!(told.state, VpsState::Unknown);
    assert_eq!(told.fault.map(|f| f.code), Some("record_damaged".into()));
    rig.answer(true, vec![Desired::Present(Box::new(spec(ID.0)))]);
    rig.until_running(1).await;
    assert_eq!(rig.counts(), Counts { creates: 1, starts: 2, passwords: 1, ..Counts::default() });
    assert!(rig.state().join("vps/7/record.json.damaged").exists());
}

#[tokio::test]
async fn a_lost_disk_is_not_made_anew() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.kill_agent().await;
    rig.host.put(ID, Found::default());
    rig.start().await;
    let told = rig.until_state(VpsState::Unknown, 1).await;
    assert_eq!(told.fault.map(|f| f.code), Some("disk_missing".into()));
    assert_eq!(rig.counts().creates, 1);
}

#[tokio::test]
async fn a_host_that_hangs_is_asked_again() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.host.put(ID, Found { unsure: true, disk: true, ..Found::default() });
    rig.parts().1.look(ID);
    rig.until_state(VpsState::Unknown, 0).await;
    rig.want(|s| (s.generation, s.power) = (2, Power::Stopped));
    assert_eq!(rig.until_state(VpsState::Unknown, 0).await.generation, 1);
    rig.host.put(ID, Found { disk: true, ..Found::default() });
    rig.until_state(VpsState::Stopped, 2).await;
}

#[tokio::test]
async fn a_delete_does_not_wait_behind_creates() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    rig.host.behave(|b| b.start = Duration::from_secs(3600));
    let many = (100..150).map(|id| Desired::Present(Box::new(spec(id)))).collect();
    rig.answer(false, many);
    rig.answer(false, vec![deletion(2)]);
    let before = tokio::time::Instant::now();
    rig.until_state(VpsState::Absent, 2).await;
    assert!(before.elapsed() < Duration::from_secs(1));
    // … and one that waits for its turn to be created is deleted without having been made.
    rig.answer(false, vec![deleted(149, 2)]);
    while rig.told(VpsId(149)).is_none_or(|o| o.generation != 2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rig.host.counts(VpsId(149)), Counts::default());
    assert!(before.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_agent_that_is_asked_to_stop_finishes_its_effects() {
    let mut rig = Rig::new().await;
    rig.host.behave(|b| b.create = Duration::from_secs(2));
    rig.want(|_| {});
    while !rig.host.look(ID).leftovers {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (_, _, tasks) = rig.running.take().expect("the agent runs");
    tasks.stop(Duration::from_secs(10)).await;
    assert_eq!(rig.host.look(ID), Found { disk: true, ..Found::default() });
    assert_eq!(rig.counts().starts, 0);
}

#[tokio::test]
async fn a_guest_is_frozen_and_thawed_and_its_agent_may_restart_meanwhile() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    let started = rig.until_running(1).await.started_at;
    rig.want(|s| (s.generation, s.frozen) = (2, true));
    let told = rig.until("frozen", |o| o.frozen && o.generation == 2).await;
    assert_eq!((told.state, told.started_at), (VpsState::Running, started));

    rig.kill_agent().await;
    rig.start().await;
    rig.until("frozen still", |o| o.frozen && o.state == VpsState::Running).await;
    rig.want(|s| (s.generation, s.access.password_epoch) = (3, 2));
    let told = rig.until("thawed", |o| !o.frozen && o.generation == 3).await;
    assert_eq!((told.password_epoch, told.started_at), (2, started));
    assert_eq!((rig.counts().freezes, rig.counts().thaws, rig.counts().starts), (1, 1, 1));
}

#[tokio::test]
async fn a_frozen_guest_is_stopped_restarted_and_deleted_like_any_other() {
    let rig = Rig::new().await;
    rig.want(|s| s.frozen = true);
    rig.until("frozen", |o| o.frozen).await;
    rig.want(|s| (s.generation, s.power) = (2, Power::Stopped));
    let told = rig.until_state(VpsState::Stopped, 2).await;
    assert_eq!((told.exit, told.frozen, rig.counts().kills), (Some(Exit::Stopped), false, 0));

    rig.want(|s| (s.generation, s.boot_epoch, s.frozen) = (3, 2, true));
    rig.until("frozen", |o| o.frozen && o.generation == 3).await;
    rig.want(|s| (s.generation, s.boot_epoch, s.stop_mode) = (4, 3, StopMode::Hard));
    let told = rig.until_running(4).await;
    assert_eq!((told.boot_epoch, told.frozen, rig.counts().kills), (3, false, 1));

    rig.want(|s| (s.generation, s.boot_epoch, s.frozen) = (5, 3, true));
    rig.until("frozen", |o| o.frozen && o.generation == 5).await;
    rig.answer(false, vec![deletion(6)]);
    rig.until_state(VpsState::Absent, 6).await;
    assert_eq!(rig.host.look(ID), Found::default());
}

#[tokio::test]
async fn what_cannot_be_frozen_runs_on_and_says_so() {
    let rig = Rig::new().await;
    rig.want(|_| {});
    rig.until_running(1).await;
    for _ in 0..MAX_ATTEMPTS {
        rig.host.fail(None, Effect::Freeze, VpsFault::passing("internal", "a process waits for a disk"));
    }
    rig.want(|s| (s.generation, s.frozen) = (2, true));
    let told = rig.until_running(2).await;
    assert_eq!(
        told.fault.map(|f| (f.message, f.terminal)),
        Some(("a process waits for a disk".into(), true))
    );
    assert!(!told.frozen);
}

#[tokio::test]
async fn policies_decide_whether_a_guest_comes_back() {
    use berth_proto::RestartPolicy::{Always, Never, OnFailure};
    for (restart, exit, back) in [
        (OnFailure, Exit::Code(0), false),
        (OnFailure, Exit::Oom, true),
        (Always, Exit::Code(0), true),
        (Always, Exit::Halt, false),
        (Never, Exit::Signal(11), false),
        (Never, Exit::Reboot, true),
        (Never, Exit::Lost, true),
    ] {
        let rig = Rig::new().await;
        rig.want(|s| s.restart = restart);
        rig.until_running(1).await;
        rig.host.end_guest(ID, exit);
        let wanted = if back { VpsState::Running } else { VpsState::Stopped };
        let ended = |o: &VpsObserved| o.exit == Some(exit) && o.state == wanted;
        rig.until(&format!("{wanted:?} after {exit:?} with {restart:?}"), ended).await;
        rig.want(|s| (s.generation, s.boot_epoch, s.restart) = (2, 2, restart));
        rig.until("powered on", |o| o.state == VpsState::Running && o.boot_epoch == 2).await;
    }
}

#[tokio::test]
async fn a_guest_that_crashes_again_and_again_waits_longer_also_over_restarts_of_the_agent() {
    let mut rig = Rig::new().await;
    rig.want(|_| {});
    for n in 1..=6 {
        rig.until("up again", |o| o.state == VpsState::Running && rig.counts().starts == n).await;
        rig.host.end_guest(ID, Exit::Code(3));
    }
    let told = rig.until("held back", |o| o.fault.is_some()).await;
    let fault = told.fault.expect("a fault");
    assert_eq!(
        (told.state, fault.code.as_str(), fault.terminal),
        (VpsState::Starting, "restart_delayed", false)
    );
    assert!(fault.message.contains("ended with code 3, 6 times in a row"), "{fault:?}");

    rig.kill_agent().await;
    let record = Store::open(rig.state()).expect("a store").load(ID).record;
    assert!(record.early_ends == 6 && record.hold_until.is_some(), "{record:?}");
    rig.start().await;
    // Powering it on does not wait.
    rig.want(|s| (s.generation, s.boot_epoch) = (2, 2));
    rig.until_running(2).await;
    assert_eq!(rig.counts().starts, 7);
}

#[tokio::test]
async fn after_a_boot_those_that_should_run_are_started_in_order_and_a_few_at_a_time() {
    const VPSES: i64 = 30;
    let mut rig = Rig::new().await;
    rig.host.behave(|b| b.start = Duration::from_millis(20));
    // Ids run against the order; every fifth is off; some share an order.
    let wish = |id: i64| {
        let mut wanted = spec(id);
        wanted.autostart_order = i32::try_from((VPSES - id) / 2).expect("small");
        wanted.power = if id % 5 == 0 { Power::Stopped } else { Power::Running };
        wanted
    };
    let all: Vec<VpsSpec> = (1..=VPSES).map(wish).collect();
    rig.answer(true, all.iter().map(|s| Desired::Present(Box::new(s.clone()))).collect());
    let on = all.iter().filter(|s| s.power == Power::Running).count();
    let up = async |rig: &Rig| {
        let made = |id: i64| rig.host.look(VpsId(id)).disk;
        let stored = |id: i64| {
            Store::open(rig.state()).expect("a store").load(VpsId(id)).record.disk
                != crate::record::Disk::None
        };
        while rig.host.running().len() < on || !(1..=VPSES).all(|id| made(id) && stored(id)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), up(&rig)).await.expect("all made");
    rig.kill_agent().await;
    rig.host.lose_power();
    let before = rig.host.take_starts();
    assert!(before.most <= MANNER.start_parallelism, "{before:?}");

    rig.start().await;
    tokio::time::timeout(Duration::from_secs(60), up(&rig)).await.expect("all up again");
    let starts = rig.host.take_starts();
    let mut order: Vec<&VpsSpec> = all.iter().filter(|s| s.power == Power::Running).collect();
    order.sort_by_key(|s| (s.autostart_order, s.id));
    assert_eq!(starts.order.len(), order.len(), "each is started once");
    for (turn, id) in starts.order.iter().enumerate() {
        let place = order.iter().position(|s| s.id == *id).expect("only those that should run");
        let ahead_by = place.saturating_sub(turn);
        assert!(ahead_by < MANNER.start_parallelism, "{id} went before its turn: {:?}", starts.order);
    }
    assert_eq!(starts.most, MANNER.start_parallelism, "as many at once as may, and no more");
}
