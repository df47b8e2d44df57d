//! How public addresses reach hosts: what a host is told of pools that it answers for or announces, and with whom it
//! speaks BGP.

use berth_proto::{Bgp, Gateways};
use ipnet::IpNet;
use sqlx::PgPool;
use sqlx::types::Json;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::HostId;
use crate::wake::Changed;

/// What a host does for the pools of its location.
pub(super) async fn of_host(db: &PgPool, host: i64) -> sqlx::Result<Gateways> {
    let pools = sqlx::query!(
        r#"select p.cidr as "cidr: IpNet", p.kind from pools p
           join datacenters d on d.location_id = p.location_id join hosts h on h.datacenter_id = d.id
           where h.id = $1 and p.kind in ('proxy_arp', 'bgp') order by p.id"#,
        host
    );
    let pools = pools.fetch_all(db).await?;
    let bgp = sqlx::query_scalar!(r#"select bgp as "bgp: Json<Bgp>" from hosts where id = $1"#, host);
    let bgp = bgp.fetch_one(db).await?.map(|bgp| bgp.0);
    let of = |kind: &str| pools.iter().filter(|pool| pool.kind == kind).map(|pool| pool.cidr).collect();
    Ok(Gateways { proxied: of("proxy_arp"), announced: of("bgp"), bgp })
}

/// With whom a host speaks BGP, if with anybody.
pub async fn bgp(db: &PgPool, host: HostId) -> Result<Option<Bgp>> {
    let found = sqlx::query_scalar!(r#"select bgp as "bgp: Json<Bgp>" from hosts where id = $1"#, host.0);
    Ok(found.fetch_optional(db).await?.ok_or(Error::NotFound("host"))?.map(|bgp| bgp.0))
}

/// Says with whom a host speaks BGP; it is told at once.
pub async fn set_bgp(app: &App, host: HostId, bgp: Option<&Bgp>) -> Result<()> {
    let set =
        sqlx::query!("update hosts set bgp = $2, seq = seq + 1 where id = $1", host.0, bgp.map(Json) as _);
    if set.execute(&app.db).await?.rows_affected() == 0 {
        return Err(Error::NotFound("host"));
    }
    app.wake.changed(Changed::Host(host.0));
    Ok(())
}
