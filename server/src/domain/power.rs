//! What a power command changes: a pure function from what is desired and observed to what is desired next.
//!
//! Commands are desired state too, so they can be repeated, lost and overtaken. A start, reboot or reset raises the boot
//! epoch and is done when a guest of that epoch runs; a stop is done when nothing runs. What is already so succeeds at
//! once and changes nothing.

use berth_proto::{Power, VpsState};

/// Seconds that a guest gets to stop when it is asked nicely.
pub const GRACE_SECONDS: i32 = 60;

/// A power command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start it.
    PowerOn,
    /// Pull the plug.
    PowerOff,
    /// Ask the guest to stop; kill it after [`GRACE_SECONDS`].
    Shutdown,
    /// Ask the guest to stop, then start it.
    Reboot,
    /// Pull the plug, then start it.
    Reset,
}

impl Command {
    /// Name of the action, as hcloud has it.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Self::PowerOn => "start_server",
            Self::PowerOff => "stop_server",
            Self::Shutdown => "shutdown_server",
            Self::Reboot => "reboot_server",
            Self::Reset => "reset_server",
        }
    }

    /// The power that this command wants.
    #[must_use]
    pub fn power(self) -> Power {
        match self {
            Self::PowerOn | Self::Reboot | Self::Reset => Power::Running,
            Self::PowerOff | Self::Shutdown => Power::Stopped,
        }
    }
}

/// Names of the actions that want a VPS to run, or to stop.
#[must_use]
pub fn actions_wanting(power: Power) -> &'static [&'static str] {
    match power {
        Power::Running => &["start_server", "reboot_server", "reset_server"],
        Power::Stopped => &["stop_server", "shutdown_server"],
    }
}

/// What a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// Desired power.
    pub power: Power,
    /// Desired boot epoch.
    pub boot_epoch: i64,
    /// What the host said last.
    pub state: VpsState,
    /// The epoch of the guest that runs or ran last.
    pub observed_boot_epoch: i64,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is so already.
    Already,
    /// These become the desired values, under a new generation.
    Change {
        /// Desired power.
        power: Power,
        /// Desired boot epoch.
        boot_epoch: i64,
        /// Seconds before a guest that should stop is killed; 0 = at once.
        stop_timeout_s: i32,
    },
}

/// Decides.
#[must_use]
pub fn decide(command: Command, now: &Current) -> Next {
    let boot_due = now.power == Power::Running && now.observed_boot_epoch < now.boot_epoch;
    let runs = now.power == Power::Running && now.state == VpsState::Running && !boot_due;
    let stopped = now.power == Power::Stopped && now.state == VpsState::Stopped;
    let power = command.power();
    match command {
        Command::PowerOn if runs => Next::Already,
        Command::PowerOff | Command::Shutdown if stopped => Next::Already,
        // A boot that has been asked for and not been seen yet is the one that this command waits for.
        Command::PowerOn if boot_due => Next::Change { power, boot_epoch: now.boot_epoch, stop_timeout_s: 0 },
        Command::PowerOn | Command::Reset => {
            Next::Change { power, boot_epoch: now.boot_epoch + 1, stop_timeout_s: 0 }
        }
        Command::Reboot => {
            Next::Change { power, boot_epoch: now.boot_epoch + 1, stop_timeout_s: GRACE_SECONDS }
        }
        Command::PowerOff => Next::Change { power, boot_epoch: now.boot_epoch, stop_timeout_s: 0 },
        Command::Shutdown => {
            Next::Change { power, boot_epoch: now.boot_epoch, stop_timeout_s: GRACE_SECONDS }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNS: Current =
        Current { power: Power::Running, boot_epoch: 3, state: VpsState::Running, observed_boot_epoch: 3 };
    const OFF: Current = Current { power: Power::Stopped, state: VpsState::Stopped, ..RUNS };
    const HALTED: Current = Current { state: VpsState::Stopped, ..RUNS };
    const BOOTING: Current = Current { state: VpsState::Starting, observed_boot_epoch: 2, ..RUNS };
    const STOPPING: Current = Current { power: Power::Stopped, ..RUNS };

    fn change(power: Power, boot_epoch: i64, stop_timeout_s: i32) -> Next {
        Next::Change { power, boot_epoch, stop_timeout_s }
    }

    #[test]
    fn every_command_in_every_state() {
        use Command as C;
        use Power::{Running, Stopped};
        for (command, now, expected) in [
            (C::PowerOn, RUNS, Next::Already),
            (C::PowerOn, OFF, change(Running, 4, 0)),
            (C::PowerOn, HALTED, change(Running, 4, 0)),
            (C::PowerOn, BOOTING, change(Running, 3, 0)),
            (C::PowerOn, STOPPING, change(Running, 4, 0)),
            (C::PowerOff, RUNS, change(Stopped, 3, 0)),
            (C::PowerOff, OFF, Next::Already),
            (C::PowerOff, HALTED, change(Stopped, 3, 0)),
            (C::PowerOff, STOPPING, change(Stopped, 3, 0)),
            (C::Shutdown, RUNS, change(Stopped, 3, GRACE_SECONDS)),
            (C::Shutdown, OFF, Next::Already),
            (C::Reboot, RUNS, change(Running, 4, GRACE_SECONDS)),
            (C::Reboot, OFF, change(Running, 4, GRACE_SECONDS)),
            (C::Reboot, BOOTING, change(Running, 4, GRACE_SECONDS)),
            (C::Reset, RUNS, change(Running, 4, 0)),
            (C::Reset, OFF, change(Running, 4, 0)),
        ] {
            assert_eq!(decide(command, &now), expected, "{command:?} {now:?}");
        }
    }

    #[test]
    fn every_command_is_found_by_what_it_wants() {
        for command in
            [Command::PowerOn, Command::PowerOff, Command::Shutdown, Command::Reboot, Command::Reset]
        {
            assert!(actions_wanting(command.power()).contains(&command.action()));
        }
    }
}
