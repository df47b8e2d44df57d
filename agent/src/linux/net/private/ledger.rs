//! What every VPS's private traffic sums up to on this host, and the last word of counters that are gone.
//!
//! Counters of private traffic come and go: each interface in a network has a pair of its own, and it ends with the
//! interface. So they are added up here, under one epoch for each VPS, which rises as long as the host keeps its disk:
//! what counters stand at that count now, and the sum of those that have ended. A pair has ended when a look at all
//! routers does not find it any more, and never before; so whatever is read twice, and wherever an agent dies, a pair's
//! count is in the sum once.
//!
//! What is known is written to `private-traffic.json` before it is told, and before the counters of an interface are taken
//! away. If the file is damaged, what was told of before is not told again: what is counted afterwards is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use berth_proto::{TrafficCount, VpsId};
use serde::{Deserialize, Serialize};

use crate::store;

/// What one pair of counters of a VPS stands at; its epoch is the pair's own.
pub(super) type Reading = (VpsId, TrafficCount);

/// The sums of all VPSes.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    known: Mutex<Known>,
    /// Held while counters are looked at and what was seen is taken in: an older look that came late would pass for
    /// counters that have fallen.
    pub(super) looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    accounts: BTreeMap<VpsId, Account>,
    /// Whether the file holds these.
    written: bool,
    /// Whether what was told before is unknown: until all routers were looked at, counters that are met were told.
    damaged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    /// The sum of pairs that have ended. Its epoch is the one that all is told by.
    ended: TrafficCount,
    /// What the others stand at.
    live: Vec<TrafficCount>,
}

impl Account {
    fn new() -> Self {
        let epoch = format!("{:016x}", rand::random::<u64>());
        let nothing = TrafficCount { epoch, in_bytes: 0, in_packets: 0, out_bytes: 0, out_packets: 0 };
        Self { ended: nothing, live: Vec::new() }
    }

    /// A pair that fell was set back by somebody: what it had counted before counts as ended.
    fn take(&mut self, read: TrafficCount, told_before: bool) {
        match self.live.iter_mut().find(|known| known.epoch == read.epoch) {
            Some(known) if read.follows(known) => *known = read,
            Some(known) => {
                let old = std::mem::replace(known, read);
                add(&mut self.ended, &old, 1);
            }
            None => {
                if told_before {
                    add(&mut self.ended, &read, -1);
                }
                self.live.push(read);
            }
        }
    }

    fn end(&mut self, has_ended: impl Fn(&TrafficCount) -> bool) {
        for pair in self.live.extract_if(.., |pair| has_ended(pair)) {
            add(&mut self.ended, &pair, 1);
        }
    }

    fn sum(&self) -> TrafficCount {
        let mut sum = self.ended.clone();
        self.live.iter().for_each(|pair| add(&mut sum, pair, 1));
        sum
    }
}

fn add(to: &mut TrafficCount, other: &TrafficCount, times: i64) {
    to.in_bytes += times * other.in_bytes;
    to.in_packets += times * other.in_packets;
    to.out_bytes += times * other.out_bytes;
    to.out_packets += times * other.out_packets;
}

impl Ledger {
    /// What was written down in `dir`.
    pub(super) fn open(dir: &Path) -> Self {
        let file = dir.join("private-traffic.json");
        let known = match store::read(&file) {
            Ok(accounts) => Known { accounts: accounts.unwrap_or_default(), written: true, damaged: false },
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "remembered private traffic cannot be read, and is put aside");
                let _ = std::fs::rename(&file, file.with_extension("damaged"));
                Known { damaged: true, ..Known::default() }
            }
        };
        Self { file, known: Mutex::new(known), looking: tokio::sync::Mutex::default() }
    }

    /// All that a VPS ever sent and received in private networks while it was here.
    pub(super) fn of(&self, id: VpsId) -> Option<TrafficCount> {
        self.lock().accounts.get(&id).map(Account::sum)
    }

    /// Takes in what some pairs stand at.
    pub(super) fn take_in(&self, read: Vec<Reading>) -> io::Result<()> {
        self.change(|known| known.take(read))
    }

    /// Takes in what all pairs stand at that there are: others have ended. Forgets VPSes that are not `here` any more.
    pub(super) fn take_in_all(&self, read: Vec<Reading>, here: impl Fn(VpsId) -> bool) -> io::Result<()> {
        self.change(|known| {
            let seen: BTreeSet<(VpsId, String)> =
                read.iter().map(|(id, count)| (*id, count.epoch.clone())).collect();
            known.take(read);
            for (id, account) in &mut known.accounts {
                account.end(|pair| !seen.contains(&(*id, pair.epoch.clone())));
            }
            known.accounts.retain(|id, _| here(*id));
            known.damaged = false;
        })
    }

    /// What cannot be written is known all the same: the counters may go.
    fn change(&self, change: impl FnOnce(&mut Known)) -> io::Result<()> {
        let next = {
            let mut known = self.lock();
            let before = known.accounts.clone();
            change(&mut known);
            if known.written && known.accounts == before {
                return Ok(());
            }
            known.written = false;
            known.accounts.clone()
        };
        store::write(&self.file, &next)?;
        self.lock().written = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no code panics while holding this lock")
    }
}

impl Known {
    fn take(&mut self, read: Vec<Reading>) {
        for (id, count) in read {
            self.accounts.entry(id).or_insert_with(Account::new).take(count, self.damaged);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: VpsId = VpsId(1);

    fn count(epoch: &str, n: i64) -> TrafficCount {
        TrafficCount { epoch: epoch.into(), in_bytes: n, in_packets: n, out_bytes: 2 * n, out_packets: n }
    }

    fn told(ledger: &Ledger) -> (String, i64, i64) {
        let sum = ledger.of(ID).unwrap();
        (sum.epoch, sum.in_bytes, sum.out_bytes)
    }

    #[test]
    fn pairs_that_end_stay_in_the_sum() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path());
        ledger.take_in_all(vec![(ID, count("a", 5)), (ID, count("b", 7))], |_| true).unwrap();
        let (epoch, ..) = told(&ledger);
        assert!(TrafficCount::is_epoch(&epoch));
        assert_eq!(told(&ledger), (epoch.clone(), 12, 24));
        ledger.take_in(vec![(ID, count("a", 6))]).unwrap(); // the last look at an interface that goes
        assert_eq!(told(&ledger), (epoch.clone(), 13, 26));
        let ledger = Ledger::open(dir.path()); // another agent
        ledger.take_in_all(vec![(ID, count("b", 8)), (ID, count("c", 1))], |_| true).unwrap();
        assert_eq!(told(&ledger), (epoch.clone(), 15, 30));
        ledger.take_in_all(vec![(ID, count("b", 2)), (ID, count("c", 1))], |_| true).unwrap(); // set back
        assert_eq!(told(&ledger), (epoch.clone(), 17, 34));
        ledger.take_in_all(vec![], |_| true).unwrap(); // the machine was booted
        assert_eq!(told(&ledger), (epoch, 17, 34));
        ledger.take_in_all(vec![], |_| false).unwrap();
        assert_eq!((ledger.of(ID), Ledger::open(dir.path()).of(ID)), (None, None));
    }

    #[test]
    fn after_damage_nothing_is_told_twice() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("private-traffic.json"), "{").unwrap();
        let ledger = Ledger::open(dir.path());
        assert!(dir.path().join("private-traffic.damaged").exists());
        ledger.take_in(vec![(ID, count("a", 5))]).unwrap();
        ledger.take_in_all(vec![(ID, count("a", 6)), (ID, count("b", 9))], |_| true).unwrap();
        assert_eq!(told(&ledger).1, 1);
        ledger.take_in_all(vec![(ID, count("b", 10)), (ID, count("c", 3))], |_| true).unwrap();
        assert_eq!(told(&Ledger::open(dir.path())).1, 5);
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("later");
        let ledger = Ledger::open(&place);
        assert!(ledger.take_in(vec![(ID, count("a", 5))]).is_err());
        assert_eq!(told(&ledger).1, 5);
        std::fs::create_dir(&place).unwrap();
        ledger.take_in(vec![(ID, count("a", 5))]).unwrap();
        assert_eq!(told(&Ledger::open(&place)), told(&ledger));
    }

    proptest! {
        /// Interfaces come and go, agents die anywhere, the machine is booted: the sum is what was counted, and never falls.
        #[test]
        fn a_pairs_count_is_in_the_sum_once(steps in prop::collection::vec((0..8_u8, 0..4_usize, 1..1000_i64), 0..80)) {
            let dir = tempfile::tempdir().unwrap();
            let mut ledger = Ledger::open(dir.path());
            let (mut pairs, mut made, mut counted, mut before) = (Vec::<TrafficCount>::new(), 0, 0, 0);
            for (what, which, bytes) in steps {
                let at = which.min(pairs.len().saturating_sub(1));
                let all = |pairs: &[TrafficCount]| pairs.iter().map(|pair| (ID, pair.clone())).collect::<Vec<_>>();
                match what {
                    0 => {
                        made += 1;
                        pairs.push(count(&format!("p{made}"), 0));
                    }
                    1 if !pairs.is_empty() => {
                        let pair = pairs.remove(at);
                        ledger.take_in(vec![(ID, pair.clone())]).unwrap();
                        if bytes % 2 == 0 {
                            ledger.take_in(vec![(ID, pair)]).unwrap(); // tried again
                        }
                    }
                    2 => ledger = Ledger::open(dir.path()),
                    3 => {
                        ledger.take_in_all(all(&pairs), |_| true).unwrap();
                        pairs.clear();
                    }
                    4 => ledger.take_in_all(all(&pairs), |_| true).unwrap(),
                    _ if !pairs.is_empty() => {
                        let passed = count("", bytes);
                        add(&mut pairs[at], &passed, 1);
                        counted += bytes;
                    }
                    _ => {}
                }
                let now = ledger.of(ID).map_or(0, |sum| sum.in_bytes);
                prop_assert!(now >= before && now <= counted, "{now} of {counted}");
                before = now;
            }
            ledger.take_in_all(pairs.into_iter().map(|pair| (ID, pair)).collect(), |_| true).unwrap();
            prop_assert_eq!(ledger.of(ID).map_or(0, |sum| sum.in_bytes), counted);
        }
    }
}
