//! Background tasks.
//!
//! A task takes no input and does the same work each time it runs: it looks at the database and repairs what it finds.
//! It runs on a timer, says how its last run went ([`Status`]), and never retries inside itself; the next run is the
//! retry. Tasks of several replicas may run at the same time, so each one's work is safe to do twice.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::App;

mod liveness;
mod mail;
mod notify;
mod reverse;
mod seal;
mod sums;
mod tidy;
mod traffic;
mod webhooks;

pub(crate) use notify::tell_once;

/// How the last run of a task went.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Status {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What it did, or why it failed.
    pub message: String,
    /// Whether it failed.
    pub failed: bool,
}

/// The running tasks; dropping this does not stop them, cancelling the token they were given does.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    statuses: Arc<Mutex<BTreeMap<&'static str, Status>>>,
}

impl Tasks {
    /// Starts all tasks of a replica on `set`; they end when `stop` is cancelled.
    pub fn start(app: &App, set: &mut JoinSet<()>, stop: &CancellationToken) -> Self {
        let tasks = Self::default();
        let mut run = |task: Pin<Box<dyn Future<Output = ()> + Send>>| {
            let stop = stop.clone();
            set.spawn(async move {
                stop.run_until_cancelled(task).await;
            });
        };
        run(Box::pin(notify::tell(app.clone(), tasks.clone())));
        run(Box::pin(notify::hear(app.clone(), tasks.clone())));
        run(Box::pin(tidy_forever(app.clone(), tasks.clone())));
        run(Box::pin(liveness::watch(app.clone(), tasks.clone())));
        run(Box::pin(traffic::watch(app.clone(), tasks.clone())));
        run(Box::pin(reverse::watch(app.clone(), tasks.clone())));
        run(Box::pin(mail::watch(app.clone(), tasks.clone())));
        run(Box::pin(seal::watch(app.clone(), tasks.clone())));
        run(Box::pin(webhooks::watch(app.clone(), tasks.clone())));
        run(Box::pin(sums::watch(app.clone(), tasks.clone())));
        tasks
    }

    /// How each task's last run went, by name.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<&'static str, Status> {
        self.statuses.lock().expect("no code panics while holding this lock").clone()
    }

    fn ran(&self, task: &'static str, outcome: Result<String, String>) {
        let failed = outcome.is_err();
        let (Ok(message) | Err(message)) = outcome;
        let status = Status { at: Utc::now(), message, failed };
        let before = self
            .statuses
            .lock()
            .expect("no code panics while holding this lock")
            .insert(task, status.clone());
        // a task that goes on failing says so once, not at every run
        if failed && before.is_none_or(|b| !b.failed) {
            tracing::warn!(task, error = status.message, "background task failed; it will run again");
        }
    }
}

async fn tidy_forever(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(Duration::from_secs(600));
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        tasks.ran("tidy", tidy::run(&app.db, Utc::now().date_naive()).await.map_err(|e| e.to_string()));
    }
}
