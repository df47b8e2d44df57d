//! Another plan for a VPS that is there, running or not: its limits change under the same guest.
//!
//! What is sold of the host changes by the difference in the same transaction, under the host's row lock, so a resize
//! can neither oversell a host nor be lost. A disk only grows: its file system is the guest's, and taking blocks from
//! under it is how data is lost.

use super::lock::{lock, next_seq};
use super::order::Reference;
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::db::plans::Plan;
use crate::domain::placement::{Resources, lack_of_room};
use crate::error::{Error, Result};
use crate::ids::{HostId, ProjectId, VpsId};
use crate::wake::Changed;

const COMMAND: &str = "change_server_type";

/// Gives a VPS another plan. With `grow_disk` the disk grows to the plan's, else it stays as it is.
///
/// # Errors
/// `invalid_input` when the plan is not offered, for another architecture, or has a smaller disk than the VPS;
/// `resource_unavailable` when its host has no room for the difference.
pub async fn change_plan(
    app: &App,
    project: ProjectId,
    id: VpsId,
    plan: &Reference,
    grow_disk: bool,
) -> Result<Action> {
    let plan = plan.plan(app).await?;
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    let now = sqlx::query!(
        "select v.plan_id, v.cpu_milli, v.memory_bytes, v.disk_bytes, p.architecture
         from vps v join plans p on p.id = v.plan_id where v.id = $1",
        id.0
    );
    let now = now.fetch_one(&mut *tx).await?;
    if now.architecture != plan.architecture {
        let message = format!("is for {}, and this server is {}", plan.architecture, now.architecture);
        return Err(Error::invalid("server_type", message));
    }
    if plan.disk_bytes < now.disk_bytes {
        let gib = |bytes: i64| bytes as f64 / f64::from(1 << 30);
        let (has, gets) = (gib(now.disk_bytes), gib(plan.disk_bytes));
        let message = format!("has {gets} GiB of disk; this server has {has} GiB, and a disk cannot shrink");
        return Err(Error::invalid("server_type", message));
    }
    let disk_bytes = if grow_disk { plan.disk_bytes } else { now.disk_bytes };
    if plan.id.0 == now.plan_id && disk_bytes == now.disk_bytes {
        let new = NewAction { generation: vps.generation, ..waiting(id) };
        let action = actions::insert_done(&mut tx, project, new).await?;
        tx.commit().await?;
        return Ok(action);
    }
    let difference = Resources {
        cpu_milli: plan.cpu_milli - now.cpu_milli,
        memory_bytes: plan.memory_bytes - now.memory_bytes,
        disk_bytes: disk_bytes - now.disk_bytes,
    };
    take(&mut tx, vps.host, &difference).await?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let generation = vps.generation + 1;
    write(&mut tx, id, generation, seq, &plan, disk_bytes).await?;
    let action = actions::insert(&mut tx, project, NewAction { generation, ..waiting(id) }).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

fn waiting(vps: VpsId) -> NewAction<'static> {
    NewAction { command: COMMAND, vps, generation: 0, boot_epoch: 0, password_epoch: 0 }
}

/// Books the difference on a host whose row this transaction holds.
async fn take(tx: &mut sqlx::PgConnection, host: HostId, difference: &Resources) -> Result<()> {
    let row = sqlx::query!(
        "select capacity_cpu_milli, capacity_memory, capacity_disk, cpu_overcommit,
                allocated_cpu_milli, allocated_memory, allocated_disk from hosts where id = $1",
        host.0
    );
    let row = row.fetch_one(&mut *tx).await?;
    let capacity = Resources {
        cpu_milli: row.capacity_cpu_milli,
        memory_bytes: row.capacity_memory,
        disk_bytes: row.capacity_disk,
    };
    let allocated = Resources {
        cpu_milli: row.allocated_cpu_milli,
        memory_bytes: row.allocated_memory,
        disk_bytes: row.allocated_disk,
    };
    if let Some(lack) = lack_of_room(&capacity, row.cpu_overcommit, &allocated, difference) {
        let message = format!("the host of this server has not {lack} more; choose a smaller server type");
        return Err(Error::ResourceUnavailable(message));
    }
    let booked = sqlx::query!(
        "update hosts set allocated_cpu_milli = allocated_cpu_milli + $2, allocated_memory = allocated_memory + $3,
                          allocated_disk = allocated_disk + $4 where id = $1",
        host.0,
        difference.cpu_milli,
        difference.memory_bytes,
        difference.disk_bytes
    );
    booked.execute(tx).await?;
    Ok(())
}

async fn write(
    tx: &mut sqlx::PgConnection,
    id: VpsId,
    generation: i64,
    seq: i64,
    plan: &Plan,
    disk_bytes: i64,
) -> Result<()> {
    let change = sqlx::query!(
        "update vps set generation = $2, host_seq = $3, plan_id = $4, cpu_milli = $5, memory_bytes = $6,
                        swap_bytes = $7, disk_bytes = $8, pids = $9, bandwidth_mbit = $10 where id = $1",
        id.0,
        generation,
        seq,
        plan.id.0,
        plan.cpu_milli,
        plan.memory_bytes,
        plan.swap_bytes,
        disk_bytes,
        plan.pids,
        plan.bandwidth_mbit
    );
    change.execute(tx).await?;
    Ok(())
}
