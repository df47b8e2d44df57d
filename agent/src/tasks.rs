//! The tasks of one agent, so that they can be ended together: softly, or all at once as by `kill -9`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one agent. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<()>>>,
    blocking: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Runs a task that looks at [`Tasks::stopping`] by itself and ends in a good moment.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if self.stopping() {
            return;
        }
        let mut set = self.set.lock().expect("no code panics while holding this lock");
        while set.try_join_next().is_some() {}
        set.spawn(task);
    }

    /// Runs a task that can be dropped at any await when the agent is asked to stop.
    pub fn spawn_until_stop(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(async move {
            let _ = stop.run_until_cancelled_owned(task).await;
        });
    }

    /// Runs blocking code on a thread of its own. It is not cut short, and the agent's end waits for it.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        self.blocking.spawn_blocking(work).await
    }

    /// Whether tasks should end at their next quiet moment.
    #[must_use]
    pub fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Resolves when tasks should end at their next quiet moment.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Asks all tasks to end, waits for those that do, and aborts the others after `patience`.
    pub async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        let mut set = std::mem::take(&mut *self.set.lock().expect("no code panics while holding this lock"));
        let all_ended = async { while set.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, all_ended).await; // too late for these: abort
        set.shutdown().await;
        self.blocking.close();
        self.blocking.wait().await;
    }

    /// Ends all tasks where they stand.
    pub async fn abort(&self) {
        let mut set = std::mem::take(&mut *self.set.lock().expect("no code panics while holding this lock"));
        set.abort_all();
        self.stop.cancel();
        self.stop(Duration::ZERO).await;
        set.shutdown().await;
        self.blocking.wait().await;
    }
}
