//! Which VPS has a floating IP. It changes under running guests: the hosts of the VPS that had it and of the one that
//! gets it are told in one transaction, and the action is done when both have it so. While one has not, packets may still
//! reach the old one, so the action goes on for as long as that host is not heard of; and so do those that follow it
//! (`address_releases`).

use ipnet::IpNet;
use sqlx::PgConnection;

use super::{New, hold, insert};
use crate::app::App;
use crate::db::Tx;
use crate::db::actions::{self, Action, NewAction, Subject};
use crate::db::addresses::{self, Owner};
use crate::db::quotas;
use crate::db::serving::{self, Source};
use crate::db::vps::{Locked, lock, next_generation};
use crate::domain::family::Family;
use crate::error::{Error, Result};
use crate::ids::{FloatingIpId, HostId, LocationId, ProjectId, VpsId};
use crate::wake::Changed;

/// Where a new one comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// From this location, for no VPS yet.
    Location(LocationId),
    /// For this VPS; in this location, if one is named.
    Vps(VpsId, Option<LocationId>),
}

/// Makes a floating IP; the action is there when it is for a VPS.
///
/// # Errors
/// `resource_unavailable` when the location has no free address, `resource_limit_exceeded` when the project has all that it
/// may have; then nothing was made. For a VPS also the errors of
/// [`assign`].
pub async fn create(
    app: &App,
    project: ProjectId,
    new: &New,
    family: Family,
    origin: Origin,
) -> Result<(FloatingIpId, Option<Action>)> {
    let mut tx = app.db.begin().await?;
    let quota = quotas::hold(&mut tx, project).await?;
    let (location, vps) = match origin {
        Origin::Location(location) => (location, None),
        Origin::Vps(vps, named) => {
            let vps = target(&mut tx, project, vps).await?;
            let location = location_of(&mut tx, vps.host).await?;
            if named.is_some_and(|named| named != location) {
                return Err(elsewhere(vps.id));
            }
            (location, Some(vps))
        }
    };
    let id = insert(&mut tx, project, new).await?;
    let to = vps.as_ref().map(|vps| vps.id);
    let from = Source { location, family, host: vps.as_ref().map(|vps| vps.host) };
    addresses::reserve(&mut tx, from, Owner::Floating(id), to).await?;
    quota.check(&mut tx).await?;
    let Some(vps) = vps else {
        tx.commit().await?;
        app.wake.changed(Changed::Project(project.0));
        return Ok((id, None));
    };
    Ok((id, Some(tell(app, tx, project, id, &vps, []).await?)))
}

/// Gives a floating IP to a VPS, whoever of the project has it now.
///
/// # Errors
/// `floating_ip_assigned` when that VPS has it, `invalid_input` for one that is not there or in another location,
/// `resource_unavailable` when its host lacks what the address needs.
pub async fn assign(app: &App, project: ProjectId, id: FloatingIpId, vps: VpsId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let old = holder(&mut tx, project, id).await?;
    if old == Some(vps) {
        let message = format!("the floating IP is assigned to server {vps} already");
        return Err(Error::Refused { code: "floating_ip_assigned", message });
    }
    let (vps, from) = match old {
        None => (target(&mut tx, project, vps).await?, None),
        Some(old) => {
            let (vps, old) = both(&mut tx, project, vps, old).await?;
            (vps, Some(old))
        }
    };
    let held = hold(&mut tx, project, id).await?;
    if held.vps != from.as_ref().map(|old| old.id) {
        return Err(moved());
    }
    if held.location != location_of(&mut tx, vps.host).await? {
        return Err(elsewhere(vps.id));
    }
    serving::check(&mut tx, vps.host, held.ip).await?;
    addresses::change(&mut tx, held.ip, Some(Owner::Floating(id)), Some(vps.id)).await?;
    let mut told = Vec::new();
    if let Some(old) = from {
        // One that is being deleted lets go by that.
        let generation = match old.deleting {
            true => old.generation,
            false => next_generation(&mut tx, old.id, old.host).await?,
        };
        let_go(&mut tx, held.ip, old.id, generation).await?;
        told.push(old.host);
    }
    tell(app, tx, project, id, &vps, told).await
}

/// Takes a floating IP from the VPS that has it.
///
/// # Errors
/// `invalid_input` when no VPS has it.
pub async fn unassign(app: &App, project: ProjectId, id: FloatingIpId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let Some(vps) = holder(&mut tx, project, id).await? else {
        return Err(Error::invalid("id", "the floating IP is not assigned to any server"));
    };
    let vps = lock(&mut tx, project, vps).await?.at_rest()?;
    let held = hold(&mut tx, project, id).await?;
    if held.vps != Some(vps.id) {
        return Err(moved());
    }
    addresses::change(&mut tx, held.ip, Some(Owner::Floating(id)), None).await?;
    let generation = next_generation(&mut tx, vps.id, vps.host).await?;
    let_go(&mut tx, held.ip, vps.id, generation).await?;
    let command = "unassign_floating_ip";
    let new = NewAction { command, vps: vps.id, generation, boot_epoch: 0, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, new).await?;
    actions::concerns(&mut tx, action.id, Subject::FloatingIp(id)).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(Action { floating_ip_id: Some(id.0), ..action })
}

/// Notes that a VPS lets go of an address from this generation on.
async fn let_go(tx: &mut PgConnection, ip: IpNet, vps: VpsId, generation: i64) -> Result<()> {
    sqlx::query!(
        "insert into address_releases (ip, vps_id, generation) values ($1, $2, $3)
         on conflict (ip, vps_id) do update set generation = excluded.generation",
        ip,
        vps.0,
        generation
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The VPS that has a floating IP, as it was a moment ago: nothing is locked yet.
async fn holder(tx: &mut PgConnection, project: ProjectId, id: FloatingIpId) -> Result<Option<VpsId>> {
    let found = sqlx::query_scalar!(
        "select a.vps_id from floating_ips i join addresses a on a.floating_ip_id = i.id
         where i.project_id = $1 and i.id = $2",
        project.0,
        id.0
    );
    let vps = found.fetch_optional(tx).await?.ok_or(Error::NotFound("floating IP"))?;
    Ok(vps.map(VpsId))
}

/// Locks a VPS that can be given an address.
async fn target(tx: &mut PgConnection, project: ProjectId, vps: VpsId) -> Result<Locked> {
    let vps = lock(tx, project, vps).await.map_err(|e| match e {
        Error::NotFound(_) => Error::invalid("server", format!("server {vps} not found")),
        other => other,
    })?;
    vps.at_rest()
}

/// Locks the VPS that gets the address and the one that has it: the hosts first, in order.
async fn both(tx: &mut PgConnection, project: ProjectId, vps: VpsId, old: VpsId) -> Result<(Locked, Locked)> {
    let hosts = sqlx::query_scalar!(
        "select id from hosts where id in (select host_id from vps where id = any($1) and project_id = $2)
         order by id for update",
        &[vps.0, old.0],
        project.0
    );
    hosts.fetch_all(&mut *tx).await?;
    let gone = |e| if matches!(e, Error::NotFound(_)) { moved() } else { e };
    if vps < old {
        let vps = target(tx, project, vps).await?;
        Ok((vps, lock(tx, project, old).await.map_err(gone)?))
    } else {
        let old = lock(tx, project, old).await.map_err(gone)?;
        Ok((target(tx, project, vps).await?, old))
    }
}

/// Writes the new desired state of the VPS that gets the address, and the action; commits and wakes, also those hosts
/// that were `told` before.
async fn tell(
    app: &App,
    mut tx: Tx,
    project: ProjectId,
    id: FloatingIpId,
    vps: &Locked,
    told: impl IntoIterator<Item = HostId>,
) -> Result<Action> {
    let generation = next_generation(&mut tx, vps.id, vps.host).await?;
    let command = "assign_floating_ip";
    let new = NewAction { command, vps: vps.id, generation, boot_epoch: 0, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, new).await?;
    actions::concerns(&mut tx, action.id, Subject::FloatingIp(id)).await?;
    tx.commit().await?;
    for host in told.into_iter().chain([vps.host]) {
        app.wake.changed(Changed::Host(host.0));
    }
    app.wake.changed(Changed::Project(project.0));
    Ok(Action { floating_ip_id: Some(id.0), ..action })
}

async fn location_of(tx: &mut PgConnection, host: HostId) -> Result<LocationId> {
    let at = sqlx::query_scalar!(
        "select d.location_id from hosts h join datacenters d on d.id = h.datacenter_id where h.id = $1",
        host.0
    );
    Ok(at.fetch_one(tx).await?.into())
}

fn moved() -> Error {
    Error::Conflict("the floating IP was just assigned elsewhere; look again".into())
}

fn elsewhere(vps: VpsId) -> Error {
    Error::invalid("server", format!("server {vps} is in another location than the floating IP"))
}
