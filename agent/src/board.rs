//! Where the workers of the VPSes, the link and the report meet. Everything here is quick and in memory.
//!
//! For each VPS there is a slot with an inbox (what the worker has not taken yet) and with what the worker said last.
//! Inboxes are level-triggered: a newer desired state takes the place of an older one, a nudge is a flag. Nothing
//! waits for the control plane here, and a control plane that does not answer stops no worker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use berth_proto::{Desired, VpsId, VpsObserved, VpsState, Watch};
use tokio::sync::Notify;

use crate::report;

/// What a worker is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inbox {
    /// A new desired state.
    pub desired: Option<Desired>,
    /// A full answer did not name this VPS.
    pub orphaned: bool,
    /// Something happened on the host: look.
    pub look: bool,
    /// The control plane knows that the VPS is absent, for this generation of its tombstone.
    pub acknowledged: Option<i64>,
}

#[derive(Debug, Default)]
struct Slot {
    inbox: Inbox,
    nudge: Arc<Notify>,
    /// Generation of the newest desired state that was taken in, and whether it is a tombstone.
    generation: Option<i64>,
    tombstone: bool,
    told: Option<VpsObserved>,
    unsent: bool,
}

impl Slot {
    fn wants(&mut self, desired: &Desired) {
        self.generation = Some(desired.generation());
        self.tombstone = matches!(desired, Desired::Deleted { .. });
    }
}

/// The slots of all VPSes.
#[derive(Debug, Default)]
pub struct Board {
    slots: Mutex<BTreeMap<VpsId, Slot>>,
    soon: Notify,
    sometime: Notify,
    looked: Notify,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<VpsId, Slot>> {
        self.slots.lock().expect("no code panics while holding this lock")
    }

    /// Makes the slot of a VPS that was stored or found. Returns what nudges its worker.
    pub fn add(&self, id: VpsId, desired: Option<&Desired>) -> Arc<Notify> {
        let mut slots = self.lock();
        let slot = slots.entry(id).or_default();
        if let Some(desired) = desired {
            slot.wants(desired);
        }
        slot.nudge.clone()
    }

    /// Takes in an answer of the control plane. Returns the VPSes that need a worker.
    pub fn take_in(&self, watch: &Watch) -> Vec<(VpsId, Arc<Notify>)> {
        let mut slots = self.lock();
        let mut new = Vec::new();
        for desired in &watch.vpses {
            let id = desired.id();
            let slot = slots.entry(id).or_insert_with(|| {
                let slot = Slot::default();
                new.push((id, slot.nudge.clone()));
                slot
            });
            let older = slot.generation.is_some_and(|have| desired.generation() < have);
            if older && !watch.full {
                continue;
            }
            slot.wants(desired);
            slot.inbox.desired = Some(desired.clone());
            slot.inbox.orphaned = false;
            slot.nudge.notify_one();
        }
        if watch.full {
            let named: std::collections::BTreeSet<VpsId> = watch.vpses.iter().map(Desired::id).collect();
            for (_, slot) in slots.iter_mut().filter(|(id, _)| !named.contains(id)) {
                if slot.tombstone {
                    slot.inbox.acknowledged = slot.generation;
                } else {
                    slot.inbox.orphaned = true;
                    slot.inbox.desired = None;
                }
                slot.nudge.notify_one();
            }
        }
        new
    }

    /// Lets the worker look at the host.
    pub fn look(&self, id: VpsId) {
        if let Some(slot) = self.lock().get_mut(&id) {
            slot.inbox.look = true;
            slot.nudge.notify_one();
        }
    }

    /// The worker takes what it was told.
    pub fn take(&self, id: VpsId) -> Inbox {
        self.lock().get_mut(&id).map(|slot| std::mem::take(&mut slot.inbox)).unwrap_or_default()
    }

    /// The worker says what it sees. Lasting states are reported at once, passing ones within a moment.
    pub fn tell(&self, observed: VpsObserved) {
        let mut slots = self.lock();
        let Some(slot) = slots.get_mut(&observed.id) else { return };
        if slot.told.as_ref() == Some(&observed) {
            return;
        }
        let soon = !report::passing(observed.state);
        slot.told = Some(observed);
        slot.unsent = true;
        drop(slots);
        self.looked.notify_waiters();
        if soon { self.soon.notify_one() } else { self.sometime.notify_one() }
    }

    /// The worker ends. False when it was told something meanwhile and must go on.
    pub fn remove(&self, id: VpsId) -> bool {
        let mut slots = self.lock();
        if slots.get(&id).is_some_and(|slot| slot.inbox.desired.is_some()) {
            return false;
        }
        slots.remove(&id);
        true
    }

    /// What to report: all, or what changed since it was collected last. A VPS whose worker has not looked yet is told
    /// as unknown: left out of a full report it would pass for gone.
    pub fn collect(&self, all: bool) -> Vec<VpsObserved> {
        let mut slots = self.lock();
        let due = slots.iter_mut().filter(|(_, slot)| all || slot.unsent);
        due.map(|(id, slot)| {
            slot.unsent = false;
            slot.told.clone().unwrap_or_else(|| report::not_looked_yet(*id))
        })
        .collect()
    }

    /// The report did not arrive: its contents are due again.
    pub fn not_sent(&self, observed: &[VpsObserved]) {
        let mut slots = self.lock();
        for observed in observed {
            if let Some(slot) = slots.get_mut(&observed.id) {
                slot.unsent = true;
            }
        }
    }

    /// The report arrived: workers of deleted VPSes can end.
    pub fn sent(&self, observed: &[VpsObserved]) {
        let mut slots = self.lock();
        for gone in observed.iter().filter(|o| o.state == VpsState::Absent) {
            let slot =
                slots.get_mut(&gone.id).filter(|s| s.tombstone && s.generation == Some(gone.generation));
            if let Some(slot) = slot {
                slot.inbox.acknowledged = slot.generation;
                slot.nudge.notify_one();
            }
        }
    }

    /// Something else than a VPS is worth a report now.
    pub fn say_soon(&self) {
        self.soon.notify_one();
    }

    /// Resolves when something lasting is to be reported.
    pub async fn soon(&self) {
        self.soon.notified().await;
    }

    /// Resolves when something passing is to be reported.
    pub async fn sometime(&self) {
        self.sometime.notified().await;
    }

    /// Resolves when every worker has looked once.
    pub async fn all_looked(&self) {
        loop {
            let looked = self.looked.notified();
            if self.lock().values().all(|slot| slot.told.is_some()) {
                return;
            }
            looked.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{View, observe};
    use crate::testing::{deleted, spec};

    fn present(id: i64, generation: i64) -> Desired {
        let mut spec = spec(id);
        spec.generation = generation;
        Desired::Present(Box::new(spec))
    }

    fn watch(full: bool, vpses: Vec<Desired>) -> Watch {
        Watch { seq: 1, full, vpses, ..Watch::default() }
    }

    fn told(id: i64, generation: i64, desired: &Desired) -> VpsObserved {
        let record = crate::record::Record { answered: generation, ..Default::default() };
        let found = crate::host::Found::default();
        let view = View {
            id: VpsId(id),
            desired: Some(desired),
            record: &record,
            found: Some(&found),
            next: None,
            damaged: None,
        };
        observe(view)
    }

    #[test]
    fn an_older_spec_is_ignored_unless_the_answer_is_full() {
        let board = Board::default();
        board.add(VpsId(7), Some(&present(7, 5)));
        board.take_in(&watch(false, vec![present(7, 4)]));
        assert_eq!(board.take(VpsId(7)), Inbox::default());
        board.take_in(&watch(false, vec![present(7, 5)]));
        assert_eq!(board.take(VpsId(7)).desired, Some(present(7, 5)));
        board.take_in(&watch(true, vec![present(7, 4)]));
        assert_eq!(board.take(VpsId(7)).desired, Some(present(7, 4)));
        board.take_in(&watch(false, vec![present(7, 4)]));
        assert!(board.take(VpsId(7)).desired.is_some(), "the older one counts from now on");
    }

    #[test]
    fn what_a_full_answer_does_not_name_is_an_orphan() {
        let board = Board::default();
        board.add(VpsId(1), Some(&present(1, 1)));
        board.add(VpsId(2), None);
        board.add(VpsId(3), Some(&deleted(3, 9)));
        board.take_in(&watch(false, vec![]));
        assert!(!board.take(VpsId(1)).orphaned, "an answer that is not full says nothing about the others");
        let new = board.take_in(&watch(true, vec![present(4, 1)]));
        assert_eq!(new.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [4]);
        assert!(board.take(VpsId(1)).orphaned && board.take(VpsId(2)).orphaned);
        let tombstone = board.take(VpsId(3));
        assert_eq!((tombstone.orphaned, tombstone.acknowledged), (false, Some(9)));
        board.take_in(&watch(true, vec![]));
        board.take_in(&watch(false, vec![present(1, 2)]));
        let named = board.take(VpsId(1));
        assert!(!named.orphaned && named.desired.is_some());
    }

    #[test]
    fn a_report_that_was_lost_is_due_again() {
        let board = Board::default();
        let desired = deleted(7, 2);
        board.add(VpsId(7), Some(&desired));
        board.tell(told(7, 2, &desired));
        let sent = board.collect(false);
        assert_eq!(sent.len(), 1);
        assert!(board.collect(false).is_empty());
        board.not_sent(&sent);
        assert_eq!(board.collect(false), sent);
        board.sent(&sent);
        assert_eq!(board.take(VpsId(7)).acknowledged, Some(2));
    }

    #[test]
    fn a_vps_that_nobody_has_looked_at_is_not_left_out() {
        let board = Board::default();
        board.add(VpsId(7), Some(&deleted(7, 2)));
        assert!(board.collect(false).is_empty());
        let told = board.collect(true);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].id, told[0].state, told[0].generation), (VpsId(7), VpsState::Unknown, 0));
        board.sent(&told);
        assert_eq!(board.take(VpsId(7)).acknowledged, None);
    }

    #[test]
    fn absence_for_an_older_tombstone_is_not_enough() {
        let board = Board::default();
        let desired = deleted(7, 2);
        board.add(VpsId(7), Some(&desired));
        board.take_in(&watch(false, vec![deleted(7, 3)]));
        board.sent(&[told(7, 2, &desired)]);
        assert_eq!(board.take(VpsId(7)).acknowledged, None);
    }

    #[test]
    fn a_worker_that_was_told_something_does_not_end() {
        let board = Board::default();
        board.add(VpsId(7), None);
        board.take_in(&watch(false, vec![present(7, 1)]));
        assert!(!board.remove(VpsId(7)));
        board.take(VpsId(7));
        assert!(board.remove(VpsId(7)));
        assert!(!board.take_in(&watch(false, vec![present(7, 1)])).is_empty(), "a new worker is needed");
    }

    #[tokio::test]
    async fn lasting_states_are_told_at_once() {
        let board = Board::default();
        let desired = deleted(7, 2);
        board.add(VpsId(7), Some(&desired));
        board.tell(VpsObserved { state: VpsState::Stopping, ..told(7, 2, &desired) });
        board.sometime().await;
        board.tell(told(7, 2, &desired));
        board.soon().await;
        board.all_looked().await;
    }
}
