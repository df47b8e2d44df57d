//! What VPSes share with each other: the CPUs by weights, and what the memory of all is sure of.

use std::collections::{BTreeMap, HashMap};
use std::sync::MutexGuard;

use berth_proto::{Limits, VpsId};

use super::{Result, Tree, limits, read, weights};

/// What each VPS asks of the CPUs, and the bytes of memory that it is sure of.
pub(super) type Claims = BTreeMap<VpsId, (weights::Claim, i64)>;

impl Tree {
    /// Takes in what was put in force under a VPS that runs, by an agent before this one, and changes nothing.
    pub fn remember(&self, id: VpsId, limits: &Limits) {
        let cpus = self.assignment().of(id);
        let claim = weights::Claim::of(limits, cpus);
        self.claims().insert(id, (claim, limits.memory_guarantee_bytes.max(0)));
    }

    /// Weighs all VPSes against each other, so that each has its share and its guarantees. One that is being removed
    /// meanwhile does not matter, unless it is the one that this is done for.
    pub(super) fn share_out(&self, own: Option<VpsId>) -> Result<()> {
        let claims = self.claims();
        let cpu: BTreeMap<_, _> = claims.iter().map(|(id, (claim, _))| (*id, claim.clone())).collect();
        let hierarchy = self.controller("cpu")?;
        for (id, weight) in weights::solve(&cpu) {
            let set = limits::set_weight(hierarchy, &self.group(hierarchy, id), weight);
            if own == Some(id) {
                set?;
            }
        }
        let memory = self.controller("memory")?;
        if memory.v2 {
            // a group is sure of no more than the group above it
            let sum: i64 = claims.values().map(|(_, min)| min / 4096 * 4096).sum();
            limits::plain(&memory.root.join(&self.parent), "memory.min", &sum.to_string())?;
        }
        Ok(())
    }

    /// Thousandths of a core that a VPS with this weight gets whatever the others do.
    pub(super) fn given_milli(&self, id: VpsId, weight: i64) -> i64 {
        let claims: BTreeMap<_, _> =
            self.claims().iter().map(|(id, (claim, _))| (*id, claim.clone())).collect();
        let mut weights = weights::solve(&claims);
        weights.insert(id, weight);
        weights::given_milli(&claims, &weights, id)
    }

    /// Lets all VPSes together weigh as much against the rest of the machine as it has cores, unless somebody has said
    /// otherwise: by default the kernel takes them for one service among many.
    pub(super) fn weigh_parent(&self, cores: usize) -> Result<()> {
        let hierarchy = self.controller("cpu")?;
        let parent = hierarchy.root.join(&self.parent);
        if limits::weight(hierarchy, &parent) != Some(100) {
            return Ok(());
        }
        let weight = i64::try_from(cores).unwrap_or(1).saturating_mul(100).clamp(100, weights::MOST);
        limits::set_weight(hierarchy, &parent, weight)
    }

    fn weight(&self, id: VpsId) -> Option<i64> {
        let hierarchy = self.layout.with_controller("cpu")?;
        limits::weight(hierarchy, &self.group(hierarchy, id))
    }

    fn memory_min(&self, id: VpsId) -> i64 {
        let group = self.layout.with_controller("memory").map(|h| self.group(h, id).join("memory.min"));
        group.and_then(|file| read(&file).ok()?.trim().parse().ok()).unwrap_or(0)
    }

    /// What is known of VPSes before somebody remembers what was asked for: what the kernel holds.
    pub(super) fn find_claims(&self, known: &HashMap<VpsId, Vec<u32>>) {
        for (id, cpus) in known {
            let weight = self.weight(*id).unwrap_or(1);
            let claim = weights::Claim { weight, guarantee_milli: 0, cpus: cpus.clone() };
            let min = self.memory_min(*id);
            self.claims().insert(*id, (claim, min));
        }
    }

    pub(super) fn forget_claim(&self, id: VpsId) {
        self.claims().remove(&id);
    }

    fn claims(&self) -> MutexGuard<'_, Claims> {
        self.claims.lock().expect("no code panics while holding this lock")
    }
}
