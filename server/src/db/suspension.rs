//! Suspending a project: its servers stand still, its people and programs may only look, nothing is deleted; and back.
//!
//! What a server's tenant wants of it stays as it was; what its host is told is `stopped` while the project is suspended
//! (`db/watch`), and reports are read against that.

use super::Tx;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::wake::Changed;

/// Suspends a project, for a reason that its people read. Again: the reason is another one.
pub async fn suspend(app: &App, project: ProjectId, reason: &str) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let set = sqlx::query!(
        "update projects set suspended_at = coalesce(suspended_at, now()), suspended_reason = $2 where id = $1",
        project.0,
        reason
    );
    if set.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("project"));
    }
    let hosts = hold(&mut tx, project).await?;
    sqlx::query!(
        "update vps v set suspended = true, generation = generation + 1, host_seq = h.seq from hosts h
         where h.id = v.host_id and v.project_id = $1 and not v.suspended and v.deleting_at is null and v.deleted_at is null",
        project.0
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    Ok(())
}

/// Lifts the suspension: servers that should run are started.
pub async fn resume(app: &App, project: ProjectId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let set = sqlx::query!(
        "update projects set suspended_at = null, suspended_reason = null where id = $1 and suspended_at is not null",
        project.0
    );
    if set.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("suspended project"));
    }
    let hosts = hold(&mut tx, project).await?;
    sqlx::query!(
        "update vps v set suspended = false, generation = generation + 1, host_seq = h.seq,
                boot_epoch = boot_epoch + case power when 'running' then 1 else 0 end
         from hosts h where h.id = v.host_id and v.project_id = $1 and v.suspended",
        project.0
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    Ok(())
}

/// Takes the rows of all hosts that have servers of the project, in order, with their next sequences.
async fn hold(tx: &mut Tx, project: ProjectId) -> Result<Vec<i64>> {
    let hosts = sqlx::query_scalar!(
        "select id from hosts where id in (select host_id from vps where project_id = $1 and deleted_at is null)
         order by id for update",
        project.0
    );
    let hosts = hosts.fetch_all(&mut **tx).await?;
    sqlx::query!("update hosts set seq = seq + 1 where id = any($1)", &hosts).execute(&mut **tx).await?;
    Ok(hosts)
}
