//! Which pools' addresses a host can serve, and what it lacks for the others (`host_lacks` in the migrations): IPv6 in its
//! kernel, routers to announce addresses to, and the like. An address never goes to a VPS whose host could do nothing
//! with it.

use ipnet::IpNet;
use sqlx::PgConnection;

use crate::domain::family::Family;
use crate::domain::placement::{Gap, Supply};
use crate::error::{Error, Result};
use crate::ids::{HostId, LocationId};

/// Where an address may come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    /// A pool of this location …
    pub(super) location: LocationId,
    /// … and family …
    pub(super) family: Family,
    /// … that this host can serve; none where it is for no VPS yet.
    pub(super) host: Option<HostId>,
}

/// These pools.
pub(super) async fn pools(tx: &mut PgConnection, from: Source) -> Result<Vec<i64>> {
    let pools = sqlx::query_scalar!(
        "select p.id from pools p left join hosts h on h.id = $3
         where p.location_id = $1 and family(p.cidr) = $2
           and (h.id is null or host_lacks(h.facts, h.bgp, p.kind, $2) is null)
         order by p.id",
        from.location.0,
        from.family.number(),
        from.host.map(|host| host.0)
    );
    Ok(pools.fetch_all(tx).await?)
}

/// Refuses an address that the host of a VPS cannot serve.
///
/// # Errors
/// `resource_unavailable`, with what it lacks.
pub(super) async fn check(tx: &mut PgConnection, host: HostId, ip: IpNet) -> Result<()> {
    let lack = sqlx::query!(
        "select h.name, host_lacks(h.facts, h.bgp, p.kind, family(p.cidr)) as lack
         from addresses a join pools p on p.id = a.pool_id cross join hosts h where a.ip = $1 and h.id = $2",
        ip,
        host.0
    );
    let lack = lack.fetch_one(tx).await?;
    match lack.lack {
        Some(code) => Err(lacks(&lack.name, gap(&code)?)),
        None => Ok(()),
    }
}

/// Why there is no address to be had from there.
pub(super) async fn why_none(tx: &mut PgConnection, from: Source) -> Result<Error> {
    let (location, family) = (from.location, from.family);
    let place = sqlx::query!(
        r#"select l.name, h.name as "host?",
                  case when h.id is not null then supply(h.facts, h.bgp, l.id, $2) end as supply
           from locations l left join hosts h on h.id = $3 where l.id = $1"#,
        location.0,
        family.number(),
        from.host.map(|host| host.0)
    );
    let place = place.fetch_one(tx).await?;
    if let (Some(host), Some(Supply::Unserved(gap))) =
        (&place.host, place.supply.as_deref().map(supply).transpose()?)
    {
        return Ok(lacks(host, gap));
    }
    let why = format!("no {family} address is free in location {}", place.name);
    Ok(Error::ResourceUnavailable(why))
}

fn lacks(host: &str, gap: Gap) -> Error {
    Error::ResourceUnavailable(format!("the host {host} of this server lacks {gap}"))
}

/// Reads what `host_lacks` says.
pub(super) fn gap(code: &str) -> Result<Gap> {
    Gap::parse(code).ok_or_else(|| anyhow::anyhow!("'{code}' is nothing that a host lacks").into())
}

/// Reads what `supply` says.
pub(super) fn supply(code: &str) -> Result<Supply> {
    Ok(match code {
        "none" => Supply::None,
        "full" => Supply::Full,
        "free" => Supply::Free,
        lack => Supply::Unserved(gap(lack)?),
    })
}
