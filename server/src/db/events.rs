//! What happened to guests, newest kept: their starts and ends, as seen in the difference of two reports, and what hosts
//! tell of running ones (processes killed for want of memory, limits hit).
//!
//! Hosts tell the same events again with every report, so a row is named by the guest's start and a number, and what is
//! there already is passed over. Of one VPS at most [`KEEP`] rows stay, by the statement that adds some; old ones of
//! guests that are gone are removed by the background task. Texts were cut to size when the report came in.

use berth_proto::{Exit, VpsEvent, VpsHappening, VpsObserved, VpsState};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};

use super::page::{Listed, Page};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};

/// Events of one VPS that are kept.
pub const KEEP: i64 = 500;

/// Days after which events of guests that are gone are forgotten.
const KEEP_DAYS: i32 = 90;

/// Something that happened to a guest.
#[derive(Clone, Debug)]
pub struct Event {
    /// Rises with the order in which events became known.
    pub id: i64,
    /// When the guest was started that it happened to; of what befell the VPS as such, when that was, or the month.
    pub boot: DateTime<Utc>,
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// `started`, `stopped`, `halted`, `rebooted`, `crashed`, `lost`, `oom_kill` or `limit_hit`; `isolated` or `released`;
    /// `traffic_reached`, `traffic_throttled`, `traffic_suspended` or `traffic_restored`.
    pub kind: String,
    /// What more is known: `exit` of an end; `victim` and `pid` of a kill; `limit` and `count` of a hit; `reason` of an
    /// isolation; `percent` of what was reached; `mbit` of a throttle.
    pub detail: Value,
}

/// Events of a VPS of a project, newest first.
pub async fn list(db: &PgPool, project: ProjectId, id: VpsId, page: Page) -> Result<Listed<Event>> {
    let total = sqlx::query_scalar!(
        r#"select (select count(*) from vps_events e where e.vps_id = v.id) as "total!"
           from vps v where v.id = $1 and v.project_id = $2 and v.deleted_at is null"#,
        id.0,
        project.0
    );
    let total = total.fetch_optional(db).await?.ok_or(Error::NotFound("server"))?;
    let items = sqlx::query_as!(
        Event,
        "select id, boot, at, kind, detail from vps_events where vps_id = $1
         order by at desc, id desc limit $2 offset $3",
        id.0,
        page.size,
        page.offset()
    );
    Ok(Listed { items: items.fetch_all(db).await?, total })
}

/// Notes what a report tells of its VPSes' guests; gives the VPSes of which something is new. `changed` are those that
/// are seen in another state, or with another guest, than before. All are VPSes of the reporting host.
pub(crate) async fn note(
    tx: &mut PgConnection,
    seen: &[&VpsObserved],
    changed: &[&VpsObserved],
) -> sqlx::Result<Vec<i64>> {
    let sure: Vec<&VpsObserved> = changed.iter().copied().filter(|s| s.state != VpsState::Unknown).collect();
    let mut new = Vec::new();
    // What a guest did before its end comes before its end, and after its start.
    let (running, ended): (Vec<&VpsObserved>, Vec<_>) =
        seen.iter().copied().partition(|s| s.started_at.is_some());
    new.extend(told(tx, &ended).await?);
    if !sure.is_empty() {
        new.extend(ends(tx, &sure).await?);
        new.extend(starts(tx, &sure).await?);
    }
    new.extend(told(tx, &running).await?);
    new.sort_unstable();
    new.dedup();
    if !new.is_empty() {
        prune(tx, &new).await?;
    }
    Ok(new)
}

/// Notes what an operator has done to a VPS, at this moment.
pub(crate) async fn note_measure(
    tx: &mut PgConnection,
    vps: VpsId,
    kind: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into vps_events (vps_id, boot, seq, at, kind, detail) values ($1, now(), -2, now(), $2, $3)
         on conflict do nothing",
        vps.0,
        kind,
        detail
    )
    .execute(&mut *tx)
    .await?;
    prune(tx, &[vps.0]).await
}

/// Notes what befalls a VPS once a month of traffic; `seq` (below -2) says which of these things.
pub(crate) async fn note_once(
    tx: &mut PgConnection,
    vps: VpsId,
    month: NaiveDate,
    seq: i64,
    kind: &str,
    detail: Value,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into vps_events (vps_id, boot, seq, at, kind, detail)
         values ($1, $2::date::timestamp at time zone 'UTC', $3, now(), $4, $5) on conflict do nothing",
        vps.0,
        month,
        seq,
        kind,
        detail
    )
    .execute(&mut *tx)
    .await?;
    prune(tx, &[vps.0]).await
}

/// Guests that were not known to run.
async fn starts(tx: &mut PgConnection, seen: &[&VpsObserved]) -> sqlx::Result<Vec<i64>> {
    let running: Vec<(i64, DateTime<Utc>)> =
        seen.iter().filter_map(|s| Some((s.id.0, s.started_at?))).collect();
    let (ids, boots): (Vec<i64>, Vec<DateTime<Utc>>) = running.into_iter().unzip();
    let new = sqlx::query_scalar!(
        "insert into vps_events (vps_id, boot, seq, at, kind)
         select u.id, u.boot, 0, least(u.boot, now()), 'started'
         from unnest($1::bigint[], $2::timestamptz[]) as u(id, boot)
         where not exists (select from vps_events e where e.vps_id = u.id and e.boot = u.boot and e.seq = 0)
         on conflict do nothing returning vps_id",
        &ids,
        &boots
    );
    new.fetch_all(tx).await
}

/// Guests that were known to run, and are not there any more.
async fn ends(tx: &mut PgConnection, seen: &[&VpsObserved]) -> sqlx::Result<Vec<i64>> {
    let ids: Vec<i64> = seen.iter().map(|s| s.id.0).collect();
    let boots: Vec<Option<DateTime<Utc>>> = seen.iter().map(|s| s.started_at).collect();
    let kinds: Vec<String> = seen.iter().map(|s| kind_of_end(s.exit).to_owned()).collect();
    let details: Vec<Value> = seen.iter().map(|s| json!({"exit": s.exit})).collect();
    let new = sqlx::query_scalar!(
        "insert into vps_events (vps_id, boot, seq, at, kind, detail)
         select e.vps_id, e.boot, -1, least(now(), u.boot), u.kind, u.detail
         from unnest($1::bigint[], $2::timestamptz[], $3::text[], $4::jsonb[]) as u(id, boot, kind, detail)
              join vps_events e on e.vps_id = u.id and e.seq = 0 and e.boot is distinct from u.boot
         where not exists (select from vps_events x where x.vps_id = e.vps_id and x.boot = e.boot and x.seq = -1)
         on conflict do nothing returning vps_id",
        &ids,
        &boots as &[Option<DateTime<Utc>>],
        &kinds,
        &details
    );
    new.fetch_all(tx).await
}

fn kind_of_end(exit: Option<Exit>) -> &'static str {
    match exit {
        Some(Exit::Stopped) => "stopped",
        Some(Exit::Halt) => "halted",
        Some(Exit::Reboot) => "rebooted",
        Some(Exit::Lost) | None => "lost",
        Some(_) => "crashed",
    }
}

/// What hosts tell. What they tell of a guest that has just ended belongs to the last one that was known. The times are
/// the host's own: they are brought between the start of the guest and now.
async fn told(tx: &mut PgConnection, seen: &[&VpsObserved]) -> sqlx::Result<Vec<i64>> {
    let all: Vec<(&VpsObserved, &VpsEvent, &'static str, Value)> = seen
        .iter()
        .flat_map(|s| s.events.iter().map(move |event| (*s, event)))
        .filter_map(|(s, event)| words(&event.what).map(|(kind, detail)| (s, event, kind, detail)))
        .collect();
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = all.iter().map(|(s, ..)| s.id.0).collect();
    let boots: Vec<Option<DateTime<Utc>>> = all.iter().map(|(s, ..)| s.started_at).collect();
    let seqs: Vec<i64> = all.iter().map(|(_, event, ..)| event.seq).collect();
    let times: Vec<DateTime<Utc>> = all.iter().map(|(_, event, ..)| event.at).collect();
    let kinds: Vec<String> = all.iter().map(|(_, _, kind, _)| (*kind).to_owned()).collect();
    let details: Vec<Value> = all.into_iter().map(|(_, _, _, detail)| detail).collect();
    let new = sqlx::query_scalar!(
        "insert into vps_events (vps_id, boot, seq, at, kind, detail)
         select u.id, b.boot, u.seq, greatest(b.boot, least(u.at, now())), u.kind, u.detail
         from unnest($1::bigint[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::text[], $6::jsonb[])
                as u(id, boot, seq, at, kind, detail),
              lateral (select coalesce(u.boot, (select max(s.boot) from vps_events s
                                                where s.vps_id = u.id and s.seq = 0)) as boot) b
         where b.boot is not null
           and not exists (select from vps_events e where e.vps_id = u.id and e.boot = b.boot and e.seq = u.seq)
         order by u.id, u.seq
         on conflict do nothing returning vps_id",
        &ids,
        &boots as &[Option<DateTime<Utc>>],
        &seqs,
        &times,
        &kinds,
        &details
    );
    new.fetch_all(tx).await
}

/// Kind and detail; none for what this release does not know.
fn words(what: &VpsHappening) -> Option<(&'static str, Value)> {
    match what {
        VpsHappening::OomKill { victim, pid } => Some(("oom_kill", json!({"victim": victim, "pid": pid}))),
        VpsHappening::LimitHit { limit, count } => {
            Some(("limit_hit", json!({"limit": limit, "count": count})))
        }
        VpsHappening::Unknown => None,
    }
}

/// Removes what is more than [`KEEP`]. The start of a guest that has not ended stays: by it its end is known.
async fn prune(tx: &mut PgConnection, vpses: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from vps_events e using (
             select id, row_number() over (partition by vps_id order by at desc, id desc) as n from vps_events
             where vps_id = any($1)) old
         where e.id = old.id and old.n > $2
           and (e.seq <> 0 or exists (select from vps_events x
                                      where x.vps_id = e.vps_id and x.boot = e.boot and x.seq = -1))",
        vpses,
        KEEP
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Removes old events of guests that are gone, and all of VPSes that are. What a host still tells would come again, so
/// events of a guest that runs stay.
pub async fn forget(db: &PgPool) -> sqlx::Result<u64> {
    let old = sqlx::query!(
        "delete from vps_events e using vps v
         where v.id = e.vps_id
           and (v.deleted_at is not null
             or e.at < now() - make_interval(days => $1) and e.boot is distinct from v.observed_started_at)",
        KEEP_DAYS
    );
    Ok(old.execute(db).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        for (exit, kind) in [
            (Some(Exit::Stopped), "stopped"),
            (Some(Exit::Halt), "halted"),
            (Some(Exit::Reboot), "rebooted"),
            (Some(Exit::Code(0)), "crashed"),
            (Some(Exit::Signal(9)), "crashed"),
            (Some(Exit::Lost), "lost"),
            (None, "lost"),
        ] {
            assert_eq!(kind_of_end(exit), kind, "{exit:?}");
        }
        assert_eq!(words(&VpsHappening::Unknown), None);
    }
}
