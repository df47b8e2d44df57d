//! What the agent knows about one VPS beyond what can be looked up: its memory, kept as `record.json`.
//!
//! The record answers the questions that no look at the machine can answer: has a guest ever run from this disk (then
//! only a tombstone may delete it), did the guest halt itself (then it stays off) or did we ask it to, which password
//! and limits were applied, what failed and how often. `doing` is written *before* an effect starts, so that an agent
//! that died in the middle knows that the outcome is unknown and looks.
//!
//! Everything here is pure. [`Record::absorb`] takes in a look at the machine, [`Record::done`] the success of a step
//! and [`Record::failed`] its failure; the planner's tests drive the very same functions against a model.

use std::collections::BTreeMap;

use berth_proto::{Desired, Exit, Limits, NetSpec, VpsSpec};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::backoff;
use crate::host::{Fault, Found, Guest};
use crate::plan::{Effect, Step};

/// Attempts of one effect for one generation before the agent gives the generation up.
pub const MAX_ATTEMPTS: u32 = 5;

/// The agent's memory of one VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// What became of its disk.
    pub disk: Disk,
    /// The effect that has begun and whose outcome was not recorded yet.
    pub doing: Option<Effect>,
    /// Whether a guest was running when last seen, and its end was not seen yet.
    pub running: bool,
    /// The epoch of the guest that was started last; 0 if none ever was.
    pub started_epoch: i64,
    /// The epoch in which the guest halted itself, not asked by us.
    pub halted_epoch: Option<i64>,
    /// That and until when the running guest was asked to stop.
    pub stop: Option<StopAsked>,
    /// The password epoch that the guest has.
    pub password_epoch: i64,
    /// What the running guest was started with or changed to.
    pub applied: Option<Applied>,
    /// The newest generation that was converged or given up.
    pub answered: i64,
    /// How the guest ended last.
    pub exit: Option<Exit>,
    /// When the guest that runs, or ran last, was started.
    pub since: Option<DateTime<Utc>>,
    /// How many guests in a row ended by themselves soon after their start; any end counts as the first.
    pub early_ends: u32,
    /// Before this, no guest is started again for the epoch of the one that ended.
    pub hold_until: Option<DateTime<Utc>>,
    /// What failed and was not done since.
    pub troubles: BTreeMap<Effect, Trouble>,
    /// Whether the last full answer of the control plane did not name this VPS.
    pub orphan: bool,
}

/// A VPS's disk, as the agent remembers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disk {
    /// There is none.
    #[default]
    None,
    /// It is being made; whether it is whole is to be looked up.
    Making,
    /// It is whole and no guest has ever run from it: it holds nothing of a tenant.
    New,
    /// A guest has run from it, or the agent does not know better. Only a tombstone may delete it.
    Used,
}

/// A guest was asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopAsked {
    /// The guest, by its boot epoch.
    pub epoch: i64,
    /// The generation that wanted it.
    pub generation: i64,
    /// When it will be killed.
    pub deadline: DateTime<Utc>,
}

/// The part of a spec that can change under a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Its limits.
    pub limits: Limits,
    /// Its network.
    pub net: NetSpec,
}

impl Applied {
    /// What applying `spec` would apply.
    #[must_use]
    pub fn of(spec: &VpsSpec) -> Self {
        Self { limits: spec.limits, net: spec.net.clone() }
    }
}

/// An effect that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The generation for which it was tried; another generation starts afresh.
    pub generation: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// How it failed last.
    pub fault: Fault,
}

impl Trouble {
    /// Whether the generation is given up.
    #[must_use]
    pub fn given_up(&self) -> bool {
        self.fault.terminal || self.attempts >= MAX_ATTEMPTS
    }
}

impl Record {
    /// The trouble with `effect` in `generation`, if there is one.
    #[must_use]
    pub fn trouble(&self, effect: Effect, generation: i64) -> Option<&Trouble> {
        self.troubles.get(&effect).filter(|t| t.generation == generation)
    }

    /// Whether `effect` was given up for `generation`.
    #[must_use]
    pub fn given_up(&self, effect: Effect, generation: i64) -> bool {
        self.trouble(effect, generation).is_some_and(Trouble::given_up)
    }

    /// Whether the VPS was never more than a create that is now given up: what there is of it goes away again.
    #[must_use]
    pub fn stillborn(&self, generation: i64) -> bool {
        self.disk != Disk::Used
            && [Effect::CreateDisk, Effect::Start].into_iter().any(|e| self.given_up(e, generation))
    }

    /// Takes in what a look at the machine showed `now`. Returns the end of a guest that was not known before.
    pub fn absorb(&mut self, found: &Found, now: DateTime<Utc>) -> Option<Exit> {
        if found.unsure {
            return None;
        }
        self.disk = match (self.disk, found.disk) {
            (Disk::Making, true) => Disk::New,
            (Disk::Making, false) => Disk::None,
            (Disk::None, true) => Disk::Used,
            (known, _) => known,
        };
        if found.disk && (found.guest.is_some() || found.last_exit.is_some()) {
            self.disk = Disk::Used;
        }
        let doing = self.doing.take();
        if let Some(guest) = &found.guest {
            self.running = true;
            self.started_epoch = guest.boot_epoch;
            self.since = Some(guest.started_at);
            self.troubles.retain(|e, _| !matches!(e, Effect::CreateDisk | Effect::Start));
            return None;
        }
        let (epoch, exit) = match found.last_exit {
            Some((epoch, exit)) if self.running && epoch == self.started_epoch => (epoch, exit),
            Some((epoch, exit)) if !self.running && doing == Some(Effect::Start) => (epoch, exit),
            _ if self.running => (self.started_epoch, Exit::Lost),
            _ => return None,
        };
        let asked = self.stop.is_some_and(|s| s.epoch == epoch) || doing == Some(Effect::Stop);
        let exit = if asked { Exit::Stopped } else { exit };
        if exit == Exit::Halt {
            self.halted_epoch = Some(epoch);
        }
        self.started_epoch = epoch;
        let ran = self.since.and_then(|since| (now - since).to_std().ok()).unwrap_or_default();
        let early_ends = if ran >= backoff::HEALTHY { 0 } else { self.early_ends };
        self.ended(exit);
        if exit != Exit::Stopped {
            self.early_ends = early_ends.saturating_add(1);
            let wait = backoff::restart(exit, self.early_ends);
            self.hold_until = (!wait.is_zero()).then(|| now + wait);
        }
        Some(exit)
    }

    /// Takes in that `step` was done for `desired`, here and in `found`. `guest` is what a start returned.
    pub fn done(
        &mut self,
        found: &mut Found,
        step: &Step,
        desired: Option<&Desired>,
        guest: Option<Guest>,
        now: DateTime<Utc>,
    ) {
        self.doing = None;
        self.troubles.remove(&step.effect());
        let spec = match desired {
            Some(Desired::Present(spec)) => Some(spec.as_ref()),
            _ => None,
        };
        match step {
            Step::CreateDisk => {
                self.disk = Disk::New;
                *found = Found { disk: true, ..Found::default() };
            }
            Step::Start => {
                let Some((spec, guest)) = spec.zip(guest) else { return };
                if self.disk != Disk::Used {
                    self.password_epoch = spec.access.password_epoch;
                }
                if guest.boot_epoch > self.started_epoch {
                    self.early_ends = 0;
                }
                self.disk = Disk::Used;
                self.running = true;
                self.started_epoch = guest.boot_epoch;
                self.since = Some(guest.started_at);
                self.hold_until = None;
                self.stop = None;
                self.applied = Some(Applied::of(spec));
                *found = Found { disk: true, guest: Some(guest), ..Found::default() };
            }
            Step::AskToStop { timeout_s } => {
                self.stop = Some(StopAsked {
                    epoch: found.guest.as_ref().map_or(self.started_epoch, |g| g.boot_epoch),
                    generation: desired.map_or(0, Desired::generation),
                    deadline: now + TimeDelta::seconds(i64::from(*timeout_s)),
                });
                frozen(found, false); // asking thaws
            }
            Step::Kill => {
                if found.guest.is_some() || self.running {
                    self.ended(Exit::Stopped);
                }
                *found = Found { disk: found.disk, leftovers: true, ..Found::default() };
            }
            Step::RemoveLeftovers => found.leftovers = false,
            Step::DeleteDisk => {
                self.disk = Disk::None;
                found.disk = false;
                found.last_exit = None;
            }
            Step::SetPassword => self.password_epoch = spec.map_or(0, |s| s.access.password_epoch),
            Step::Apply => self.applied = spec.map(Applied::of),
            Step::Freeze | Step::Thaw => frozen(found, *step == Step::Freeze),
            Step::Wait { .. } | Step::HoldBack { .. } => {}
        }
    }

    /// Takes in that `effect` failed for `generation`.
    pub fn failed(&mut self, effect: Effect, generation: i64, fault: Fault) {
        self.doing = None;
        if self.disk == Disk::Making {
            self.disk = Disk::None; // a failed create leaves nothing; if that was a lie, the next look says so
        }
        let attempts = self.trouble(effect, generation).map_or(0, |t| t.attempts) + 1;
        self.troubles.insert(effect, Trouble { generation, attempts, fault });
    }

    fn ended(&mut self, exit: Exit) {
        self.running = false;
        self.exit = Some(exit);
        self.stop = None;
        self.applied = None;
        self.early_ends = 0;
        self.hold_until = None;
    }
}

fn frozen(found: &mut Found, frozen: bool) {
    if let Some(guest) = &mut found.guest {
        guest.frozen = frozen;
    }
}
