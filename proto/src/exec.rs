//! Programs that are run in a guest on somebody's request, and files that are fetched and put there.
//!
//! What is said beside the bytes is the same on the whole way, from the client's WebSocket to the agent: text messages
//! of JSON, one key each.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most that arguments, environment and paths of one program may be together, in bytes of JSON.
pub const LARGEST_EXEC: usize = 16 << 10;
/// The largest file that can be put into a guest, in bytes.
pub const LARGEST_FILE: u64 = 1 << 30;
/// The longest path of a file, in bytes.
pub(crate) const LONGEST_PATH: usize = 4095;

/// First byte of a binary message of a program's stream.
pub mod channel {
    /// To the program.
    pub const STDIN: u8 = 0;
    /// From the program; with a terminal, all that it shows.
    pub const STDOUT: u8 = 1;
    /// From the program.
    pub const STDERR: u8 = 2;
}

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Columns, 1 to 1000.
    pub cols: u16,
    /// Rows, 1 to 1000.
    pub rows: u16,
}

impl TerminalSize {
    /// Whether a terminal can be so large.
    #[must_use]
    pub fn is_sensible(self) -> bool {
        (1..=1000).contains(&self.cols) && (1..=1000).contains(&self.rows)
    }
}

/// A program to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The program (a path, or a name that is looked for in `PATH`) and its arguments.
    pub argv: Vec<String>,
    /// Environment on top of the usual one.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where it starts; none: the user's home.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Name or number of a user of the guest; none: root.
    #[serde(default)]
    pub user: Option<String>,
    /// With a terminal of this size instead of pipes.
    #[serde(default)]
    pub tty: Option<TerminalSize>,
}

impl ExecSpec {
    /// Whether it can be run at all.
    ///
    /// # Errors
    /// The field that is wrong, and what is wrong with it.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.argv.first().is_none_or(String::is_empty) {
            return Err(("argv", "the first item names the program; it may not be empty".into()));
        }
        let texts = [("argv", self.argv.iter().collect::<Vec<_>>()), ("env", self.env.values().collect())];
        for (field, texts) in texts {
            if texts.iter().any(|text| text.contains('\0')) {
                return Err((field, "no item may contain the character NUL".into()));
            }
        }
        if self.env.keys().any(|key| key.is_empty() || key.contains(['=', '\0'])) {
            return Err(("env", "a name may not be empty, nor contain = or NUL".into()));
        }
        if self.cwd.as_ref().is_some_and(|cwd| !cwd.starts_with('/') || cwd.contains('\0')) {
            return Err(("cwd", "must be an absolute path".into()));
        }
        let odd = |user: &String| user.is_empty() || user.len() > 64 || user.contains([':', '\n', '\0']);
        if self.user.as_ref().is_some_and(odd) {
            return Err(("user", "must be the name or the number of a user".into()));
        }
        if self.tty.is_some_and(|size| !size.is_sensible()) {
            return Err(("tty", "columns and rows are from 1 to 1000".into()));
        }
        if serde_json::to_string(self).map_or(usize::MAX, |text| text.len()) > LARGEST_EXEC {
            let most = LARGEST_EXEC >> 10;
            return Err(("argv", format!("arguments and environment may have {most} KiB together")));
        }
        Ok(())
    }
}

/// Whether this can name a session: we make uuids.
#[must_use]
pub fn is_session(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Signals that a client may send to its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ExecSignal {
    /// Hang up.
    Hup,
    /// Interrupt, as Ctrl-C.
    Int,
    /// Quit, as Ctrl-\.
    Quit,
    /// Terminate.
    Term,
    /// Kill.
    Kill,
    /// For the program's own use.
    Usr1,
    /// For the program's own use.
    Usr2,
}

impl ExecSignal {
    /// The kernel's number.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
        }
    }
}

/// What a client says beside the bytes: `{"resize":{"cols":80,"rows":24}}`, `{"signal":"TERM"}`, `{"stdin_close":{}}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecControl {
    /// The terminal has this size now.
    Resize(TerminalSize),
    /// Send this signal to the program.
    Signal(ExecSignal),
    /// Nothing more comes for the program to read.
    StdinClose {},
}

impl ExecControl {
    /// Reads a text message. None for what is no control, or not a sensible one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let control = serde_json::from_str(text).ok()?;
        (!matches!(control, Self::Resize(size) if !size.is_sensible())).then_some(control)
    }

    /// The text message.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn to_text(self) -> String {
        serde_json::to_string(&self).expect("plain data is always JSON")
    }
}

/// How a program ended: one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecEnd {
    /// Its exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
}

/// What the host says beside the bytes: `{"attached":{"stdout":0,"stderr":0}}` first, `{"exit":{"code":0}}` last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecEvent {
    /// The program runs (or has run); the bytes of its output that come next have these numbers, counted from its start.
    /// Larger ones than were asked for mean that what lies between is not kept any more.
    Attached {
        /// Of standard output.
        stdout: u64,
        /// Of standard error.
        stderr: u64,
    },
    /// It has ended, and all of its output has been sent.
    Exit(ExecEnd),
}

impl ExecEvent {
    /// Reads a text message.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text message.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn to_text(self) -> String {
        serde_json::to_string(&self).expect("plain data is always JSON")
    }
}

/// Something to do with a file of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileTask {
    /// Send a regular file, or the list of a directory.
    Get {
        /// Absolute path in the guest; links are followed inside it.
        path: String,
    },
    /// Put a regular file in place, whole or not at all, owned by root.
    Put {
        /// Absolute path in the guest. Its directory is there.
        path: String,
        /// Permission bits.
        mode: u32,
    },
}

/// First line of an answer to [`FileTask::Get`], before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileHead {
    /// A regular file.
    File {
        /// Bytes that follow; none when the kernel makes them up as they are read.
        size: Option<u64>,
        /// Permission bits.
        mode: u32,
        /// Time of the last change, in seconds since 1970.
        modified: i64,
    },
    /// A directory; its list follows as JSON.
    Directory,
}

/// Whether a path can name a file in a guest.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err("must be an absolute path".into());
    }
    if path.len() > LONGEST_PATH {
        return Err(format!("may have {LONGEST_PATH} bytes"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_events_are_words_of_json() {
        for (control, text) in [
            (ExecControl::Resize(TerminalSize { cols: 80, rows: 24 }), r#"{"resize":{"cols":80,"rows":24}}"#),
            (ExecControl::Signal(ExecSignal::Term), r#"{"signal":"TERM"}"#),
            (ExecControl::Signal(ExecSignal::Usr1), r#"{"signal":"USR1"}"#),
            (ExecControl::StdinClose {}, r#"{"stdin_close":{}}"#),
        ] {
            assert_eq!(control.to_text(), text);
            assert_eq!(ExecControl::parse(text), Some(control));
        }
        for bad in ["", "{}", r#"{"signal":"STOP"}"#, r#"{"signal":9}"#, r#"{"resize":{"cols":0,"rows":1}}"#]
        {
            assert_eq!(ExecControl::parse(bad), None, "{bad}");
        }
        let exit = ExecEvent::Exit(ExecEnd { code: Some(3), signal: None });
        assert_eq!(exit.to_text(), r#"{"exit":{"code":3}}"#);
        assert_eq!(ExecEvent::parse(&exit.to_text()), Some(exit));
    }

    #[test]
    fn what_cannot_run_is_refused_by_its_field() {
        let good = ExecSpec { argv: vec!["ls".into()], ..ExecSpec::default() };
        assert_eq!(good.check(), Ok(()));
        let env = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        for (field, bad) in [
            ("argv", ExecSpec { argv: Vec::new(), ..good.clone() }),
            ("argv", ExecSpec { argv: vec![String::new()], ..good.clone() }),
            ("argv", ExecSpec { argv: vec!["a\0b".into()], ..good.clone() }),
            ("argv", ExecSpec { argv: vec!["x".repeat(LARGEST_EXEC)], ..good.clone() }),
            ("env", ExecSpec { env: env("", "x"), ..good.clone() }),
            ("env", ExecSpec { env: env("A=B", "x"), ..good.clone() }),
            ("env", ExecSpec { env: env("A", "x\0"), ..good.clone() }),
            ("cwd", ExecSpec { cwd: Some("tmp".into()), ..good.clone() }),
            ("user", ExecSpec { user: Some("a:b".into()), ..good.clone() }),
            ("tty", ExecSpec { tty: Some(TerminalSize { cols: 0, rows: 1 }), ..good.clone() }),
        ] {
            assert_eq!(bad.check().unwrap_err().0, field, "{bad:?}");
        }
    }

    #[test]
    fn a_session_is_not_a_path() {
        assert!(is_session("0192f0aa-1111-7222-8333-444455556666"));
        for bad in ["", "..", "a/b", "A", &"a".repeat(65)] {
            assert!(!is_session(bad), "{bad}");
        }
        assert!(check_path("/etc/hostname").is_ok());
        for bad in ["", "etc", "/a\0b", &format!("/{}", "a".repeat(5000))] {
            assert!(check_path(bad).is_err());
        }
    }
}
