//! Primary IPs in the life of a VPS: it is made with one, and gives it back at its end.

use sqlx::PgConnection;

use super::{erase, hold, insert};
use crate::db::addresses::{self, Owner};
use crate::db::vps::Ipv4;
use crate::error::{Error, Result};
use crate::ids::{LocationId, PrimaryIpId, ProjectId, VpsId};

/// Gives a VPS, whose row was just written, the address that was ordered. False when no address is free in the
/// location; see [`addresses::take`] for how exact that is.
///
/// # Errors
/// What the hcloud API says of a chosen primary IP that cannot be had; the field is `public_net.ipv4`.
pub(in crate::db) async fn at_birth(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    location: LocationId,
    wanted: Ipv4,
    exact: bool,
) -> Result<bool> {
    let id = match wanted {
        Ipv4::None => return Ok(true),
        Ipv4::New => {
            let id = insert(tx, project, None).await?;
            return Ok(addresses::take(tx, location, Owner::Primary(id), Some(vps), exact).await?.is_some());
        }
        Ipv4::Chosen(id) => id,
    };
    let held = hold(tx, project, id).await.map_err(|e| match e {
        Error::NotFound(_) => unknown(id),
        other => other,
    })?;
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

/// A chosen primary IP is not there.
pub(in crate::db) fn unknown(id: PrimaryIpId) -> Error {
    Error::invalid("public_net.ipv4", format!("primary IP {id} not found"))
}

/// A chosen primary IP is in another location than the VPS.
pub(in crate::db) fn elsewhere(id: PrimaryIpId) -> Error {
    let message = format!("primary IP {id} belongs to another location than the server");
    Error::Refused { code: "primary_ip_datacenter_mismatch", message }
}
