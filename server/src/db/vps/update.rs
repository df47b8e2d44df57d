//! Name and labels.

use sqlx::types::Json;

use super::lock::{lock, next_seq};
use super::read::{Vps, get};
use crate::app::App;
use crate::db::firewalls;
use crate::domain::labels::Labels;
use crate::domain::names::VpsName;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// What to change; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Another name. It becomes the guest's host name at its next boot.
    pub name: Option<VpsName>,
    /// Other labels, all of them.
    pub labels: Option<Labels>,
}

/// Changes name and labels. A name is part of what the host is told, so it makes a new generation; labels do when they
/// change which firewalls hold.
pub async fn update(app: &App, project: ProjectId, id: VpsId, change: &Update) -> Result<Vps> {
    let mut tx = app.db.begin().await?;
    if change.labels.is_some() {
        firewalls::hold_still(&mut tx, project).await?;
    }
    let vps = lock(&mut tx, project, id).await?;
    if vps.deleting {
        return Err(Error::Locked("the server is being deleted".into()));
    }
    let mut told = change.name.is_some();
    if let Some(labels) = &change.labels {
        let written = sqlx::query!("update vps set labels = $2 where id = $1", id.0, Json(labels) as _);
        written.execute(&mut *tx).await?;
        told |= firewalls::relabelled(&mut tx, project, id, vps.host, labels).await?.is_some();
    }
    if let Some(name) = &change.name {
        let seq = next_seq(&mut tx, vps.host).await?;
        let rename = sqlx::query!(
            "update vps set name = $2, generation = generation + 1, host_seq = $3 where id = $1",
            id.0,
            name.as_str(),
            seq
        );
        rename.execute(&mut *tx).await.map_err(unique_name)?;
    }
    tx.commit().await?;
    if told {
        app.wake.changed(Changed::Host(vps.host.0));
    }
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}

/// Translates the constraint on names.
pub(super) fn unique_name(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("vps_name_key") => Error::Uniqueness("server name is already used".into()),
        _ => e.into(),
    }
}
