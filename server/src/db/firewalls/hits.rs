//! How often rules were met, and what other rules would change.

use berth_proto::{Firewall as Effective, FirewallHits, FirewallRule, Hits, VpsObserved};
use sqlx::PgPool;
use sqlx::types::Json;

use super::effect::All;
use super::get;
use crate::domain::firewall::Rule;
use crate::domain::labels::Labels;
use crate::error::Result;
use crate::ids::{FirewallId, ProjectId, VpsId};

/// Hits at one VPS of the rules of one firewall.
#[derive(Clone, Debug)]
pub struct OfVps {
    /// The VPS.
    pub vps: VpsId,
    /// At its public interface; none while the host has not told of the rules that hold now.
    pub public: Option<Counted>,
    /// In its private networks; none also where the firewall does not hold there.
    pub private: Option<Counted>,
}

/// Hits on one side.
#[derive(Clone, Debug)]
pub struct Counted {
    /// In the order of the firewall's rules.
    pub rules: Vec<Hits>,
    /// What none of the VPS's firewalls let in.
    pub dropped_in: Hits,
    /// What none of them let out.
    pub dropped_out: Hits,
}

/// How often the rules of a firewall were met, at each VPS that it holds for. Where several firewalls of a VPS have the
/// same rule, each is told all of its hits.
pub async fn hits(db: &PgPool, project: ProjectId, id: FirewallId) -> Result<Vec<OfVps>> {
    let firewall = get(db, project, id).await?;
    let rows = sqlx::query!(
        r#"select v.id, v.firewall as "firewall: Json<Effective>", v.observed_hits as "hits: Json<FirewallHits>",
                  v.private_firewall as "private_firewall: Json<Effective>",
                  v.observed_private_hits as "private_hits: Json<FirewallHits>"
           from vps_firewalls m join vps v on v.id = m.vps_id
           where m.firewall_id = $1 and v.project_id = $2 and v.deleted_at is null order by v.id"#,
        id.0,
        project.0
    );
    let counted = |known: Option<(Json<Effective>, Json<FirewallHits>)>| {
        known.map(|(rules, hits)| Counted {
            rules: of_rules(&firewall.rules, &rules, &hits),
            dropped_in: hits.dropped_in,
            dropped_out: hits.dropped_out,
        })
    };
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| OfVps {
        vps: VpsId(row.id),
        public: counted(row.firewall.zip(row.hits)),
        private: counted(row.private_firewall.zip(row.private_hits).filter(|_| firewall.private)),
    });
    Ok(rows.collect())
}

fn effective(rule: &Rule) -> FirewallRule {
    FirewallRule { protocol: rule.protocol, ports: rule.ports, nets: rule.nets.clone() }
}

fn of_rules(rules: &[Rule], all: &Effective, hits: &FirewallHits) -> Vec<Hits> {
    let of = |rule: &Rule| {
        let (side, hits) =
            if rule.inbound { (&all.inbound, &hits.inbound) } else { (&all.outbound, &hits.outbound) };
        let place = side.iter().position(|other| *other == effective(rule))?;
        hits.iter().find(|hit| usize::try_from(hit.rule) == Ok(place)).map(|hit| hit.hits)
    };
    rules.iter().map(|rule| of(rule).unwrap_or_default()).collect()
}

/// What would change for one VPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The VPS.
    pub vps: VpsId,
    /// What would be let through besides.
    pub added: Vec<Side>,
    /// What would not be let through any more.
    pub removed: Vec<Side>,
    /// What would be let through besides in private networks.
    pub private_added: Vec<Side>,
    /// What would not be let through any more in private networks.
    pub private_removed: Vec<Side>,
}

/// A rule, and whether it is about what comes in.
pub type Side = (bool, FirewallRule);

/// What would change for each VPS if a firewall had these rules; nothing is changed. VPSes for which all would stay are
/// left out: another firewall of theirs says the same.
///
/// # Errors
/// Those that setting the rules would have.
pub async fn try_rules(
    db: &PgPool,
    project: ProjectId,
    id: FirewallId,
    rules: &[Rule],
) -> Result<Vec<Difference>> {
    get(db, project, id).await?;
    let mut tx = db.begin().await?;
    let mut all = All::read(&mut tx, project).await?;
    all.rules.insert(id.0, rules.to_vec());
    let vpses = sqlx::query!(
        r#"select v.id, v.labels as "labels: Json<Labels>", v.firewall as "firewall: Json<Effective>",
                  v.private_firewall as "private_firewall: Json<Effective>"
           from vps v where v.project_id = $1 and v.deleting_at is null and v.deleted_at is null order by v.id"#,
        project.0
    );
    let mut differences = Vec::new();
    for row in vpses.fetch_all(&mut *tx).await? {
        let after = all.of(VpsId(row.id), &row.labels)?;
        let public = difference(row.firewall.map(|json| json.0), after.public);
        let private = difference(row.private_firewall.map(|json| json.0), after.private);
        if public.is_some() || private.is_some() {
            let ((added, removed), (private_added, private_removed)) =
                (public.unwrap_or_default(), private.unwrap_or_default());
            let vps = VpsId(row.id);
            differences.push(Difference { vps, added, removed, private_added, private_removed });
        }
    }
    Ok(differences)
}

/// What is new, and what is gone.
fn difference(before: Option<Effective>, after: Option<Effective>) -> Option<(Vec<Side>, Vec<Side>)> {
    let sides = |firewall: Option<Effective>| {
        let firewall = firewall.unwrap_or_default();
        let inbound = firewall.inbound.iter().map(|rule| (true, rule.clone()));
        inbound.chain(firewall.outbound.iter().map(|rule| (false, rule.clone()))).collect::<Vec<Side>>()
    };
    let (before, after) = (sides(before), sides(after));
    let beyond = |all: &[Side], others: &[Side]| {
        all.iter().filter(|rule| !others.contains(rule)).cloned().collect::<Vec<Side>>()
    };
    let (added, removed) = (beyond(&after, &before), beyond(&before, &after));
    (!added.is_empty() || !removed.is_empty()).then_some((added, removed))
}

/// Keeps what a host told of rules; what is not of the rules that hold now is not known. All are VPSes of the host.
pub(crate) async fn note(tx: &mut sqlx::PgConnection, host: i64, seen: &[&VpsObserved]) -> sqlx::Result<()> {
    let ids: Vec<i64> = seen.iter().map(|vps| vps.id.0).collect();
    let generations: Vec<i64> = seen.iter().map(|vps| vps.generation).collect();
    let json = |hits: &Option<FirewallHits>| hits.as_ref().and_then(|hits| serde_json::to_value(hits).ok());
    let hits: Vec<Option<serde_json::Value>> = seen.iter().map(|vps| json(&vps.hits)).collect();
    let private: Vec<Option<serde_json::Value>> = seen.iter().map(|vps| json(&vps.private_hits)).collect();
    sqlx::query!(
        "update vps v set observed_hits = case when u.generation >= v.generation then u.hits end,
                          observed_private_hits = case when u.generation >= v.generation then u.private end
         from unnest($2::bigint[], $3::bigint[], $4::jsonb[], $5::jsonb[]) as u(id, generation, hits, private)
         where v.id = u.id and v.host_id = $1
           and (v.observed_hits is distinct from case when u.generation >= v.generation then u.hits end
                or v.observed_private_hits is distinct from case when u.generation >= v.generation then u.private end)",
        host,
        &ids,
        &generations,
        &hits as &[Option<serde_json::Value>],
        &private as &[Option<serde_json::Value>]
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use berth_proto::{FirewallProtocol, RuleHits};

    use super::*;
    use crate::domain::firewall::merged;

    fn rule(inbound: bool, port: u16) -> Rule {
        let nets = vec!["0.0.0.0/0".parse().unwrap()];
        Rule { inbound, protocol: FirewallProtocol::Tcp, ports: Some((port, port)), nets, description: None }
    }

    fn hit(rule: u32, packets: i64) -> RuleHits {
        RuleHits { rule, hits: Hits { packets, bytes: packets * 60 } }
    }

    #[test]
    fn hits_go_by_what_a_rule_says_not_by_its_place() {
        let (one, two) = (vec![rule(true, 80), rule(false, 53)], vec![rule(true, 22), rule(true, 80)]);
        let all = merged([&two, &one]).unwrap();
        let hits = FirewallHits {
            inbound: vec![hit(0, 7), hit(1, 9)],
            outbound: vec![hit(0, 3)],
            ..FirewallHits::default()
        };
        let packets =
            |rules: &[Rule], hits| of_rules(rules, &all, hits).iter().map(|h| h.packets).collect::<Vec<_>>();
        assert_eq!(packets(&one, &hits), [9, 3]);
        assert_eq!(packets(&two, &hits), [7, 9]);
        assert_eq!(packets(&[rule(true, 443)], &hits), [0]);
        let nonsense = FirewallHits { inbound: vec![hit(u32::MAX, 7)], ..FirewallHits::default() };
        assert_eq!(packets(&two, &nonsense), [0, 0]);
    }

    #[test]
    fn a_difference_names_what_is_new_and_what_is_gone() {
        let of = |rules: &[Rule]| merged([&rules.to_vec()]).unwrap();
        let before = of(&[rule(true, 22), rule(true, 80)]);
        let after = of(&[rule(true, 80), rule(false, 53)]);
        let (added, removed) = difference(Some(before), Some(after.clone())).unwrap();
        assert_eq!(added, [(false, effective(&rule(false, 53)))]);
        assert_eq!(removed, [(true, effective(&rule(true, 22)))]);
        assert_eq!(difference(Some(after.clone()), Some(after)), None);
    }
}
