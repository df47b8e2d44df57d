//! Address pools. Every usable address becomes a row of `addresses`, so handing one out is a row lock
//! (see [`addresses`](super::addresses)).
//!
//! An IPv6 pool is a prefix whose /64 are given out. Their rows are made in batches, as they are needed: a /32 has four
//! thousand millions of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sqlx::{PgConnection, PgPool};

use crate::app::App;
use crate::db::{hosts, ports, reverse};
use crate::domain::names::Slug;
use crate::domain::ports::PortPlan;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::LocationId;

/// How addresses of a pool reach the world.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[schema(as = operators::PoolKind)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Private IPv4 addresses, which leave the host by source NAT.
    #[default]
    Nat,
    /// Addresses that the network around routes to the hosts.
    Routed,
    /// Addresses of the network that hosts' uplinks are in: the host that has one answers for it (proxy ARP, proxy NDP).
    #[value(alias = "proxy_arp")]
    ProxyArp,
    /// Addresses that the host which has one announces to its routers.
    Bgp,
}

/// A pool.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = operators::Pool)]
pub struct Pool {
    /// Which pool.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Where its addresses are given out.
    pub location: String,
    /// Its network, in CIDR notation.
    pub cidr: String,
    /// `nat`, `routed`, `proxy_arp` or `bgp`.
    pub kind: String,
    /// Addresses that projects can get; of IPv6 these are /64.
    pub addresses: i64,
    /// Addresses that projects have.
    pub used: i64,
    /// Addresses that were given back, and rest.
    pub resting: i64,
    /// Seconds that an address rests after it was given back.
    pub quarantine_s: i64,
    /// Ports of each host that VPSes with addresses of this pool are reached by, as `10000-29999`.
    pub ports: Option<String>,
    /// How many of them in a row each VPS gets.
    pub ports_per_vps: Option<i32>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

/// What an operator says of a new pool.
#[derive(Clone, Debug)]
pub struct NewPool {
    /// Its name.
    pub name: Slug,
    /// Where its addresses are given out.
    pub location: LocationId,
    /// Its network.
    pub cidr: IpNet,
    /// How its addresses reach the world; by default by NAT for IPv4, and routed for IPv6.
    pub kind: Option<Kind>,
    /// Seconds that an address rests after it was given back.
    pub quarantine_s: i64,
    /// Ports of hosts that its VPSes are reached by; only of the kind nat.
    pub ports: Option<PortPlan>,
}

/// Seconds that an address rests where the operator says nothing: as long as names are commonly cached, so that most of
/// what still looks for the old owner has gone elsewhere before a stranger answers.
pub const QUARANTINE_S: i64 = 300;

/// Thirty days.
const LONGEST_QUARANTINE_S: i64 = 30 * 86_400;

/// All pools, by id.
pub async fn list(db: &PgPool) -> Result<Vec<Pool>> {
    let all = sqlx::query_as!(
        Pool,
        r#"select p.id, p.name, l.name as location, p.cidr::text as "cidr!", p.kind, p.created_at,
                  p.ports_first || '-' || p.ports_last as ports, p.ports_per_vps,
                  case family(p.cidr) when 4 then count(a.ip)
                       else greatest((1::bigint << (64 - masklen(p.cidr))) - 1, 1) end as "addresses!", count(*) filter (where a.held) as "used!", p.quarantine_s,
                  count(*) filter (where not a.held
                    and a.released_at > now() - make_interval(secs => p.quarantine_s)) as "resting!"
           from pools p join locations l on l.id = p.location_id left join addresses a on a.pool_id = p.id
           group by p.id, l.name order by p.id"#
    );
    Ok(all.fetch_all(db).await?)
}

/// Makes a pool and, of IPv4, all its addresses; the hosts of its location are told.
pub async fn create(app: &App, new: &NewPool) -> Result<Pool> {
    let usable = match new.cidr {
        IpNet::V4(cidr) => usable(cidr)?,
        IpNet::V6(cidr) => prefix(cidr).map(|()| (Ipv4Addr::UNSPECIFIED, 0))?,
    };
    let quarantine_s = quarantine(new.quarantine_s)?;
    let mut tx = app.db.begin().await?;
    let told = hosts::touch(&mut tx, Some(new.location)).await?;
    let kind = match (new.kind, new.cidr) {
        (Some(Kind::Nat), IpNet::V6(_)) => {
            let why = "must be 'routed', 'proxy_arp' or 'bgp' for IPv6, which is not translated";
            return Err(Error::invalid("kind", why));
        }
        (None | Some(Kind::Nat), IpNet::V4(_)) => "nat",
        (None, IpNet::V6(_)) | (Some(Kind::Routed), _) => "routed",
        (Some(Kind::ProxyArp), _) => "proxy_arp",
        (Some(Kind::Bgp), _) => "bgp",
    };
    if new.ports.is_some() && kind != "nat" {
        return Err(ports::only_nat());
    }
    let made = sqlx::query_scalar!(
        "insert into pools (name, location_id, cidr, kind, quarantine_s, ports_first, ports_last, ports_per_vps)
         values ($1, $2, $3, $4, $5, $6, $7, $8) returning id",
        new.name.as_str(),
        new.location.0,
        new.cidr.trunc(),
        kind,
        quarantine_s,
        new.ports.map(|plan| i32::from(plan.first())),
        new.ports.map(|plan| i32::from(plan.last())),
        new.ports.map(|plan| i32::from(plan.per_vps()))
    );
    let id = made.fetch_one(&mut *tx).await.map_err(|e| match broken_constraint(&e) {
        Some("pools_name_key") => Error::Uniqueness("a pool with this name exists already".into()),
        Some("pools_cidr_overlap") => Error::invalid("cidr", "overlaps with another pool"),
        Some("pools_location_id_fkey") => Error::NotFound("location"),
        _ => ports::overlap(e),
    })?;
    let (first, count) = (IpNet::from(std::net::IpAddr::V4(usable.0)), i64::from(usable.1));
    sqlx::query!(
        "insert into addresses (ip, pool_id) select $1::inet + n, $2 from generate_series(0::bigint, $3::bigint - 1) as n",
        first,
        id,
        count
    )
    .execute(&mut *tx)
    .await
    .map_err(|e| match broken_constraint(&e) {
        Some("addresses_pkey") => Error::invalid("cidr", "overlaps with another pool"),
        _ => e.into(),
    })?;
    tx.commit().await?;
    hosts::wake(app, &told);
    get(&app.db, id).await
}

pub(super) async fn get(db: &PgPool, id: i64) -> Result<Pool> {
    list(db).await?.into_iter().find(|p| p.id == id).ok_or(Error::NotFound("pool"))
}

/// Changes how long addresses of a pool rest; those that rest already too.
pub async fn set_quarantine(db: &PgPool, id: i64, quarantine_s: i64) -> Result<Pool> {
    let quarantine_s = quarantine(quarantine_s)?;
    sqlx::query!("update pools set quarantine_s = $2 where id = $1", id, quarantine_s).execute(db).await?;
    get(db, id).await
}

fn quarantine(seconds: i64) -> Result<i64> {
    if (0..=LONGEST_QUARANTINE_S).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(Error::invalid("quarantine_s", format!("must be from 0 to {LONGEST_QUARANTINE_S} seconds")))
    }
}

/// Deletes a pool that no project has an address of; the hosts of its location are told.
pub async fn delete(app: &App, id: i64) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let location = sqlx::query_scalar!("select location_id from pools where id = $1", id)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::NotFound("pool"))?;
    let told = hosts::touch(&mut tx, Some(location.into())).await?;
    // A create that is about to take one of them, or to make some, has it locked; wait for its end and look then.
    sqlx::query!("select from pools where id = $1 for update", id).execute(&mut *tx).await?;
    sqlx::query!("select from addresses where pool_id = $1 order by ip for update", id)
        .execute(&mut *tx)
        .await?;
    let used =
        sqlx::query_scalar!(r#"select count(*) as "used!" from addresses where pool_id = $1 and held"#, id)
            .fetch_one(&mut *tx)
            .await?;
    if used > 0 {
        return Err(Error::InUse(format!("{used} addresses of this pool belong to projects")));
    }
    let names = reverse::name_servers::pending(&mut tx, id).await?;
    if names > 0 {
        let why =
            format!("the name server has yet to take {names} names of this pool: wait, or remove it first");
        return Err(Error::InUse(why));
    }
    sqlx::query!("delete from pools where id = $1", id).execute(&mut *tx).await?;
    tx.commit().await?;
    hosts::wake(app, &told);
    Ok(())
}

/// /64 that get their rows at once.
const BATCH: i64 = 256;

/// Locks these IPv6 pools, so that nobody else makes rows of them meanwhile.
pub(super) async fn hold_prefixes(tx: &mut PgConnection, pools: &[i64]) -> Result<()> {
    let all = sqlx::query!("select from pools where id = any($1) order by id for update", pools);
    all.execute(tx).await?;
    Ok(())
}

/// Makes rows for more /64 of the first of these IPv6 pools that has some without; false when none has. The caller
/// holds the pools.
pub(super) async fn make_rows(tx: &mut PgConnection, pools: &[i64]) -> Result<bool> {
    let pool = sqlx::query!(
        r#"select id, cidr as "cidr: IpNet", made from pools
           where id = any($1)
             and made < greatest((1::bigint << (64 - masklen(cidr))) - 1, 1)
           order by id limit 1"#,
        pools
    );
    let Some(pool) = pool.fetch_optional(&mut *tx).await? else { return Ok(false) };
    let IpNet::V6(cidr) = pool.cidr else { return Ok(false) };
    let until = (pool.made + BATCH).min(subnets(cidr));
    let fresh: Vec<IpNet> = (pool.made..until).map(|n| subnet(cidr, n).into()).collect();
    sqlx::query!("insert into addresses (ip, pool_id) select unnest($1::inet[]), $2", &fresh, pool.id)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("update pools set made = $2 where id = $1", pool.id, until).execute(tx).await?;
    Ok(true)
}

/// How many /64 of a prefix can be given out. The first is left out, in which routers and hosts like to have their own
/// addresses; but not where it is all that there is.
fn subnets(cidr: Ipv6Net) -> i64 {
    ((1_i64 << (64 - cidr.prefix_len())) - 1).max(1)
}

/// The /64 with this number, from 0 on, of those that can be given out.
fn subnet(cidr: Ipv6Net, n: i64) -> Ipv6Net {
    let first = u128::from(cidr.prefix_len() < 64);
    let n = u128::from(n.unsigned_abs()) + first;
    Ipv6Net::new_assert(Ipv6Addr::from(u128::from(cidr.network()) + (n << 64)), 64)
}

/// Refuses what cannot be an IPv6 pool.
fn prefix(cidr: Ipv6Net) -> Result<()> {
    let invalid = |why: String| Err(Error::invalid("cidr", why));
    if !(32..=64).contains(&cidr.prefix_len()) {
        return invalid(format!(
            "an IPv6 pool is a /32 at most and a /64 at least, not a /{}",
            cidr.prefix_len()
        ));
    }
    if cidr.addr() != cidr.network() {
        return invalid(format!("has host bits set; the network is {}", cidr.trunc()));
    }
    for (reserved, what) in RESERVED6 {
        if reserved.contains(&cidr) || cidr.contains(reserved) {
            return invalid(format!("{cidr} cannot be used: {reserved} is {what}"));
        }
    }
    Ok(())
}

const RESERVED6: &[(Ipv6Net, &str)] = &[
    (net6(0, 0, 32), "for loopback and addresses of IPv4"),
    (net6(0x64, 0xff9b, 32), "for the translation of IPv4"),
    (net6(0x2002, 0, 16), "for tunnels through IPv4"),
    (net6(0xfe80, 0, 10), "link-local"),
    (net6(0xff00, 0, 8), "multicast"),
];

const fn net6(a: u16, b: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// The first address of a pool that a VPS can get, and how many there are. The network's own address, its broadcast
/// address and its first host address, which routers like to have, are left out.
fn usable(cidr: Ipv4Net) -> Result<(Ipv4Addr, u32)> {
    let invalid = |why: String| Err(Error::invalid("cidr", why));
    if !(16..=30).contains(&cidr.prefix_len()) {
        return invalid(format!("a pool is a /16 at most and a /30 at least, not a /{}", cidr.prefix_len()));
    }
    if cidr.addr() != cidr.network() {
        return invalid(format!("has host bits set; the network is {}", cidr.trunc()));
    }
    for (reserved, what) in RESERVED {
        if reserved.contains(&cidr) || cidr.contains(reserved) {
            return invalid(format!("{cidr} cannot be used: {reserved} is {what}"));
        }
    }
    let first = u32::from(cidr.network()) + 2;
    Ok((first.into(), u32::from(cidr.broadcast()) - first))
}

const RESERVED: &[(Ipv4Net, &str)] = &[
    (net(0, 0, 8), "\"this network\""),
    (net(127, 0, 8), "the loopback network"),
    (net(169, 254, 16), "link-local"),
    (Ipv4Net::new_assert(Ipv4Addr::new(172, 31, 1, 1), 32), "the gateway that guests see"),
    (net(224, 0, 4), "multicast"),
    (net(240, 0, 4), "not in use"),
];

const fn net(a: u8, b: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_pool_are_not_given_out() {
        let of = |cidr: &str| usable(cidr.parse().unwrap()).map(|(first, n)| (first.to_string(), n));
        assert_eq!(of("192.0.2.8/30").unwrap(), ("192.0.2.10".into(), 1));
        assert_eq!(of("192.0.2.8/29").unwrap(), ("192.0.2.10".into(), 5)); // .10 to .14
        assert_eq!(of("10.214.0.0/20").unwrap(), ("10.214.0.2".into(), 4093));
        assert_eq!(of("10.1.0.0/16").unwrap(), ("10.1.0.2".into(), 65533));
    }

    #[test]
    fn the_first_subnet_of_a_prefix_is_not_given_out() {
        let of = |cidr: &str, n: i64| {
            let cidr = cidr.parse().unwrap();
            prefix(cidr).unwrap();
            (subnet(cidr, n).to_string(), subnets(cidr))
        };
        assert_eq!(of("2001:db8::/48", 0), ("2001:db8:0:1::/64".into(), 65_535));
        assert_eq!(of("2001:db8::/48", 65_534), ("2001:db8:0:ffff::/64".into(), 65_535));
        assert_eq!(of("2001:db8::/32", 4_294_967_294), ("2001:db8:ffff:ffff::/64".into(), 4_294_967_295));
        assert_eq!(of("2001:db8:0:6::/63", 0), ("2001:db8:0:7::/64".into(), 1));
        assert_eq!(of("2001:db8:0:7::/64", 0), ("2001:db8:0:7::/64".into(), 1));
    }

    #[test]
    fn impossible_prefixes_are_refused() {
        for (cidr, why) in [
            ("2001::/31", "/32 at most"),
            ("2001:db8::/65", "/64 at least"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("fe80::/64", "link-local"),
            ("ff02::/32", "multicast"),
            ("::/64", "loopback"),
            ("2002:c000:204::/48", "tunnels"),
        ] {
            let cidr: Ipv6Net = cidr.parse().unwrap();
            let error = prefix(cidr).unwrap_err().to_string();
            assert!(error.contains(why), "{cidr}: {error}");
        }
    }

    #[test]
    fn impossible_pools_are_refused() {
        for (cidr, why) in [
            ("10.0.0.0/15", "/16 at most"),
            ("10.0.0.0/31", "/30 at least"),
            ("10.0.0.5/24", "10.0.0.0/24"),
            ("127.1.0.0/16", "loopback"),
            ("172.31.0.0/16", "gateway"),
            ("169.254.0.0/16", "link-local"),
            ("239.0.0.0/24", "multicast"),
            ("255.255.255.0/24", "not in use"),
        ] {
            let error = usable(cidr.parse().unwrap()).unwrap_err().to_string();
            assert!(error.contains(why), "{cidr}: {error}");
        }
    }
}
