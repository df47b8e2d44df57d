//! A new root password: shown once, kept as a hash, applied by the agent.

use super::lock::{lock, next_seq};
use crate::app::App;
use crate::auth::root_password;
use crate::auth::secret::Secret;
use crate::db::actions::{self, Action, NewAction};
use crate::domain::life::must_not_be_frozen;
use crate::error::Result;
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// Makes a new root password. It is applied at once when the guest runs, else at its next boot.
pub async fn reset_password(app: &App, project: ProjectId, id: VpsId) -> Result<(Action, Secret)> {
    let (password, hash) = root_password::generate().await?;
    let mut tx = app.db.begin().await?;
    let vps = lock(&mut tx, project, id).await?.at_rest()?;
    must_not_be_frozen(vps.frozen || vps.observed_frozen, "set its password")?;
    let seq = next_seq(&mut tx, vps.host).await?;
    let (generation, password_epoch) = (vps.generation + 1, vps.password_epoch + 1);
    let change = sqlx::query!(
        "update vps set generation = $2, host_seq = $3, root_password_hash = $4, password_epoch = $5 where id = $1",
        vps.id.0,
        generation,
        seq,
        hash,
        password_epoch
    );
    change.execute(&mut *tx).await?;
    let new = NewAction { command: "reset_password", vps: id, generation, boot_epoch: 0, password_epoch };
    let action = actions::insert(&mut tx, project, new).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok((action, password))
}
