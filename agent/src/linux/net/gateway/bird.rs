//! The bird of our own: a process that outlives the agent, so that what is announced does not hang on it.
//!
//! ```text
//! <run>/bird/conf, ctl, pid, log
//! ```
//!
//! The host's own bird, if it has one, is left alone. Ours is started when something is to be announced, looked after, told
//! of changes by its control socket, and ended when nothing is to be announced any more.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;

use super::super::{NetError, Result};
use super::lacking;

/// How long bird may take to answer, to start, to end, or to take notice of a route.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at whether it still runs.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is asked while something is waited for.
const POLL: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Bird {
    dir: PathBuf,
    /// Looks after it; none while it is not to run. Held while it is started or ended.
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// What bird answers: the number that its kind has, and the text. From 8000 on it is a refusal.
struct Answer {
    code: u16,
    text: String,
}

impl Bird {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self { dir: run_dir.join("bird"), keeper: Mutex::default() }
    }

    /// Where it writes what happens.
    pub(super) fn log_file(&self) -> Result<String> {
        let log = self.file("log");
        let plain = log.to_str().filter(|path| !path.contains(['"', '\n']));
        plain.map(str::to_owned).ok_or_else(|| lacking("bird cannot write to a run directory of this name"))
    }

    /// Has it run with this configuration, or not at all.
    pub(super) async fn set(self: &Arc<Self>, config: Option<String>) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        let Some(config) = config else {
            *keeper = None;
            return self.end().await;
        };
        // before the first attempt, so that one that fails is repeated
        *keeper = Some(AbortOnDropHandle::new(tokio::spawn(keep(Arc::downgrade(self)))));
        self.write(&config).map_err(failed("writing bird's configuration"))?;
        match self.ask("configure").await {
            Ok(answer) if answer.code < 8000 => Ok(()),
            Ok(answer) => Err(lacking(format!("bird refuses its configuration: {}", answer.text))),
            Err(error) if is_gone(&error) => self.start().await,
            Err(error) => Err(failed("talking to bird")(error)),
        }
    }

    /// Returns when it knows of this route, or when it knows of none, and has had its turn to say so.
    pub(super) async fn has(&self, net: IpNet, there: bool) -> Result<()> {
        let question = format!("show route {net}");
        let begun = Instant::now();
        loop {
            match self.ask(&question).await {
                Ok(answer) if (answer.code < 8000) == there => break,
                Ok(_) => {}
                Err(error) if is_gone(&error) && !there => return Ok(()), // with it goes all that it announced
                Err(error) if is_gone(&error) => {
                    return Err(lacking(format!(
                        "bird does not run, so {net} is announced to nobody; the agent's log says why"
                    )));
                }
                Err(error) => return Err(failed("talking to bird")(error)),
            }
            if begun.elapsed() > PATIENCE {
                let what = if there { "does not announce" } else { "still announces" };
                return Err(lacking(format!("bird {what} {net}; its log is {}", self.file("log").display())));
            }
            tokio::time::sleep(POLL).await;
        }
        // What it has found out it says before it answers again.
        self.ask("show status").await.map(|_| ()).map_err(failed("talking to bird"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write(&self, config: &str) -> io::Result<()> {
        crate::linux::make_private_dir(&self.dir)?;
        let new = self.file("conf.new");
        std::fs::write(&new, config)?;
        std::fs::rename(new, self.file("conf"))
    }

    async fn start(&self) -> Result<()> {
        let mut bird = Command::new("bird");
        bird.arg("-c").arg(self.file("conf")).arg("-s").arg(self.file("ctl")).arg("-P").arg(self.file("pid"));
        // returns when it runs in the background
        let started = bird.current_dir("/").process_group(0).stdin(Stdio::null()).output().await;
        let started = started.map_err(failed("running bird (package bird2)"))?;
        if !started.status.success() {
            let said = String::from_utf8_lossy(&started.stderr).trim().to_owned();
            return Err(lacking(format!("bird does not start: {said}")));
        }
        let begun = Instant::now();
        while let Err(error) = self.ask("show status").await {
            if begun.elapsed() > PATIENCE {
                return Err(failed("talking to bird")(error));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends it, which withdraws all that it announced, and removes its files.
    async fn end(&self) -> Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            match self.ask("down").await {
                Err(error) if is_gone(&error) => break,
                Err(error) if begun.elapsed() > PATIENCE => return Err(failed("ending bird")(error)),
                _ => tokio::time::sleep(POLL).await,
            }
        }
        std::fs::remove_dir_all(&self.dir).map_err(failed("removing bird's files"))
    }

    async fn ask(&self, command: &str) -> io::Result<Answer> {
        let asked = tokio::time::timeout(PATIENCE, self.converse(command)).await;
        asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn converse(&self, command: &str) -> io::Result<Answer> {
        let mut stream = BufReader::new(UnixStream::connect(self.file("ctl")).await?);
        hear(&mut stream).await?; // it greets
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        hear(&mut stream).await
    }
}

/// Reads an answer: lines that begin with a number of four digits and `-`, or go on from the one before, and at last one
/// whose number is followed by a space.
async fn hear(stream: &mut BufReader<UnixStream>) -> io::Result<Answer> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (code, rest) = line.split_at_checked(4).unwrap_or(("", &line));
        let code: Option<u16> = code.parse().ok();
        text.push_str(rest.get(1..).unwrap_or_default());
        if let Some(code) = code.filter(|_| rest.starts_with(' ')) {
            return Ok(Answer { code, text: text.trim().to_owned() });
        }
    }
}

/// Whether nobody is there to talk to.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    [NotFound, ConnectionRefused, ConnectionReset, BrokenPipe, UnexpectedEof].contains(&error.kind())
}

fn failed(what: &str) -> impl Fn(io::Error) -> NetError {
    let what = what.to_owned();
    move |source| NetError::Io { what: what.clone(), source }
}

/// Starts it again when it has ended, for as long as it is to run.
async fn keep(bird: Weak<Bird>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(bird) = bird.upgrade() else { return };
        let keeper = bird.keeper.lock().await;
        if keeper.is_none() || !bird.ask("show status").await.is_err_and(|error| is_gone(&error)) {
            continue;
        }
        tracing::warn!("bird has ended, and with it what it announced; starting it again");
        if let Err(error) = bird.start().await {
            tracing::error!(%error, "addresses are not announced by BGP");
        }
    }
}
