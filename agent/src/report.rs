//! What the agent says about a VPS: a pure function of what is wanted, remembered and there.
//!
//! Only what was observed is said. An intention shows in the state alone (`Creating`, `Starting`, `Stopping` while the
//! next step is of that kind), with the generation of the last spec that was converged or given up.

use berth_proto::{Desired, Exit, VpsFault, VpsId, VpsObserved, VpsState};

use crate::host::Found;
use crate::plan::{Step, disk_is_lost};
use crate::record::Record;

/// One VPS in the eyes of its worker.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Which VPS.
    pub id: VpsId,
    /// What is wanted.
    pub desired: Option<&'a Desired>,
    /// What is remembered.
    pub record: &'a Record,
    /// What is there; none before the first look.
    pub found: Option<&'a Found>,
    /// What will be done next.
    pub next: Option<&'a Step>,
    /// What could not be read of the agent's own state.
    pub damaged: Option<&'a str>,
}

/// Whether this state lasts only until an effect ends. Such a state is worth telling, but not at once.
#[must_use]
pub fn passing(state: VpsState) -> bool {
    matches!(state, VpsState::Unknown | VpsState::Creating | VpsState::Starting | VpsState::Stopping)
}

/// What to tell the control plane, without metrics.
#[must_use]
pub fn observe(view: View<'_>) -> VpsObserved {
    let View { id, desired, record, found, .. } = view;
    let guest = found.and_then(|f| f.guest.as_ref());
    VpsObserved {
        boot_epoch: guest.map_or(record.started_epoch, |g| g.boot_epoch),
        password_epoch: record.password_epoch,
        started_at: guest.map(|g| g.started_at),
        frozen: guest.is_some_and(|g| g.frozen),
        exit: record.exit,
        fault: fault(view),
        orphan: record.orphan || desired.is_none(),
        ..VpsObserved::new(id, record.answered, state(view))
    }
}

/// What to tell of a VPS before anybody has looked.
#[must_use]
pub fn not_looked_yet(id: VpsId) -> VpsObserved {
    let record = Record::default();
    let view = View { id, desired: None, record: &record, found: None, next: None, damaged: None };
    VpsObserved { orphan: false, ..observe(view) }
}

fn state(view: View<'_>) -> VpsState {
    let View { desired, record, found, next, damaged, .. } = view;
    let Some(found) = found.filter(|f| damaged.is_none() && !f.unsure) else {
        return VpsState::Unknown;
    };
    let generation = desired.map_or(0, Desired::generation);
    let resting = match found {
        Found { guest: Some(_), .. } => VpsState::Running,
        Found { disk: true, .. } => VpsState::Stopped,
        _ if found.leftovers || disk_is_lost(record, found) => VpsState::Unknown,
        _ => VpsState::Absent,
    };
    match next {
        None | Some(Step::SetPassword | Step::Apply | Step::Freeze | Step::Thaw) => resting,
        Some(step) if record.given_up(step.effect(), generation) => resting,
        Some(Step::CreateDisk) => VpsState::Creating,
        Some(Step::Start | Step::HoldBack { .. }) => VpsState::Starting,
        Some(Step::RemoveLeftovers | Step::DeleteDisk) => VpsState::Stopping,
        Some(Step::AskToStop { .. } | Step::Wait { .. } | Step::Kill) => VpsState::Stopping,
    }
}

fn fault(view: View<'_>) -> Option<VpsFault> {
    let View { desired, record, found, damaged, .. } = view;
    if let Some(what) = damaged {
        let message =
            format!("{what}. It is kept as it is until the control plane says again what it should be.");
        return Some(VpsFault::passing("record_damaged", message));
    }
    let wanted = matches!(desired, Some(Desired::Present(_)));
    if wanted && found.is_some_and(|f| disk_is_lost(record, f)) {
        let message = "The disk of this VPS is gone from its host. It is not made anew, to hide no loss of data: \
                       put the disk back, or delete the VPS.";
        return Some(VpsFault::terminal("disk_missing", message));
    }
    let generation = desired?.generation();
    // The map's order is that of `Effect`, in which troubles matter to the person who asked.
    let of_this = || record.troubles.keys().filter_map(|e| record.trouble(*e, generation));
    let Some(worst) = of_this().find(|t| t.given_up()).or_else(|| of_this().next()) else {
        return held_back(view);
    };
    let terminal = worst.given_up() && record.answered >= generation;
    Some(VpsFault { terminal, ..worst.fault.clone() })
}

/// Why a guest that ended is not started at once.
fn held_back(view: View<'_>) -> Option<VpsFault> {
    let Some(Step::HoldBack { until }) = view.next else { return None };
    let what = match view.record.exit? {
        Exit::Reboot => "rebooted itself".to_owned(),
        Exit::Code(code) => format!("ended with code {code}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
        Exit::Oom => "was killed because its memory had run out".to_owned(),
        Exit::Halt | Exit::Stopped | Exit::Lost | Exit::Unknown => "ended".to_owned(),
    };
    let often = match view.record.early_ends {
        0 | 1 => String::new(),
        n => format!(", {n} times in a row, each time soon after its start"),
    };
    let at = until.format("%H:%M:%S");
    let message = format!(
        "The server's first process {what}{often}. The server is started again at {at} UTC; powering it on starts it now."
    );
    Some(VpsFault::passing("restart_delayed", message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Guest;
    use crate::plan::Effect;
    use crate::record::{Disk, MAX_ATTEMPTS};
    use crate::testing::{at, deleted, spec};

    fn wanted() -> Desired {
        Desired::Present(Box::new(spec(7)))
    }

    fn seen(desired: Option<&Desired>, record: &Record, found: &Found, next: Option<&Step>) -> VpsObserved {
        observe(View { id: VpsId(7), desired, record, found: Some(found), next, damaged: None })
    }

    fn down() -> Found {
        Found { disk: true, ..Found::default() }
    }

    fn failed(record: Record, effect: Effect, times: u32) -> Record {
        let mut record = record;
        for _ in 0..times {
            record.failed(effect, 1, VpsFault::passing("start_failed", "no"));
        }
        record
    }

    #[test]
    fn a_state_is_what_is_there_or_what_is_being_done() {
        let desired = wanted();
        let up = Found { guest: Some(Guest { boot_epoch: 3, started_at: at(5), frozen: false }), ..down() };
        let used = Record { disk: Disk::Used, ..Record::default() };
        let wait = Step::Wait { until: at(9) };
        let hangs = Found { unsure: true, ..down() };
        let debris = Found { leftovers: true, ..Found::default() };
        let rows = [
            (&up, None, VpsState::Running),
            (&up, Some(&Step::Apply), VpsState::Running),
            (&up, Some(&Step::SetPassword), VpsState::Running),
            (&up, Some(&wait), VpsState::Stopping),
            (&up, Some(&Step::Kill), VpsState::Stopping),
            (&down(), None, VpsState::Stopped),
            (&down(), Some(&Step::Start), VpsState::Starting),
            (&down(), Some(&Step::DeleteDisk), VpsState::Stopping),
            (&hangs, None, VpsState::Unknown),
            (&debris, None, VpsState::Unknown),
        ];
        for (found, next, state) in rows {
            assert_eq!(seen(Some(&desired), &used, found, next).state, state, "{found:?} {next:?}");
        }
        let fresh = Record::default();
        let nothing = Found::default();
        assert_eq!(seen(Some(&desired), &fresh, &nothing, Some(&Step::CreateDisk)).state, VpsState::Creating);
        assert_eq!(seen(Some(&deleted(7, 2)), &fresh, &nothing, None).state, VpsState::Absent);
        let running = seen(Some(&desired), &used, &up, None);
        assert_eq!((running.boot_epoch, running.started_at), (3, Some(at(5))));
        let unseen = View {
            id: VpsId(7),
            desired: Some(&desired),
            record: &used,
            found: None,
            next: None,
            damaged: None,
        };
        assert_eq!(observe(unseen).state, VpsState::Unknown);
        let damaged =
            observe(View { found: Some(&up), damaged: Some("record.json cannot be read"), ..unseen });
        assert_eq!(damaged.state, VpsState::Unknown);
        assert_eq!(damaged.fault.map(|f| f.code), Some("record_damaged".into()));
    }

    #[test]
    fn a_guest_that_is_held_back_says_why() {
        let record =
            Record { disk: Disk::Used, exit: Some(Exit::Reboot), early_ends: 7, ..Record::default() };
        let told = seen(Some(&wanted()), &record, &down(), Some(&Step::HoldBack { until: at(3661) }));
        let fault = told.fault.expect("a fault");
        assert_eq!((told.state, fault.code.as_str()), (VpsState::Starting, "restart_delayed"));
        assert!(!fault.terminal && fault.message.contains("7 times in a row"), "{fault:?}");
        assert!(fault.message.contains("01:01:01 UTC"), "{fault:?}");
    }

    #[test]
    fn a_fault_is_terminal_when_its_generation_is_answered() {
        let desired = wanted();
        let once = failed(Record { disk: Disk::Used, ..Record::default() }, Effect::Start, 1);
        let told = seen(Some(&desired), &once, &down(), Some(&Step::Start));
        assert_eq!((told.state, told.fault.map(|f| f.terminal)), (VpsState::Starting, Some(false)));

        let often = Record { answered: 1, ..failed(once, Effect::Start, MAX_ATTEMPTS) };
        let told = seen(Some(&desired), &often, &down(), Some(&Step::Start));
        assert_eq!((told.state, told.fault.map(|f| f.terminal)), (VpsState::Stopped, Some(true)));

        let mut newer = spec(7);
        newer.generation = 2;
        let told = seen(Some(&Desired::Present(Box::new(newer))), &often, &down(), Some(&Step::Start));
        assert_eq!((told.state, told.generation, told.fault), (VpsState::Starting, 1, None));
    }

    #[test]
    fn the_worst_fault_is_told_first() {
        let record = Record { disk: Disk::Used, answered: 1, ..Record::default() };
        let mut record = failed(record, Effect::Start, 1);
        record.failed(Effect::Password, 1, VpsFault::terminal("internal", "no chpasswd"));
        let told = seen(Some(&wanted()), &record, &down(), None).fault.expect("a fault");
        assert_eq!((told.code.as_str(), told.terminal), ("internal", true));
    }

    #[test]
    fn a_lost_disk_is_not_absence() {
        let record = Record { disk: Disk::Used, ..Record::default() };
        let told = seen(Some(&wanted()), &record, &Found::default(), None);
        assert_eq!(told.state, VpsState::Unknown);
        assert_eq!(told.fault.map(|f| f.code), Some("disk_missing".into()));
    }

    #[test]
    fn what_nobody_named_is_an_orphan() {
        assert!(seen(None, &Record::default(), &down(), None).orphan);
        let record = Record { orphan: true, ..Record::default() };
        assert!(seen(Some(&wanted()), &record, &down(), None).orphan);
        assert!(!seen(Some(&wanted()), &Record::default(), &down(), None).orphan);
    }
}
