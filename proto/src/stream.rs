//! Byte streams: the server offers, the agent opens.
//!
//! Agents dial out only, so a stream (a console, say) begins as a [`StreamOffer`] in the answer to a watch. The agent then
//! opens a WebSocket to [`stream_path`] of the server that waits. Binary messages are the bytes, in both directions; text
//! messages are controls in JSON ([`ConsoleControl`]); the code and reason of the close say why it ended ([`close`]).
//!
//! An offer is repeated in later answers until the stream was opened or the offer has expired; an agent that has taken
//! it up already ignores the repetition.

use serde::{Deserialize, Serialize};

use crate::exec::{ExecSpec, FileTask};
use crate::{AGENT_API, VpsId};

/// The largest message of a stream, in bytes. Whoever sends a larger one is cut off.
pub const LARGEST_MESSAGE: usize = 64 << 10;

/// Somebody waits for a stream of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOffer {
    /// Names the offer; opens the stream together with the certificate of the host that was asked.
    pub id: String,
    /// What is wanted.
    pub what: Stream,
    /// Base URL of the server that waits, if it is another than the one that the agent talks to anyway.
    #[serde(default)]
    pub url: Option<String>,
}

/// What a stream carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stream {
    /// The console of a running VPS: its last output, then whatever comes; and keys the other way.
    Console {
        /// Which VPS.
        vps: VpsId,
    },
    /// A program, which is begun for it. Binary messages begin with a byte that names the [`crate::channel`]; controls are
    /// [`crate::ExecControl`] and [`crate::ExecEvent`]. A session that is there already is not begun again but shown.
    Exec {
        /// Which VPS.
        vps: VpsId,
        /// What it is called from now on.
        session: String,
        /// What to run.
        spec: ExecSpec,
    },
    /// A program that was begun before, from these bytes of its output on.
    ExecAttach {
        /// Which VPS.
        vps: VpsId,
        /// Which program.
        session: String,
        /// Bytes of standard output that are known.
        stdout: u64,
        /// Bytes of standard error that are known.
        stderr: u64,
    },
    /// The end of a program and all that it started. Nothing is carried; the close tells what came of it.
    ExecKill {
        /// Which VPS.
        vps: VpsId,
        /// Which program.
        session: String,
    },
    /// A file. A get answers with a line of JSON ([`crate::FileHead`]) and then the bytes; a put takes bytes until the
    /// text message `{"stdin_close":{}}`. What was done is told by the close.
    File {
        /// Which VPS.
        vps: VpsId,
        /// What to do.
        task: FileTask,
    },
    /// Something that this release does not know; it is left alone.
    #[serde(other)]
    Unknown,
}

/// What is said beside the bytes of a console: `{"resize":{"cols":80,"rows":24}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleControl {
    /// The viewer's window has this size now.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}

impl ConsoleControl {
    /// Reads a text message. None for what is no control, or not a sensible one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Self::Resize { cols, rows } = serde_json::from_str(text).ok()?;
        ((1..=1000).contains(&cols) && (1..=1000).contains(&rows)).then_some(Self::Resize { cols, rows })
    }

    /// The text message.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn to_text(self) -> String {
        serde_json::to_string(&self).expect("two numbers are always JSON")
    }
}

/// Path of the stream with this offer's id, at the agents' listener.
#[must_use]
pub fn stream_path(id: &str) -> String {
    format!("{AGENT_API}/streams/{id}")
}

/// Why a stream was closed, as codes of the WebSocket's close.
pub mod close {
    /// The guest ended, or its console did.
    pub const ENDED: u16 = 4000;
    /// The VPS has no console now: it does not run, or its monitor does not answer.
    pub const UNAVAILABLE: u16 = 4001;
    /// There are too many streams already.
    pub const BUSY: u16 = 4002;
    /// Nothing came for too long.
    pub const IDLE: u16 = 4003;
    /// The host's side went away without a word.
    pub const LOST: u16 = 4004;
    /// The host did not take the offer up in time.
    pub const SILENT: u16 = 4005;
    /// What was sent was too much, or no message of this protocol.
    pub const REFUSED: u16 = 4006;
    /// The VPS, or the right to see it, is gone.
    pub const GONE: u16 = 4007;
    /// There is no such session or file, or it is none that this can be done to; the reason says what.
    pub const NO_SUCH: u16 = 4008;
    /// The server stops; another will answer (the standard's own code).
    pub const RESTART: u16 = 1012;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_of_a_later_release_does_not_break_the_watch() {
        let json = r#"[{"id":"a","what":{"kind":"console","vps":7},"url":null,"more":1},
                       {"id":"b","what":{"kind":"hologram","vps":7}}]"#;
        let offers: Vec<StreamOffer> = serde_json::from_str(json).unwrap();
        assert_eq!(offers[0].what, Stream::Console { vps: VpsId(7) });
        assert_eq!((&offers[1].what, &offers[1].url), (&Stream::Unknown, &None));
        let again = serde_json::to_string(&offers[0]).unwrap();
        assert_eq!(serde_json::from_str::<StreamOffer>(&again).unwrap(), offers[0]);
    }

    #[test]
    fn controls_are_read_strictly() {
        let resize = ConsoleControl::Resize { cols: 120, rows: 40 };
        assert_eq!(resize.to_text(), r#"{"resize":{"cols":120,"rows":40}}"#);
        assert_eq!(ConsoleControl::parse(&resize.to_text()), Some(resize));
        for bad in [
            "",
            "{}",
            "resize",
            r#"{"resize":{"cols":0,"rows":40}}"#,
            r#"{"resize":{"cols":80,"rows":65535}}"#,
        ] {
            assert_eq!(ConsoleControl::parse(bad), None, "{bad}");
        }
    }
}
