//! A server as clients of the hcloud API expect it: every key is there, also those of things that Berth does not have.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::catalog::Catalog;
use crate::api::datacenters::Datacenter;
use crate::api::dns_ptr::DnsPtr;
use crate::api::images::Image;
use crate::api::locations::Location;
use crate::api::server_types::ServerType;
use crate::app::App;
use crate::db::firewalls::{self, Holds};
use crate::db::floating_ips;
use crate::db::images::{self, Image as ImageRow};
use crate::db::networks::{self, Member};
use crate::db::reverse::{self, Named};
use crate::db::vps::Vps;
use crate::domain::status::Status;
use crate::error::{Error, Result};

/// A server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Server {
    id: i64,
    name: String,
    status: Status,
    created: DateTime<Utc>,
    public_net: PublicNet,
    private_net: Vec<PrivateNet>,
    server_type: ServerType,
    datacenter: Datacenter,
    location: Location,
    image: Option<Image>,
    iso: Option<serde_json::Value>,
    rescue_enabled: bool,
    /// Whether an action on it is running.
    locked: bool,
    backup_window: Option<String>,
    /// Bytes that went out this month; months begin on the day that the operator has set.
    outgoing_traffic: Option<i64>,
    /// Bytes that came in this month.
    ingoing_traffic: Option<i64>,
    /// Bytes a month that may go out for the price of the server type; 0 where nothing is said.
    included_traffic: Option<i64>,
    protection: Protection,
    labels: BTreeMap<String, String>,
    volumes: Vec<i64>,
    load_balancers: Vec<i64>,
    /// GiB.
    primary_disk_size: i64,
    placement_group: Option<serde_json::Value>,
    /// Berth's own: how often limits were hit since the guest was started; null while it does not run.
    limit_hits: Option<LimitHits>,
    /// Berth's own: whether it stands still; see `/berth/v1/servers/{id}/life`.
    frozen: bool,
}

/// How often the kernel held a limit against the guest.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct LimitHits {
    /// Times that memory was wanted above the limit, most of them cured by reclaiming page cache.
    memory_max: i64,
    /// Processes that were killed because nothing could be reclaimed.
    oom_kills: i64,
    /// Forks that were refused.
    pids_max: i64,
    /// Microseconds that runnable processes waited for the CPU limit.
    cpu_throttled_usec: i64,
}

impl From<berth_proto::LimitHits> for LimitHits {
    fn from(hits: berth_proto::LimitHits) -> Self {
        let berth_proto::LimitHits { memory_max, oom_kills, pids_max, cpu_throttled_usec } = hits;
        Self { memory_max, oom_kills, pids_max, cpu_throttled_usec }
    }
}

/// What is refused.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Protection {
    delete: bool,
    rebuild: bool,
}

/// How the world reaches it.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PublicNet {
    ipv4: Option<PublicIp>,
    ipv6: Option<PublicPrefix>,
    floating_ips: Vec<i64>,
    firewalls: Vec<FirewallStatus>,
}

/// A firewall that holds for the server.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct FirewallStatus {
    id: i64,
    /// `applied`, or `pending` while the host has not confirmed it.
    status: &'static str,
}

impl From<&Holds> for FirewallStatus {
    fn from(holds: &Holds) -> Self {
        Self { id: holds.firewall_id, status: if holds.applied { "applied" } else { "pending" } }
    }
}

/// A private network that the server is in.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PrivateNet {
    network: i64,
    ip: String,
    alias_ips: Vec<String>,
    mac_address: String,
}

impl From<&Member> for PrivateNet {
    fn from(member: &Member) -> Self {
        Self {
            network: member.network_id,
            ip: member.ip.to_string(),
            alias_ips: member.aliases.iter().map(ToString::to_string).collect(),
            mac_address: member.mac.clone(),
        }
    }
}

/// A public address.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PublicIp {
    /// The primary IP that it belongs to.
    id: i64,
    ip: String,
    /// Whether nothing passes: see `/berth/v1/servers/{id}/network`.
    blocked: bool,
    /// The name that it leads to; empty when there is none.
    dns_ptr: String,
}

/// A /64 of IPv6; the server has its first host address, and all others may be used inside.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct PublicPrefix {
    /// The primary IP that it belongs to.
    id: i64,
    /// `2001:db8::/64`.
    ip: String,
    /// As of `ipv4`.
    blocked: bool,
    /// The names that single addresses of it lead to.
    dns_ptr: Vec<DnsPtr>,
}

impl Server {
    /// One server, with all that is shown inside of it.
    pub(super) async fn one(app: &App, vps: &Vps) -> Result<Self> {
        let mut one = Self::all(app, std::slice::from_ref(vps)).await?;
        one.pop().ok_or(Error::NotFound("server"))
    }

    /// Some servers.
    pub(super) async fn all(app: &App, vpses: &[Vps]) -> Result<Vec<Self>> {
        if vpses.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = Catalog::load(app).await?;
        let ids: Vec<i64> = vpses.iter().map(|v| v.image_id.0).collect();
        let images = images::by_ids(&app.db, &ids).await?;
        let vps_ids: Vec<i64> = vpses.iter().map(|v| v.id.0).collect();
        let firewalls = firewalls::of_vpses(&app.db, &vps_ids).await?;
        let floating = floating_ips::of_vpses(&app.db, &vps_ids).await?;
        let prefixes = vpses.iter().filter_map(Vps::ipv6).map(IpNet::V6);
        let addresses = vpses.iter().filter_map(Vps::ipv4).map(|ip| IpNet::V4(ip.into()));
        let names = reverse::names(&app.db, &addresses.chain(prefixes).collect::<Vec<_>>()).await?;
        let of = |vps: &Vps| firewalls.get(&vps.id.0).map_or(&[][..], Vec::as_slice);
        let networks = networks::of_vpses(&app.db, &vps_ids).await?;
        let held = |vps: &Vps| floating.get(&vps.id.0).map_or(&[][..], Vec::as_slice);
        let inside = |vps: &Vps| networks.get(&vps.id.0).map_or(&[][..], Vec::as_slice);
        let one = |vps: &Vps| Self::of(vps, &catalog, &images, of(vps), held(vps), inside(vps), &names);
        vpses.iter().map(one).collect()
    }

    fn of(
        vps: &Vps,
        catalog: &Catalog,
        images: &[ImageRow],
        firewalls: &[Holds],
        floating: &[i64],
        networks: &[Member],
        names: &BTreeMap<IpNet, Vec<Named>>,
    ) -> Result<Self> {
        let blocked = vps.isolated_reason.is_some() || vps.traffic_suspended;
        let names_of = |address: IpNet| names.get(&address).map_or(&[][..], Vec::as_slice);
        let address = |(ip, id): (std::net::Ipv4Addr, i64)| PublicIp {
            id,
            ip: ip.to_string(),
            blocked,
            dns_ptr: names_of(IpNet::V4(ip.into()))
                .first()
                .map(|named| named.name.clone())
                .unwrap_or_default(),
        };
        let prefix = |(net, id): (ipnet::Ipv6Net, i64)| PublicPrefix {
            id,
            ip: net.to_string(),
            blocked,
            dns_ptr: DnsPtr::all(names_of(IpNet::V6(net))),
        };
        Ok(Self {
            id: vps.id.0,
            name: vps.name.clone(),
            status: vps.status(),
            created: vps.created_at,
            public_net: PublicNet {
                ipv4: vps.ipv4().zip(vps.primary_ip_id).map(address),
                ipv6: vps.ipv6().zip(vps.prefix_ip_id).map(prefix),
                floating_ips: floating.to_vec(),
                firewalls: firewalls.iter().map(FirewallStatus::from).collect(),
            },
            private_net: networks.iter().map(PrivateNet::from).collect(),
            server_type: ServerType::of(catalog.plan(vps.plan_id)?, catalog),
            datacenter: Datacenter::of(catalog.datacenter(vps.datacenter_id)?, catalog)?,
            location: catalog.location(vps.location_id)?.into(),
            image: images.iter().find(|i| i.id == vps.image_id).map(Image::from),
            iso: None,
            rescue_enabled: false,
            locked: vps.locked,
            backup_window: None,
            outgoing_traffic: Some(vps.traffic_out),
            ingoing_traffic: Some(vps.traffic_in),
            included_traffic: Some(vps.included_traffic),
            protection: Protection { delete: vps.protect_delete, rebuild: vps.protect_delete },
            labels: vps.labels.map().clone(),
            volumes: Vec::new(),
            load_balancers: Vec::new(),
            primary_disk_size: vps.disk_bytes >> 30,
            placement_group: None,
            limit_hits: vps.metrics().map(|metrics| metrics.hits.into()),
            frozen: vps.observed_frozen,
        })
    }
}
