//! The embedded Postgres: a private cluster in the data directory, run from the distribution's own binaries.
//!
//! It listens on a Unix socket in a directory of its own that only root and its unprivileged user may enter, so no
//! password exists. One process owns a cluster at a time: the holder of the lock file. `berth-server serve` owns it
//! for as long as it runs; an admin command owns it for a moment, or uses the one that is running.
//!
//! What can fail: a server that was killed leaves its postmaster running, which the next owner adopts; a machine that
//! lost power leaves a stale pid file, which Postgres itself recognises; a cluster is made under another name and
//! renamed, so half of one is never used.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

mod account;
mod binaries;

use account::Account;

const USER: &str = "berth";
const DATABASE: &str = "berth";

/// How long a cluster may take to be made or to recover before that is called a failure.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running embedded cluster.
#[derive(Debug)]
pub struct Embedded {
    socket_dir: PathBuf,
    data: PathBuf,
    owned: Option<Flock<File>>,
}

impl Embedded {
    /// Starts the cluster in `data_dir`, or adopts the one that a killed server left running, and owns it.
    ///
    /// # Errors
    /// When no Postgres is installed, another server owns the cluster, or it does not become ready; says what to do.
    pub async fn own(data_dir: &Path) -> Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(15); // an admin command may own it for a moment
        loop {
            match Self::open(data_dir)? {
                (home, Some(lock)) => return home.start(Some(lock)).await,
                (home, None) if Instant::now() > deadline => bail!(
                    "another berth-server uses the cluster in {}; stop it, or give this one a data directory of its own",
                    home.data.display()
                ),
                (_, None) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Uses the cluster that a server is running, or starts it for the life of this value.
    ///
    /// # Errors
    /// As [`Embedded::own`].
    pub async fn borrow(data_dir: &Path) -> Result<Self> {
        match Self::open(data_dir)? {
            (home, Some(lock)) => home.start(Some(lock)).await,
            (home, None) => home.start(None).await,
        }
    }

    /// How to connect to its database.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.to(DATABASE)
    }

    /// Stops the cluster if this value owns it: open transactions are rolled back, connections closed.
    ///
    /// # Errors
    /// When it does not stop within a minute.
    pub async fn stop(self) -> Result<()> {
        if self.owned.is_none() {
            return Ok(());
        }
        let Some(pid) = self.postmaster() else { return Ok(()) };
        kill(pid, Signal::SIGINT).context("asking the embedded Postgres to stop")?;
        let deadline = Instant::now() + READY_WITHIN;
        while self.postmaster().is_some() {
            if Instant::now() > deadline {
                bail!("the embedded Postgres (process {pid}) did not stop");
            }
            let _ = nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WNOHANG)); // not ours if adopted
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn open(data_dir: &Path) -> Result<(Self, Option<Flock<File>>)> {
        let home = data_dir.join("postgres");
        make_dir(data_dir, 0o711)?;
        make_dir(&home, 0o711)?;
        let home = home.canonicalize()?;
        let lock = File::create(home.join("lock")).context("making the lock of the embedded Postgres")?;
        let lock = match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Some(lock),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => None,
            Err((_, e)) => return Err(e).context("locking the embedded Postgres"),
        };
        let cluster = Self { socket_dir: socket_dir(&home), data: home.join("data"), owned: None };
        Ok((cluster, lock))
    }

    async fn start(mut self, lock: Option<Flock<File>>) -> Result<Self> {
        let mut child = None;
        if lock.is_some() && self.postmaster().is_none() {
            let bin = binaries::find(&self.data)?;
            let account = Account::choose()?;
            account.can_enter(&self.data)?;
            self.initialise(&bin, &account)?;
            child = Some(self.spawn(&bin, &account)?);
        }
        self.owned = lock;
        let deadline = Instant::now() + READY_WITHIN;
        while let Err(e) = self.ensure_database().await {
            if let Some(status) =
                child.as_mut().and_then(|c: &mut std::process::Child| c.try_wait().ok().flatten())
            {
                bail!("the embedded Postgres ended at once ({status}): {}", self.last_words());
            }
            if Instant::now() > deadline {
                return Err(e).context(format!("the embedded Postgres is not ready: {}", self.last_words()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(self)
    }

    fn initialise(&self, bin: &Path, account: &Account) -> Result<()> {
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        let new = self.data.with_extension("new");
        if new.exists() {
            std::fs::remove_dir_all(&new).context("removing a half made cluster")?;
        }
        make_dir(&new, 0o700)?;
        account.give(&new)?;
        let mut initdb = Command::new(bin.join("initdb"));
        initdb
            .args(["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "-U", USER, "-D"])
            .arg(&new);
        let output = account.run(&mut initdb).current_dir("/").output().context("running initdb")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        std::fs::rename(&new, &self.data).context("naming the new cluster")
    }

    fn spawn(&self, bin: &Path, account: &Account) -> Result<std::process::Child> {
        make_dir(&self.socket_dir, 0o700)?;
        account.give(&self.socket_dir)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut postgres = Command::new(bin.join("postgres"));
        postgres.arg("-D").arg(&self.data).arg("-k").arg(&self.socket_dir);
        postgres.args([
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=200",
            "-c",
            "unix_socket_permissions=0700",
        ]);
        account
            .run(&mut postgres)
            .current_dir("/")
            .process_group(0) // Ctrl-C on the server is not for Postgres
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("starting the embedded Postgres")
    }

    /// Ready means that our database is there and answers.
    async fn ensure_database(&self) -> sqlx::Result<()> {
        let Err(first) = self.to(DATABASE).connect().await else { return Ok(()) };
        let mut postgres: PgConnection = self.to("postgres").connect().await.map_err(|_| first)?;
        let created =
            sqlx::query(AssertSqlSafe(format!("create database {DATABASE}"))).execute(&mut postgres).await;
        postgres.close().await?;
        match created {
            Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("42P04") => Ok(()), // there after all
            other => other.map(|_| ()),
        }
    }

    fn to(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass().socket(&self.socket_dir).username(USER).database(database)
    }

    /// The postmaster of this very cluster, if one is alive.
    fn postmaster(&self) -> Option<Pid> {
        let file = std::fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        let pid: i32 = file.lines().next()?.trim().parse().ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let zombie = status.lines().any(|l| l.starts_with("State:") && l.contains('Z'));
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let ours = command.split(|b| *b == 0).any(|arg| arg == self.data.as_os_str().as_encoded_bytes());
        (ours && !zombie).then(|| Pid::from_raw(pid))
    }

    fn log(&self) -> PathBuf {
        self.data.with_file_name("log")
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }
}

/// Paths of Unix sockets end at 107 bytes, so a deep data directory gets its socket elsewhere.
fn socket_dir(home: &Path) -> PathBuf {
    let near = home.join("socket");
    if near.as_os_str().len() <= 80 {
        return near;
    }
    use sha2::Digest;
    let digest = sha2::Sha256::digest(home.as_os_str().as_encoded_bytes());
    Path::new("/run").join(format!("berth-pg-{}", hex::encode(&digest[..6])))
}

fn make_dir(path: &Path, mode: u32) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .with_context(|| format!("making {}", path.display()))
}

#[cfg(test)]
mod tests;
