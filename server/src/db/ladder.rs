//! The ladder that VPSes climb with their traffic (see [`crate::domain::traffic`]): what there is to decide upon, and
//! carrying a decision out.

use chrono::NaiveDate;
use sqlx::PgPool;

use super::events;
use super::vps::next_seq;
use crate::app::App;
use crate::domain::traffic::{Account, Level, News, Over, level, news};
use crate::error::Result;
use crate::ids::{HostId, VpsId};
use crate::wake::Changed;

/// A VPS that has climbed, or may have to.
#[derive(Clone, Debug)]
pub struct Climber {
    /// Which VPS.
    pub id: VpsId,
    /// The month that it is about.
    pub month: NaiveDate,
    /// How it stands.
    pub now: Level,
    /// How it should stand.
    pub should: Level,
}

/// Every VPS that stands otherwise than it should.
///
/// Of a pooled project everything counts together: what VPSes used that have been deleted this month, and what their
/// plans included.
pub async fn climbers(db: &PgPool) -> Result<Vec<Climber>> {
    let rows = sqlx::query!(
        r#"with months as (select traffic_period(now()) as month),
           accounts as (
             select v.id, v.project_id, p.included_traffic as included, coalesce(t.out_bytes, 0) as used
             from months m cross join vps v join plans p on p.id = v.plan_id
                  left join traffic t on t.vps_id = v.id and t.period = m.month
             where v.deleted_at is null or t.vps_id is not null
           ), pools as (
             select a.project_id, sum(a.used) as used, sum(a.included) as included
             from accounts a join projects j on j.id = a.project_id
             where j.traffic_pooled and a.included > 0 group by a.project_id
           ), all_of_them as (
             select a.id, case when a.included > 0 then coalesce(s.used, a.used) else 0 end as used,
                    case when a.included > 0 then coalesce(s.included, a.included) else 0 end as included
             from accounts a left join pools s on s.project_id = a.project_id
           )
           select v.id, m.month as "month!", least(a.used, 9e18)::bigint as "used!",
                  least(a.included, 9e18)::bigint as "included!",
                  p.over_traffic, p.throttle_mbit, v.traffic_percent, v.traffic_throttle_mbit, v.traffic_suspended
           from months m cross join all_of_them a join vps v on v.id = a.id join plans p on p.id = v.plan_id
           where v.deleting_at is null and v.deleted_at is null
             and (v.traffic_percent > 0 or v.traffic_throttle_mbit > 0 or v.traffic_suspended
                  or a.included > 0 and a.used * 5 >= a.included::numeric * 4)
           order by v.id"#
    );
    let mut climbers = Vec::new();
    for row in rows.fetch_all(db).await? {
        let account = Account {
            used: row.used,
            included: row.included,
            over: Over::parse("over_traffic", &row.over_traffic)?,
            throttle_mbit: row.throttle_mbit,
        };
        let now = Level {
            percent: row.traffic_percent,
            throttle_mbit: row.traffic_throttle_mbit,
            suspended: row.traffic_suspended,
        };
        let should = level(&account);
        if now != should {
            climbers.push(Climber { id: VpsId(row.id), month: row.month, now, should });
        }
    }
    Ok(climbers)
}

/// Lets a VPS stand as it should, and tells its host and its tenant. False when it was changed meanwhile: then the next
/// look decides.
pub async fn climb(app: &App, climber: &Climber) -> Result<bool> {
    let Climber { id, month, now, should } = climber;
    let mut tx = app.db.begin().await?;
    let host = sqlx::query_scalar!(
        "select h.id from hosts h where h.id = (select host_id from vps where id = $1) for update",
        id.0
    );
    let Some(host) = host.fetch_optional(&mut *tx).await? else { return Ok(false) };
    let told = (now.throttle_mbit, now.suspended) != (should.throttle_mbit, should.suspended);
    let seq = if told { Some(next_seq(&mut tx, HostId(host)).await?) } else { None };
    let changed = sqlx::query_scalar!(
        "update vps set traffic_percent = $2, traffic_throttle_mbit = $3, traffic_suspended = $4,
                        generation = generation + case when $5::bigint is null then 0 else 1 end,
                        host_seq = coalesce($5, host_seq)
         where id = $1 and host_id = $6 and deleting_at is null and deleted_at is null
           and traffic_percent = $7 and traffic_throttle_mbit = $8 and traffic_suspended = $9
         returning project_id",
        id.0,
        should.percent,
        should.throttle_mbit,
        should.suspended,
        seq,
        host,
        now.percent,
        now.throttle_mbit,
        now.suspended
    );
    let Some(project) = changed.fetch_optional(&mut *tx).await? else { return Ok(false) };
    for what in news(*now, *should) {
        let (kind, seq, detail) = words(what, *should);
        events::note_once(&mut tx, *id, *month, seq, kind, detail).await?;
    }
    tx.commit().await?;
    if told {
        app.wake.changed(Changed::Host(host));
    }
    app.wake.changed(Changed::Project(project));
    Ok(true)
}

/// Kind, number within the month, and detail.
fn words(what: News, now: Level) -> (&'static str, i64, serde_json::Value) {
    match what {
        News::Reached(percent) => {
            ("traffic_reached", -i64::from(percent), serde_json::json!({"percent": percent}))
        }
        News::Throttled => ("traffic_throttled", -101, serde_json::json!({"mbit": now.throttle_mbit})),
        News::Suspended => ("traffic_suspended", -102, serde_json::json!({})),
        News::Restored => ("traffic_restored", -103, serde_json::json!({})),
    }
}
