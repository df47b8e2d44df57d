//! What a report of an agent changes: the host's row, what was observed of its VPSes, and the few changes of desired
//! state that follow (see `fleet::outcome`).
//!
//! One transaction a report, few statements whatever the number of VPSes. It takes the host's row first, so reports of
//! one host follow each other, and desired state stands still meanwhile. Every statement names the host: an agent
//! cannot touch what is another's.

use berth_proto::{Report, VpsObserved};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::domain::life::parse_policy;
use crate::fleet::outcome::{Waiting, Wanted};

/// The host whose report is taken in.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Its sequence.
    pub(crate) seq: i64,
    /// Whether this report's figures go into the samples.
    pub(crate) sample: bool,
    /// Whether it became something else.
    pub(crate) changed: bool,
    /// Whether it was not heard of for a while, so its VPSes were shown as unknown.
    pub(crate) returned: bool,
    /// What it had that is not ours to run there.
    pub(crate) orphans: Value,
}

/// A VPS of the host.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Its desired state.
    pub(crate) wanted: Wanted,
    /// Its project.
    pub(crate) project: i64,
    /// Whether any report has named it.
    pub(crate) seen_before: bool,
    /// What was observed last.
    pub(crate) state: String,
    /// Whether it was seen to stand still.
    pub(crate) frozen: bool,
    /// When the guest was started that was observed last.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// What was observed last of its limits.
    pub(crate) limits: Option<Value>,
}

/// Takes the host's row and notes what the report says of the host. None when a newer report was here already.
///
/// Reports are ordered by the start of the agent's process and their number in it. A host whose clock was in the future
/// once would be deaf for ever, so after a silence any report is taken.
pub(crate) async fn take(tx: &mut PgConnection, host: i64, report: &Report) -> anyhow::Result<Option<Host>> {
    let facts = report.facts.as_ref().map(serde_json::to_value).transpose()?;
    let metrics = report.metrics.as_ref().map(serde_json::to_value).transpose()?;
    let images = Some(serde_json::to_value(&report.images)?); // a partial report leaves out VPSes, not images
    let taken = sqlx::query_as!(
        Host,
        r#"update hosts h set
             agent_started_us = $2, report_seq = $3, agent_version = $4, last_report_at = now(),
             capacity_cpu_milli = $5, capacity_memory = $6, capacity_disk = $7,
             facts = coalesce($8, h.facts), metrics = coalesce($9, h.metrics), images = coalesce($10, h.images),
             sampled_at = case when not $11 and (h.sampled_at > now() - interval '5 seconds') is not true
                               then now() else h.sampled_at end
           from hosts old
           where h.id = $1 and old.id = h.id
             and ((h.agent_started_us, h.report_seq) < ($2, $3) or h.last_report_at < now() - interval '30 seconds')
           returning h.seq, h.orphans, coalesce(h.sampled_at = now(), false) as "sample!",
             (old.last_report_at > now() - interval '60 seconds') is not true as "returned!",
             ((old.capacity_cpu_milli, old.capacity_memory, old.capacity_disk) <> ($5, $6, $7) or old.facts <> h.facts)
               as "changed!""#,
        host,
        report.agent_started_us,
        report.seq,
        report.agent_version,
        report.capacity.cpu_milli,
        report.capacity.memory_bytes,
        report.capacity.disk_bytes,
        facts,
        metrics,
        images,
        report.partial
    );
    Ok(taken.fetch_optional(tx).await?)
}

/// The host's VPSes: all that it should have, and those of `named` that it had once.
pub(crate) async fn vpses(tx: &mut PgConnection, host: i64, named: &[i64]) -> anyhow::Result<Vec<Row>> {
    let rows = sqlx::query!(
        r#"select id, project_id, generation, host_seq, boot_epoch, password_epoch,
                  case when suspended then 'stopped' else power end as "power!", restart_policy, observed_state,
                  observed_frozen, observed_started_at, observed_limits,
                  deleting_at is not null as "deleting!", deleted_at is not null as "deleted!",
                  observed_at is not null as "seen_before!"
           from vps where host_id = $1 and (deleted_at is null or id = any($2)) order by id"#,
        host,
        named
    );
    let mut found = Vec::new();
    for r in rows.fetch_all(tx).await? {
        let wanted = Wanted {
            id: r.id,
            generation: r.generation,
            host_seq: r.host_seq,
            power: super::watch::power(&r.power)?,
            boot_epoch: r.boot_epoch,
            password_epoch: r.password_epoch,
            restart: parse_policy("restart_policy", &r.restart_policy)?,
            deleting: r.deleting,
            deleted: r.deleted,
        };
        found.push(Row {
            wanted,
            project: r.project_id,
            seen_before: r.seen_before,
            state: r.observed_state,
            frozen: r.observed_frozen,
            started_at: r.observed_started_at,
            limits: r.observed_limits,
        });
    }
    Ok(found)
}

/// The actions of the host's VPSes that have not ended, with the VPS of each.
pub(crate) async fn waiting(tx: &mut PgConnection, host: i64) -> sqlx::Result<Vec<(i64, Waiting)>> {
    let rows = sqlx::query!(
        r#"select a.id, v.id as vps_id, a.command, a.generation, a.boot_epoch, a.password_epoch
           from actions a join vps v on v.id = a.vps_id
           where a.status = 'running' and v.host_id = $1 order by a.id"#,
        host
    );
    let waiting = rows.fetch_all(tx).await?.into_iter().map(|r| {
        let action = Waiting {
            id: r.id,
            command: r.command,
            generation: r.generation,
            boot_epoch: r.boot_epoch,
            password_epoch: r.password_epoch,
        };
        (r.vps_id, action)
    });
    Ok(waiting.collect())
}

/// Notes what was observed. All ids are VPSes of this host.
pub(crate) async fn observed(tx: &mut PgConnection, host: i64, seen: &[&VpsObserved]) -> anyhow::Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let column = |f: fn(&VpsObserved) -> i64| seen.iter().map(|s| f(s)).collect::<Vec<i64>>();
    let json = |f: fn(&VpsObserved) -> serde_json::Result<Option<Value>>| {
        seen.iter().map(|s| f(s)).collect::<Result<Vec<Option<Value>>, _>>()
    };
    let states = seen.iter().map(|s| state_name(s)).collect::<Result<Vec<String>, _>>()?;
    let started: Vec<Option<DateTime<Utc>>> = seen.iter().map(|s| s.started_at).collect();
    sqlx::query!(
        r#"update vps v set
             observed_generation = u.generation, observed_state = u.state, observed_boot_epoch = u.boot_epoch,
             observed_password_epoch = u.password_epoch, observed_started_at = u.started_at, observed_exit = u.exit,
             observed_fault = u.fault, observed_metrics = u.metrics, observed_frozen = u.frozen,
             observed_limits = u.limits, observed_routed = u.routed, observed_at = now()
           from unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[],
                       $8::jsonb[], $9::jsonb[], $10::jsonb[], $11::boolean[], $12::jsonb[], $13::jsonb[])
             as u(id, generation, state, boot_epoch, password_epoch, started_at, exit, fault, metrics, frozen, limits, routed)
           where v.id = u.id and v.host_id = $1"#,
        host,
        &column(|s| s.id.0),
        &column(|s| s.generation),
        &states,
        &column(|s| s.boot_epoch),
        &column(|s| s.password_epoch),
        &started as &[Option<DateTime<Utc>>],
        &json(|s| s.exit.map(serde_json::to_value).transpose())? as &[Option<Value>],
        &json(|s| s.fault.as_ref().map(serde_json::to_value).transpose())? as &[Option<Value>],
        &json(|s| s.metrics.map(serde_json::to_value).transpose())? as &[Option<Value>],
        &seen.iter().map(|s| s.frozen).collect::<Vec<bool>>(),
        &json(limits_value)? as &[Option<Value>],
        &json(|s| s.routed.as_ref().map(serde_json::to_value).transpose())? as &[Option<Value>],
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What became of the limits, as the database keeps it; none where the host says nothing of them.
pub(crate) fn limits_value(seen: &VpsObserved) -> serde_json::Result<Option<Value>> {
    if seen.limits.is_empty() { Ok(None) } else { serde_json::to_value(&seen.limits).map(Some) }
}

/// A state as the database and the wire spell it.
pub(crate) fn state_name(seen: &VpsObserved) -> serde_json::Result<String> {
    serde_json::from_value(serde_json::to_value(seen.state)?)
}

/// Notes that nobody knows what these VPSes of the host are doing.
pub(crate) async fn lost(tx: &mut PgConnection, host: i64, ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "update vps set observed_state = 'unknown', observed_metrics = null, observed_limits = null, observed_routed = null,
                        observed_at = now()
         where host_id = $1 and id = any($2)",
        host,
        ids
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes what the host has that is not ours to run there.
pub(crate) async fn orphans(tx: &mut PgConnection, host: i64, orphans: &Value) -> sqlx::Result<()> {
    sqlx::query!("update hosts set orphans = $2 where id = $1", host, orphans).execute(tx).await?;
    Ok(())
}

/// Writes the desired state that a report has changed, under the host's next sequence.
pub(crate) async fn rewrite(tx: &mut PgConnection, host: i64, row: &Wanted) -> sqlx::Result<()> {
    let power = match row.power {
        berth_proto::Power::Running => "running",
        berth_proto::Power::Stopped => "stopped",
    };
    let seq = sqlx::query_scalar!("update hosts set seq = seq + 1 where id = $1 returning seq", host)
        .fetch_one(&mut *tx)
        .await?;
    sqlx::query!(
        "update vps set host_seq = $3, generation = $4, power = case when suspended then power else $5 end, boot_epoch = $6, password_epoch = $7
         where id = $2 and host_id = $1",
        host,
        row.id,
        seq,
        row.generation,
        power,
        row.boot_epoch,
        row.password_epoch
    )
    .execute(tx)
    .await?;
    Ok(())
}
