//! Which VPS has a primary IP. It changes only while the VPS is off, as in the hcloud API: a guest is given its address
//! before it starts.

use berth_proto::{Power, VpsState};
use sqlx::PgConnection;

use super::{New, Origin, hold, insert};
use crate::app::App;
use crate::db::Tx;
use crate::db::actions::{self, Action, NewAction, Subject};
use crate::db::addresses::{self, Owner};
use crate::db::serving::{self, Source};
use crate::db::vps::{Locked, lock, next_generation};
use crate::db::{ports, quotas};
use crate::domain::family::Family;
use crate::error::{Error, Result};
use crate::ids::{LocationId, PrimaryIpId, ProjectId, VpsId};
use crate::wake::Changed;

/// Makes a primary IP; the action is there when it is for a VPS.
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
) -> Result<(PrimaryIpId, Option<Action>)> {
    let mut tx = app.db.begin().await?;
    let quota = quotas::hold(&mut tx, project).await?;
    let (location, vps) = match origin {
        Origin::Location(location) => (location, None),
        Origin::Vps(vps, named) => {
            let (vps, location) = ready(&mut tx, project, vps, family).await?;
            if named.is_some_and(|named| named != location) {
                let message = format!("server {} is in another location", vps.id);
                return Err(Error::Refused { code: "primary_ip_datacenter_mismatch", message });
            }
            (location, Some(vps))
        }
    };
    let id = insert(&mut tx, project, Some(new)).await?;
    let to = vps.as_ref().map(|vps| vps.id);
    let from = Source { location, family, host: vps.as_ref().map(|vps| vps.host) };
    addresses::reserve(&mut tx, from, Owner::Primary(id), to).await?;
    quota.check(&mut tx).await?;
    let Some(vps) = vps else {
        tx.commit().await?;
        app.wake.changed(Changed::Project(project.0));
        return Ok((id, None));
    };
    ports::settle_there(&mut tx, vps.id, vps.host).await?;
    let action = tell(app, tx, project, id, &vps, "create_primary_ip").await?;
    Ok((id, Some(action)))
}

/// Gives a primary IP to a VPS that is off and has none.
///
/// # Errors
/// `server_not_stopped`, `server_has_ipv4`, `server_has_ipv6`, `primary_ip_already_assigned`, `primary_ip_datacenter_mismatch`,
/// `resource_unavailable` when the VPS's host lacks what the address needs, and `invalid_input` for a VPS that is not there.
pub async fn assign(app: &App, project: ProjectId, id: PrimaryIpId, vps: VpsId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let (family, _) = holder(&mut tx, project, id).await?;
    let (vps, location) = ready(&mut tx, project, vps, family).await?;
    let held = hold(&mut tx, project, id).await?;
    if let Some(other) = held.vps {
        let message = format!("the primary IP is assigned to server {other}: unassign it first");
        return Err(Error::Refused { code: "primary_ip_already_assigned", message });
    }
    if held.location != location {
        let message = format!("server {} is in another location than the primary IP", vps.id);
        return Err(Error::Refused { code: "primary_ip_datacenter_mismatch", message });
    }
    serving::check(&mut tx, vps.host, held.ip).await?;
    addresses::change(&mut tx, held.ip, Some(Owner::Primary(id)), Some(vps.id)).await?;
    ports::settle_there(&mut tx, vps.id, vps.host).await?;
    tell(app, tx, project, id, &vps, "assign_primary_ip").await
}

/// Takes a primary IP from the VPS that has it, which must be off.
///
/// # Errors
/// `server_not_stopped`, and `invalid_input` when no VPS has it.
pub async fn unassign(app: &App, project: ProjectId, id: PrimaryIpId) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let (_, Some(vps)) = holder(&mut tx, project, id).await? else {
        return Err(Error::invalid("id", "the primary IP is not assigned to any server"));
    };
    let vps = stopped(lock(&mut tx, project, vps).await?)?;
    let held = hold(&mut tx, project, id).await?;
    if held.vps != Some(vps.id) {
        return Err(Error::Conflict("the primary IP was just assigned elsewhere; look again".into()));
    }
    addresses::change(&mut tx, held.ip, Some(Owner::Primary(id)), None).await?;
    tell(app, tx, project, id, &vps, "unassign_primary_ip").await
}

/// The family of a primary IP, and the VPS that has it, as it was a moment ago: nothing is locked yet.
async fn holder(
    tx: &mut PgConnection,
    project: ProjectId,
    id: PrimaryIpId,
) -> Result<(Family, Option<VpsId>)> {
    let found = sqlx::query!(
        "select a.ip, a.vps_id from primary_ips i join addresses a on a.primary_ip_id = i.id
         where i.project_id = $1 and i.id = $2",
        project.0,
        id.0
    );
    let found = found.fetch_optional(tx).await?.ok_or(Error::NotFound("primary IP"))?;
    Ok((Family::of(found.ip), found.vps_id.map(VpsId)))
}

/// Locks a VPS that can be given an address of this family, and says where it is.
async fn ready(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    family: Family,
) -> Result<(Locked, LocationId)> {
    let vps = lock(tx, project, vps).await.map_err(|e| match e {
        Error::NotFound(_) => Error::invalid("assignee_id", format!("server {vps} not found")),
        other => other,
    })?;
    let vps = stopped(vps)?;
    let place = sqlx::query!(
        r#"select d.location_id, exists (select from addresses where vps_id = $2 and primary_ip_id is not null
                                            and family(ip) = $3) as "has!"
           from hosts h join datacenters d on d.id = h.datacenter_id where h.id = $1"#,
        vps.host.0,
        vps.id.0,
        family.number()
    );
    let place = place.fetch_one(&mut *tx).await?;
    if place.has {
        let message = format!("server {} has an {family} address already", vps.id);
        let code = match family {
            Family::V4 => "server_has_ipv4",
            Family::V6 => "server_has_ipv6",
        };
        return Err(Error::Refused { code, message });
    }
    Ok((vps, place.location_id.into()))
}

/// Refuses a VPS that is not off, or on its way.
fn stopped(vps: Locked) -> Result<Locked> {
    let vps = vps.at_rest()?;
    let now = vps.current();
    if now.power == Power::Stopped && now.state == VpsState::Stopped {
        return Ok(vps);
    }
    let message = format!("server {} must be powered off first", vps.id);
    Err(Error::Refused { code: "server_not_stopped", message })
}

/// Writes the new desired state of the VPS and the action that ends when its host has it; commits and wakes.
async fn tell(
    app: &App,
    mut tx: Tx,
    project: ProjectId,
    id: PrimaryIpId,
    vps: &Locked,
    command: &str,
) -> Result<Action> {
    let generation = next_generation(&mut tx, vps.id, vps.host).await?;
    let new = NewAction { command, vps: vps.id, generation, boot_epoch: 0, password_epoch: 0 };
    let action = actions::insert(&mut tx, project, new).await?;
    actions::concerns(&mut tx, action.id, Subject::PrimaryIp(id)).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(vps.host.0));
    app.wake.changed(Changed::Project(project.0));
    Ok(Action { primary_ip_id: Some(id.0), ..action })
}
