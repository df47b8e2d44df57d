//! A gate with a few places, for VPSes that are made or started at the same time.
//!
//! Who waits is let in by [`Turn`]: the order that an operator gave, then the id. When the agent starts, which is what it
//! does when its machine has booted, the gate stays shut until everybody who is expected has come to it, or to rest
//! without needing it: else those whose look at the machine was quickest would go first. It never stays shut for long: one
//! VPS that hangs must not hold up the others.
//!
//! Dropping a wait leaves the queue, dropping a [`Place`] lets the next one in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use berth_proto::VpsId;
use tokio::sync::oneshot;

/// Who goes first: a smaller order, then a smaller id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) order: i32,
    pub(crate) id: VpsId,
}

/// The queue and the places, without any waiting: `T` is how somebody is let in.
#[derive(Debug)]
struct Queue<T> {
    free: usize,
    waiting: BTreeMap<Turn, T>,
    expected: BTreeSet<VpsId>,
}

impl<T> Queue<T> {
    /// The next one who may go in now; the place is taken.
    fn next(&mut self) -> Option<T> {
        if self.free == 0 || !self.expected.is_empty() {
            return None;
        }
        let (_, next) = self.waiting.pop_first()?;
        self.free -= 1;
        Some(next)
    }
}

/// The gate. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Mutex<Queue<oneshot::Sender<Place>>>>);

/// A place behind the gate, given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Gate);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.let_in();
    }
}

/// Leaves the queue when it is dropped.
struct Waiting<'a>(&'a Gate, Turn);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting.remove(&self.1);
    }
}

impl Gate {
    /// A gate with so many places, shut until all of `expected` have come.
    pub(crate) fn new(places: usize, expected: BTreeSet<VpsId>) -> Self {
        let free = places.max(1);
        Self(Arc::new(Mutex::new(Queue { free, waiting: BTreeMap::new(), expected })))
    }

    fn lock(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Place>>> {
        self.0.lock().expect("no code panics while holding this lock")
    }

    /// Lets in whom there is a place for.
    fn let_in(&self) {
        loop {
            let Some(next) = self.lock().next() else { return };
            // Somebody who has gone meanwhile gives the place back at once, outside the lock.
            drop(next.send(Place(self.clone())));
        }
    }

    /// Waits for a place. One VPS waits once at a time.
    pub(crate) async fn enter(&self, turn: Turn) -> Place {
        let (send, receive) = oneshot::channel();
        self.lock().waiting.insert(turn, send);
        let waiting = Waiting(self, turn);
        self.came(turn.id);
        self.let_in();
        let place = receive.await.expect("who waits is let in or leaves the queue");
        drop(waiting);
        place
    }

    /// Somebody who was expected has come, or does not need to.
    pub(crate) fn came(&self, id: VpsId) {
        if self.lock().expected.remove(&id) {
            self.let_in();
        }
    }

    /// Nobody else is waited for. Returns who did not come.
    pub(crate) fn open(&self) -> BTreeSet<VpsId> {
        let late = std::mem::take(&mut self.lock().expected);
        self.let_in();
        late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use proptest::prelude::*;

    use super::*;

    fn turn(order: i32, id: i64) -> Turn {
        Turn { order, id: VpsId(id) }
    }

    proptest! {
        #[test]
        fn the_queue_keeps_order_and_never_gives_more_places_than_it_has(
            places in 1usize..5, orders in proptest::collection::vec(-3i32..4, 1..40),
        ) {
            let turns: Vec<Turn> = (0i64..).zip(&orders).map(|(id, order)| turn(*order, id)).collect();
            let waiting = turns.iter().map(|t| (*t, *t)).collect();
            let mut queue = Queue { free: places, waiting, expected: BTreeSet::new() };
            let (mut out, mut inside) = (Vec::new(), 0);
            while out.len() < turns.len() {
                match queue.next() {
                    Some(next) => {
                        out.push(next);
                        inside += 1;
                        prop_assert!(inside <= places);
                    }
                    None => {
                        prop_assert_eq!(inside, places, "a place is free and somebody waits");
                        inside -= 1;
                        queue.free += 1;
                    }
                }
            }
            let mut sorted = turns;
            sorted.sort();
            prop_assert_eq!(out, sorted);
        }
    }

    #[tokio::test]
    async fn it_is_shut_until_all_have_come() {
        let gate = Gate::new(1, [VpsId(1), VpsId(2), VpsId(3)].into());
        let mut late = Box::pin(gate.enter(turn(5, 1)));
        assert!((&mut late).now_or_never().is_none(), "two have not come");
        let mut first = Box::pin(gate.enter(turn(-1, 2)));
        assert!((&mut first).now_or_never().is_none(), "one has not come");
        gate.came(VpsId(3));
        let place = (&mut first).now_or_never().expect("the first in order");
        assert!((&mut late).now_or_never().is_none(), "there is one place");
        drop(place);
        assert!((&mut late).now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_that_never_comes_is_given_up() {
        let gate = Gate::new(2, [VpsId(1), VpsId(9)].into());
        let mut enter = Box::pin(gate.enter(turn(0, 1)));
        assert!((&mut enter).now_or_never().is_none());
        assert_eq!(gate.open(), [VpsId(9)].into());
        assert!((&mut enter).now_or_never().is_some());
    }

    #[tokio::test]
    async fn who_stops_waiting_costs_no_place() {
        let gate = Gate::new(1, BTreeSet::new());
        let place = gate.enter(turn(0, 1)).await;
        let mut gone = Box::pin(gate.enter(turn(0, 2)));
        assert!((&mut gone).now_or_never().is_none());
        let mut let_in = Box::pin(gate.enter(turn(1, 3)));
        assert!((&mut let_in).now_or_never().is_none());
        drop(gone);
        drop(place); // goes to the third one, which goes away without taking it
        drop(let_in);
        let enter = tokio::time::timeout(Duration::from_secs(60), gate.enter(turn(0, 4)));
        drop(enter.await.expect("the place came back"));
    }
}
