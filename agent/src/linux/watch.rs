//! Notices when guests end: one waiting connection to each monitor.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use berth_proto::VpsId;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::lock;
use super::monitors::Monitors;
use crate::host::Event;

/// Those that are watched, and what was seen.
#[derive(Debug)]
pub(super) struct Watch {
    watched: Arc<Mutex<HashSet<VpsId>>>,
    sender: UnboundedSender<Event>,
    // At most one event of each guest is under way, so the queue is as short as the list of guests.
    receiver: tokio::sync::Mutex<UnboundedReceiver<Event>>,
}

impl Default for Watch {
    fn default() -> Self {
        let (sender, receiver) = unbounded_channel();
        Self { watched: Arc::default(), sender, receiver: tokio::sync::Mutex::new(receiver) }
    }
}

impl Watch {
    /// Watches a running guest until it ends. Once is enough.
    pub(super) fn begin(&self, monitors: &Monitors, id: VpsId) {
        if !lock(&self.watched).insert(id) {
            return;
        }
        let (monitors, watched, sender) = (monitors.clone(), self.watched.clone(), self.sender.clone());
        tokio::spawn(async move {
            monitors.ended(id).await;
            lock(&watched).remove(&id);
            // Nobody listens any more: the host is being dropped.
            let _ = sender.send(Event::Ended(id));
        });
    }

    /// The next guest that ended.
    pub(super) async fn next(&self) -> Event {
        match self.receiver.lock().await.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
