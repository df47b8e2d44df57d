//! What every VPS's traffic counters stand at, and the last word of counters that are gone.
//!
//! The kernel counts ([`super::net`]); this remembers. Before a count is told to the control plane it is on disk
//! (`<state>/traffic.json`), so what a host had told before its power failed is never told as less, and what was not
//! told yet is told afterwards. Lost with the power is what was counted since the file was written last: that happens
//! with every full report, whether or not the control plane can be reached.
//!
//! Private traffic has a ledger of its own ([`super::net::Private::count`]), since its counters go with the interface.
//!
//! Readings are taken in one at a time, since an older one that came late would pass for counters that have fallen.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use berth_proto::{TrafficCount, VpsId};

use super::LinuxHost;
use crate::store;

/// Epochs of one VPS that are remembered; they end only when a host is booted.
const MOST_EPOCHS: usize = 8;

type Counts = BTreeMap<VpsId, Vec<TrafficCount>>;

/// The counts of all VPSes, newest epoch first.
#[derive(Debug)]
pub(super) struct Traffic {
    file: PathBuf,
    known: Mutex<Counts>,
    reading: tokio::sync::Mutex<()>,
}

impl Traffic {
    /// What was remembered below `state_dir`. A file that cannot be read is put aside: what is lost with it is the last
    /// word of counters that are gone.
    pub(super) fn open(state_dir: &Path) -> Self {
        let file = state_dir.join("traffic.json");
        let known = store::read::<Counts>(&file).unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "remembered traffic cannot be read, and is put aside");
            let _ = std::fs::rename(&file, file.with_extension("damaged"));
            None
        });
        Self { file, known: Mutex::new(known.unwrap_or_default()), reading: tokio::sync::Mutex::default() }
    }

    fn of(&self, id: VpsId) -> Vec<TrafficCount> {
        self.lock().get(&id).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.known.lock().expect("no code panics while holding this lock")
    }

    /// Takes a reading in, forgets VPSes that are not `here` any more, and writes it down if that changed anything.
    fn take_in(&self, read: Vec<(VpsId, TrafficCount)>, here: impl Fn(VpsId) -> bool) -> io::Result<()> {
        let mut next = self.lock().clone();
        for (id, count) in read {
            merge(next.entry(id).or_default(), count);
        }
        next.retain(|id, _| here(*id));
        if next != *self.lock() {
            store::write(&self.file, &next)?;
            *self.lock() = next;
        }
        Ok(())
    }
}

/// Takes in what counters stand at. Counters that somebody has set back are as good as others: they get an epoch of
/// their own, `<epoch>.<n>`.
fn merge(known: &mut Vec<TrafficCount>, mut read: TrafficCount) {
    let times = |epoch: &str| match epoch.split_once('.') {
        None if epoch == read.epoch => Some(0),
        Some((of, times)) if of == read.epoch => times.parse::<u32>().ok(),
        _ => None,
    };
    let newest = known.iter().enumerate().filter_map(|(at, count)| Some((times(&count.epoch)?, at))).max();
    if let Some((times, at)) = newest {
        if read.follows(&known[at]) {
            read.epoch.clone_from(&known[at].epoch);
            known.remove(at);
        } else {
            read.epoch = format!("{}.{}", read.epoch, times.saturating_add(1));
        }
    }
    known.insert(0, read);
    known.truncate(MOST_EPOCHS);
}

impl LinuxHost {
    /// Reads all counters and writes down what they stand at. On failure what was known before stays.
    pub(super) async fn read_traffic(&self) {
        let _one_at_a_time = self.traffic.reading.lock().await;
        let read = match self.net.traffic().await {
            Ok(read) => read,
            Err(error) => return tracing::warn!(%error, "traffic cannot be read"),
        };
        let (traffic, vpses) = (self.traffic.clone(), self.config.state_dir.join("vps"));
        let here = move |id: VpsId| vpses.join(id.to_string()).exists();
        let still_here = here.clone();
        let written = tokio::task::spawn_blocking(move || traffic.take_in(read, here)).await;
        if let Err(error) = written.unwrap_or_else(|e| Err(io::Error::other(e))) {
            tracing::warn!(%error, "traffic cannot be written down, and is not told until it can");
        }
        if let Err(error) = self.net.private.count(still_here).await {
            tracing::warn!(%error, "private traffic cannot be read or written down");
        }
    }

    /// Takes the counters of a VPS away that will not come back, after a last reading.
    pub(super) async fn end_traffic(&self, id: VpsId) -> Result<(), crate::host::Fault> {
        self.read_traffic().await;
        Ok(self.net.stop_counting(id).await?)
    }

    pub(super) fn known_traffic(&self, id: VpsId) -> Vec<TrafficCount> {
        self.traffic.of(id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(epoch: &str, bytes: i64) -> TrafficCount {
        let (in_bytes, out_bytes) = (bytes, bytes * 2);
        TrafficCount { epoch: epoch.into(), in_bytes, in_packets: bytes, out_bytes, out_packets: bytes }
    }

    #[test]
    fn counters_that_fell_get_an_epoch_of_their_own() {
        let mut known = Vec::new();
        for (epoch, bytes) in [("a", 5), ("a", 5), ("a", 9), ("a", 2), ("a", 3), ("b", 1), ("a", 1)] {
            merge(&mut known, count(epoch, bytes));
        }
        assert_eq!(known, [count("a.2", 1), count("b", 1), count("a.1", 3), count("a", 9)]);
    }

    #[test]
    fn what_is_known_outlives_the_agent_and_goes_with_the_vps() {
        let dir = tempfile::tempdir().unwrap();
        let traffic = Traffic::open(dir.path());
        traffic.take_in(vec![(VpsId(1), count("a", 5)), (VpsId(2), count("b", 7))], |_| true).unwrap();
        let again = Traffic::open(dir.path());
        again.take_in(vec![(VpsId(1), count("c", 1))], |_| true).unwrap(); // the host was booted
        assert_eq!(again.of(VpsId(1)), [count("c", 1), count("a", 5)]);
        again.take_in(vec![], |id| id == VpsId(1)).unwrap();
        let again = Traffic::open(dir.path());
        assert_eq!((again.of(VpsId(1)).len(), again.of(VpsId(2)).len()), (2, 0));
        std::fs::write(dir.path().join("traffic.json"), "{").unwrap();
        assert_eq!(Traffic::open(dir.path()).of(VpsId(1)), []);
        assert!(dir.path().join("traffic.damaged").exists());
    }

    proptest! {
        /// However often counters rise, are set back or begin anew: what is told of all epochs is what was counted.
        #[test]
        fn nothing_is_lost_or_told_twice(steps in prop::collection::vec((0..10_u8, 1..1000_i64), 0..60)) {
            let (mut known, mut all) = (Vec::new(), BTreeMap::new());
            let (mut epoch, mut now, mut counted) = (0, 0, 0);
            for (what, bytes) in steps {
                match what {
                    0 => (epoch, now) = (epoch + 1, 0),
                    1 => now = 0,
                    _ => {
                        now += bytes;
                        counted += bytes;
                    }
                }
                merge(&mut known, count(&format!("e{epoch}"), now));
                prop_assert!(known.len() <= MOST_EPOCHS);
                for told in &known {
                    prop_assert!(TrafficCount::is_epoch(&told.epoch));
                    let was = all.insert(told.epoch.clone(), told.in_bytes);
                    prop_assert!(was.is_none_or(|was| was <= told.in_bytes));
                }
            }
            prop_assert_eq!(all.values().sum::<i64>(), counted);
        }
    }
}
