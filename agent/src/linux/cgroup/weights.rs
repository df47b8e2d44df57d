//! CPU weights: each VPS's share when there is not enough for all, and what of it amounts to a guarantee.
//!
//! The kernel knows no guarantees, only weights. On the CPUs that a VPS may use, the worst that can happen is that
//! everybody else who may use any of them wants all of it at once: then it gets `m × w / (w + o)` of its `m` CPUs, with
//! `o` the weights of the others. (How the others spread over those CPUs makes no worse: `w / (w + o)` is convex in `o`,
//! so an even spread is the worst.) A guarantee is held by a weight that is large enough for that. Weights that rise for
//! one VPS make others' guarantees need more, so they are found together, by rounds that only ever raise them. What
//! cannot be had within the kernel's range of weights is told as it is ([`given_milli`]).
//!
//! This is about VPSes among each other. Against the rest of the machine they stand together, with the weight of as many
//! cores as it has.

use std::collections::BTreeMap;

use berth_proto::{Limits, VpsId};

/// The kernel's largest weight on cgroup2.
pub(super) const MOST: i64 = 10_000;

/// Rounds after which the weights are taken as they are; guarantees that add up to less than the machine need a few.
const ROUNDS: usize = 100;

/// What one VPS asks of the CPUs that it may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    /// Weight without regard to guarantees.
    pub(super) weight: i64,
    /// Thousandths of a core that it must get; 0 for none.
    pub(super) guarantee_milli: i64,
    /// The CPUs that it may use.
    pub(super) cpus: Vec<u32>,
}

impl Claim {
    pub(super) fn of(limits: &Limits, cpus: Vec<u32>) -> Self {
        Self { weight: asked(limits), guarantee_milli: limits.cpu_guarantee_milli.max(0), cpus }
    }

    fn capacity(&self) -> i64 {
        i64::try_from(self.cpus.len()).unwrap_or(1).max(1) * 1000
    }

    fn meets(&self, other: &Self) -> bool {
        self.cpus.iter().any(|cpu| other.cpus.contains(cpu))
    }
}

/// The weight that a plan asks for; 100 is one core's.
pub(super) fn asked(limits: &Limits) -> i64 {
    let weight = if limits.cpu_weight > 0 { limits.cpu_weight } else { limits.cpu_milli / 10 };
    weight.clamp(1, MOST)
}

/// The weights with which every guarantee holds, as far as that can be.
pub(super) fn solve(claims: &BTreeMap<VpsId, Claim>) -> BTreeMap<VpsId, i64> {
    let mut weights: BTreeMap<VpsId, i64> = claims.iter().map(|(id, c)| (*id, c.weight)).collect();
    let guaranteed: Vec<_> = claims.iter().filter(|(_, c)| c.guarantee_milli > 0).collect();
    for _ in 0..ROUNDS {
        let mut raised = false;
        for (id, claim) in &guaranteed {
            let needed = needed(claim, others(claims, &weights, **id));
            let weight = weights.entry(**id).or_default();
            if needed > *weight {
                *weight = needed;
                raised = true;
            }
        }
        if !raised {
            break;
        }
    }
    weights
}

/// Thousandths of a core that a VPS gets with these weights, whatever others do.
pub(super) fn given_milli(claims: &BTreeMap<VpsId, Claim>, weights: &BTreeMap<VpsId, i64>, id: VpsId) -> i64 {
    let (Some(claim), Some(weight)) = (claims.get(&id), weights.get(&id)) else { return 0 };
    claim.capacity() * weight / (weight + others(claims, weights, id)).max(1)
}

fn others(claims: &BTreeMap<VpsId, Claim>, weights: &BTreeMap<VpsId, i64>, id: VpsId) -> i64 {
    let Some(own) = claims.get(&id) else { return 0 };
    let beside = claims.iter().filter(|(other, claim)| **other != id && claim.meets(own));
    beside.filter_map(|(other, _)| weights.get(other)).sum()
}

/// The smallest weight `w` with `capacity × w / (w + others)` at least the guarantee.
fn needed(claim: &Claim, others: i64) -> i64 {
    let rest = claim.capacity() - claim.guarantee_milli;
    if others == 0 {
        return 1;
    }
    if rest <= 0 {
        return MOST;
    }
    let exact =
        (i128::from(claim.guarantee_milli) * i128::from(others) + i128::from(rest - 1)) / i128::from(rest);
    i64::try_from(exact).unwrap_or(MOST).min(MOST)
}

/// A weight as v1 counts it, where 1024 is one core's.
pub(super) fn to_shares(weight: i64) -> i64 {
    (weight * 1024 / 100).clamp(2, 262_144)
}

/// The weight that v1's count stands for.
pub(super) fn from_shares(shares: i64) -> i64 {
    ((shares * 100 + 512) / 1024).clamp(1, MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claims(rows: &[(i64, i64, &[u32])]) -> BTreeMap<VpsId, Claim> {
        let claim = |(weight, guarantee_milli, cpus): &(i64, i64, &[u32])| Claim {
            weight: *weight,
            guarantee_milli: *guarantee_milli,
            cpus: cpus.to_vec(),
        };
        (1..).map(VpsId).zip(rows.iter().map(claim)).collect()
    }

    fn given(rows: &[(i64, i64, &[u32])]) -> Vec<(i64, i64)> {
        let claims = claims(rows);
        let weights = solve(&claims);
        claims.keys().map(|id| (weights[id], given_milli(&claims, &weights, *id))).collect()
    }

    #[test]
    fn a_weight_is_asked_for_or_follows_the_cap() {
        let weight = |cpu_milli, cpu_weight| asked(&Limits { cpu_milli, cpu_weight, ..Limits::default() });
        assert_eq!([weight(1000, 0), weight(250, 0), weight(1, 0), weight(1000, 7)], [100, 25, 1, 7]);
        assert_eq!(weight(1_000_000, 0), MOST);
    }

    #[test]
    fn without_guarantees_nothing_is_raised() {
        assert_eq!(
            given(&[(100, 0, &[0]), (300, 0, &[0]), (100, 0, &[1])]),
            [(100, 250), (300, 750), (100, 1000)]
        );
    }

    #[test]
    fn a_guarantee_raises_a_weight_only_as_far_as_needed() {
        assert_eq!(given(&[(100, 500, &[0]), (300, 0, &[0])]), [(300, 500), (300, 500)]);
        // Enough already, and nobody beside it.
        assert_eq!(given(&[(100, 200, &[0]), (100, 0, &[0])])[0].0, 100);
        assert_eq!(given(&[(100, 1000, &[0]), (100, 0, &[1])])[0], (100, 1000));
    }

    #[test]
    fn what_cannot_be_had_is_told() {
        let told = given(&[(100, 1000, &[0]), (100, 0, &[0])]);
        assert_eq!(told[0], (MOST, 990));
        let told = given(&[(100, 600, &[0]), (100, 600, &[0])]);
        assert!(told.iter().all(|(_, milli)| (490..600).contains(milli)), "{told:?}");
    }

    #[test]
    fn both_scales_name_the_same_weight() {
        for weight in 1..=MOST {
            assert_eq!(from_shares(to_shares(weight)), weight, "{weight}");
        }
    }

    proptest! {
        #[test]
        fn guarantees_within_half_of_the_cpus_hold(
            plans in prop::collection::vec((1i64..200, 0i64..150, prop::collection::btree_set(0u32..4, 1..4)), 1..7),
        ) {
            let rows: Vec<_> =
                plans.iter().map(|(w, g, cpus)| (*w, *g, cpus.iter().copied().collect::<Vec<_>>())).collect();
            let rows: Vec<_> = rows.iter().map(|(w, g, cpus)| (*w, *g, cpus.as_slice())).collect();
            // At most six others of 150 each may meet on one CPU: more than it has cannot be promised.
            prop_assume!(rows.iter().map(|r| r.1).sum::<i64>() < 500);
            for ((weight, milli), row) in given(&rows).into_iter().zip(&rows) {
                prop_assert!(milli >= row.1 && weight >= row.0 && weight <= MOST, "{milli} of {row:?}");
            }
        }
    }
}
