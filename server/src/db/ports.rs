//! Ports of hosts that lead to VPSes with addresses of NAT pools: who has which.
//!
//! A range belongs to a host and, through it, to a VPS, from when it gets an address of a pool with ports until it is gone
//! from that host; then it rests as long as addresses of the pool do. Ranges of one pool are all of one size and begin at
//! multiples of it, and pools of one location never overlap, so a host has some left when it has fewer than there can be.
//! Whoever gives or takes holds the host's row, so nobody waits for anybody here.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use sqlx::{PgConnection, PgPool};

use super::hosts;
use super::pools::{self, Pool};
use super::vps::next_generation;
use crate::app::App;
use crate::domain::ports::PortPlan;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{HostId, VpsId};
use crate::wake::Changed;

/// Gives a VPS ports of its host if it has an address of a pool with ports, and none of that pool yet. False when the
/// host has none left. The caller holds the host's row.
pub(super) async fn settle(tx: &mut PgConnection, vps: VpsId, host: HostId) -> Result<bool> {
    let pool = sqlx::query_scalar!(
        "select p.id from addresses a join pools p on p.id = a.pool_id
         where a.vps_id = $1 and a.primary_ip_id is not null and p.ports_first is not null
           and not exists (select from port_ranges r where r.vps_id = $1 and r.pool_id = p.id)",
        vps.0
    );
    let Some(pool) = pool.fetch_optional(&mut *tx).await? else { return Ok(true) };
    give_back(tx, vps).await?; // those of another pool
    sqlx::query!(
        "delete from port_ranges r using pools p
         where p.id = r.pool_id and r.host_id = $1 and r.vps_id is null
           and r.released_at <= clock_timestamp() - make_interval(secs => p.quarantine_s)",
        host.0
    )
    .execute(&mut *tx)
    .await?;
    let given = sqlx::query!(
        "insert into port_ranges (host_id, pool_id, vps_id, first_port, last_port)
         select $1, p.id, $2, s.n, s.n + p.ports_per_vps - 1
         from pools p, generate_series(p.ports_first, p.ports_last - p.ports_per_vps + 1, p.ports_per_vps) as s(n)
         where p.id = $3
           and not exists (select from port_ranges r where r.host_id = $1 and r.pool_id = p.id and r.first_port = s.n)
         order by s.n limit 1",
        host.0,
        vps.0,
        pool
    );
    Ok(given.execute(tx).await?.rows_affected() > 0)
}

/// As [`settle`], for a VPS that is on this host already.
///
/// # Errors
/// `resource_unavailable` when the host has no ports left.
pub(super) async fn settle_there(tx: &mut PgConnection, vps: VpsId, host: HostId) -> Result<()> {
    if settle(tx, vps, host).await? { Ok(()) } else { Err(none_left()) }
}

/// Why a VPS cannot have an address of a pool with ports.
pub(super) fn none_left() -> Error {
    Error::ResourceUnavailable(
        "the host of this server has no ports left for servers with private addresses".into(),
    )
}

/// Takes the ports of a VPS that is gone from its host. The caller holds the host's row.
pub(super) async fn give_back(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    let rests = sqlx::query!(
        "update port_ranges set vps_id = null, released_at = clock_timestamp() where vps_id = $1",
        vps.0
    );
    rests.execute(tx).await?;
    Ok(())
}

/// Says which ports VPSes with addresses of a pool get, or (none) that they get none. Those that have such an address get
/// theirs at once, running or not, and lose those that they had.
///
/// # Errors
/// `invalid_input` for a pool of another kind, or when the ports overlap with another pool's of the location;
/// `resource_unavailable` when some host has more such VPSes than there are ranges. Then nothing is changed.
pub async fn set(app: &App, pool: i64, plan: Option<&PortPlan>) -> Result<Pool> {
    let mut tx = app.db.begin().await?;
    let row = sqlx::query!("select location_id, kind from pools where id = $1", pool);
    let row = row.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("pool"))?;
    if row.kind != "nat" && plan.is_some() {
        return Err(only_nat());
    }
    let told = hosts::touch(&mut tx, Some(row.location_id.into())).await?;
    sqlx::query!("delete from port_ranges where pool_id = $1", pool).execute(&mut *tx).await?;
    let ends = plan.map(|plan| (i32::from(plan.first()), i32::from(plan.last()), i32::from(plan.per_vps())));
    let changed = sqlx::query!(
        "update pools set ports_first = $2, ports_last = $3, ports_per_vps = $4 where id = $1",
        pool,
        ends.map(|ends| ends.0),
        ends.map(|ends| ends.1),
        ends.map(|ends| ends.2)
    );
    changed.execute(&mut *tx).await.map_err(overlap)?;
    let vpses = sqlx::query!(
        "select v.id, v.host_id from vps v
         where v.deleting_at is null and v.deleted_at is null
           and v.id in (select a.vps_id from addresses a where a.pool_id = $1 and a.primary_ip_id is not null)
         order by v.id for update",
        pool
    );
    for vps in vpses.fetch_all(&mut *tx).await? {
        let (id, host) = (VpsId(vps.id), HostId(vps.host_id));
        if plan.is_some() && !settle(&mut tx, id, host).await? {
            let name = hosts::get(&app.db, host).await?.name;
            return Err(Error::ResourceUnavailable(format!(
                "host {name} has more servers with addresses of this pool than there would be ranges of ports: give more \
                 ports, or fewer to each"
            )));
        }
        next_generation(&mut tx, id, host).await?;
    }
    tx.commit().await?;
    hosts::wake(app, &told);
    pools::get(&app.db, pool).await
}

/// What the database says of ports that another pool has.
pub(super) fn overlap(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("pools_ports_overlap") => {
            Error::invalid("ports", "overlap with those of another pool of this location")
        }
        _ => e.into(),
    }
}

/// Why a pool of another kind has no ports.
pub(super) fn only_nat() -> Error {
    Error::invalid("ports", "are for pools of the kind nat: other addresses have all ports of their own")
}

/// IPv4 address by which a host is reached from outside, and whether an operator has said so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address; none where neither the operator nor the host has said any.
    pub address: Option<String>,
    /// Whether it is the operator's word, not the host's.
    pub chosen: bool,
}

/// By which address a host is reached from outside.
pub async fn host_address(db: &PgPool, host: HostId) -> Result<HostAddress> {
    let found = sqlx::query_as!(
        HostAddress,
        r#"select coalesce(host(public_ipv4), facts ->> 'address') as address, public_ipv4 is not null as "chosen!"
           from hosts where id = $1"#,
        host.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("host"))
}

/// Says by which address a host is reached from outside; none: by that of its uplink.
pub async fn set_host_address(app: &App, host: HostId, address: Option<Ipv4Addr>) -> Result<HostAddress> {
    let address = address.map(|ip| IpNet::from(Ipv4Net::from(ip)));
    sqlx::query!("update hosts set public_ipv4 = $2 where id = $1", host.0, address as Option<IpNet>)
        .execute(&app.db)
        .await?;
    app.wake.changed(Changed::Fleet);
    host_address(&app.db, host).await
}
