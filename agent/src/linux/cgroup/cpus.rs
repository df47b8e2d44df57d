//! Which CPUs a VPS sees.
//!
//! A guest counts its CPUs by its affinity, so a plan of two cores needs a set of two CPUs for `nproc` to be true. The
//! CPUs with the least sold on them are taken; a set that still has the right size stays as it is, because moving a
//! running guest costs it its caches.

use std::collections::HashMap;

use berth_proto::VpsId;

/// Who may use which CPUs.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    online: Vec<u32>,
    given: HashMap<VpsId, Vec<u32>>,
}

impl Assignment {
    pub(super) fn new(online: Vec<u32>, given: HashMap<VpsId, Vec<u32>>) -> Self {
        Self { online, given }
    }

    /// The CPUs of a VPS with this cap, in the kernel's list format.
    pub(super) fn assign(&mut self, id: VpsId, cpu_milli: i64) -> String {
        let count = usize::try_from((cpu_milli + 999) / 1000).unwrap_or(1).clamp(1, self.online.len().max(1));
        let kept = self
            .given
            .get(&id)
            .filter(|set| set.len() == count && set.iter().all(|c| self.online.contains(c)));
        let set = kept.cloned().unwrap_or_else(|| self.least_sold(id, count));
        let list = set.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        self.given.insert(id, set);
        list
    }

    /// The CPUs of a VPS; none if it has not been given any.
    pub(super) fn of(&self, id: VpsId) -> Vec<u32> {
        self.given.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn release(&mut self, id: VpsId) {
        self.given.remove(&id);
    }

    fn least_sold(&self, id: VpsId, count: usize) -> Vec<u32> {
        let sold =
            |cpu: &u32| self.given.iter().filter(|(vps, set)| **vps != id && set.contains(cpu)).count();
        let mut cpus: Vec<_> = self.online.iter().map(|cpu| (sold(cpu), *cpu)).collect();
        cpus.sort_unstable();
        let mut set: Vec<_> = cpus.into_iter().take(count).map(|(_, cpu)| cpu).collect();
        set.sort_unstable();
        set
    }
}

/// Reads the kernel's list format: `0-3,8`. What makes no sense is left out.
pub(super) fn parse_list(text: &str) -> Vec<u32> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            cpus.extend(first..=last.min(first.saturating_add(8191)));
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_list("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_list("\n"), [0u32; 0]);
    }

    #[test]
    fn a_set_stays_until_its_size_changes() {
        let mut a = Assignment::new(vec![0, 1, 2, 3], HashMap::new());
        assert_eq!(a.assign(VpsId(1), 1000), "0");
        assert_eq!(a.assign(VpsId(2), 1500), "1,2");
        a.release(VpsId(2));
        assert_eq!(a.assign(VpsId(1), 500), "0");
        assert_eq!(a.assign(VpsId(1), 9000), "0,1,2,3");
    }

    proptest! {
        #[test]
        fn load_is_spread_evenly(plans in prop::collection::vec(1i64..4000, 1..40)) {
            let mut a = Assignment::new(vec![0, 1, 2, 3], HashMap::new());
            for (id, milli) in (1..).zip(&plans) {
                let set = parse_list(&a.assign(VpsId(id), *milli));
                prop_assert_eq!(set.len() as i64, (milli + 999) / 1000);
            }
            let sold = |cpu: u32| a.given.values().filter(|s| s.contains(&cpu)).count();
            let counts: Vec<_> = (0..4).map(sold).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{:?}", counts);
        }
    }
}
