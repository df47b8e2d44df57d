//! The end of a VPS: a tombstone first, and when the host says that nothing is left, the release of what it held.
//!
//! Name, address and allocation stay taken until then: an address must not be given to somebody else while packets for
//! it still reach the old owner.

use sqlx::PgConnection;

use super::lock::{lock, next_seq};
use super::room;
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::db::{Tx, firewalls, floating_ips, networks, plans, ports, primary_ips};
use crate::domain::limits::booked;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// Asks for the deletion of a VPS. Asking again gives the running action.
pub async fn delete(app: &App, project: ProjectId, id: VpsId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?;
    if vps.deleting {
        let running = actions::running(&mut tx, id).await?;
        let again = running.into_iter().find(|a| a.command == "delete_server");
        return again.ok_or_else(|| Error::Locked("the server is being deleted".into()));
    }
    if vps.protect_delete {
        return Err(Error::Protected("server deletion is protected".into()));
    }
    let ended: Vec<_> = actions::running(&mut tx, id).await?.iter().map(|a| a.id).collect();
    actions::fail(&mut tx, &ended, "server_deleted", "the server was deleted before this action was done")
        .await?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let generation = bury(&mut tx, id, seq).await?;
    let new = NewAction { command: "delete_server", vps: id, generation, boot_epoch: 0, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, new).await?;
    failpoint::hit("server.delete.before_commit").await;
    tx.commit().await?;
    failpoint::hit("server.delete.after_commit").await;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// Turns a VPS whose creation has failed for good into a tombstone; its running actions end with the host's reason.
/// The caller holds the host's row, commits, and wakes the host.
pub async fn abandon_create(tx: &mut Tx, id: VpsId, code: &str, message: &str) -> Result<()> {
    let host = sqlx::query_scalar!(
        "select host_id from vps where id = $1 and deleting_at is null and deleted_at is null for update",
        id.0
    );
    let Some(host) = host.fetch_optional(&mut **tx).await? else {
        return Ok(()); // already on its way
    };
    let ended: Vec<_> = actions::running(tx, id).await?.iter().map(|a| a.id).collect();
    actions::fail(tx, &ended, code, message).await?;
    let seq = next_seq(tx, host.into()).await?;
    bury(tx, id, seq).await?;
    Ok(())
}

/// Releases everything that a deleted VPS held, because its host has confirmed that nothing is left. Does nothing for a
/// VPS without a tombstone, or a second time. Gives the project, whose pages the caller wakes after the commit. The
/// caller holds the host's row.
pub async fn finish_delete(tx: &mut Tx, id: VpsId) -> Result<Option<ProjectId>> {
    let gone = sqlx::query!(
        "update vps set deleted_at = now(), root_password_hash = null, user_data = null
         where id = $1 and deleting_at is not null and deleted_at is null
         returning project_id, host_id, plan_id",
        id.0
    );
    let Some(gone) = gone.fetch_optional(&mut **tx).await? else {
        return Ok(None);
    };
    let (limits, plan) =
        (super::limits::of(tx, id).await?, plans::get(&mut **tx, gone.plan_id.into()).await?);
    room::give_back(tx, gone.host_id.into(), &booked(&limits, &plan.limits())).await?;
    primary_ips::at_death(tx, id).await?;
    ports::give_back(tx, id).await?;
    floating_ips::at_death(tx, id).await?;
    firewalls::forget(tx, id).await?;
    networks::forget(tx, id).await?;
    let running = actions::running(tx, id).await?;
    let (deletes, others): (Vec<_>, Vec<_>) = running.iter().partition(|a| a.command == "delete_server");
    let ids = |actions: Vec<&Action>| actions.iter().map(|a| a.id).collect::<Vec<_>>();
    actions::finish(tx, &ids(deletes)).await?;
    actions::fail(tx, &ids(others), "server_deleted", "the server was deleted before this action was done")
        .await?;
    Ok(Some(gone.project_id.into()))
}

/// Writes the tombstone into a row that is held.
async fn bury(tx: &mut PgConnection, id: VpsId, seq: i64) -> Result<i64> {
    let generation = sqlx::query_scalar!(
        "update vps set deleting_at = now(), generation = generation + 1, host_seq = $2, power = 'stopped'
         where id = $1 returning generation",
        id.0,
        seq
    );
    Ok(generation.fetch_one(tx).await?)
}
