//! Walls that the operator, or the month's traffic, puts around a VPS: what holds now, and isolating one.

use berth_proto::BlockedPort;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::types::Json;

use super::limits::project_of;
use super::lock::{lock, next_seq};
use super::read::{Vps, get};
use crate::app::App;
use crate::db::events;
use crate::domain::traffic::bandwidth;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// What holds for a VPS's network now.
#[derive(Clone, Debug)]
pub struct Network {
    /// Since when an operator has isolated it.
    pub isolated_at: Option<DateTime<Utc>>,
    /// Why.
    pub isolated_reason: Option<String>,
    /// Whether nothing passes because of its traffic.
    pub suspended: bool,
    /// Mbit/s to which its bandwidth is lowered because of its traffic; 0 for not.
    pub throttle_mbit: i64,
    /// Mbit/s each way that its host is told; 0 for no limit.
    pub bandwidth_mbit: i64,
    /// 0, 80 or 100.
    pub percent: i16,
    /// What its plan does with VPSes that have used up what is included.
    pub over_traffic: String,
    /// Whether what is included is one sum for the whole project.
    pub pooled: bool,
    /// What its plan lets nobody be reached at.
    pub blocked_ports: Vec<BlockedPort>,
}

/// What holds for the network of a VPS of a project.
pub async fn network(db: &PgPool, project: ProjectId, id: VpsId) -> Result<Network> {
    let row = sqlx::query!(
        r#"select v.isolated_at, v.isolated_reason, v.traffic_suspended, v.traffic_throttle_mbit, v.traffic_percent,
                  v.bandwidth_mbit, p.over_traffic, j.traffic_pooled,
                  p.blocked_ports as "blocked_ports: Json<Vec<BlockedPort>>"
           from vps v join plans p on p.id = v.plan_id join projects j on j.id = v.project_id
           where v.id = $1 and v.project_id = $2 and v.deleted_at is null"#,
        id.0,
        project.0
    );
    let row = row.fetch_optional(db).await?.ok_or(Error::NotFound("server"))?;
    Ok(Network {
        isolated_at: row.isolated_at,
        isolated_reason: row.isolated_reason,
        suspended: row.traffic_suspended,
        throttle_mbit: row.traffic_throttle_mbit,
        bandwidth_mbit: bandwidth(row.bandwidth_mbit, row.traffic_throttle_mbit),
        percent: row.traffic_percent,
        over_traffic: row.over_traffic,
        pooled: row.traffic_pooled,
        blocked_ports: row.blocked_ports.0,
    })
}

/// Isolates a VPS of any project for this reason, or (none) lets it be reached again; for operators. What is so already
/// stays, with the newer reason.
pub async fn isolate(app: &App, id: VpsId, reason: Option<&str>) -> Result<Vps> {
    let project = project_of(&app.db, id).await?;
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?;
    if vps.deleting {
        return Err(Error::Locked("the server is being deleted".into()));
    }
    let seq = next_seq(&mut tx, vps.host).await?;
    let changed = sqlx::query!(
        "update vps set isolated_at = case when $2::text is not null then coalesce(isolated_at, now()) end,
                        isolated_reason = $2, generation = generation + 1, host_seq = $3
         where id = $1 and isolated_reason is distinct from $2",
        id.0,
        reason,
        seq
    );
    if changed.execute(&mut *tx).await?.rows_affected() > 0 {
        let (kind, detail) = match reason {
            Some(reason) => ("isolated", serde_json::json!({"reason": reason})),
            None => ("released", serde_json::json!({})),
        };
        events::note_measure(&mut tx, id, kind, detail).await?;
    }
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}
