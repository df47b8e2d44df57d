//! Changes of firewalls that VPSes notice: to whom they are applied, and their rules.
//!
//! Each gives the actions that the hcloud API promises: one for each server whose host has something to do, which ends
//! when that is in force, and for new rules one for the firewall itself, which is done at once.

use sqlx::PgConnection;
use sqlx::types::Json;

use super::effect::{Changes, everywhere};
use super::{exists, hold};
use crate::app::App;
use crate::db::Tx;
use crate::db::actions::{self, Action, NewAction, Subject};
use crate::domain::firewall::Rule;
use crate::domain::selector::Selector;
use crate::error::{Error, Result};
use crate::ids::{FirewallId, ProjectId, VpsId};
use crate::wake::Changed;

/// Whom a firewall is applied to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// This VPS.
    Vps(VpsId),
    /// All VPSes with such labels, now and later.
    Selector(Selector),
}

/// Applies a firewall.
///
/// # Errors
/// `firewall_already_applied` for a target that has it, `invalid_input` for a VPS that is not there,
/// `resource_limit_exceeded` when a VPS would have too much.
pub async fn apply(app: &App, project: ProjectId, id: FirewallId, to: &[Target]) -> Result<Vec<Action>> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project).await?;
    exists(&mut tx, project, id).await?;
    for target in to {
        if add(&mut tx, project, id, target).await? == 0 {
            let message = "the firewall is applied to this resource already".to_owned();
            return Err(Error::Refused { code: "firewall_already_applied", message });
        }
    }
    let changes = everywhere(&mut tx, project).await?;
    finish(app, tx, project, id, "apply_firewall", changes, Vec::new()).await
}

/// Removes a firewall from whom it is applied to.
///
/// # Errors
/// `firewall_resource_not_found` for a target that does not have it, `firewall_managed_by_label_selector` for a VPS that
/// only has it by its labels.
pub async fn remove(app: &App, project: ProjectId, id: FirewallId, from: &[Target]) -> Result<Vec<Action>> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project).await?;
    exists(&mut tx, project, id).await?;
    for target in from {
        if take(&mut tx, id, target).await? > 0 {
            continue;
        }
        let by_labels = match target {
            Target::Vps(vps) => is_member(&mut tx, id, *vps).await?,
            Target::Selector(_) => false,
        };
        return Err(if by_labels {
            let message =
                "this server has the firewall by its labels: remove the label selector, or the labels";
            Error::Refused { code: "firewall_managed_by_label_selector", message: message.into() }
        } else {
            let message = "the firewall is not applied to this resource".to_owned();
            Error::Refused { code: "firewall_resource_not_found", message }
        });
    }
    let changes = everywhere(&mut tx, project).await?;
    finish(app, tx, project, id, "remove_firewall", changes, Vec::new()).await
}

/// Gives a firewall other rules, all of them.
///
/// # Errors
/// `resource_limit_exceeded` when a VPS would have too many.
pub async fn set_rules(app: &App, project: ProjectId, id: FirewallId, rules: &[Rule]) -> Result<Vec<Action>> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project).await?;
    exists(&mut tx, project, id).await?;
    let written = sqlx::query!("update firewalls set rules = $2 where id = $1", id.0, Json(rules) as _);
    written.execute(&mut *tx).await?;
    let done = actions::insert_about(&mut tx, project, "set_firewall_rules", Subject::Firewall(id)).await?;
    let changes = everywhere(&mut tx, project).await?;
    finish(app, tx, project, id, "apply_firewall", changes, vec![done]).await
}

/// Lets a firewall hold in private networks as well, or not there.
///
/// # Errors
/// When there is no such firewall.
pub async fn set_private(
    app: &App,
    project: ProjectId,
    id: FirewallId,
    private: bool,
) -> Result<Vec<Action>> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project).await?;
    exists(&mut tx, project, id).await?;
    sqlx::query!("update firewalls set private = $2 where id = $1", id.0, private).execute(&mut *tx).await?;
    let changes = everywhere(&mut tx, project).await?;
    finish(app, tx, project, id, "apply_firewall", changes, Vec::new()).await
}

async fn add(tx: &mut PgConnection, project: ProjectId, id: FirewallId, target: &Target) -> Result<u64> {
    let (vps, selector) = match target {
        Target::Vps(vps) => {
            let there = sqlx::query_scalar!(
                r#"select exists (select from vps where id = $1 and project_id = $2 and deleting_at is null
                                                  and deleted_at is null) as "there!""#,
                vps.0,
                project.0
            );
            if !there.fetch_one(&mut *tx).await? {
                return Err(Error::invalid("server", format!("server {vps} not found")));
            }
            (Some(vps.0), None)
        }
        Target::Selector(selector) => (None, Some(selector.to_string())),
    };
    let added = sqlx::query!(
        "insert into firewall_targets (firewall_id, vps_id, selector) values ($1, $2, $3) on conflict do nothing",
        id.0,
        vps,
        selector
    );
    Ok(added.execute(tx).await?.rows_affected())
}

async fn take(tx: &mut PgConnection, id: FirewallId, target: &Target) -> Result<u64> {
    let (vps, selector) = match target {
        Target::Vps(vps) => (Some(vps.0), None),
        Target::Selector(selector) => (None, Some(selector.to_string())),
    };
    let taken = sqlx::query!(
        "delete from firewall_targets where firewall_id = $1 and (vps_id = $2 or selector = $3)",
        id.0,
        vps,
        selector
    );
    Ok(taken.execute(tx).await?.rows_affected())
}

async fn is_member(tx: &mut PgConnection, id: FirewallId, vps: VpsId) -> Result<bool> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from vps_firewalls where firewall_id = $1 and vps_id = $2) as "found!""#,
        id.0,
        vps.0
    );
    Ok(found.fetch_one(tx).await?)
}

/// Writes the actions, commits, and wakes who has something to do.
async fn finish(
    app: &App,
    mut tx: Tx,
    project: ProjectId,
    id: FirewallId,
    command: &str,
    changes: Changes,
    mut written: Vec<Action>,
) -> Result<Vec<Action>> {
    for (vps, generation) in changes.vpses {
        let new = NewAction { command, vps, generation, boot_epoch: 0, password_epoch: 0 };
        let action = actions::insert(&mut tx, project, new).await?;
        actions::concerns(&mut tx, action.id, Subject::Firewall(id)).await?;
        written.push(Action { firewall_id: Some(id.0), ..action });
    }
    tx.commit().await?;
    for host in changes.hosts {
        app.wake.changed(Changed::Host(host.0));
    }
    app.wake.changed(Changed::Project(project.0));
    Ok(written)
}
