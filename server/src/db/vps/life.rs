//! Freezing and thawing, and what happens when a VPS ends by itself or its host boots.

use berth_proto::RestartPolicy;

use super::lock::{Locked, lock, next_seq};
use super::read::{Vps, get};
use crate::app::App;
use crate::db::Tx;
use crate::db::actions::{self, Action, NewAction};
use crate::domain::life::{Next, decide, policy_name};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

const FREEZE: &str = "freeze_server";
const THAW: &str = "thaw_server";

/// Freezes (`freeze`) or thaws a VPS. What is already so succeeds at once; a running action that wants the opposite ends
/// with an error.
///
/// # Errors
/// When it does not run, and should be frozen.
pub async fn freeze(app: &App, project: ProjectId, id: VpsId, freeze: bool) -> Result<Action> {
    let (command, opposite) = if freeze { (FREEZE, THAW) } else { (THAW, FREEZE) };
    let found = get(&app.db, project, id).await?;
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    let new = |generation| NewAction { command, vps: id, generation, boot_epoch: 0, password_epoch: 0 };
    // The status depends on whether the host is heard of, which no lock holds still; the rest is looked at under it.
    if decide(freeze, vps.frozen, vps.status(found.host_fresh), vps.observed_frozen)? == Next::Already {
        let action = actions::insert_done(&mut tx, project, new(vps.generation)).await?;
        tx.commit().await?;
        return Ok(action);
    }
    let generation = vps.generation + 1;
    let seq = next_seq(&mut tx, vps.host).await?;
    let change = sqlx::query!(
        "update vps set generation = $2, host_seq = $3, frozen = $4 where id = $1",
        id.0,
        generation,
        seq,
        freeze
    );
    change.execute(&mut *tx).await?;
    actions::supersede(&mut tx, id, &[opposite], command).await?;
    let action = actions::insert(&mut tx, project, new(generation)).await?;
    commit(app, tx, project, &vps).await?;
    Ok(action)
}

/// Chooses what happens when the guest ends by itself.
pub async fn set_restart_policy(
    app: &App,
    project: ProjectId,
    id: VpsId,
    policy: RestartPolicy,
) -> Result<Vps> {
    let mut tx = app.db.begin().await?;
    let vps = present(lock(&mut tx, project, id).await?)?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let change = sqlx::query!(
        "update vps set restart_policy = $2, generation = generation + 1, host_seq = $3
         where id = $1 and restart_policy <> $2",
        id.0,
        policy_name(policy),
        seq
    );
    change.execute(&mut *tx).await?;
    commit(app, tx, project, &vps).await?;
    get(&app.db, project, id).await
}

/// Gives a VPS its place among those that its host starts when it has booted; for operators, since it is a place before
/// others' VPSes.
pub async fn set_autostart_order(app: &App, id: VpsId, order: i32) -> Result<Vps> {
    let project =
        sqlx::query_scalar!("select project_id from vps where id = $1 and deleted_at is null", id.0);
    let project = ProjectId(project.fetch_optional(&app.db).await?.ok_or(Error::NotFound("server"))?);
    let mut tx = app.db.begin().await?;
    let vps = present(lock(&mut tx, project, id).await?)?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let change = sqlx::query!(
        "update vps set autostart_order = $2, generation = generation + 1, host_seq = $3
         where id = $1 and autostart_order <> $2",
        id.0,
        order,
        seq
    );
    change.execute(&mut *tx).await?;
    commit(app, tx, project, &vps).await?;
    get(&app.db, project, id).await
}

fn present(vps: Locked) -> Result<Locked> {
    match vps.deleting {
        true => Err(Error::Locked("the server is being deleted".into())),
        false => Ok(vps),
    }
}

async fn commit(app: &App, tx: Tx, project: ProjectId, vps: &Locked) -> Result<()> {
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(())
}
