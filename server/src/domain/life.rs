//! What happens to a VPS between power on and power off: freezing, and what follows when it ends by itself.

use berth_proto::{Exit, RestartPolicy};

use super::status::Status;
use crate::error::{Error, Result};

/// The policies by their names, as the database and the APIs spell them.
pub const POLICIES: [(RestartPolicy, &str); 3] = [
    (RestartPolicy::Always, "always"),
    (RestartPolicy::OnFailure, "on-failure"),
    (RestartPolicy::Never, "never"),
];

/// The name of a policy.
#[must_use]
pub fn policy_name(policy: RestartPolicy) -> &'static str {
    POLICIES.iter().find(|(p, _)| *p == policy).map_or("on-failure", |(_, name)| name)
}

/// Reads a policy in `field`.
///
/// # Errors
/// When there is none of this name.
pub fn parse_policy(field: &str, name: &str) -> Result<RestartPolicy> {
    let found = POLICIES.iter().find(|(_, known)| *known == name);
    found
        .map(|(policy, _)| *policy)
        .ok_or_else(|| Error::invalid(field, "must be always, on-failure or never"))
}

/// What is to be done about a request to freeze or thaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is so already.
    Already,
    /// It becomes desired, under a new generation.
    Change,
}

/// Decides about freezing (`freeze`) or thawing a VPS that is desired to stand still or not (`desired`), is called
/// `status`, and was seen to stand still or not.
///
/// # Errors
/// Only what runs can be frozen. What will pass by itself is [`Error::Locked`], the rest needs somebody.
pub fn decide(freeze: bool, desired: bool, status: Status, seen: bool) -> Result<Next> {
    if freeze == desired && freeze == seen {
        return Ok(Next::Already);
    }
    match status {
        _ if !freeze => Ok(Next::Change), // taken back as well while it is starting, or its host is silent
        Status::Running => Ok(Next::Change),
        Status::Initializing | Status::Starting | Status::Stopping => {
            Err(Error::Locked(format!("the server is {status}; only a running one can be frozen")))
        }
        Status::Off => {
            Err(Error::ResourceUnavailable("the server is off; only a running one can be frozen".into()))
        }
        Status::Deleting => Err(Error::ResourceUnavailable("the server is being deleted".into())),
        Status::Unknown => Err(Error::ResourceUnavailable(
            "the server's host has not been heard of for a while; try again, or ask an operator".into(),
        )),
    }
}

/// Refuses what needs a guest that does something.
///
/// # Errors
/// When it stands still, or is about to.
pub fn must_not_be_frozen(frozen: bool, what: &str) -> Result<()> {
    match frozen {
        true => Err(Error::Locked(format!("the server is frozen; thaw it first to {what}"))),
        false => Ok(()),
    }
}

/// How a guest ended, for people.
#[must_use]
pub fn exit_text(exit: Exit) -> String {
    match exit {
        Exit::Reboot => "rebooted itself".into(),
        Exit::Halt => "powered itself off".into(),
        Exit::Code(code) => format!("its first process ended with code {code}"),
        Exit::Signal(signal) => format!("its first process was killed by signal {signal}"),
        Exit::Oom => "its first process was killed because memory had run out".into(),
        Exit::Stopped => "stopped as asked".into(),
        Exit::Lost => "lost with its host or monitor".into(),
        Exit::Unknown => "ended in a way that this release does not know".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_as_they_are_written() {
        for (policy, name) in POLICIES {
            assert_eq!((policy_name(policy), parse_policy("p", name).ok()), (name, Some(policy)));
        }
        assert!(
            matches!(parse_policy("p", "on_failure"), Err(Error::InvalidInput { field, .. }) if field == "p")
        );
    }

    #[test]
    fn only_what_runs_is_frozen() {
        use Next::{Already, Change};
        for (freeze, desired, status, seen, expected) in [
            (true, false, Status::Running, false, Ok(Change)),
            (true, true, Status::Running, true, Ok(Already)),
            (true, true, Status::Running, false, Ok(Change)), // asked again: another action waits for it
            (false, true, Status::Running, true, Ok(Change)),
            (false, false, Status::Running, true, Ok(Change)),
            (false, false, Status::Running, false, Ok(Already)),
            (false, false, Status::Off, false, Ok(Already)),
            (false, true, Status::Unknown, true, Ok(Change)),
            (true, false, Status::Off, false, Err("resource_unavailable")),
            (true, false, Status::Starting, false, Err("locked")),
            (true, false, Status::Unknown, false, Err("resource_unavailable")),
        ] {
            let decided = decide(freeze, desired, status, seen).map_err(|e| e.code());
            assert_eq!(decided, expected, "{freeze} {desired} {status} {seen}");
        }
        assert!(must_not_be_frozen(false, "x").is_ok());
        let refused = must_not_be_frozen(true, "set its password").expect_err("frozen");
        assert!(refused.to_string().contains("thaw it first to set its password"));
    }
}
