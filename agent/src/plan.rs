//! What to do about one VPS: a pure function of what is wanted, what is remembered and what is there.
//!
//! [`plan`] returns the steps from here to the desired state as far as they can be known now, each with its reason; an
//! empty plan means converged (or given up, see [`Record::given_up`]). The reconciler runs the first step, takes its
//! outcome in and plans again, so a spec that arrives in the middle changes the way at once. Rules:
//!
//! * A disk from which a guest has run is deleted only by a tombstone.
//! * A guest is stopped before another is started; leftovers of one are cleared before the next.
//! * A guest that halted itself stays off in its boot epoch. One that was started for a smaller epoch is restarted.
//! * A guest that ended otherwise is started again as its [`berth_proto::RestartPolicy`] says, and the later the more often
//!   it ended soon after its start. A new boot epoch never waits.
//! * A frozen guest is thawed before anything that needs it to run, except its death.
//! * A disk that was there and is gone is not made anew: that would hide the loss of data behind an empty VPS.
//! * Without a desired state (an orphan) nothing is started, stopped or deleted. Only debris that holds no disk is swept.

use std::fmt;

use berth_proto::{Desired, Power, StopMode, VpsSpec};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::backoff;
use crate::host::{Found, Guest};
use crate::record::{Applied, Disk, Record};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the disk, fetching the template first if it is not here.
    CreateDisk,
    /// Start the guest.
    Start,
    /// The guest ended too soon, or too often: wait before it is started again.
    HoldBack {
        /// When it will be started.
        until: DateTime<Utc>,
    },
    /// Ask the guest's init to stop, and note when patience ends.
    AskToStop {
        /// Seconds of patience.
        timeout_s: u32,
    },
    /// Wait for the guest to stop, but not longer than this.
    Wait {
        /// When the guest will be killed.
        until: DateTime<Utc>,
    },
    /// Kill the guest.
    Kill,
    /// Clear what a guest left outside its disk.
    RemoveLeftovers,
    /// Delete the disk.
    DeleteDisk,
    /// Set root's password in the running guest.
    SetPassword,
    /// Apply limits and network settings to the running guest.
    Apply,
    /// Make the running guest stand still.
    Freeze,
    /// Let the frozen guest go on.
    Thaw,
}

/// Kinds of effect, for counting failures: a password that cannot be set must not keep a crashed guest from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// [`Step::CreateDisk`]
    CreateDisk,
    /// [`Step::Start`] and [`Step::HoldBack`]
    Start,
    /// [`Step::AskToStop`], [`Step::Wait`] and [`Step::Kill`]
    Stop,
    /// [`Step::RemoveLeftovers`]
    Clear,
    /// [`Step::DeleteDisk`]
    Delete,
    /// [`Step::SetPassword`]
    Password,
    /// [`Step::Apply`]
    Apply,
    /// [`Step::Freeze`] and [`Step::Thaw`]
    Freeze,
}

impl Step {
    /// What kind of effect this is.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::CreateDisk => Effect::CreateDisk,
            Self::Start | Self::HoldBack { .. } => Effect::Start,
            Self::AskToStop { .. } | Self::Wait { .. } | Self::Kill => Effect::Stop,
            Self::RemoveLeftovers => Effect::Clear,
            Self::DeleteDisk => Effect::Delete,
            Self::SetPassword => Effect::Password,
            Self::Apply => Effect::Apply,
            Self::Freeze | Self::Thaw => Effect::Freeze,
        }
    }
}

/// Why a step is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The VPS is wanted and has no disk yet.
    New,
    /// It should run and does not.
    ShouldRun,
    /// It runs and should not.
    ShouldStop,
    /// It runs for an older boot epoch.
    NewBootEpoch,
    /// It was asked to stop and has not.
    Deadline,
    /// It could not be asked to stop.
    DoesNotListen,
    /// A guest that is gone left something.
    LeftBehind,
    /// The create is given up.
    FailedCreate,
    /// There is a tombstone.
    Tombstone,
    /// The password epoch rose.
    NewPassword,
    /// Limits or network changed.
    Changed,
    /// It should stand still.
    ShouldFreeze,
    /// It should not stand still any more.
    ShouldThaw,
    /// It ended soon after it was started.
    EndedEarly,
    /// Debris of something that nobody wants and that has no disk.
    Debris,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::New => "wanted and not there yet",
            Self::ShouldRun => "should run and does not",
            Self::ShouldStop => "runs and should not",
            Self::NewBootEpoch => "runs for an older boot epoch",
            Self::Deadline => "did not stop in time",
            Self::DoesNotListen => "cannot be asked to stop",
            Self::LeftBehind => "a guest that is gone left something",
            Self::FailedCreate => "the create is given up",
            Self::Tombstone => "is to be deleted",
            Self::NewPassword => "the password was reset",
            Self::Changed => "limits or network changed",
            Self::ShouldFreeze => "should stand still",
            Self::ShouldThaw => "should not stand still any more",
            Self::EndedEarly => "ended soon after it was started",
            Self::Debris => "debris without a disk and without an owner",
        })
    }
}

/// A step and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What to do.
    pub step: Step,
    /// Why.
    pub why: Reason,
}

/// The steps to the desired state. `desired` is none for an orphan and for what was only found.
#[must_use]
pub fn plan(desired: Option<&Desired>, record: &Record, found: &Found, now: DateTime<Utc>) -> Vec<Planned> {
    let mut steps = Vec::new();
    let mut add = |step, why| steps.push(Planned { step, why });
    match desired {
        None => orphan(record, found, &mut add),
        Some(Desired::Deleted { .. }) => deleted(record, found, &mut add),
        Some(Desired::Present(_)) if found.unsure => {}
        Some(Desired::Present(spec)) => match &found.guest {
            Some(guest) => running(spec, record, guest, now, &mut add),
            None => stopped(spec, record, found, now, &mut add),
        },
    }
    steps
}

/// Whether the disk of a VPS that had one is gone. It is reported and nothing is done.
#[must_use]
pub fn disk_is_lost(record: &Record, found: &Found) -> bool {
    !found.unsure && !found.disk && found.guest.is_none() && matches!(record.disk, Disk::New | Disk::Used)
}

fn orphan(record: &Record, found: &Found, add: &mut impl FnMut(Step, Reason)) {
    let nothing_to_keep = !found.disk && !found.unsure && found.guest.is_none() && record.disk != Disk::Used;
    if nothing_to_keep && found.leftovers {
        add(Step::RemoveLeftovers, Reason::Debris);
    }
}

fn deleted(record: &Record, found: &Found, add: &mut impl FnMut(Step, Reason)) {
    let alive = found.guest.is_some() || found.unsure;
    if alive {
        add(Step::Kill, Reason::Tombstone);
    }
    if alive || found.leftovers {
        add(Step::RemoveLeftovers, Reason::Tombstone);
    }
    if found.disk || found.last_exit.is_some() || record.disk != Disk::None {
        add(Step::DeleteDisk, Reason::Tombstone);
    }
}

fn running(
    spec: &VpsSpec,
    record: &Record,
    guest: &Guest,
    now: DateTime<Utc>,
    add: &mut impl FnMut(Step, Reason),
) {
    let restart = guest.boot_epoch < spec.boot_epoch;
    if spec.power == Power::Running && !restart {
        return running_on(spec, record, guest, add);
    }
    let why = if spec.power == Power::Running { Reason::NewBootEpoch } else { Reason::ShouldStop };
    let asked = record.stop.filter(|s| s.epoch == guest.boot_epoch && s.generation == spec.generation);
    let kill_because = match (spec.stop_mode, asked) {
        (StopMode::Hard, _) => why,
        (StopMode::Graceful { .. }, _) if given_up(record, Effect::Stop, spec) => Reason::DoesNotListen,
        (StopMode::Graceful { timeout_s }, Some(asked))
            if asked.deadline <= now + patience(timeout_s) && !guest.frozen =>
        {
            if now < asked.deadline {
                return add(Step::Wait { until: asked.deadline }, why);
            }
            Reason::Deadline
        }
        // Not asked yet, or frozen since; or the clock was set back since, and the deadline with it means nothing.
        (StopMode::Graceful { timeout_s }, _) => return add(Step::AskToStop { timeout_s }, why),
    };
    add(Step::Kill, kill_because);
    add(Step::RemoveLeftovers, Reason::LeftBehind);
    if spec.power == Power::Running {
        start(spec, record, Reason::NewBootEpoch, add);
    }
}

/// What changes under a guest that runs and goes on running.
fn running_on(spec: &VpsSpec, record: &Record, guest: &Guest, add: &mut impl FnMut(Step, Reason)) {
    let can_freeze = !given_up(record, Effect::Freeze, spec);
    let thaw = guest.frozen && !spec.frozen && can_freeze;
    if thaw {
        add(Step::Thaw, Reason::ShouldThaw);
    }
    if record.applied.as_ref() != Some(&Applied::of(spec)) && !given_up(record, Effect::Apply, spec) {
        add(Step::Apply, Reason::Changed);
    }
    if thaw || !guest.frozen {
        set_password(spec, record, add);
    }
    if spec.frozen && !guest.frozen && can_freeze {
        add(Step::Freeze, Reason::ShouldFreeze);
    }
}

fn patience(timeout_s: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(timeout_s))
}

/// Whether a guest that ended by itself stays off: it halted itself, or its policy says so.
#[must_use]
pub fn stays_off(spec: &VpsSpec, record: &Record) -> bool {
    let of_this_boot = record.exit.filter(|_| record.started_epoch == spec.boot_epoch);
    record.halted_epoch == Some(spec.boot_epoch)
        || of_this_boot.is_some_and(|exit| !spec.restart.starts_again(exit))
}

/// Until when a guest that ended by itself is not started again; none when it may be started now.
#[must_use]
pub fn held_back(spec: &VpsSpec, record: &Record, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let until = record.hold_until.filter(|_| record.started_epoch >= spec.boot_epoch)?;
    // Further away than any wait is only what was written before the clock was set back.
    (now < until && until - now <= backoff::LONGEST_HOLD).then_some(until)
}

fn stopped(
    spec: &VpsSpec,
    record: &Record,
    found: &Found,
    now: DateTime<Utc>,
    add: &mut impl FnMut(Step, Reason),
) {
    if disk_is_lost(record, found) {
        return;
    }
    let stillborn = record.stillborn(spec.generation);
    if found.leftovers {
        add(Step::RemoveLeftovers, if stillborn { Reason::FailedCreate } else { Reason::LeftBehind });
    }
    if stillborn {
        if found.disk {
            add(Step::DeleteDisk, Reason::FailedCreate);
        }
        return;
    }
    if !found.disk {
        add(Step::CreateDisk, Reason::New);
    }
    if spec.power == Power::Stopped || stays_off(spec, record) {
        return;
    }
    match held_back(spec, record, now) {
        Some(until) => add(Step::HoldBack { until }, Reason::EndedEarly),
        None => start(spec, record, Reason::ShouldRun, add),
    }
}

fn start(spec: &VpsSpec, record: &Record, why: Reason, add: &mut impl FnMut(Step, Reason)) {
    // A start that failed too often is still tried, slowly; one that cannot succeed is not.
    if record.trouble(Effect::Start, spec.generation).is_some_and(|t| t.fault.terminal) {
        return;
    }
    add(Step::Start, why);
    if record.disk == Disk::Used {
        set_password(spec, record, add); // a disk that never ran gets its password by the first boot
    }
    if spec.frozen && !given_up(record, Effect::Freeze, spec) {
        add(Step::Freeze, Reason::ShouldFreeze);
    }
}

fn set_password(spec: &VpsSpec, record: &Record, add: &mut impl FnMut(Step, Reason)) {
    if record.password_epoch < spec.access.password_epoch && !given_up(record, Effect::Password, spec) {
        add(Step::SetPassword, Reason::NewPassword);
    }
}

fn given_up(record: &Record, effect: Effect, spec: &VpsSpec) -> bool {
    record.given_up(effect, spec.generation)
}

#[cfg(test)]
mod tests;
