//! Consoles, and programs ([`exec`]): a browser's WebSocket here, a host's WebSocket there, and bytes between them.
//!
//! ```text
//!  browser ──ticket──▶ socket ──offer──▶ database ──watch──▶ agent
//!     ▲                   │ waits                              │ opens /agent/v1/streams/<offer>
//!     └──────────────── relay ◀────────── fleet::streams ◀─────┘
//! ```
//!
//! The replica that has the browser makes the offer and waits; the offer names the replica, so the agent comes to the
//! right one whichever it talks to otherwise. What is here is only what is open now, in memory: when this process ends,
//! so do its consoles, and browsers come back with another ticket, here or elsewhere.
//!
//! Everything is bounded: consoles of a VPS and of a replica, the size of messages, how long an offer stands, how long a
//! side may be silent or take nothing, and how long nothing at all may happen.

mod exec;
mod fetch;
mod relay;
mod socket;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use berth_proto::{LARGEST_MESSAGE, close};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

pub(crate) use self::exec::path as exec_path;
pub(crate) use self::fetch::fetch;
pub(crate) use self::socket::{path, router};
use crate::ids::VpsId;

/// Consoles of one VPS that may be open at once at this replica, and as many programs; its agent counts over all of them.
const MOST_OF_A_VPS: usize = 8;
/// Consoles that may be open at once at this replica.
const MOST: usize = 1000;

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Console,
    Exec,
}

/// Why a console or another stream ends, as its WebSocket's close says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// One of [`close`].
    pub(crate) code: u16,
    /// For people.
    pub(crate) reason: String,
}

impl End {
    pub(crate) fn new(code: u16, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Somebody closed it who wanted to.
    fn left() -> Self {
        Self::new(1000, "")
    }
}

/// A WebSocket with our bounds: small buffers, and no message that is much larger than one of ours. (One that is a little
/// larger is read, so that its sender can be told.)
pub(crate) fn bounded(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * LARGEST_MESSAGE)
        .max_message_size(4 * LARGEST_MESSAGE)
        .max_frame_size(4 * LARGEST_MESSAGE)
}

/// What is open at this replica. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Consoles(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Who waits for a host's stream, by offer.
    waiting: Mutex<HashMap<Uuid, oneshot::Sender<WebSocket>>>,
    /// How many are open, by VPS and kind.
    open: Mutex<HashMap<(VpsId, Kind), usize>>,
    running: TaskTracker,
    stop: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while holding this lock")
}

impl Consoles {
    /// Whether somebody here waits for the stream of this offer.
    pub(crate) fn waits_for(&self, offer: Uuid) -> bool {
        lock(&self.0.waiting).contains_key(&offer)
    }

    /// Gives the host's stream to who waits for it.
    pub(crate) fn hand_over(&self, offer: Uuid, socket: WebSocket) {
        if let Some(waiter) = lock(&self.0.waiting).remove(&offer) {
            let _ = waiter.send(socket); // who waited is gone: the stream closes
        }
    }

    /// Ends all consoles, and waits until that is told to both sides.
    pub(crate) async fn close(&self, patience: Duration) {
        self.0.stop.cancel();
        self.0.running.close();
        let _ = tokio::time::timeout(patience, self.0.running.wait()).await; // the rest is cut
    }

    fn wait(&self) -> Waiting {
        let (sender, stream) = oneshot::channel();
        let offer = Uuid::new_v4();
        lock(&self.0.waiting).insert(offer, sender);
        Waiting { consoles: self.clone(), offer, stream }
    }

    fn enter(&self, vps: VpsId, kind: Kind) -> Result<Seat, End> {
        let mut open = lock(&self.0.open);
        if open.values().sum::<usize>() >= MOST {
            return Err(End::new(close::BUSY, "too many consoles are open; try again later"));
        }
        let of_vps = open.entry((vps, kind)).or_insert(0);
        if *of_vps >= MOST_OF_A_VPS {
            let what = if kind == Kind::Console { "console is" } else { "programs are" };
            let reason = format!("this server's {what} open {MOST_OF_A_VPS} times already; close one");
            return Err(End::new(close::BUSY, reason));
        }
        *of_vps += 1;
        Ok(Seat { consoles: self.clone(), place: (vps, kind) })
    }
}

/// A place among the open consoles; given back when it is dropped.
#[derive(Debug)]
struct Seat {
    consoles: Consoles,
    place: (VpsId, Kind),
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = lock(&self.consoles.0.open);
        if let Some(count) = open.get_mut(&self.place) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.place);
            }
        }
    }
}

/// Somebody waits for a host's stream; nobody any more when it is dropped.
#[derive(Debug)]
struct Waiting {
    consoles: Consoles,
    offer: Uuid,
    stream: oneshot::Receiver<WebSocket>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.consoles.0.waiting).remove(&self.offer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_vps_and_given_back() {
        let consoles = Consoles::default();
        let mut seats: Vec<_> =
            (0..MOST_OF_A_VPS).map(|_| consoles.enter(VpsId(1), Kind::Console).unwrap()).collect();
        assert_eq!(consoles.enter(VpsId(1), Kind::Console).unwrap_err().code, close::BUSY);
        seats.push(consoles.enter(VpsId(1), Kind::Exec).unwrap());
        seats.remove(0);
        seats.push(consoles.enter(VpsId(1), Kind::Console).unwrap());
        drop(seats);
        assert!(lock(&consoles.0.open).is_empty(), "nothing is kept of what is closed");
        let all: Vec<_> =
            (0..MOST).map(|n| consoles.enter(VpsId(n as i64), Kind::Console).unwrap()).collect();
        assert_eq!(consoles.enter(VpsId(-1), Kind::Exec).unwrap_err().code, close::BUSY);
        drop(all);
    }

    #[test]
    fn nobody_waits_for_what_was_given_up() {
        let consoles = Consoles::default();
        let waiting = consoles.wait();
        let offer = waiting.offer;
        assert!(consoles.waits_for(offer) && !consoles.waits_for(Uuid::new_v4()));
        drop(waiting);
        assert!(!consoles.waits_for(offer));
    }
}
