//! The limits of one VPS: reading what was asked and what became of it, and changing single ones under a running guest.
//!
//! The row holds the figures that are asked for now. They are the plan's until a single one is changed, and all of them
//! become a plan's again when the VPS gets a plan (`resize`), its own included. What a host observed is beside them and
//! may be of an older generation: [`Report::current`] says so.

use berth_proto::{LimitHits, LimitState, Limits, VpsMetrics};
use sqlx::{PgConnection, PgPool};

use super::lock::{lock, next_seq};
use super::room;
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::db::{plans, quotas};
use crate::domain::limits::{By, Change, booked, change};
use crate::error::{Error, Result};
use crate::ids::{PlanId, ProjectId, VpsId};
use crate::wake::Changed;

const COMMAND: &str = "change_limits";

/// What a VPS may use and what became of that.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is asked for.
    pub asked: Limits,
    /// What its plan gives.
    pub plan: Limits,
    /// What its host said last of each limit; empty while the VPS does not run, or the host says nothing of limits.
    pub states: Vec<LimitState>,
    /// How often limits were hit since the guest was started; none while it does not run.
    pub hits: Option<LimitHits>,
    /// Whether what the host said answers what is asked for now.
    pub current: bool,
}

/// The limits of a VPS of a project.
pub async fn limits(db: &PgPool, project: ProjectId, id: VpsId) -> Result<Report> {
    let mut connection = db.acquire().await?;
    let row = sqlx::query!(
        r#"select plan_id, observed_limits, observed_metrics, observed_generation >= generation as "current!"
           from vps where id = $1 and project_id = $2 and deleted_at is null"#,
        id.0,
        project.0
    );
    let row = row.fetch_optional(&mut *connection).await?.ok_or(Error::NotFound("server"))?;
    let metrics: Option<VpsMetrics> =
        row.observed_metrics.and_then(|metrics| serde_json::from_value(metrics).ok());
    Ok(Report {
        asked: of(&mut connection, id).await?,
        plan: plans::get(&mut *connection, row.plan_id.into()).await?.limits(),
        states: row
            .observed_limits
            .and_then(|states| serde_json::from_value(states).ok())
            .unwrap_or_default(),
        hits: metrics.map(|metrics| metrics.hits),
        current: row.current,
    })
}

/// The project of a VPS; for operators, who name VPSes by id alone.
pub async fn project_of(db: &PgPool, id: VpsId) -> Result<ProjectId> {
    let project =
        sqlx::query_scalar!("select project_id from vps where id = $1 and deleted_at is null", id.0);
    Ok(project.fetch_optional(db).await?.ok_or(Error::NotFound("server"))?.into())
}

/// Changes single limits of a VPS, running or not. What is so already succeeds at once.
///
/// # Errors
/// `invalid_input` when a figure is impossible, or is more than a tenant may have; `resource_unavailable` when the host
/// has no room for it; `resource_limit_exceeded` when a tenant asks and the project's quota has none.
pub async fn set_limits(app: &App, project: ProjectId, id: VpsId, wanted: &Change, by: By) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let quota = match by {
        By::Tenant => Some(quotas::hold(&mut tx, project).await?),
        By::Operator => None, // who sets quotas is not bound by them
    };
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    let plan_id: i64 =
        sqlx::query_scalar!("select plan_id from vps where id = $1", id.0).fetch_one(&mut *tx).await?;
    let plan = plans::get(&mut *tx, plan_id.into()).await?.limits();
    let now = of(&mut tx, id).await?;
    let new = change(&now, &plan, wanted, by)?;
    if new == now {
        let new = NewAction { generation: vps.generation, ..waiting(id) };
        let action = actions::insert_done(&mut tx, project, new).await?;
        tx.commit().await?;
        return Ok(action);
    }
    let instead = "lower the limits of another server there first";
    room::change(&mut tx, vps.host, &booked(&now, &plan), &booked(&new, &plan), instead).await?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let generation = vps.generation + 1;
    write(&mut tx, id, (generation, seq), plan_id.into(), &new).await?;
    if let Some(quota) = quota {
        quota.check(&mut tx).await?;
    }
    let action = actions::insert(&mut tx, project, NewAction { generation, ..waiting(id) }).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

fn waiting(vps: VpsId) -> NewAction<'static> {
    NewAction { command: COMMAND, vps, generation: 0, boot_epoch: 0, password_epoch: 0 }
}

/// What is asked for. Whether the caller may know is decided before.
pub(super) async fn of(db: &mut PgConnection, id: VpsId) -> Result<Limits> {
    let limits = sqlx::query_as!(
        Limits,
        "select cpu_milli, memory_bytes, swap_bytes, disk_bytes, pids, bandwidth_mbit, cpu_weight, cpu_guarantee_milli,
                memory_high_bytes, memory_guarantee_bytes, disk_read_bps, disk_write_bps, disk_read_iops,
                disk_write_iops, inodes, open_files
         from vps where id = $1",
        id.0
    );
    Ok(limits.fetch_one(db).await?)
}

/// Writes limits into a row that is held, under a new generation and the host's new sequence.
pub(super) async fn write(
    tx: &mut PgConnection,
    id: VpsId,
    (generation, seq): (i64, i64),
    plan: PlanId,
    l: &Limits,
) -> Result<()> {
    let change = sqlx::query!(
        "update vps set generation = $2, host_seq = $3, plan_id = $4, cpu_milli = $5, memory_bytes = $6,
                        swap_bytes = $7, disk_bytes = $8, pids = $9, bandwidth_mbit = $10, cpu_weight = $11,
                        cpu_guarantee_milli = $12, memory_high_bytes = $13, memory_guarantee_bytes = $14,
                        disk_read_bps = $15, disk_write_bps = $16, disk_read_iops = $17, disk_write_iops = $18,
                        inodes = $19, open_files = $20
         where id = $1",
        id.0,
        generation,
        seq,
        plan.0,
        l.cpu_milli,
        l.memory_bytes,
        l.swap_bytes,
        l.disk_bytes,
        l.pids,
        l.bandwidth_mbit,
        l.cpu_weight,
        l.cpu_guarantee_milli,
        l.memory_high_bytes,
        l.memory_guarantee_bytes,
        l.disk_read_bps,
        l.disk_write_bps,
        l.disk_read_iops,
        l.disk_write_iops,
        l.inodes,
        l.open_files
    );
    change.execute(tx).await?;
    Ok(())
}
