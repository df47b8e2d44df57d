//! Processes of ours that are started, killed and watched.

use std::fs::File;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::until_blocking;

/// Kills a process that is not our child, as pulling the plug; it may just have ended.
///
/// # Panics
/// When this is no process id.
pub fn kill9(pid: u32) {
    let _ = kill(Pid::from_raw(i32::try_from(pid).expect("a pid fits")), Signal::SIGKILL);
}

/// A process that is killed when this is dropped, and whose output is in a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it prints is appended to `log`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("the log can be written");
        let err = out.try_clone().expect("a file can be cloned");
        // A process group of its own, so that no signal for the tests hits it.
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("{name} ({command:?}): {e}"));
        Self { name: name.to_owned(), child, log: log.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As pulling the plug.
    ///
    /// # Panics
    /// When it had ended before by itself, which no test wants.
    pub fn kill9(mut self) {
        if let Some(status) = self.ended() {
            panic!("{} had ended before it was killed: {status}\n{}", self.name, self.tail());
        }
        self.child.kill().expect("our own child can be killed");
        let status = self.child.wait().expect("our own child can be waited for");
        assert_eq!(status.signal(), Some(9));
    }

    /// Asks it to end and waits.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let name = self.name.clone();
        until_blocking(&format!("the end of {name}"), Duration::from_secs(20), || {
            self.ended().ok_or_else(|| "it still runs".to_owned())
        })
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        let _ = kill(Pid::from_raw(pid), signal); // it may have ended
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// The end of what it printed.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the last lines of {} ({}) ---\n{}", self.name, self.log.display(), self.tail());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Path of one of our binaries: beside the directory of the test's own executable.
///
/// # Panics
/// When it is not there: `cargo build --workspace` was not run.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let exe = std::env::current_exe().expect("a process has an executable");
    let beside = exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.exists());
    beside.unwrap_or_else(|| panic!("{name} is not beside {}: run `cargo build --workspace`", exe.display()))
}

/// When a process started, in clock ticks since the boot: with its pid, a name that is not given again.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything; the fields after it are plain.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Every process, with its command line.
#[must_use]
pub fn all() -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.map(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        (pid, String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned())
    })
    .collect()
}
