//! The monitors of running VPSes, as the agent sees them: by their control sockets and locks.
//!
//! Nothing is remembered. Whether a VPS runs is asked of its monitor each time, so an agent that has just been started
//! knows as much as one that ran for weeks. A monitor holds a lock for as long as it lives; a lock that is held while
//! nobody answers means a monitor that is starting, ending, or hanging, which cannot be told apart from outside.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_proto::VpsId;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use crate::monitor::wire::{Answer, Request};

/// How long a monitor may take for an answer that needs no help of the guest.
const PROMPT: Duration = Duration::from_secs(2);
/// No answer before a session's frames is longer, in bytes.
const LONGEST_ANSWER: usize = 8 << 10;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// No monitor: nothing runs.
    #[error("it is not running")]
    Gone,
    /// There is a monitor, and it does not answer.
    #[error("its monitor does not answer ({0})")]
    Silent(io::Error),
    /// The monitor says that it could not.
    #[error("{0}")]
    Refused(String),
}

/// Where monitors are found.
#[derive(Clone, Debug)]
pub(super) struct Monitors {
    run_dir: PathBuf,
}

impl Monitors {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned() }
    }

    /// Sockets and lock of one VPS.
    pub(super) fn dir(&self, id: VpsId) -> PathBuf {
        self.run_dir.join(id.to_string())
    }

    pub(super) fn lock_file(&self, id: VpsId) -> PathBuf {
        self.dir(id).join("lock")
    }

    /// Every VPS with a directory here.
    pub(super) fn list(&self) -> Vec<VpsId> {
        let entries = fs::read_dir(&self.run_dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(VpsId(entry.file_name().to_str()?.parse().ok()?))).collect()
    }

    /// Asks for something that a monitor answers at once.
    pub(super) async fn ask(&self, id: VpsId, request: &Request) -> Result<Answer, AskError> {
        self.ask_patiently(id, request, PROMPT).await
    }

    /// Asks, and waits this long for the answer.
    pub(super) async fn ask_patiently(
        &self,
        id: VpsId,
        request: &Request,
        patience: Duration,
    ) -> Result<Answer, AskError> {
        let stream = self.connect(id).await?;
        match tokio::time::timeout(patience, converse(stream, request)).await {
            Ok(Ok(Some(Answer::Failed { message }))) => Err(AskError::Refused(message)),
            Ok(Ok(Some(answer))) => Ok(answer),
            // It ended while it was asked.
            Ok(Ok(None)) => Err(self.why_not(id, io::ErrorKind::UnexpectedEof.into())),
            Ok(Err(error)) => Err(self.why_not(id, error)),
            Err(_) => Err(AskError::Silent(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Becomes a viewer of the console.
    pub(super) async fn console(&self, id: VpsId) -> Result<UnixStream, AskError> {
        let mut stream = self.connect(id).await?;
        match stream.write_all(&line(&Request::Console)).await {
            Ok(()) => Ok(stream),
            Err(error) => Err(self.why_not(id, error)),
        }
    }

    /// Opens a session; the numbers of its first bytes. What follows the answer is left in the connection.
    pub(super) async fn session(
        &self,
        id: VpsId,
        request: &Request,
        patience: Duration,
    ) -> Result<(UnixStream, Answer), AskError> {
        let mut stream = self.connect(id).await?;
        let talk = async {
            stream.write_all(&line(request)).await?;
            answer_only(&mut stream).await
        };
        match tokio::time::timeout(patience, talk).await {
            Ok(Ok(Answer::Failed { message })) => Err(AskError::Refused(message)),
            Ok(Ok(answer)) => Ok((stream, answer)),
            Ok(Err(error)) => Err(self.why_not(id, error)),
            Err(_) => Err(AskError::Silent(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Returns when the monitor of a VPS has ended, or cannot be reached.
    pub(super) async fn ended(&self, id: VpsId) {
        if let Ok(stream) = self.connect(id).await {
            // Whether it says how the guest ended or just ends: it is over, and the record tells the rest.
            let _ = converse(stream, &Request::Wait).await;
        }
    }

    async fn connect(&self, id: VpsId) -> Result<UnixStream, AskError> {
        match UnixStream::connect(self.dir(id).join("ctl.sock")).await {
            Ok(stream) => Ok(stream),
            Err(error) => Err(self.why_not(id, error)),
        }
    }

    fn why_not(&self, id: VpsId, error: io::Error) -> AskError {
        if self.locked(id) { AskError::Silent(error) } else { AskError::Gone }
    }

    /// Whether a monitor of this VPS lives. A copy of a dead one may still hold the lock while it stands still in the
    /// guest's group: that is no monitor, it answers nobody, and it goes when the group is cleared.
    pub(super) fn locked(&self, id: VpsId) -> bool {
        self.held(id) && !self.holder(id).is_some_and(is_dead)
    }

    /// The process that took the lock; none while it has not written its number.
    fn holder(&self, id: VpsId) -> Option<i32> {
        let written = fs::read_to_string(self.lock_file(id)).unwrap_or_default();
        written.trim().parse().ok().filter(|pid| *pid > 1)
    }

    /// Whether anybody holds the lock of this VPS.
    pub(super) fn held(&self, id: VpsId) -> bool {
        let Ok(file) = File::open(self.lock_file(id)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Kills a monitor that does not answer, and with it the guest.
    pub(super) fn kill_silent(&self, id: VpsId) {
        let Some(pid) = self.holder(id) else { return };
        // The holder of the lock wrote this number and is alive, so the number is still its own.
        if self.locked(id) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// Whether a process is gone, or will be as soon as its parent looks.
fn is_dead(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| matches!(rest.trim_start().as_bytes().first(), Some(b'Z' | b'X'))),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn line(request: &Request) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("a request is always JSON");
    line.push(b'\n');
    line
}

/// Reads one line and not a byte more.
async fn answer_only(stream: &mut UnixStream) -> io::Result<Answer> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            _ if line.len() >= LONGEST_ANSWER => return Err(io::ErrorKind::InvalidData.into()),
            byte => line.push(byte),
        }
    }
}

async fn converse(stream: UnixStream, request: &Request) -> io::Result<Option<Answer>> {
    let mut stream = BufReader::new(stream);
    stream.write_all(&line(request)).await?;
    let mut answer = String::new();
    if stream.read_line(&mut answer).await? == 0 {
        return Ok(None);
    }
    Ok(Some(serde_json::from_str(&answer)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: VpsId = VpsId(7);

    fn monitors() -> (tempfile::TempDir, Monitors) {
        let dir = tempfile::tempdir().unwrap();
        let monitors = Monitors::new(dir.path());
        fs::create_dir(monitors.dir(ID)).unwrap();
        (dir, monitors)
    }

    #[tokio::test]
    async fn nothing_there_is_not_running() {
        let (_dir, monitors) = monitors();
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Gone)));
        assert!(matches!(monitors.ask(VpsId(8), &Request::Status).await, Err(AskError::Gone)));
        monitors.ended(ID).await;
    }

    #[tokio::test]
    async fn a_lock_without_an_answer_is_not_taken_for_stopped() {
        let (_dir, monitors) = monitors();
        let lock = File::create(monitors.lock_file(ID)).unwrap();
        lock.lock().unwrap();
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Silent(_))));
        drop(lock);
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Gone)));
    }

    #[tokio::test]
    async fn a_lock_that_a_dead_monitor_left_to_its_copy_is_no_monitor() {
        let (_dir, monitors) = monitors();
        let mut dead = std::process::Command::new("true").spawn().unwrap();
        let lock = File::create(monitors.lock_file(ID)).unwrap();
        lock.lock().unwrap();
        fs::write(monitors.lock_file(ID), std::process::id().to_string()).unwrap();
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Silent(_))));
        fs::write(monitors.lock_file(ID), dead.id().to_string()).unwrap();
        dead.wait().unwrap();
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Gone)));
        assert!(monitors.held(ID));
        drop(lock);
        assert!(!monitors.held(ID));
    }

    #[tokio::test]
    async fn a_socket_that_hangs_up_is_not_running() {
        let (_dir, monitors) = monitors();
        let listener = tokio::net::UnixListener::bind(monitors.dir(ID).join("ctl.sock")).unwrap();
        let accept = tokio::spawn(async move { drop(listener.accept().await) });
        assert!(matches!(monitors.ask(ID, &Request::Status).await, Err(AskError::Gone)));
        accept.await.unwrap();
    }
}
