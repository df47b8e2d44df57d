//! Addresses: whose each one is, and who had it before.
//!
//! Every usable address of a pool is a row, so handing one out is a row lock. Of an IPv6 pool a row is a /64; there are
//! too many to make them all at once, so a batch is made whenever none is free. A row belongs to a primary or floating IP,
//! and through it to a project; `vps_id` says to which VPS it is routed. Nothing but [`change`] writes either, so the history has
//! no gaps.
//!
//! An address that is given back rests for its pool's quarantine: packets of old connections and names that are still
//! cached must not reach a stranger. Among the free ones the one that rested longest goes first.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};

use super::serving::{self, Source};
use super::{pools, ports, reverse};
use crate::domain::family::Family;
use crate::error::Result;
use crate::ids::{FloatingIpId, PrimaryIpId, ProjectId, VpsId};

/// Days for which it is known who had an address.
const KEEP_DAYS: i32 = 365;

/// Entries of one address that are shown at most.
const MOST_ENTRIES: i64 = 1000;

/// What an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A primary IP.
    Primary(PrimaryIpId),
    /// A floating IP.
    Floating(FloatingIpId),
}

impl Owner {
    fn primary(self) -> Option<i64> {
        if let Self::Primary(id) = self { Some(id.0) } else { None }
    }

    fn floating(self) -> Option<i64> {
        if let Self::Floating(id) = self { Some(id.0) } else { None }
    }
}

/// Gives a free address from there to an owner that has none, and routes it to `vps`. With `wait` the answer
/// is exact; without it addresses that other requests are about to take are passed over, so none may be found although
/// one of those requests will fail.
pub(super) async fn take(
    tx: &mut PgConnection,
    from: Source,
    owner: Owner,
    vps: Option<VpsId>,
    wait: bool,
) -> Result<Option<IpNet>> {
    let at = vps.filter(|_| matches!(owner, Owner::Primary(_)));
    let pools = serving::pools(tx, from).await?;
    let mut free = find(tx, &pools, at, wait).await?;
    if free.is_none() && from.family == Family::V6 {
        // Others may have made rows while this waited for the pools.
        pools::hold_prefixes(tx, &pools).await?;
        free = find(tx, &pools, at, wait).await?;
        while free.is_none() && pools::make_rows(tx, &pools).await? {
            free = find(tx, &pools, at, wait).await?;
        }
    }
    if let Some(ip) = free {
        change(tx, ip, Some(owner), vps).await?;
        reverse::taken(tx, ip).await?;
    }
    Ok(free)
}

/// Locks a free address of these pools; for the primary IP of a VPS only of those without ports, or of which its host has
/// some left.
async fn find(tx: &mut PgConnection, pools: &[i64], vps: Option<VpsId>, wait: bool) -> Result<Option<IpNet>> {
    Ok(if wait {
        let exact = sqlx::query_scalar!(
            "select a.ip from addresses a join pools p on p.id = a.pool_id
             where a.pool_id = any($1) and not a.held
               and (a.released_at is null or a.released_at <= clock_timestamp() - make_interval(secs => p.quarantine_s))
               and not exists (select from address_releases r where r.ip = a.ip)
               and (p.ports_first is null or $2::bigint is null
                    or p.id in (select n from pools_with_ports_left((select host_id from vps where id = $2)) n)
                    or p.id = (select r.pool_id from port_ranges r where r.vps_id = $2))
             order by a.released_at nulls first, a.pool_id, a.ip limit 1 for update of a",
            pools,
            vps.map(|vps| vps.0)
        );
        exact.fetch_optional(&mut *tx).await?
    } else {
        let quick = sqlx::query_scalar!(
            "select a.ip from addresses a join pools p on p.id = a.pool_id
             where a.pool_id = any($1) and not a.held
               and (a.released_at is null or a.released_at <= clock_timestamp() - make_interval(secs => p.quarantine_s))
               and not exists (select from address_releases r where r.ip = a.ip)
               and (p.ports_first is null or $2::bigint is null
                    or p.id in (select n from pools_with_ports_left((select host_id from vps where id = $2)) n)
                    or p.id = (select r.pool_id from port_ranges r where r.vps_id = $2))
             order by a.released_at nulls first, a.pool_id, a.ip limit 1 for update of a skip locked",
            pools,
            vps.map(|vps| vps.0)
        );
        quick.fetch_optional(&mut *tx).await?
    })
}

/// As [`take`], for whoever holds nothing that those could wait for who are about to take addresses.
///
/// # Errors
/// `resource_unavailable`, with the location's name, or with what the host lacks.
pub(super) async fn reserve(
    tx: &mut PgConnection,
    from: Source,
    owner: Owner,
    vps: Option<VpsId>,
) -> Result<IpNet> {
    for wait in [false, true] {
        if let Some(ip) = take(tx, from, owner, vps, wait).await? {
            return Ok(ip);
        }
    }
    let pools = serving::pools(tx, from).await?;
    if vps.is_some() && find(tx, &pools, None, false).await?.is_some() {
        return Err(ports::none_left());
    }
    Err(serving::why_none(tx, from).await?)
}

/// Writes who has an address from now on; without an owner it is free after its quarantine. The caller holds its row.
pub(super) async fn change(
    tx: &mut PgConnection,
    ip: IpNet,
    owner: Option<Owner>,
    vps: Option<VpsId>,
) -> Result<()> {
    let primary = owner.and_then(Owner::primary);
    let floating = owner.and_then(Owner::floating);
    sqlx::query!(
        "update addresses set primary_ip_id = $2, floating_ip_id = $3, vps_id = $4,
                released_at = case when num_nonnulls($2::bigint, $3::bigint) = 0 then clock_timestamp()
                                   else released_at end
         where ip = $1",
        ip,
        primary,
        floating,
        vps.map(|vps| vps.0)
    )
    .execute(&mut *tx)
    .await?;
    // The clock may have been set back.
    sqlx::query!(
        "update address_history set until_at = greatest(from_at, clock_timestamp()) where ip = $1 and until_at is null",
        ip
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into address_history (ip, project_id, primary_ip_id, floating_ip_id, vps_id, from_at)
         select $1, project_id, $2, $3, $4, clock_timestamp()
         from (select project_id from primary_ips where id = $2
               union all select project_id from floating_ips where id = $3) owner",
        ip,
        primary,
        floating,
        vps.map(|vps| vps.0)
    )
    .execute(&mut *tx)
    .await?;
    if owner.is_none() {
        reverse::given_back(tx, ip).await?;
    }
    Ok(())
}

/// Who had an address from when until when.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = operators::AddressHolder)]
pub struct Holder {
    /// The address; of IPv6 the /64.
    pub ip: String,
    /// The project that held it.
    #[schema(value_type = i64)]
    pub project_id: ProjectId,
    /// Name of that project.
    pub project: Option<String>,
    /// The primary IP that it belonged to.
    pub primary_ip_id: Option<i64>,
    /// The floating IP that it belonged to.
    pub floating_ip_id: Option<i64>,
    /// The server that it was routed to; null while the project held it for none.
    pub vps_id: Option<i64>,
    /// Name of that server, as it is or was last.
    pub vps: Option<String>,
    /// From when.
    pub from_at: DateTime<Utc>,
    /// Until when; null: still.
    pub until_at: Option<DateTime<Utc>>,
}

/// Who had an address at a time, or ever: the newest first, and at most the newest thousand.
pub async fn holders(db: &PgPool, ip: IpNet, at: Option<DateTime<Utc>>) -> Result<Vec<Holder>> {
    let found = sqlx::query_as!(
        Holder,
        r#"select abbrev(h.ip) as "ip!", h.project_id, p.name as "project?", h.primary_ip_id, h.floating_ip_id,
                  h.vps_id, v.name as "vps?", h.from_at, h.until_at
           from address_history h left join projects p on p.id = h.project_id left join vps v on v.id = h.vps_id
           where h.ip = $1
             and ($2::timestamptz is null or (h.from_at <= $2 and (h.until_at is null or h.until_at > $2)))
           order by h.from_at desc, h.id desc limit $3"#,
        ip,
        at,
        MOST_ENTRIES
    );
    Ok(found.fetch_all(db).await?)
}

/// Forgets what ended a year ago.
pub(crate) async fn forget(db: &PgPool) -> sqlx::Result<u64> {
    let old = sqlx::query!(
        "delete from address_history where until_at < now() - make_interval(days => $1)",
        KEEP_DAYS
    );
    Ok(old.execute(db).await?.rows_affected())
}
