//! One agent: a host, its state, and its line to the control plane, put together.
//!
//! ```text
//!  watch ──▶ board ──▶ worker per VPS ──▶ host
//!              ▲            │
//!  report ◀────┴────────────┘ (what each worker sees)
//! ```
//!
//! The reconciler starts first and needs nobody; the line comes after it. [`Agent::start`] is what `berth-agent run`
//! does and what tests do, with the real host or the simulated one.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use berth_proto::EnrolToken;

use crate::board::Board;
use crate::enrol::{self, EnrolError};
use crate::host::Host;
use crate::images::Images;
use crate::link::{Link, LinkError, renew, report::Reporter, watch};
use crate::metadata::Facts;
use crate::reconcile::{Manner, Reconciler};
use crate::store::Store;
use crate::streams::Streams;
use crate::tasks::Tasks;

/// How long an agent that is asked to stop finishes what it is doing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an agent needs to know, the host aside.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Identity, specs, records and downloads.
    pub state_dir: PathBuf,
    /// Used once, if the host is not enrolled yet.
    pub enrol_token: Option<EnrolToken>,
    /// Another URL than the token's, for a control plane that has moved.
    pub server_url: Option<String>,
    /// What the back-offs of effects and restarts are multiplied with: 1, but for tests that cannot wait.
    pub pace: f64,
    /// VPSes that are created or started at the same time.
    pub start_parallelism: usize,
}

impl AgentConfig {
    /// An agent with this state directory and nothing else set.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            enrol_token: None,
            server_url: None,
            pace: 1.0,
            start_parallelism: start_parallelism(),
        }
    }
}

/// How many VPSes are started at the same time where nobody said: as many as there are cores. More do not make it
/// faster, but a few wait for the kernel or the disk, so it is at least [`FEWEST_STARTS`].
#[must_use]
pub fn start_parallelism() -> usize {
    std::thread::available_parallelism().map_or(FEWEST_STARTS, usize::from).max(FEWEST_STARTS)
}

/// Starts at the same time on the smallest machine.
const FEWEST_STARTS: usize = 4;

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is neither a certificate nor a token.
    #[error("this host is not enrolled: give --enrol-token, or run `berth-agent enrol --token …` first")]
    NotEnrolled,
    /// Enrolment failed.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The stored identity is unusable.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The state directory is unusable.
    #[error("the state directory {path} cannot be used: {source}")]
    State {
        /// Where it should be.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    tasks: Tasks,
    board: Arc<Board>,
    /// Held while the agent runs; the kernel lets go of it when the process dies.
    _lock: File,
}

impl Agent {
    /// Takes over the host and connects to the control plane. Returns when VPSes are being looked after; whether the
    /// control plane answers does not matter, but for a host that is yet to be enrolled.
    pub async fn start<H: Host>(config: AgentConfig, host: Arc<H>) -> Result<Self, StartError> {
        let AgentConfig { state_dir, enrol_token, server_url, pace, start_parallelism } = config;
        let manner = Manner { start_parallelism, pace };
        let lock =
            lock(&state_dir).map_err(|source| StartError::State { path: state_dir.clone(), source })?;
        let mut identity = match (enrol::load(&state_dir)?, enrol_token) {
            (Some(identity), _) => identity,
            (None, Some(token)) => enrol::enrol(&state_dir, &token).await?,
            (None, None) => return Err(StartError::NotEnrolled),
        };
        if let Some(url) = server_url {
            identity.url = url;
        }
        tracing::info!(host = identity.host_name, id = %identity.host_id, url = identity.url, "agent starts");
        let link = Arc::new(Link::new(&identity)?);
        let store = Store::open(&state_dir);
        let store = store.map_err(|source| StartError::State { path: state_dir.clone(), source })?;

        let tasks = Tasks::default();
        let facts: Arc<dyn Facts> = Arc::new(store.clone());
        let board = Arc::new(Board::default());
        let images = Arc::new(Images::new(host.clone(), state_dir.join("downloads"), Some(link.clone())));
        let reconciler =
            Reconciler::start(host.clone(), store, images.clone(), board.clone(), tasks.clone(), manner)
                .await;
        let reconciler =
            reconciler.map_err(|source| StartError::State { path: state_dir.clone(), source })?;

        let seq = watch::Seq::default();
        let streams = Streams::new(host.clone(), link.clone(), tasks.clone());
        tasks.spawn_until_stop(watch::run(link.clone(), reconciler, streams, seq.clone()));
        let asked = host.clone();
        tasks.spawn_until_stop(async move { asked.serve_metadata(facts).await });
        tasks.spawn_until_stop(Reporter::new(link.clone(), host, board.clone(), seq).run());
        tasks.spawn_until_stop(renew::run(link, state_dir));
        let news = board.clone();
        tasks.spawn_until_stop(async move { images.keep_ready(|| news.say_soon()).await });
        Ok(Self { tasks, board, _lock: lock })
    }

    /// What the workers said last, for tests and for people who debug.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Finishes the effects that run, and ends. VPSes go on.
    pub async fn stop(self) {
        self.tasks.stop(PATIENCE).await;
    }

    /// Ends at once, wherever it stands. VPSes go on, as they do after `kill -9`.
    pub async fn abort(self) {
        self.tasks.abort().await;
    }
}

/// Two agents on one state would be two reconcilers of the same VPSes.
pub(crate) fn lock(state_dir: &Path) -> io::Result<File> {
    std::fs::create_dir_all(state_dir)?;
    let file = File::options().create(true).truncate(false).write(true).open(state_dir.join("agent.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another agent runs on it")),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
