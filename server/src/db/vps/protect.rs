//! Protection against being deleted.

use super::lock::lock;
use crate::app::App;
use crate::db::actions::{self, Action, NewAction};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// Protects a VPS from being deleted, or ends that; none leaves it as it is. Its host is not told: nothing changes there.
pub async fn protect(app: &App, project: ProjectId, id: VpsId, delete: Option<bool>) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?;
    if vps.deleting {
        return Err(Error::Locked("the server is being deleted".into()));
    }
    let changed = sqlx::query!(
        "update vps set protect_delete = coalesce($2, protect_delete) where id = $1",
        id.0,
        delete
    );
    changed.execute(&mut *tx).await?;
    let new = NewAction {
        command: "change_protection",
        vps: id,
        generation: vps.generation,
        boot_epoch: 0,
        password_epoch: 0,
    };
    let action = actions::insert_done(&mut tx, project, new).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}
