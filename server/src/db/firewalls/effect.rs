//! What a project's firewalls mean for each of its VPSes: at its public interface all of them, in private networks those
//! whose tenant wants them there.

use std::collections::{BTreeMap, BTreeSet};

use berth_proto::Firewall;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::db::vps::next_seq;
use crate::domain::firewall::{MAX_EFFECTIVE, MAX_FIREWALLS, Rule, effective, merged};
use crate::domain::labels::Labels;
use crate::domain::selector::Selector;
use crate::error::{Error, Result};
use crate::ids::{FirewallId, HostId, ProjectId, VpsId};

/// All firewalls of a project and whom they are applied to.
pub(super) struct All {
    pub(super) rules: BTreeMap<i64, Vec<Rule>>,
    private: BTreeSet<i64>,
    by_vps: Vec<(i64, i64)>,
    by_selector: Vec<(i64, Selector)>,
}

/// What holds for one VPS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Walls {
    /// Its firewalls, in the order of their ids.
    members: Vec<i64>,
    /// What they mean together; none: everything passes.
    pub(super) public: Option<Firewall>,
    /// The same in private networks.
    pub(super) private: Option<Firewall>,
}

impl All {
    pub(super) async fn read(tx: &mut PgConnection, project: ProjectId) -> Result<Self> {
        let rules = sqlx::query!(
            r#"select id, private, rules as "rules: Json<Vec<Rule>>" from firewalls where project_id = $1"#,
            project.0
        );
        let rows = rules.fetch_all(&mut *tx).await?;
        let private = rows.iter().filter(|row| row.private).map(|row| row.id).collect();
        let rules = rows.into_iter().map(|row| (row.id, row.rules.0)).collect();
        let targets = sqlx::query!(
            "select firewall_id, vps_id, selector from firewall_targets t
             join firewalls f on f.id = t.firewall_id where f.project_id = $1",
            project.0
        );
        let (mut by_vps, mut by_selector) = (Vec::new(), Vec::new());
        for row in targets.fetch_all(&mut *tx).await? {
            by_vps.extend(row.vps_id.map(|vps| (row.firewall_id, vps)));
            if let Some(text) = row.selector {
                by_selector.push((row.firewall_id, Selector::parse(&text)?));
            }
        }
        Ok(Self { rules, private, by_vps, by_selector })
    }

    /// What holds for a VPS with these labels.
    pub(super) fn of(&self, vps: VpsId, labels: &Labels) -> Result<Walls> {
        let named = self.by_vps.iter().filter(|(_, id)| *id == vps.0).map(|(firewall, _)| *firewall);
        let labelled = self
            .by_selector
            .iter()
            .filter(|(_, selector)| selector.matches(labels))
            .map(|(firewall, _)| *firewall);
        let mut ids: Vec<i64> = named.chain(labelled).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > MAX_FIREWALLS {
            let message = format!(
                "server {vps} would have {} firewalls; at most {MAX_FIREWALLS} are possible",
                ids.len()
            );
            return Err(Error::LimitExceeded(message));
        }
        let public = merged(ids.iter().filter_map(|id| self.rules.get(id)));
        let private = ids.iter().filter(|id| self.private.contains(id));
        let private = merged(private.filter_map(|id| self.rules.get(id)));
        let count = public.as_ref().map_or(0, effective);
        if count > MAX_EFFECTIVE {
            let message = format!(
                "server {vps} would have {count} effective rules; at most {MAX_EFFECTIVE} are possible"
            );
            return Err(Error::LimitExceeded(message));
        }
        Ok(Walls { members: ids, public, private })
    }
}

/// Whose desired state changed.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// VPSes with their new generations.
    pub(super) vpses: Vec<(VpsId, i64)>,
    /// Their hosts, to be woken after the commit.
    pub(super) hosts: Vec<HostId>,
}

/// Computes for every VPS of a project anew what its firewalls are, and tells the hosts of those for which that is
/// something else now. The caller holds the project's row for update, and no host's.
pub(super) async fn everywhere(tx: &mut PgConnection, project: ProjectId) -> Result<Changes> {
    let all = All::read(tx, project).await?;
    let vpses = sqlx::query!(
        r#"select v.id, v.host_id, v.labels as "labels: Json<Labels>", v.firewall as "firewall: Json<Firewall>",
                  v.private_firewall as "private_firewall: Json<Firewall>",
                  array(select firewall_id from vps_firewalls m where m.vps_id = v.id order by 1) as "members!"
           from vps v where v.project_id = $1 and v.deleting_at is null and v.deleted_at is null order by v.id"#,
        project.0
    );
    let mut different = Vec::new();
    for vps in vpses.fetch_all(&mut *tx).await? {
        let id = VpsId(vps.id);
        let walls = all.of(id, &vps.labels)?;
        let before = Walls {
            members: vps.members,
            public: vps.firewall.map(|json| json.0),
            private: vps.private_firewall.map(|json| json.0),
        };
        if walls != before {
            different.push((id, HostId(vps.host_id), walls));
        }
    }
    let mut hosts: Vec<i64> = different.iter().map(|(_, host, ..)| host.0).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let held = sqlx::query_scalar!("select id from hosts where id = any($1) order by id for update", &hosts);
    held.fetch_all(&mut *tx).await?;
    let mut changes = Changes { vpses: Vec::new(), hosts: hosts.into_iter().map(HostId).collect() };
    for (id, host, walls) in different {
        let generation = tell(tx, id, host, &walls).await?;
        changes.vpses.extend(generation.map(|generation| (id, generation)));
        write_members(tx, id, &walls.members).await?;
    }
    Ok(changes)
}

/// Keeps firewalls as they are until the transaction ends. Before any host's row is taken.
pub(in crate::db) async fn hold_still(tx: &mut PgConnection, project: ProjectId) -> Result<()> {
    sqlx::query!("select id from projects where id = $1 for share", project.0).fetch_one(tx).await?;
    Ok(())
}

/// Applies firewalls to a VPS that is being made: those that are named, and those whose selectors fit. The caller holds
/// the project's row by [`hold_still`] and has just written the VPS's row.
pub(in crate::db) async fn at_birth(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    labels: &Labels,
    named: &[FirewallId],
) -> Result<()> {
    for id in named {
        let added = sqlx::query!(
            "insert into firewall_targets (firewall_id, vps_id)
             select id, $3 from firewalls where id = $2 and project_id = $1 on conflict do nothing",
            project.0,
            id.0,
            vps.0
        );
        let known = sqlx::query_scalar!(
            r#"select exists (select from firewalls where id = $2 and project_id = $1) as "known!""#,
            project.0,
            id.0
        );
        if added.execute(&mut *tx).await?.rows_affected() == 0 && !known.fetch_one(&mut *tx).await? {
            return Err(Error::invalid("firewalls", format!("firewall {id} not found")));
        }
    }
    let walls = All::read(tx, project).await?.of(vps, labels)?;
    let written = sqlx::query!(
        "update vps set firewall = $2, private_firewall = $3 where id = $1",
        vps.0,
        walls.public.map(Json) as _,
        walls.private.map(Json) as _
    );
    written.execute(&mut *tx).await?;
    write_members(tx, vps, &walls.members).await
}

/// Applies what follows from new labels of a VPS. The caller holds the project's row by [`hold_still`] and then the
/// host's and the VPS's. Gives the new generation if there is one.
pub(in crate::db) async fn relabelled(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    host: HostId,
    labels: &Labels,
) -> Result<Option<i64>> {
    let walls = All::read(tx, project).await?.of(vps, labels)?;
    let now = sqlx::query!(
        r#"select firewall as "public: Json<Firewall>", private_firewall as "private: Json<Firewall>"
           from vps where id = $1"#,
        vps.0
    );
    let now = now.fetch_one(&mut *tx).await?;
    write_members(tx, vps, &walls.members).await?;
    let (public, private) = (now.public.map(|json| json.0), now.private.map(|json| json.0));
    if public == walls.public && private == walls.private {
        Ok(None)
    } else {
        tell(tx, vps, host, &walls).await
    }
}

/// Writes new desired state; none when the VPS is on its way out.
async fn tell(tx: &mut PgConnection, vps: VpsId, host: HostId, walls: &Walls) -> Result<Option<i64>> {
    let seq = next_seq(tx, host).await?;
    let written = sqlx::query_scalar!(
        "update vps set firewall = $2, private_firewall = $3, generation = generation + 1, host_seq = $4
         where id = $1 and deleting_at is null and deleted_at is null returning generation",
        vps.0,
        walls.public.as_ref().map(Json) as _,
        walls.private.as_ref().map(Json) as _,
        seq
    );
    Ok(written.fetch_optional(tx).await?)
}

async fn write_members(tx: &mut PgConnection, vps: VpsId, members: &[i64]) -> Result<()> {
    sqlx::query!("delete from vps_firewalls where vps_id = $1 and firewall_id <> all($2)", vps.0, members)
        .execute(&mut *tx)
        .await?;
    let added = sqlx::query!(
        "insert into vps_firewalls (vps_id, firewall_id) select $1, unnest($2::bigint[]) on conflict do nothing",
        vps.0,
        members
    );
    added.execute(&mut *tx).await?;
    Ok(())
}
