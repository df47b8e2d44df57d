//! What a VPS is called at this moment: desired and observed state as one word of the hcloud API.

use std::fmt;

use berth_proto::{Power, VpsState};

/// Status of a VPS, as tenants see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It runs, as asked.
    Running,
    /// It is being made.
    Initializing,
    /// It is on its way to running.
    Starting,
    /// It is on its way to off.
    Stopping,
    /// It is there and nothing runs.
    Off,
    /// It is being deleted.
    Deleting,
    /// Nobody knows: its host is not heard of, or is not sure itself.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Running,
        Self::Initializing,
        Self::Starting,
        Self::Stopping,
        Self::Off,
        Self::Deleting,
        Self::Unknown,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Initializing => "initializing",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Deleting => "deleting",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the status depends on.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// A tombstone was asked for.
    pub deleting: bool,
    /// Desired power.
    pub power: Power,
    /// Desired boot epoch.
    pub boot_epoch: i64,
    /// Whether the host was heard of within the last minute.
    pub host_fresh: bool,
    /// Whether any report named this VPS yet.
    pub observed: bool,
    /// What its host said last.
    pub state: VpsState,
    /// The epoch of the guest that runs or ran last.
    pub observed_boot_epoch: i64,
    /// Whether the host has given up reaching the desired state.
    pub failed: bool,
}

/// The status.
#[must_use]
pub fn status(seen: &Seen) -> Status {
    if seen.deleting {
        return Status::Deleting;
    }
    if !seen.host_fresh {
        return Status::Unknown;
    }
    if !seen.observed {
        return Status::Initializing;
    }
    // A guest that halted itself in the wanted epoch stays off; one whose epoch is older is about to be started.
    let boot_due = seen.power == Power::Running && seen.observed_boot_epoch < seen.boot_epoch && !seen.failed;
    match seen.state {
        VpsState::Absent | VpsState::Creating => Status::Initializing,
        VpsState::Starting => Status::Starting,
        VpsState::Running if seen.power == Power::Stopped => Status::Stopping,
        VpsState::Running => Status::Running,
        VpsState::Stopping => Status::Stopping,
        VpsState::Stopped if boot_due => Status::Starting,
        VpsState::Stopped => Status::Off,
        VpsState::Unknown => Status::Unknown,
    }
}

/// Reads the name of a state as reports and the database spell it; anything else is unknown.
#[must_use]
pub fn state_from_name(name: &str) -> VpsState {
    match name {
        "absent" => VpsState::Absent,
        "creating" => VpsState::Creating,
        "starting" => VpsState::Starting,
        "running" => VpsState::Running,
        "stopping" => VpsState::Stopping,
        "stopped" => VpsState::Stopped,
        _ => VpsState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Seen = Seen {
        deleting: false,
        power: Power::Running,
        boot_epoch: 2,
        host_fresh: true,
        observed: true,
        state: VpsState::Running,
        observed_boot_epoch: 2,
        failed: false,
    };
    const OFF: Seen = Seen { power: Power::Stopped, ..SEEN };

    #[test]
    fn every_combination_that_matters() {
        use VpsState as S;
        for (seen, expected) in [
            (SEEN, Status::Running),
            (Seen { deleting: true, host_fresh: false, ..SEEN }, Status::Deleting),
            (Seen { host_fresh: false, ..SEEN }, Status::Unknown),
            (Seen { observed: false, state: S::Unknown, ..SEEN }, Status::Initializing),
            (Seen { observed: false, state: S::Unknown, ..OFF }, Status::Initializing),
            (Seen { state: S::Unknown, ..SEEN }, Status::Unknown),
            (Seen { state: S::Absent, observed_boot_epoch: 0, ..SEEN }, Status::Initializing),
            (Seen { state: S::Creating, observed_boot_epoch: 0, ..SEEN }, Status::Initializing),
            (Seen { state: S::Creating, ..OFF }, Status::Initializing),
            (Seen { state: S::Starting, ..SEEN }, Status::Starting),
            (Seen { state: S::Stopping, ..SEEN }, Status::Stopping),
            (Seen { state: S::Stopping, ..OFF }, Status::Stopping),
            (Seen { state: S::Running, ..OFF }, Status::Stopping),
            (Seen { state: S::Running, observed_boot_epoch: 1, ..SEEN }, Status::Running),
            (Seen { state: S::Stopped, observed_boot_epoch: 1, ..SEEN }, Status::Starting),
            (Seen { state: S::Stopped, observed_boot_epoch: 1, failed: true, ..SEEN }, Status::Off),
            (Seen { state: S::Stopped, ..SEEN }, Status::Off),
            (Seen { state: S::Stopped, ..OFF }, Status::Off),
            (Seen { state: S::Stopped, observed_boot_epoch: 0, ..OFF }, Status::Off),
        ] {
            assert_eq!(status(&seen), expected, "{seen:?}");
        }
    }

    #[test]
    fn names_of_states_are_those_of_the_wire() {
        use VpsState as S;
        for state in [S::Unknown, S::Absent, S::Creating, S::Starting, S::Running, S::Stopping, S::Stopped] {
            let name = serde_json::to_value(state).unwrap();
            assert_eq!(state_from_name(name.as_str().unwrap()), state);
        }
    }
}
