//! What follows from a report: pure decisions, no I/O.
//!
//! For each VPS of the reporting host there is the desired state ([`Wanted`]), its running actions ([`Waiting`]), and
//! what the agent saw. [`decide`] says which actions have ended and whether the desired state itself must change. The
//! cases in which that happens are those of [`Change`].
//!
//! An observation answers a generation: the newest one that the agent had converged, or had failed. So an action whose
//! generation is at most that has been answered, one way or the other; what it waits for beyond that (an epoch) only
//! matters as long as no later command has overtaken it.

use berth_proto::{Power, RestartPolicy, VpsObserved, VpsState};

/// The desired state of one VPS of the reporting host, as far as reports matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) id: i64,
    pub(crate) generation: i64,
    /// The host's sequence at the last change; a `watch_seq` from there on means that the agent knows it.
    pub(crate) host_seq: i64,
    pub(crate) power: Power,
    pub(crate) boot_epoch: i64,
    pub(crate) password_epoch: i64,
    /// What happens when the guest ends by itself.
    pub(crate) restart: RestartPolicy,
    /// A tombstone was asked for.
    pub(crate) deleting: bool,
    /// The host has confirmed that nothing is left.
    pub(crate) deleted: bool,
}

/// An action that has not ended.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) id: i64,
    pub(crate) command: String,
    pub(crate) generation: i64,
    pub(crate) boot_epoch: i64,
    pub(crate) password_epoch: i64,
}

/// How an action ended: well, or with a code and a message for the person who asked.
pub(crate) type Outcome = Result<(), (String, String)>;

/// A change of desired state that follows from a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing is left of it: its address and its room are free again.
    Gone,
    /// It could not be made, and never will: a tombstone clears away what there is.
    RollBack {
        /// The host's reason, for programs.
        code: String,
        /// The host's reason, for people.
        message: String,
    },
    /// The row gets new values and is sent again. That happens when
    ///
    /// * it was deleted, and the host has it still or again: the tombstone is repeated;
    /// * the agent has seen a newer desired state than ours, because our database was restored from a backup: ours gets
    ///   numbers above the agent's, so that it is the newer one, and the same guest goes on;
    /// * the guest ended by itself and stays off (it halted, or its policy says so), so it should be stopped.
    Rewrite(Wanted),
}

/// What follows for one VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) ended: Vec<(i64, Outcome)>,
    pub(crate) change: Option<Change>,
    /// The agent should have named it and did not.
    pub(crate) lost: bool,
}

/// What follows for a VPS that the report names.
pub(crate) fn decide(wanted: &Wanted, waiting: &[Waiting], seen: &VpsObserved, watch_seq: i64) -> Decision {
    let knows = watch_seq >= wanted.host_seq;
    if wanted.deleted {
        let again =
            seen.state != VpsState::Absent && knows && (seen.orphan || seen.generation < wanted.generation);
        let change = (again || above(wanted, seen)).then(|| Change::Rewrite(ahead(wanted, seen)));
        return Decision { change, ..Decision::default() };
    }
    if above(wanted, seen) {
        return Decision { change: Some(Change::Rewrite(ahead(wanted, seen))), ..Decision::default() };
    }
    if wanted.deleting {
        let gone = seen.state == VpsState::Absent && seen.generation >= wanted.generation;
        return if gone { gone_for_good() } else { Decision::default() };
    }
    let mut ended = Vec::new();
    for action in waiting {
        match outcome(action, seen) {
            Some(Err((code, message))) if action.command == CREATE => {
                return Decision { change: Some(Change::RollBack { code, message }), ..Decision::default() };
            }
            Some(outcome) => ended.push((action.id, outcome)),
            None => {}
        }
    }
    let stopped = || Wanted { generation: wanted.generation + 1, power: Power::Stopped, ..wanted.clone() };
    let change = stays_off(wanted, seen).then(|| Change::Rewrite(stopped()));
    Decision { ended, change, lost: false }
}

/// What follows for a VPS of the host that a full report does not name.
pub(crate) fn missing(wanted: &Wanted, watch_seq: i64, seen_before: bool) -> Decision {
    if wanted.deleted || watch_seq < wanted.host_seq {
        return Decision::default(); // the agent may not know of it yet
    }
    if wanted.deleting {
        return gone_for_good();
    }
    Decision { lost: seen_before, ..Decision::default() }
}

const CREATE: &str = "create_server";
const DELETE: &str = "delete_server";

fn gone_for_good() -> Decision {
    Decision { change: Some(Change::Gone), ..Decision::default() }
}

fn above(wanted: &Wanted, seen: &VpsObserved) -> bool {
    seen.generation > wanted.generation
        || seen.boot_epoch > wanted.boot_epoch
        || seen.password_epoch > wanted.password_epoch
}

/// The desired state under numbers that the agent takes for newer than all it has seen.
fn ahead(wanted: &Wanted, seen: &VpsObserved) -> Wanted {
    Wanted {
        generation: wanted.generation.max(seen.generation) + 1,
        boot_epoch: wanted.boot_epoch.max(seen.boot_epoch),
        password_epoch: wanted.password_epoch.max(seen.password_epoch),
        ..wanted.clone()
    }
}

fn stays_off(wanted: &Wanted, seen: &VpsObserved) -> bool {
    wanted.power == Power::Running
        && seen.generation == wanted.generation
        && seen.boot_epoch == wanted.boot_epoch
        && seen.state == VpsState::Stopped
        && seen.exit.is_some_and(|exit| !wanted.restart.starts_again(exit))
}

/// How an action has ended, by what its host saw; none while it has not.
pub(crate) fn outcome(action: &Waiting, seen: &VpsObserved) -> Option<Outcome> {
    if seen.generation < action.generation || action.command == "change_dns_ptr" {
        return None; // the latter is no matter of the host's: `db::reverse`
    }
    if let Some(fault) = &seen.fault {
        return fault.terminal.then(|| Err((fault.code.clone(), fault.message.clone())));
    }
    let rests = matches!(seen.state, VpsState::Running | VpsState::Stopped);
    let overtaken = seen.generation > action.generation;
    let reached = match action.command.as_str() {
        CREATE | "start_server" | "reboot_server" | "reset_server" => seen.boot_epoch >= action.boot_epoch,
        "stop_server" | "shutdown_server" => seen.state == VpsState::Stopped,
        // the password of a server that is off is set when it boots
        "reset_password" => seen.password_epoch >= action.password_epoch || seen.state == VpsState::Stopped,
        // one that has ended meanwhile stands still enough, and is not frozen either
        "freeze_server" => seen.frozen || seen.state == VpsState::Stopped,
        "thaw_server" => !seen.frozen,
        DELETE => return None, // ends with Change::Gone
        // end when whoever had the address has let go of it too: `db::floating_ips::finish_moves`
        "assign_floating_ip" | "unassign_floating_ip" => return None,
        _ => true,
    };
    (rests && (reached || overtaken)).then_some(Ok(()))
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
