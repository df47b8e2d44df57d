//! Another plan for a VPS that is there, running or not: its limits change under the same guest.
//!
//! What is sold of the host changes by the difference in the same transaction, under the host's row lock, so a resize
//! can neither oversell a host nor be lost. A disk only grows: its file system is the guest's, and taking blocks from
//! under it is how data is lost.

use berth_proto::Limits;

use super::lock::{lock, next_seq};
use super::order::Reference;
use super::{limits, room};
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::db::{plans, quotas};
use crate::domain::limits::booked;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

const COMMAND: &str = "change_server_type";

/// Gives a VPS another plan, or its own again. All its limits become the plan's, also those that were changed by
/// themselves; but with `grow_disk` the disk grows to the plan's, else it stays as it is.
///
/// # Errors
/// `invalid_input` when the plan is not offered, for another architecture, or has a smaller disk than the VPS;
/// `resource_unavailable` when its host has no room for the difference; `resource_limit_exceeded` when the project's quota
/// has none.
pub async fn change_plan(
    app: &App,
    project: ProjectId,
    id: VpsId,
    plan: &Reference,
    grow_disk: bool,
) -> Result<Action> {
    let plan = plan.plan(app).await?;
    let mut tx = app.db.begin().await?;
    let quota = quotas::hold(&mut tx, project).await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    let now = limits::of(&mut tx, id).await?;
    let old_plan =
        sqlx::query_scalar!("select plan_id from vps where id = $1", id.0).fetch_one(&mut *tx).await?;
    let old_plan = plans::get(&mut *tx, old_plan.into()).await?;
    if old_plan.architecture != plan.architecture {
        let message = format!("is for {}, and this server is {}", plan.architecture, old_plan.architecture);
        return Err(Error::invalid("server_type", message));
    }
    if plan.disk_bytes < now.disk_bytes && plan.id != old_plan.id {
        let gib = |bytes: i64| bytes as f64 / f64::from(1 << 30);
        let (has, gets) = (gib(now.disk_bytes), gib(plan.disk_bytes));
        let message = format!("has {gets} GiB of disk; this server has {has} GiB, and a disk cannot shrink");
        return Err(Error::invalid("server_type", message));
    }
    let disk_bytes = if grow_disk { plan.disk_bytes.max(now.disk_bytes) } else { now.disk_bytes };
    let new = Limits { disk_bytes, ..plan.limits() };
    if plan.id == old_plan.id && new == now {
        let new = NewAction { generation: vps.generation, ..waiting(id) };
        let action = actions::insert_done(&mut tx, project, new).await?;
        tx.commit().await?;
        return Ok(action);
    }
    let (from, to) = (booked(&now, &old_plan.limits()), booked(&new, &plan.limits()));
    room::change(&mut tx, vps.host, &from, &to, "choose a smaller server type").await?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let generation = vps.generation + 1;
    limits::write(&mut tx, id, (generation, seq), plan.id, &new).await?;
    quota.check(&mut tx).await?;
    let action = actions::insert(&mut tx, project, NewAction { generation, ..waiting(id) }).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

fn waiting(vps: VpsId) -> NewAction<'static> {
    NewAction { command: COMMAND, vps, generation: 0, boot_epoch: 0, password_epoch: 0 }
}
