//! Primary IPs in the life of a VPS: it is made with one of each family, and gives them back at its end.

use sqlx::PgConnection;

use super::{erase, hold, insert};
use crate::db::addresses::{self, Owner};
use crate::db::serving::Source;
use crate::db::vps::PublicIp;
use crate::domain::family::Family;
use crate::error::{Error, Result};
use crate::ids::{LocationId, PrimaryIpId, ProjectId, VpsId};

/// Gives a VPS, whose row was just written, the address of a family that was ordered. False when none is free in the
/// location; see [`addresses::take`] for how exact that is. For both families IPv4 comes first, so that nobody waits for
/// each other.
///
/// # Errors
/// What the hcloud API says of a chosen primary IP that cannot be had; the field is `public_net.ipv4` or `….ipv6`.
pub(in crate::db) async fn at_birth(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    from: Source,
    wanted: PublicIp,
    exact: bool,
) -> Result<bool> {
    let (location, family) = (from.location, from.family);
    let id = match wanted {
        PublicIp::None => return Ok(true),
        PublicIp::IfThere if !has_pool(tx, location, family).await? => return Ok(true),
        PublicIp::IfThere | PublicIp::New => {
            let id = insert(tx, project, None).await?;
            let owner = Owner::Primary(id);
            return Ok(addresses::take(tx, from, owner, Some(vps), exact).await?.is_some());
        }
        PublicIp::Chosen(id) => id,
    };
    let held = hold(tx, project, id).await.map_err(|e| match e {
        Error::NotFound(_) => unknown(family, id),
        other => other,
    })?;
    if Family::of(held.ip) != family {
        return Err(mismatch(family, id));
    }
    if let Some(other) = held.vps {
        let message = format!("primary IP {id} is assigned to server {other}");
        return Err(Error::Refused { code: "primary_ip_assigned", message });
    }
    if held.location != location {
        return Err(elsewhere(id));
    }
    addresses::change(tx, held.ip, Some(Owner::Primary(id)), Some(vps)).await?;
    Ok(true)
}

/// Takes the address of a VPS that is gone. A primary IP that goes with its VPS goes, unless it is protected; any other
/// stays with the project. The caller holds the VPS's row.
pub(in crate::db) async fn at_death(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    let rows = sqlx::query!(
        r#"select a.ip, i.id, i.auto_delete and not i.protect_delete as "goes!"
           from addresses a join primary_ips i on i.id = a.primary_ip_id
           where a.vps_id = $1 order by a.ip for update of a"#,
        vps.0
    );
    for row in rows.fetch_all(&mut *tx).await? {
        let id = PrimaryIpId(row.id);
        if row.goes {
            erase(tx, id, row.ip).await?;
        } else {
            addresses::change(tx, row.ip, Some(Owner::Primary(id)), None).await?;
        }
    }
    Ok(())
}

/// Whether addresses of this family are given out in a location at all.
async fn has_pool(tx: &mut PgConnection, location: LocationId, family: Family) -> Result<bool> {
    let has = sqlx::query_scalar!(
        r#"select exists (select from pools where location_id = $1 and family(cidr) = $2) as "has!""#,
        location.0,
        family.number()
    );
    Ok(has.fetch_one(tx).await?)
}

/// A chosen primary IP is not there.
pub(in crate::db) fn unknown(family: Family, id: PrimaryIpId) -> Error {
    Error::invalid(format!("public_net.{}", family.code()), format!("primary IP {id} not found"))
}

/// A chosen primary IP is of the other family.
pub(in crate::db) fn mismatch(family: Family, id: PrimaryIpId) -> Error {
    let message = format!("primary IP {id} is no {family} address");
    Error::Refused { code: "primary_ip_version_mismatch", message }
}

/// A chosen primary IP is in another location than the VPS.
pub(in crate::db) fn elsewhere(id: PrimaryIpId) -> Error {
    let message = format!("primary IP {id} belongs to another location than the server");
    Error::Refused { code: "primary_ip_datacenter_mismatch", message }
}
