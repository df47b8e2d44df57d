//! Every row of the planner by table, and its invariants by property.

use berth_proto::{Exit, RestartPolicy};
use chrono::DateTime;
use proptest::prelude::*;

use super::*;
use crate::host::Fault;
use crate::record::{MAX_ATTEMPTS, StopAsked, Trouble};
use crate::testing::{at, deleted, spec};

fn present(change: impl FnOnce(&mut VpsSpec)) -> Desired {
    let mut spec = spec(7);
    change(&mut spec);
    Desired::Present(Box::new(spec))
}

fn guest(boot_epoch: i64) -> Option<Guest> {
    Some(Guest { boot_epoch, started_at: at(0), frozen: false })
}

fn ran() -> Record {
    Record {
        disk: Disk::Used,
        running: true,
        started_epoch: 1,
        password_epoch: 1,
        applied: Some(Applied::of(&spec(7))),
        ..Record::default()
    }
}

fn off() -> Record {
    Record { running: false, applied: None, exit: Some(Exit::Stopped), ..ran() }
}

fn still() -> Found {
    Found { guest: Some(Guest { boot_epoch: 1, started_at: at(0), frozen: true }), ..up() }
}

fn ended(exit: Exit, hold_until: Option<i64>) -> Record {
    Record { exit: Some(exit), early_ends: 1, hold_until: hold_until.map(at), ..off() }
}

fn up() -> Found {
    Found { disk: true, guest: guest(1), ..Found::default() }
}

fn down() -> Found {
    Found { disk: true, ..Found::default() }
}

fn nothing() -> Found {
    Found::default()
}

fn left() -> Found {
    Found { leftovers: true, ..down() }
}

fn with_trouble(mut record: Record, effect: Effect, attempts: u32, terminal: bool) -> Record {
    let fault = Fault { code: "start_failed".into(), message: "no".into(), terminal };
    record.troubles.insert(effect, Trouble { generation: 1, attempts, fault });
    record
}

fn asked(record: Record, generation: i64, deadline: i64) -> Record {
    Record { stop: Some(StopAsked { epoch: 1, generation, deadline: at(deadline) }), ..record }
}

/// The plan at second 100, as text.
fn planned(desired: Option<&Desired>, record: &Record, found: &Found) -> String {
    let show = |p: &Planned| match &p.step {
        Step::AskToStop { timeout_s } => format!("AskToStop({timeout_s})"),
        Step::Wait { until } => format!("Wait({})", until.timestamp()),
        Step::HoldBack { until } => format!("HoldBack({})", until.timestamp()),
        step => format!("{step:?}"),
    };
    plan(desired, record, found, at(100)).iter().map(show).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_row() {
    let run = present(|_| {});
    let stop = present(|s| s.power = Power::Stopped);
    let off_hard = present(|s| (s.power, s.stop_mode) = (Power::Stopped, StopMode::Hard));
    let reset = present(|s| (s.boot_epoch, s.stop_mode) = (2, StopMode::Hard));
    let reboot = present(|s| s.boot_epoch = 2);
    let password = present(|s| s.access.password_epoch = 2);
    let resized = present(|s| s.limits.memory_bytes *= 2);
    let password_off = present(|s| (s.power, s.access.password_epoch) = (Power::Stopped, 2));
    let resized_off = present(|s| (s.power, s.limits.pids) = (Power::Stopped, 1));
    let renamed = present(|s| (s.generation, s.hostname) = (2, "b".into()));
    let freeze = present(|s| s.frozen = true);
    let freeze_all = present(|s| (s.frozen, s.access.password_epoch, s.limits.pids) = (true, 2, 1));
    let thaw_all = present(|s| (s.access.password_epoch, s.limits.pids) = (2, 1));
    let freeze_reboot = present(|s| (s.frozen, s.boot_epoch, s.stop_mode) = (true, 2, StopMode::Hard));
    let always = present(|s| s.restart = RestartPolicy::Always);
    let never = present(|s| s.restart = RestartPolicy::Never);
    let never_again = present(|s| (s.restart, s.boot_epoch) = (RestartPolicy::Never, 2));
    let gone = deleted(7, 2);
    let new = Record { disk: Disk::New, ..Record::default() };
    let halted = |epoch| Record { halted_epoch: Some(epoch), exit: Some(Exit::Halt), ..off() };
    let max = MAX_ATTEMPTS;

    #[rustfmt::skip]
    let rows: Vec<(&str, Option<&Desired>, Record, Found, &str)> = vec![
        ("create",                         Some(&run),      Record::default(), nothing(), "CreateDisk Start"),
        ("create, not to be started",      Some(&stop),     Record::default(), nothing(), "CreateDisk"),
        ("create over debris",             Some(&run),      Record::default(), Found { disk: false, ..left() }, "RemoveLeftovers CreateDisk Start"),
        ("disk made, not started yet",     Some(&run),      new.clone(), down(), "Start"),
        ("converged, running",             Some(&run),      ran(), up(), ""),
        ("converged, stopped",             Some(&stop),     off(), down(), ""),
        ("after a crash",                  Some(&run),      off(), left(), "RemoveLeftovers Start"),
        ("stopped, to be cleared",         Some(&stop),     off(), left(), "RemoveLeftovers"),
        ("stop softly",                    Some(&stop),     ran(), up(), "AskToStop(30)"),
        ("stopping",                       Some(&stop),     asked(ran(), 1, 105), up(), "Wait(105)"),
        ("stopping, clock went back",      Some(&stop),     asked(ran(), 1, 9000), up(), "AskToStop(30)"),
        ("patience is over",               Some(&stop),     asked(ran(), 1, 100), up(), "Kill RemoveLeftovers"),
        ("asked for another generation",   Some(&stop),     asked(ran(), 0, 100), up(), "AskToStop(30)"),
        ("does not listen",                Some(&stop),     with_trouble(ran(), Effect::Stop, max, false), up(), "Kill RemoveLeftovers"),
        ("stop hard",                      Some(&off_hard), ran(), up(), "Kill RemoveLeftovers"),
        ("hard after soft",                Some(&off_hard), asked(ran(), 1, 900), up(), "Kill RemoveLeftovers"),
        ("reset",                          Some(&reset),    ran(), up(), "Kill RemoveLeftovers Start"),
        ("reboot",                         Some(&reboot),   ran(), up(), "AskToStop(30)"),
        ("reboot, patience is over",       Some(&reboot),   asked(ran(), 1, 99), up(), "Kill RemoveLeftovers Start"),
        ("reboot of one that is off",      Some(&reboot),   off(), down(), "Start"),
        ("guest of a later epoch",         Some(&run),      Record { started_epoch: 3, ..ran() }, Found { guest: guest(3), ..up() }, ""),
        ("halted itself",                  Some(&run),      halted(1), down(), ""),
        ("halted itself, to be cleared",   Some(&run),      halted(1), left(), "RemoveLeftovers"),
        ("powered on after a halt",        Some(&reboot),   halted(1), down(), "Start"),
        ("password, running",              Some(&password), ran(), up(), "SetPassword"),
        ("password, off",                  Some(&password_off), off(), down(), ""),
        ("password, at the next start",    Some(&password), off(), down(), "Start SetPassword"),
        ("password, first boot has it",    Some(&password), new.clone(), down(), "Start"),
        ("password cannot be set",         Some(&password), with_trouble(ran(), Effect::Password, 1, true), up(), ""),
        ("cannot set password, crashed",   Some(&password), with_trouble(off(), Effect::Password, max, false), down(), "Start"),
        ("resized, running",               Some(&resized),  ran(), up(), "Apply"),
        ("resized, off",                   Some(&resized_off), off(), down(), ""),
        ("cannot be resized",              Some(&resized),  with_trouble(ran(), Effect::Apply, max, false), up(), ""),
        ("freeze",                         Some(&freeze),   ran(), up(), "Freeze"),
        ("frozen",                         Some(&freeze),   ran(), still(), ""),
        ("thaw",                           Some(&run),      ran(), still(), "Thaw"),
        ("changes before the freeze",      Some(&freeze_all), ran(), up(), "Apply SetPassword Freeze"),
        ("changes while frozen",           Some(&freeze_all), ran(), still(), "Apply"),
        ("changes after the thaw",         Some(&thaw_all), ran(), still(), "Thaw Apply SetPassword"),
        ("cannot be frozen",               Some(&freeze),   with_trouble(ran(), Effect::Freeze, max, false), up(), ""),
        ("cannot be thawed",               Some(&thaw_all), with_trouble(ran(), Effect::Freeze, max, false), still(), "Apply"),
        ("stop a frozen one",              Some(&stop),     ran(), still(), "AskToStop(30)"),
        ("frozen since it was asked",      Some(&stop),     asked(ran(), 1, 105), still(), "AskToStop(30)"),
        ("stop a frozen one hard",         Some(&off_hard), ran(), still(), "Kill RemoveLeftovers"),
        ("reset a frozen one",             Some(&freeze_reboot), ran(), still(), "Kill RemoveLeftovers Start Freeze"),
        ("delete a frozen one",            Some(&gone),     ran(), still(), "Kill RemoveLeftovers DeleteDisk"),
        ("orphan, frozen",                 None,            ran(), still(), ""),
        ("a frozen one lost its host",     Some(&freeze),   off(), down(), "Start Freeze"),
        ("crashed a moment ago",           Some(&run),      ended(Exit::Signal(11), Some(101)), left(), "RemoveLeftovers HoldBack(101)"),
        ("crashed, time to start",         Some(&run),      ended(Exit::Signal(11), Some(100)), down(), "Start"),
        ("crashed, clock went back",       Some(&run),      ended(Exit::Signal(11), Some(9000)), down(), "Start"),
        ("crashed, powered on",            Some(&reboot),   ended(Exit::Signal(11), Some(101)), down(), "Start"),
        ("crashed, to be off",             Some(&stop),     ended(Exit::Signal(11), Some(101)), down(), ""),
        ("returned 0",                     Some(&run),      ended(Exit::Code(0), None), down(), ""),
        ("returned 0, always",             Some(&always),   ended(Exit::Code(0), None), down(), "Start"),
        ("returned 0, powered on",         Some(&reboot),   ended(Exit::Code(0), None), down(), "Start"),
        ("returned 1",                     Some(&run),      ended(Exit::Code(1), None), down(), "Start"),
        ("out of memory, never",           Some(&never),    ended(Exit::Oom, None), left(), "RemoveLeftovers"),
        ("out of memory, never, on again", Some(&never_again), ended(Exit::Oom, None), down(), "Start"),
        ("rebooted itself, never",         Some(&never),    ended(Exit::Reboot, None), down(), "Start"),
        ("lost with its host, never",      Some(&never),    ended(Exit::Lost, None), down(), "Start"),
        ("stopped with its host, never",   Some(&never),    off(), down(), "Start"),
        ("monitor hangs",                  Some(&run),      ran(), Found { unsure: true, ..down() }, ""),
        ("disk lost",                      Some(&run),      off(), nothing(), ""),
        ("disk lost, something is left",   Some(&run),      off(), Found { disk: false, ..left() }, ""),
        ("create failed, tried again",     Some(&run),      with_trouble(Record::default(), Effect::CreateDisk, 1, false), nothing(), "CreateDisk Start"),
        ("create failed for good",         Some(&run),      with_trouble(Record::default(), Effect::CreateDisk, 1, true), nothing(), ""),
        ("create failed too often",        Some(&run),      with_trouble(Record::default(), Effect::CreateDisk, max, false), nothing(), ""),
        ("first start failed for good",    Some(&run),      with_trouble(new.clone(), Effect::Start, 1, true), left(), "RemoveLeftovers DeleteDisk"),
        ("first start failed too often",   Some(&run),      with_trouble(new.clone(), Effect::Start, max, false), down(), "DeleteDisk"),
        ("failed in another generation",   Some(&renamed), with_trouble(new.clone(), Effect::Start, 1, true), down(), "Start"),
        ("later start failed for good",    Some(&run),      with_trouble(off(), Effect::Start, 1, true), down(), ""),
        ("later start failed too often",   Some(&run),      with_trouble(off(), Effect::Start, max, false), down(), "Start"),
        ("delete a running one",           Some(&gone),     ran(), up(), "Kill RemoveLeftovers DeleteDisk"),
        ("delete a stopped one",           Some(&gone),     off(), down(), "DeleteDisk"),
        ("delete one that hangs",          Some(&gone),     ran(), Found { unsure: true, ..down() }, "Kill RemoveLeftovers DeleteDisk"),
        ("delete one whose disk is lost",  Some(&gone),     off(), nothing(), "DeleteDisk"),
        ("delete debris",                  Some(&gone),     Record::default(), Found { disk: false, ..left() }, "RemoveLeftovers"),
        ("delete what is not here",        Some(&gone),     Record::default(), nothing(), ""),
        ("orphan, running",                None,            ran(), up(), ""),
        ("orphan, stopped",                None,            off(), left(), ""),
        ("orphan, hangs",                  None,            ran(), Found { unsure: true, leftovers: true, ..nothing() }, ""),
        ("orphan whose disk is lost",      None,            off(), Found { disk: false, ..left() }, ""),
        ("debris of nobody",               None,            Record::default(), Found { disk: false, ..left() }, "RemoveLeftovers"),
    ];
    for (name, desired, record, found, expected) in rows {
        assert_eq!(planned(desired, &record, &found), expected, "{name}");
    }
}

fn any_desired() -> impl Strategy<Value = Option<Desired>> {
    let power = prop_oneof![Just(Power::Running), Just(Power::Stopped)];
    let mode =
        prop_oneof![Just(StopMode::Hard), (0u32..60).prop_map(|timeout_s| StopMode::Graceful { timeout_s })];
    let restart =
        prop_oneof![Just(RestartPolicy::Always), Just(RestartPolicy::OnFailure), Just(RestartPolicy::Never)];
    let life = (any::<bool>(), restart);
    let some = (power, mode, 1i64..4, 1i64..4, 1i64..3, 1i64..3, life).prop_map(
        |(power, stop_mode, generation, boot_epoch, password_epoch, memory, (frozen, restart))| {
            present(|s| {
                (s.frozen, s.restart) = (frozen, restart);
                (s.power, s.stop_mode, s.generation, s.boot_epoch) =
                    (power, stop_mode, generation, boot_epoch);
                s.access.password_epoch = password_epoch;
                s.limits.memory_bytes *= memory;
            })
        },
    );
    prop_oneof![1 => Just(None), 2 => (1i64..4).prop_map(|g| Some(deleted(7, g))), 8 => some.prop_map(Some)]
}

fn any_found() -> impl Strategy<Value = Found> {
    let exit = prop_oneof![
        Just(Exit::Reboot),
        Just(Exit::Halt),
        Just(Exit::Code(0)),
        Just(Exit::Code(1)),
        Just(Exit::Signal(9)),
        Just(Exit::Oom)
    ];
    let guest = (1i64..4, any::<bool>());
    let guest = guest.prop_map(|(boot_epoch, frozen)| Guest { boot_epoch, started_at: at(0), frozen });
    (any::<bool>(), proptest::option::of(guest), any::<bool>(), 0..10, proptest::option::of((1i64..4, exit)))
        .prop_map(|(disk, guest, leftovers, unsure, last_exit)| Found {
            disk: disk || guest.is_some(),
            leftovers: leftovers && guest.is_none(),
            unsure: unsure == 0 && guest.is_none(),
            last_exit: last_exit.filter(|_| guest.is_none()),
            guest,
        })
}

fn any_record() -> impl Strategy<Value = Record> {
    let disk = prop_oneof![Just(Disk::None), Just(Disk::Making), Just(Disk::New), Just(Disk::Used)];
    let doing = prop_oneof![
        Just(None),
        Just(Some(Effect::CreateDisk)),
        Just(Some(Effect::Start)),
        Just(Some(Effect::Stop))
    ];
    let stop =
        proptest::option::of((1i64..4, 1i64..4, 0i64..200).prop_map(|(epoch, generation, deadline)| {
            StopAsked { epoch, generation, deadline: at(deadline) }
        }));
    let effect = prop_oneof![
        Just(Effect::CreateDisk),
        Just(Effect::Start),
        Just(Effect::Stop),
        Just(Effect::Password),
        Just(Effect::Apply),
        Just(Effect::Freeze)
    ];
    let trouble = (1i64..4, 1u32..8, any::<bool>()).prop_map(|(generation, attempts, terminal)| {
        let fault = Fault { code: "internal".into(), message: String::new(), terminal };
        Trouble { generation, attempts, fault }
    });
    let troubles = proptest::collection::btree_map(effect, trouble, 0..3);
    let hold = (0u32..9, proptest::option::of((0i64..1000).prop_map(at)));
    (disk, doing, any::<bool>(), 0i64..4, proptest::option::of(1i64..4), stop, 0i64..3, troubles, hold)
        .prop_map(
            |(disk, doing, running, started_epoch, halted_epoch, stop, password_epoch, troubles, hold)| {
                Record {
                    early_ends: hold.0,
                    hold_until: hold.1,
                    disk,
                    doing,
                    running,
                    started_epoch,
                    halted_epoch,
                    stop,
                    password_epoch,
                    troubles,
                    ..Record::default()
                }
            },
        )
}

/// A machine on which every step succeeds, and a guest that stops when it is asked if `obedient`.
struct Model {
    record: Record,
    found: Found,
    now: DateTime<Utc>,
    obedient: bool,
    starts: Vec<i64>,
    deletes: usize,
}

impl Model {
    fn new(mut record: Record, found: Found, obedient: bool) -> Self {
        record.absorb(&found, at(100));
        Self { record, found, now: at(100), obedient, starts: Vec::new(), deletes: 0 }
    }

    /// Runs the reconciler's loop until nothing is planned.
    fn converge(&mut self, desired: Option<&Desired>) {
        for _ in 0..12 {
            let steps = plan(desired, &self.record, &self.found, self.now);
            let Some(first) = steps.first() else { return };
            self.run(desired, &first.step);
        }
        panic!("no end: {:?}", plan(desired, &self.record, &self.found, self.now));
    }

    fn run(&mut self, desired: Option<&Desired>, step: &Step) {
        let mut started = None;
        match step {
            Step::Start => {
                assert!(self.found.guest.is_none(), "started beside a running guest");
                assert!(self.found.disk && !self.found.leftovers);
                let Some(Desired::Present(spec)) = desired else { panic!("start without a spec") };
                self.starts.push(spec.boot_epoch);
                started = guest(spec.boot_epoch);
            }
            Step::CreateDisk => assert!(!self.found.disk && !self.found.leftovers),
            Step::DeleteDisk => {
                assert!(self.found.guest.is_none() && !self.found.unsure, "deleted under a running guest");
                self.deletes += 1;
            }
            Step::Wait { until } if self.obedient => {
                assert!(*until > self.now);
                let epoch = self.found.guest.take().expect("only a running guest is waited for").boot_epoch;
                self.found.last_exit = Some((epoch, Exit::Halt));
                self.found.leftovers = true;
                self.record.absorb(&self.found, self.now);
                assert_eq!(
                    self.record.exit,
                    Some(Exit::Stopped),
                    "a halt that we asked for is not the guest's"
                );
            }
            Step::Wait { until } => self.now = *until,
            Step::HoldBack { until } => {
                assert!(*until > self.now && *until - self.now <= backoff::LONGEST_HOLD);
                self.now = *until;
            }
            Step::SetPassword => assert!(self.found.guest.as_ref().is_some_and(|g| !g.frozen)),
            Step::Apply | Step::AskToStop { .. } | Step::Freeze | Step::Thaw => {
                assert!(self.found.guest.is_some());
            }
            Step::Kill | Step::RemoveLeftovers => {}
        }
        self.record.done(&mut self.found, step, desired, started, self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_plan_ends(desired in any_desired(), record in any_record(), found in any_found(), obedient: bool) {
        let mut model = Model::new(record, found, obedient);
        model.converge(desired.as_ref());
        // What is left of a look changes nothing either.
        let mut looked = model.record.clone();
        prop_assert_eq!(looked.absorb(&model.found, model.now), None);
        prop_assert_eq!(plan(desired.as_ref(), &looked, &model.found, model.now), vec![]);
    }

    #[test]
    fn only_a_tombstone_deletes_what_was_used(
        desired in any_desired(), record in any_record(), found in any_found(), obedient: bool,
    ) {
        let mut model = Model::new(record, found, obedient);
        let used = model.record.disk == Disk::Used;
        model.converge(desired.as_ref());
        if used && !matches!(desired, Some(Desired::Deleted { .. })) {
            prop_assert_eq!(model.deletes, 0);
            prop_assert_eq!(model.record.disk, Disk::Used);
        }
    }

    #[test]
    fn the_end_is_what_was_wanted(
        desired in any_desired(), mut record in any_record(), found in any_found(), obedient: bool,
    ) {
        record.troubles.clear();
        let before = found.clone();
        let mut model = Model::new(record, found, obedient);
        let lost = disk_is_lost(&model.record, &model.found);
        let first = model.record.clone();
        model.converge(desired.as_ref());
        match &desired {
            Some(Desired::Deleted { .. }) => {
                prop_assert_eq!(&model.found, &nothing());
                prop_assert_eq!(model.record.disk, Disk::None);
            }
            Some(Desired::Present(_)) if before.unsure || lost => prop_assert_eq!(&model.found, &before),
            Some(Desired::Present(spec)) => {
                prop_assert!(model.found.disk && !model.found.leftovers);
                let was_on = before.guest.as_ref().is_some_and(|g| g.boot_epoch >= spec.boot_epoch);
                let on = spec.power == Power::Running && (was_on || !stays_off(spec, &first));
                prop_assert_eq!(model.found.guest.is_some(), on);
                if let Some(guest) = &model.found.guest {
                    prop_assert!(guest.boot_epoch >= spec.boot_epoch);
                    prop_assert_eq!(guest.frozen, spec.frozen);
                    // One that stood still all the time gets its password when it goes on.
                    let still = spec.frozen && before.guest.as_ref().is_some_and(|g| g.frozen) && model.starts.is_empty();
                    prop_assert!(still || model.record.password_epoch >= spec.access.password_epoch);
                    prop_assert_eq!(model.record.applied.clone(), Some(Applied::of(spec)));
                }
                // Started once at most, and only for the epoch that is wanted.
                prop_assert!(model.starts.is_empty() || model.starts == vec![spec.boot_epoch]);
                prop_assert_eq!(model.starts.is_empty(), was_on || !on);
            }
            None => {
                prop_assert_eq!(model.found.guest, before.guest);
                prop_assert_eq!(model.found.disk, before.disk);
                prop_assert!(model.starts.is_empty() && model.deletes == 0);
            }
        }
    }

    #[test]
    fn a_guest_that_halted_itself_stays_off(epoch in 1i64..9, leftovers: bool) {
        let mut record = Record { started_epoch: epoch, ..ran() };
        let found = Found { last_exit: Some((epoch, Exit::Halt)), leftovers, ..down() };
        prop_assert_eq!(record.absorb(&found, at(100)), Some(Exit::Halt));
        let mut model = Model::new(record, found, true);
        model.converge(Some(&present(|s| s.boot_epoch = epoch)));
        prop_assert!(model.starts.is_empty());
        model.converge(Some(&present(|s| s.boot_epoch = epoch + 1)));
        prop_assert_eq!(model.starts, vec![epoch + 1]);
    }
}

#[test]
fn a_look_tells_what_a_crash_of_the_agent_left_open() {
    let doing = |disk, doing| Record { disk, doing: Some(doing), ..Record::default() };
    // Died while it made the disk: the disk holds nothing of a tenant, whole or not.
    let mut record = doing(Disk::Making, Effect::CreateDisk);
    record.absorb(&down(), at(100));
    assert_eq!(record.disk, Disk::New);
    let mut record = doing(Disk::Making, Effect::CreateDisk);
    record.absorb(&nothing(), at(100));
    assert_eq!(record.disk, Disk::None);
    // Died after PID 1 was started: the guest is adopted, and its disk is the tenant's from now on.
    let mut record = doing(Disk::New, Effect::Start);
    record.absorb(&up(), at(100));
    assert!(record.running && record.disk == Disk::Used && record.started_epoch == 1);
    // … and it halted before the agent came back.
    let mut record = doing(Disk::New, Effect::Start);
    assert_eq!(
        record.absorb(&Found { last_exit: Some((1, Exit::Halt)), ..left() }, at(100)),
        Some(Exit::Halt)
    );
    assert_eq!((record.disk, record.halted_epoch), (Disk::Used, Some(1)));
    // Died between the kill and its record.
    let mut record = Record { doing: Some(Effect::Stop), ..ran() };
    assert_eq!(
        record.absorb(&Found { last_exit: Some((1, Exit::Signal(9))), ..left() }, at(100)),
        Some(Exit::Stopped)
    );
    // The monitor died without a word, or the host did.
    let mut record = ran();
    assert_eq!(record.absorb(&left(), at(100)), Some(Exit::Lost));
    assert_eq!(record.absorb(&left(), at(100)), None, "an end is seen once");
    // No record at all, but a disk: whose it is is not known, so it is a tenant's.
    let mut record = Record::default();
    record.absorb(&down(), at(100));
    assert_eq!(record.disk, Disk::Used);
}

#[test]
fn attempts_are_counted_by_effect_and_generation() {
    let mut record = off();
    let fault = Fault::passing("start_failed", "no");
    for _ in 0..MAX_ATTEMPTS - 1 {
        record.failed(Effect::Start, 1, fault.clone());
    }
    assert!(!record.given_up(Effect::Start, 1));
    record.failed(Effect::Start, 1, fault.clone());
    assert!(record.given_up(Effect::Start, 1));
    assert!(!record.given_up(Effect::Start, 2) && !record.given_up(Effect::Password, 1));
    record.failed(Effect::Start, 2, fault);
    assert_eq!(record.trouble(Effect::Start, 2).map(|t| t.attempts), Some(1));
}

#[test]
fn early_ends_are_counted_until_a_guest_runs_well_or_is_powered_on() {
    let mut record = ran();
    let end_at = |record: &mut Record, exit, started: i64, now: i64| {
        let mut found = down();
        let spec = present(|_| {});
        let guest = Guest { boot_epoch: 1, started_at: at(started), frozen: false };
        record.done(&mut found, &Step::Start, Some(&spec), Some(guest), at(started));
        let ended = Found { last_exit: Some((1, exit)), ..left() };
        assert_eq!(record.absorb(&ended, at(now)), Some(exit));
        record.hold_until.map_or(0, |until| until.timestamp() - now)
    };
    let holds: Vec<i64> = (0..4).map(|n| end_at(&mut record, Exit::Code(1), n * 10, n * 10 + 1)).collect();
    assert_eq!((holds, record.early_ends), (vec![1, 2, 4, 8], 4));
    assert_eq!(end_at(&mut record, Exit::Oom, 100, 159), 16, "59 seconds are not enough");
    assert_eq!(end_at(&mut record, Exit::Signal(11), 200, 260), 1, "a minute is");
    // All ends count together, and each kind by its own measure.
    assert_eq!(end_at(&mut record, Exit::Lost, 300, 301), 1);
    assert_eq!(end_at(&mut record, Exit::Reboot, 310, 311), 0);
    // What we asked for ends the count, and so does another boot epoch.
    record.stop = Some(StopAsked { epoch: 1, generation: 1, deadline: at(400) });
    record.running = true;
    let asked = Found { last_exit: Some((1, Exit::Halt)), ..left() };
    assert_eq!(record.absorb(&asked, at(321)), Some(Exit::Stopped));
    assert_eq!((record.early_ends, record.hold_until), (0, None));
    end_at(&mut record, Exit::Code(1), 330, 331);
    let next = Guest { boot_epoch: 2, started_at: at(332), frozen: false };
    record.done(&mut down(), &Step::Start, Some(&present(|s| s.boot_epoch = 2)), Some(next), at(332));
    assert_eq!((record.early_ends, record.hold_until), (0, None));
}
