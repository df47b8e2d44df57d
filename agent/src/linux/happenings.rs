//! What happened to running guests: who was killed for memory, and which limits were hit.
//!
//! Counters of the kernel say that something happened, and its log says to whom ([`super::kmsg`]); both are looked at
//! with each report, and the log also at once, while the dead process still has a number inside its guest. A log line
//! comes before its counter rises, so the counters are read first: kills that no line named are told without a name.
//!
//! What is kept is bounded: the newest [`KEPT`] of each guest, and a limit that is hit all the time is told once in
//! [`QUIET`]. It is kept in a file beside the monitor's socket too, so an agent that has just been started neither
//! tells anything twice nor counts from one again; the file goes when the guest does.
#![expect(unsafe_code, reason = "tokio asks for a promise about the descriptor that it watches")]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use berth_proto::{LimitName, VpsEvent, VpsHappening, VpsId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::cgroup::{Tree, Usage};
use super::{kmsg, lock};

/// Events that are kept of a guest.
const KEPT: usize = 16;
/// A limit that was hit is told again after this time at the earliest.
const QUIET: TimeDelta = TimeDelta::minutes(10);
/// The CPU cap makes processes wait all the time; it is told when they waited this long since it was told last.
const LONG_THROTTLED_USEC: i64 = 1_000_000;

/// What happened to one guest since it was started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Log {
    seq: i64,
    events: VecDeque<VpsEvent>,
    /// Kills that were told, named or not.
    kills: i64,
    /// What each counter stood at, and when, when its limit was told last.
    told: BTreeMap<LimitName, (i64, DateTime<Utc>)>,
}

impl Log {
    fn push(&mut self, at: DateTime<Utc>, what: VpsHappening) {
        self.seq += 1;
        self.events.push_back(VpsEvent { seq: self.seq, at, what });
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    fn killed(&mut self, at: DateTime<Utc>, victim: String, pid: Option<i32>) {
        self.kills += 1;
        self.push(at, VpsHappening::OomKill { victim, pid });
    }

    /// Takes in counters.
    fn look(&mut self, at: DateTime<Utc>, usage: &Usage) {
        let unnamed = usage.hits.oom_kills - self.kills;
        for _ in 0..unnamed.min(i64::try_from(KEPT).unwrap_or(0)) {
            self.push(at, VpsHappening::OomKill { victim: String::new(), pid: None });
        }
        self.kills += unnamed.max(0);
        for (limit, counter, least, count) in [
            (LimitName::MemoryBytes, usage.hits.memory_max, 1, usage.hits.memory_max),
            (LimitName::MemoryHighBytes, usage.memory_high, 1, usage.memory_high),
            (LimitName::SwapBytes, usage.swap_max, 1, usage.swap_max),
            (LimitName::Pids, usage.hits.pids_max, 1, usage.hits.pids_max),
            (LimitName::CpuMilli, usage.hits.cpu_throttled_usec, LONG_THROTTLED_USEC, usage.cpu_throttled),
        ] {
            let (before, quiet) = match self.told.get(&limit) {
                Some((counter, told)) => (*counter, at - *told < QUIET),
                None => (0, false),
            };
            if counter - before >= least && !quiet {
                self.told.insert(limit, (counter, at));
                self.push(at, VpsHappening::LimitHit { limit, count });
            }
        }
    }
}

/// What happened to the guests of this host.
#[derive(Debug)]
pub(super) struct Happenings {
    shared: Arc<Shared>,
    reader: Option<tokio::task::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    tree: Arc<Tree>,
    run_dir: PathBuf,
    kernel_log: Option<Arc<File>>,
    logs: Mutex<HashMap<VpsId, Log>>,
}

impl Drop for Happenings {
    fn drop(&mut self) {
        if let Some(reader) = &self.reader {
            reader.abort();
        }
    }
}

impl Happenings {
    /// Reads the kernel's log from now on, if this machine lets it be read.
    pub(super) fn new(tree: Arc<Tree>, run_dir: &Path) -> Self {
        let kernel_log = match kmsg::open() {
            Ok(log) => Some(Arc::new(log)),
            Err(error) => {
                tracing::warn!(%error, "kills for memory are told without a name: /dev/kmsg cannot be read");
                None
            }
        };
        let run_dir = run_dir.to_owned();
        let shared = Arc::new(Shared { tree, run_dir, kernel_log, logs: Mutex::default() });
        let reader = shared.kernel_log.clone().map(|log| tokio::spawn(follow(log, Arc::downgrade(&shared))));
        Self { shared, reader }
    }

    /// A guest is being started: nothing has happened to it.
    pub(super) fn begin(&self, id: VpsId) {
        lock(&self.shared.logs).insert(id, Log::default());
        let _ = std::fs::remove_file(self.shared.file(id)); // mostly there is none
    }

    /// What has happened to a running guest, oldest first.
    pub(super) fn of(&self, id: VpsId) -> Vec<VpsEvent> {
        let usage = self.shared.tree.usage(id);
        self.shared.drain();
        let mut logs = lock(&self.shared.logs);
        let log = logs.entry(id).or_insert_with(|| self.shared.load(id));
        let before = (log.seq, log.kills);
        log.look(Utc::now(), &usage);
        let events = log.events.iter().cloned().collect();
        if before != (log.seq, log.kills) || !self.shared.file(id).exists() {
            self.shared.save(id, log);
        }
        events
    }

    /// A guest is gone, and what happened to it.
    pub(super) fn forget(&self, id: VpsId) {
        lock(&self.shared.logs).remove(&id);
    }
}

impl Shared {
    fn drain(&self) {
        let Some(log) = &self.kernel_log else { return };
        while let Some(line) = kmsg::next(log) {
            let Some(kill) = line else { continue };
            let Some(id) = self.tree.owner(&kill.group).filter(|id| self.tree.has(*id)) else { continue };
            let inside = kmsg::pid_inside(kill.pid);
            let mut logs = lock(&self.logs);
            let log = logs.entry(id).or_insert_with(|| self.load(id));
            log.killed(Utc::now(), kill.victim, inside);
            self.save(id, log);
        }
    }

    fn file(&self, id: VpsId) -> PathBuf {
        self.run_dir.join(id.to_string()).join("events.json")
    }

    fn load(&self, id: VpsId) -> Log {
        let read = std::fs::read(self.file(id)).ok().and_then(|json| serde_json::from_slice(&json).ok());
        read.unwrap_or_default()
    }

    /// An agent after this one would tell again what could not be written; that is all.
    fn save(&self, id: VpsId, log: &Log) {
        let (file, partial) = (self.file(id), self.file(id).with_extension("new"));
        if let Ok(json) = serde_json::to_vec(log) {
            let _ = std::fs::write(&partial, json).and_then(|()| std::fs::rename(partial, file));
        }
    }
}

async fn follow(log: Arc<File>, shared: Weak<Shared>) {
    // SAFETY: the file is open for as long as `log` is, and nobody puts another in its place.
    let Ok(log) = (unsafe { AsyncFd::register_with_interest(log, Interest::READABLE) }) else { return };
    while let Ok(mut ready) = log.readable().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.drain();
        ready.clear_ready();
    }
}

#[cfg(test)]
mod tests {
    use berth_proto::LimitHits;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn usage(oom_kills: i64, pids_max: i64, cpu_throttled_usec: i64) -> Usage {
        let hits = LimitHits { oom_kills, pids_max, cpu_throttled_usec, ..LimitHits::default() };
        Usage { hits, cpu_throttled: 5, ..Usage::default() }
    }

    fn limits(log: &Log) -> Vec<(LimitName, i64)> {
        let hit = |event: &VpsEvent| match &event.what {
            VpsHappening::LimitHit { limit, count } => Some((*limit, *count)),
            _ => None,
        };
        log.events.iter().filter_map(hit).collect()
    }

    #[test]
    fn kills_are_told_once_with_or_without_a_name() {
        let mut log = Log::default();
        log.killed(at(0), "a".into(), Some(5));
        log.look(at(0), &usage(1, 0, 0));
        assert_eq!(log.events.len(), 1);
        log.look(at(1), &usage(3, 0, 0));
        let names: Vec<_> = log.events.iter().map(|e| (e.seq, e.what.clone())).collect();
        let nameless = VpsHappening::OomKill { victim: String::new(), pid: None };
        let first = VpsHappening::OomKill { victim: "a".into(), pid: Some(5) };
        assert_eq!(names, [(1, first), (2, nameless.clone()), (3, nameless)]);
        log.look(at(2), &usage(3, 0, 0));
        assert_eq!(log.seq, 3);
    }

    #[test]
    fn a_limit_that_is_hit_all_the_time_is_told_now_and_then() {
        let mut log = Log::default();
        log.look(at(0), &usage(0, 2, 900_000));
        assert_eq!(limits(&log), [(LimitName::Pids, 2)]);
        log.look(at(5), &usage(0, 9, 1_500_000));
        assert_eq!(limits(&log)[1..], [(LimitName::CpuMilli, 5)]);
        log.look(at(11), &usage(0, 9, 1_500_000));
        assert_eq!(limits(&log)[2..], [(LimitName::Pids, 9)]);
        log.look(at(30), &usage(0, 9, 1_500_000));
        assert_eq!(limits(&log).len(), 3);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut log = Log::default();
        log.look(at(0), &usage(1_000_000, 0, 0));
        for n in 0..40 {
            log.killed(at(n), format!("p{n}"), None);
        }
        assert_eq!((log.events.len(), log.kills), (KEPT, 1_000_040));
        assert_eq!(log.events.back().unwrap().seq, log.seq);
        let again: Log = serde_json::from_slice(&serde_json::to_vec(&log).unwrap()).unwrap();
        assert_eq!((again.events, again.seq), (log.events, log.seq));
    }
}
