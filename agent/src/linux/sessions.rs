//! Programs and files of a guest, by its monitor.

use std::time::Duration;

use berth_proto::{VpsFault, VpsId};
use tokio::net::UnixStream;

use super::LinuxHost;
use super::monitors::AskError;
use crate::host::{Fault, Session, SessionChange, SessionStart};
use crate::monitor::wire::{Answer, Request};

/// Joining a guest takes milliseconds, unless the guest holds it up; then its monitor gives up a little earlier.
const BEGIN: Duration = Duration::from_secs(25);

impl LinuxHost {
    pub(super) async fn open_session(
        &self,
        id: VpsId,
        start: &SessionStart,
    ) -> Result<Session<UnixStream>, Fault> {
        let request = match start.clone() {
            SessionStart::Exec(session, spec) => Request::Exec { session, spec },
            SessionStart::Attach(session, [stdout, stderr]) => Request::Attach { session, stdout, stderr },
            SessionStart::File(task) => Request::File { task },
        };
        match self.monitors.session(id, &request, BEGIN).await {
            Ok((connection, Answer::Attached { stdout, stderr })) => {
                Ok(Session { connection, from: [stdout, stderr] })
            }
            Ok((_, answer)) => Err(other(&answer)),
            Err(error) => Err(explain(error)),
        }
    }

    pub(super) async fn ask_session(
        &self,
        id: VpsId,
        session: &str,
        change: SessionChange,
    ) -> Result<(), Fault> {
        let session = session.to_owned();
        let request = match change {
            SessionChange::Signal(signal) => Request::SignalExec { session, signal },
            SessionChange::Resize(size) => Request::ResizeExec { session, cols: size.cols, rows: size.rows },
            SessionChange::Kill => Request::KillExec { session },
        };
        match self.monitors.ask(id, &request).await {
            Ok(Answer::Done) => Ok(()),
            Ok(answer) => Err(other(&answer)),
            Err(error) => Err(explain(error)),
        }
    }
}

fn other(answer: &Answer) -> Fault {
    match answer {
        Answer::NoSession => VpsFault::passing("no_session", "there is no such session in this server"),
        _ => VpsFault::passing("internal", "its monitor gave an answer to another question"),
    }
}

fn explain(error: AskError) -> Fault {
    match error {
        AskError::Gone => VpsFault::passing("not_running", "the server is not running"),
        AskError::Silent(error) => {
            VpsFault::passing("internal", format!("its monitor does not answer ({error})"))
        }
        // Monitors live as long as their guests, so this one may be of an older release.
        AskError::Refused(message) if message.contains("unknown variant") => {
            let message = "the server was started by an older release of the host's software; reboot it";
            VpsFault::passing("too_old", message)
        }
        AskError::Refused(message) => VpsFault::passing("refused", message),
    }
}
