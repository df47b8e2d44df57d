//! Proxy NDP: the host answers on its uplink for all addresses of the /64s that are routed to its guests, and for no
//! others. The kernel's own proxy knows single addresses only.
//!
//! ```text
//! <run>/neighbours/ctl, lock, log
//! ```
//!
//! A process of ours does it ([`process`]), which outlives the agent as bird does. Here it is started when there is something
//! to answer for, told what, looked after, and ended.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ipnet::Ipv6Net;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

mod heard;
mod packets;
mod process;
mod wire;

use super::super::{NetError, Result};
use super::bird::is_gone;
use super::lacking;
pub(super) use process::Task;
pub use process::serve;
use process::{Said, Word};

/// How long it may take to answer, to start, or to end.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at whether it still runs, and has its uplink.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is asked while something is waited for.
const POLL: Duration = Duration::from_millis(2);

/// The command of `berth-agent` that is this process.
const COMMAND: &str = "answer-neighbours";

#[derive(Debug)]
pub(super) struct Neighbours {
    dir: PathBuf,
    /// Looks after it; none while it is not to run. Held while it is started or ended.
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl Neighbours {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { dir: run_dir.join("neighbours"), keeper: Mutex::default() }
    }

    /// Has it answer for this, or not run at all.
    pub(super) async fn set(self: &Arc<Self>, task: Option<Task>) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        *keeper = None;
        let Some(task) = task else { return self.end().await };
        // before the first attempt, so that one that fails is repeated
        *keeper = Some(AbortOnDropHandle::new(tokio::spawn(keep(Arc::downgrade(self), task.clone()))));
        self.ensure(task).await
    }

    /// Tells everybody that the addresses of a /64 are here.
    pub(super) async fn tell(&self, net: Ipv6Net) -> Result<()> {
        self.say(&Word::Tell(net)).await.map(drop).map_err(failed("telling neighbours of a prefix"))
    }

    /// Returns when nothing is answered any more by what held before.
    pub(super) async fn settle(&self) -> Result<()> {
        match self.say(&Word::Settle).await {
            Err(error) if is_gone(&error) => Ok(()), // nobody answers
            other => other.map(drop).map_err(failed("waiting for answers to neighbours")),
        }
    }

    /// Has it run, in this release, and answer for this.
    async fn ensure(&self, task: Task) -> Result<()> {
        let word = Word::Answer(task);
        let said = match self.say(&word).await {
            Err(error) if is_gone(&error) => None,
            Ok(said) if said.release != crate::VERSION => {
                self.end().await?;
                None
            }
            other => Some(other),
        };
        let said = match said {
            Some(said) => said,
            None => {
                self.start().await.map_err(failed("starting what answers neighbours"))?;
                self.say(&word).await
            }
        };
        said.map(drop).map_err(failed("answering neighbours on the uplink"))
    }

    async fn start(&self) -> io::Result<()> {
        crate::linux::make_private_dir(&self.dir)?;
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log"))?;
        // This program, also when another one lies in its place since.
        let mut program = std::process::Command::new("/proc/self/exe");
        program.arg0("berth-agent").arg(COMMAND).arg(&self.dir).current_dir("/").process_group(0);
        program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut running = tokio::process::Command::from(program).spawn()?;
        let begun = Instant::now();
        while let Err(error) = self.say(&Word::Settle).await {
            if let Some(status) = running.try_wait()?.filter(|status| !status.success()) {
                let log = self.dir.join("log");
                return Err(io::Error::other(format!("it ended ({status}); its log is {}", log.display())));
            }
            if begun.elapsed() > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends it, and removes its files.
    async fn end(&self) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            match self.say(&Word::End).await {
                Err(error) if is_gone(&error) => break,
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(failed("ending answers to neighbours")(error));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
        std::fs::remove_dir_all(&self.dir).map_err(failed("removing files of what answers neighbours"))
    }

    async fn say(&self, word: &Word) -> io::Result<Said> {
        let said = tokio::time::timeout(PATIENCE, self.converse(word)).await;
        let said = said.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        match said.error {
            Some(error) if said.release == crate::VERSION => Err(io::Error::other(error)),
            _ => Ok(said),
        }
    }

    async fn converse(&self, word: &Word) -> io::Result<Said> {
        let mut stream = BufReader::new(UnixStream::connect(self.dir.join("ctl")).await?);
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut said = String::new();
        if stream.read_line(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&said)?)
    }
}

/// Tells it again what to answer for, which opens an uplink that came back, and starts it when it has ended.
async fn keep(neighbours: Weak<Neighbours>, task: Task) {
    let mut well = true;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(neighbours) = neighbours.upgrade() else { return };
        let keeper = neighbours.keeper.lock().await;
        if keeper.is_none() {
            return;
        }
        let done = neighbours.ensure(task.clone()).await;
        if let (Err(error), true) = (&done, well) {
            tracing::error!(%error, "neighbours are not answered");
        }
        well = done.is_ok();
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> NetError {
    let what = what.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::Other => lacking(format!("{what}: {source}")),
        _ => NetError::Io { what: what.clone(), source },
    }
}

#[cfg(test)]
mod tests;
