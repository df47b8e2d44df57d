//! Addresses of VPSes. Every usable address of a pool is a row, so handing one out is a row lock.

use sqlx::PgConnection;

use crate::error::Result;
use crate::ids::{LocationId, VpsId};

/// Gives a free address of the location to a VPS. With `wait` the answer is exact; without it addresses that other
/// requests are about to take are passed over, so none may be found although one of those requests will fail.
pub(super) async fn take(
    tx: &mut PgConnection,
    location: LocationId,
    vps: VpsId,
    wait: bool,
) -> Result<Option<ipnet::IpNet>> {
    let free = if wait {
        let exact = sqlx::query_scalar!(
            "select a.ip from addresses a join pools p on p.id = a.pool_id
             where p.location_id = $1 and a.vps_id is null order by a.pool_id, a.ip limit 1 for update of a",
            location.0
        );
        exact.fetch_optional(&mut *tx).await?
    } else {
        let quick = sqlx::query_scalar!(
            "select a.ip from addresses a join pools p on p.id = a.pool_id
             where p.location_id = $1 and a.vps_id is null order by a.pool_id, a.ip limit 1
             for update of a skip locked",
            location.0
        );
        quick.fetch_optional(&mut *tx).await?
    };
    if let Some(ip) = free {
        sqlx::query!("update addresses set vps_id = $2 where ip = $1", ip, vps.0).execute(&mut *tx).await?;
    }
    Ok(free)
}

/// Frees whatever address a VPS has.
pub(super) async fn free(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    sqlx::query!("update addresses set vps_id = null where vps_id = $1", vps.0).execute(&mut *tx).await?;
    Ok(())
}
