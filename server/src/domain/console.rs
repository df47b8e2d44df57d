//! Whether a console can be opened, or anything be done inside a server, now; and if not, what to do about it.

use super::status::Status;
use crate::error::{Error, Result};

/// A console is there while the guest runs. What will pass by itself is [`Error::Locked`], the rest needs somebody.
///
/// # Errors
/// When there is none, with what to do.
pub fn may_open(status: Status) -> Result<()> {
    match status {
        Status::Running | Status::Stopping => Ok(()),
        Status::Initializing => {
            Err(Error::Locked("the server is being created; its console comes with it".into()))
        }
        Status::Starting => {
            Err(Error::Locked("the server is starting; its console is there in a moment".into()))
        }
        Status::Off => {
            Err(Error::ResourceUnavailable("the server is off; power it on to use its console".into()))
        }
        Status::Deleting => Err(Error::ResourceUnavailable("the server is being deleted".into())),
        Status::Unknown => Err(Error::ResourceUnavailable(
            "the server's host has not been heard of for a while; try again, or ask an operator".into(),
        )),
    }
}

/// Programs are run, and files reached, while the guest runs.
///
/// # Errors
/// When it does not, with what to do.
pub fn may_reach(status: Status) -> Result<()> {
    match (status, may_open(status)) {
        (_, Ok(())) => Ok(()),
        (Status::Initializing | Status::Starting, _) => {
            Err(Error::Locked("the server is starting; try again in a moment".into()))
        }
        (Status::Off, _) => Err(Error::ResourceUnavailable("the server is off; power it on first".into())),
        (_, Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_needs_a_guest() {
        for (status, code) in [
            (Status::Running, None),
            (Status::Stopping, None),
            (Status::Starting, Some("locked")),
            (Status::Initializing, Some("locked")),
            (Status::Off, Some("resource_unavailable")),
            (Status::Deleting, Some("resource_unavailable")),
            (Status::Unknown, Some("resource_unavailable")),
        ] {
            assert_eq!(may_open(status).err().map(|e| e.code()), code, "{status}");
            assert_eq!(may_reach(status).err().map(|e| e.code()), code, "{status}");
        }
    }
}
