//! Who waits, and how they are woken after a commit.
//!
//! Two kinds of waiters: agents in `watch` (by host) and browsers on the event stream (by project). A commit in this
//! process wakes them directly. Other replicas hear of it through one coalesced `NOTIFY` (see `tasks/`), because
//! NOTIFY takes a lock that serialises commits: never one per row, never on the report path. Waking is a hint; every
//! waiter asks the database again, and asks anyway after a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

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
    events: broadcast::Sender<Changed>,
    outbox: broadcast::Sender<Changed>,
}

impl Default for Wake {
    fn default() -> Self {
        Self {
            replica: uuid::Uuid::new_v4(),
            hosts: Arc::default(),
            events: broadcast::channel(1024).0,
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
        let _ = self.events.send(what); // nobody is looking: fine
    }

    /// Waits for news of a host. Subscribe before reading the database, so that no wake-up is lost.
    #[must_use]
    pub fn host(&self, id: i64) -> watch::Receiver<u64> {
        self.sender(id).subscribe()
    }

    /// All changes seen by this process, for event streams. A receiver that lags should look at everything again.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Changed> {
        self.events.subscribe()
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
