//! How often firewalls' rules were met, read now and then for all VPSes together.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use berth_proto::{FirewallHits, VpsId};

use super::net::NetError;
use super::{LinuxHost, lock};

/// Reading lists the whole table, so it is not done for every report.
const EVERY: Duration = Duration::from_secs(30);

/// What was read last.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Read>);

#[derive(Debug, Default)]
struct Read {
    at: Option<Instant>,
    hits: BTreeMap<VpsId, FirewallHits>,
    private: BTreeMap<VpsId, FirewallHits>,
    /// How often rules were changed: what was being read meanwhile is of nobody knows which.
    changes: u64,
}

impl LinuxHost {
    /// Reads the counters of all rules, if that was not done a moment ago. On failure nothing is known.
    pub(super) async fn read_hits(&self) {
        let changes = {
            let seen = lock(&self.hits.0);
            if seen.at.is_some_and(|at| at.elapsed() < EVERY) {
                return;
            }
            seen.changes
        };
        let known = |read: Result<BTreeMap<VpsId, FirewallHits>, NetError>| {
            read.unwrap_or_else(|error| {
                tracing::warn!(%error, "hits of firewalls cannot be read");
                BTreeMap::new()
            })
        };
        let (hits, private) = (known(self.net.hits().await), known(self.net.private.hits().await));
        let mut seen = lock(&self.hits.0);
        if seen.changes == changes {
            (seen.at, seen.hits, seen.private) = (Some(Instant::now()), hits, private);
        }
    }

    /// What was read last of a VPS.
    pub(super) fn known_hits(&self, id: VpsId) -> Option<FirewallHits> {
        lock(&self.hits.0).hits.get(&id).cloned()
    }

    /// The same of its private networks.
    pub(super) fn known_private_hits(&self, id: VpsId) -> Option<FirewallHits> {
        lock(&self.hits.0).private.get(&id).cloned()
    }

    /// The rules of a VPS were changed: what was read is not about them.
    pub(super) fn forget_hits(&self, id: VpsId) {
        let mut seen = lock(&self.hits.0);
        seen.changes += 1;
        seen.hits.remove(&id);
        seen.private.remove(&id);
    }
}
