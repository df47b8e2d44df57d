//! Who waits, and how they are woken after a commit.
//!
//! Two kinds of waiters: agents in `watch` (by host) and browsers on the event stream (by project). A commit in this
//! process wakes them directly. Other replicas hear of it through one coalesced `NOTIFY` (see `tasks/`), because
//! NOTIFY takes a lock that serialises commits: never one per row, never on the report path. Waking is a hint; every
//! waiter asks the database again, and asks anyway after a while.
//!
//! When the server stops, [`Wake::close`] ends every waiter: receivers say that they are closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{broadcast, watch};

/// What changed; enough to know who should look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// The desired state of a host.
    Host(i64),
    /// A VPS, action, key or token of a project.
    Project(i64),
    /// Hosts themselves, for operators' pages.
    Fleet,
}

/// Wakes waiters of this process and tells the other replicas' notifier.
#[derive(Clone, Debug)]
pub struct Wake {
    replica: uuid::Uuid,
    hosts: Arc<Mutex<HashMap<i64, watch::Sender<u64>>>>,
    events: Arc<RwLock<Option<broadcast::Sender<Changed>>>>,
    outbox: broadcast::Sender<Changed>,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            replica: uuid::Uuid::new_v4(),
            hosts: Arc::default(),
            events: Arc::new(RwLock::new(Some(broadcast::channel(1024).0))),
            outbox: broadcast::channel(4096).0,
        }
    }
}

impl Wake {
    /// Names this process among the replicas.
    #[must_use]
    pub fn replica(&self) -> uuid::Uuid {
        self.replica
    }

    /// Wakes the waiters of this process and queues the news for the other replicas. Call after the commit.
    pub fn changed(&self, what: Changed) {
        self.local(what);
        let _ = self.outbox.send(what); // no notifier runs: a single replica
    }

    /// Wakes the waiters of this process only (news that came from another replica).
    pub fn local(&self, what: Changed) {
        if let Changed::Host(id) = what {
            self.sender(id).send_modify(|n| *n += 1);
        }
        if let Some(events) = &*self.events.read().expect("no code panics while holding this lock") {
            let _ = events.send(what); // nobody is looking: fine
        }
    }

    /// Waits for news of a host. Subscribe before reading the database, so that no wake-up is lost.
    #[must_use]
    pub fn host(&self, id: i64) -> watch::Receiver<u64> {
        self.sender(id).subscribe()
    }

    /// All changes seen by this process, for event streams. A receiver that lags should look at everything again; one
    /// that is closed should end, because the server stops.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Changed> {
        let events = self.events.read().expect("no code panics while holding this lock");
        events.as_ref().map_or_else(|| broadcast::channel(1).1, broadcast::Sender::subscribe)
    }

    /// Ends all event streams, now and from now on.
    pub fn close(&self) {
        *self.events.write().expect("no code panics while holding this lock") = None;
    }

    /// Changes made by this process, for the task that tells the other replicas.
    #[must_use]
    pub fn outbox(&self) -> broadcast::Receiver<Changed> {
        self.outbox.subscribe()
    }

    fn sender(&self, id: i64) -> watch::Sender<u64> {
        let mut hosts = self.hosts.lock().expect("no code panics while holding this lock");
        hosts.entry(id).or_insert_with(|| watch::channel(0).0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiters_hear_what_concerns_them() {
        let wake = Wake::default();
        let (mut seven, mut events) = (wake.host(7), wake.events());
        wake.changed(Changed::Host(8));
        assert!(!seven.has_changed().unwrap());
        wake.changed(Changed::Host(7));
        seven.changed().await.unwrap();
        assert_eq!(events.recv().await, Ok(Changed::Host(8)));
        assert_eq!(events.recv().await, Ok(Changed::Host(7)));
    }

    #[tokio::test]
    async fn event_streams_end_when_the_server_stops() {
        let wake = Wake::default();
        let mut before = wake.events();
        wake.close();
        assert_eq!(before.recv().await, Err(broadcast::error::RecvError::Closed));
        assert_eq!(wake.events().recv().await, Err(broadcast::error::RecvError::Closed));
    }
}
