//! What hosts are told of private networks: with a VPS's spec its interfaces, and for themselves where everybody else is.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use berth_proto::{HostNetworks, NetworkId, NetworkPeer, NetworkRoute, NetworkSpec, PrivateNic};
use ipnet::IpNet;
use sqlx::PgPool;
use sqlx::types::Json;

use crate::domain::network::{Layout, Route};

/// The private interfaces of these VPSes, in the order in which they came.
///
/// # Errors
/// When the database fails, or holds what no version of ours has written.
pub(in crate::db) async fn nics(
    db: &PgPool,
    vpses: &[i64],
) -> anyhow::Result<BTreeMap<i64, Vec<PrivateNic>>> {
    let mut found = BTreeMap::<i64, Vec<PrivateNic>>::new();
    if vpses.is_empty() {
        return Ok(found);
    }
    let rows = sqlx::query!(
        r#"select m.vps_id, m.network_id, m.mac, n.vni, n.ip_range as "ip_range: IpNet",
                  n.routes as "routes: Json<Vec<Route>>", a.ip,
                  array(select ip from network_addresses x where x.network_id = m.network_id and x.vps_id = m.vps_id
                        and x.alias and x.leaving_generation is null order by ip) as "aliases!"
           from vps_networks m join networks n on n.id = m.network_id
                join network_addresses a on a.network_id = m.network_id and a.vps_id = m.vps_id and not a.alias
           where m.vps_id = any($1) and m.leaving_generation is null order by m.joined_at, m.network_id"#,
        vpses
    );
    for row in rows.fetch_all(db).await? {
        let layout = Layout { range: row.ip_range, subnets: Vec::new(), routes: row.routes.0 };
        // a default route of a guest is its own business: it has a public one
        let routes = layout.routes.iter().map(|route| route.destination).filter(|to| to.prefix_len() > 0);
        found.entry(row.vps_id).or_default().push(PrivateNic {
            network: NetworkId(row.network_id),
            vni: u32::try_from(row.vni)?,
            mac: row.mac,
            ip: row.ip.addr(),
            aliases: row.aliases.iter().map(IpNet::addr).collect(),
            gateway: layout.gateway(),
            range: layout.range,
            routes: routes.collect(),
        });
    }
    Ok(found)
}

/// The private networks of which a host has a VPS.
///
/// # Errors
/// When the database fails, or holds what no version of ours has written.
pub async fn of_host(db: &PgPool, host: i64) -> anyhow::Result<HostNetworks> {
    let rows = sqlx::query!(
        r#"select id, vni, routes as "routes: Json<Vec<Route>>" from networks
           where id in (select m.network_id from vps_networks m join vps v on v.id = m.vps_id
                        where v.host_id = $1 and v.deleted_at is null and m.leaving_generation is null)
           order by id"#,
        host
    );
    let mut networks = Vec::new();
    for row in rows.fetch_all(db).await? {
        let route = |r: &Route| NetworkRoute { destination: r.destination, gateway: r.gateway };
        networks.push(NetworkSpec {
            id: NetworkId(row.id),
            vni: u32::try_from(row.vni)?,
            routes: row.routes.iter().map(route).collect(),
            peers: Vec::new(),
        });
    }
    let encrypt = if networks.is_empty() { false } else { add_peers(db, host, &mut networks).await? };
    let json = serde_json::to_string(&(&networks, encrypt)).context("describing networks")?;
    let version = crate::auth::secret::hash(&json).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(HostNetworks { version, networks, encrypt })
}

/// Who is on which other host, and whether anything of that is to be encrypted: where one of the two is in a location that
/// encrypts. They begin when both have told their keys. A host that has not said where it is cannot be reached.
async fn add_peers(db: &PgPool, host: i64, networks: &mut [NetworkSpec]) -> anyhow::Result<bool> {
    let own = sqlx::query!(
        r#"select l.encrypted, h.facts ->> 'wireguard' is not null as "speaks!"
           from hosts h join datacenters d on d.id = h.datacenter_id join locations l on l.id = d.location_id
           where h.id = $1"#,
        host
    );
    let own = own.fetch_one(db).await?;
    let mut encrypt = own.encrypted;
    let ids: Vec<i64> = networks.iter().map(|network| network.id.0).collect();
    let peers = sqlx::query!(
        r#"select m.network_id, h.facts ->> 'underlay' as "underlay!", array_agg(a.ip order by a.ip) as "addresses!",
                  l.encrypted, h.facts ->> 'wireguard' as key
           from vps_networks m join vps v on v.id = m.vps_id join hosts h on h.id = v.host_id
                join datacenters d on d.id = h.datacenter_id join locations l on l.id = d.location_id
                join network_addresses a on a.network_id = m.network_id and a.vps_id = m.vps_id
           where m.network_id = any($2) and v.host_id <> $1 and m.leaving_generation is null
             and a.leaving_generation is null and v.deleting_at is null and v.deleted_at is null
             and h.facts ->> 'underlay' is not null
           group by m.network_id, h.id, l.id order by m.network_id, h.id"#,
        host,
        &ids
    );
    for peer in peers.fetch_all(db).await? {
        let network = networks.iter_mut().find(|network| network.id.0 == peer.network_id);
        let (Some(network), Ok(host)) = (network, peer.underlay.parse::<IpAddr>()) else { continue };
        let encrypted = own.encrypted || peer.encrypted;
        encrypt |= encrypted;
        let key = peer.key.filter(|key| encrypted && own.speaks && is_key(key));
        let addresses = peer.addresses.iter().map(IpNet::addr).collect();
        network.peers.push(NetworkPeer { host, addresses, key });
    }
    Ok(encrypt)
}

/// Whether this is a key of WireGuard. What a host says of itself may be anything.
fn is_key(text: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|key| key.len() == 32)
}
