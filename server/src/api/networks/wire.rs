//! Networks as clients of the hcloud API send and expect them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Meta;
use crate::db::networks::Network as Row;
use crate::domain::network::{RawSubnet, Route as ParsedRoute, Subnet as ParsedSubnet, SubnetKind};

/// A private network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Network {
    id: i64,
    name: String,
    labels: BTreeMap<String, String>,
    created: DateTime<Utc>,
    ip_range: String,
    subnets: Vec<Subnet>,
    routes: Vec<Route>,
    /// The servers in it.
    servers: Vec<i64>,
    load_balancers: Vec<i64>,
    protection: Protection,
    expose_routes_to_vswitch: bool,
}

/// A part of a network from which servers get addresses.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Subnet {
    /// `cloud` or `server`.
    #[serde(rename = "type")]
    kind: SubnetType,
    ip_range: String,
    network_zone: String,
    /// The network's first address, the same for all subnets.
    gateway: String,
    vswitch_id: Option<i64>,
}

/// What a subnet is for.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum SubnetType {
    Cloud,
    Server,
}

/// What lies behind one of the servers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Route {
    /// A network in CIDR notation.
    pub(super) destination: String,
    /// An address of the network.
    pub(super) gateway: String,
}

/// What is refused.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Protection {
    delete: bool,
}

impl Subnet {
    fn new(subnet: ParsedSubnet, gateway: String) -> Self {
        Self {
            kind: match subnet.kind {
                SubnetKind::Cloud => SubnetType::Cloud,
                SubnetKind::Server => SubnetType::Server,
            },
            ip_range: subnet.range.to_string(),
            network_zone: subnet.zone,
            gateway,
            vswitch_id: None,
        }
    }
}

impl From<ParsedRoute> for Route {
    fn from(route: ParsedRoute) -> Self {
        Self { destination: route.destination.to_string(), gateway: route.gateway.to_string() }
    }
}

impl From<Row> for Network {
    fn from(n: Row) -> Self {
        let gateway = n.layout.gateway().to_string();
        Self {
            id: n.id.0,
            name: n.name,
            labels: n.labels.map().clone(),
            created: n.created_at,
            ip_range: n.layout.range.to_string(),
            subnets: n.layout.subnets.into_iter().map(|s| Subnet::new(s, gateway.clone())).collect(),
            routes: n.layout.routes.into_iter().map(Route::from).collect(),
            servers: n.vpses,
            load_balancers: Vec::new(),
            protection: Protection { delete: n.protect_delete },
            expose_routes_to_vswitch: n.expose_routes,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct NetworksResponse {
    pub(super) networks: Vec<Network>,
    pub(super) meta: Meta,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NetworkResponse {
    pub(super) network: Network,
}

/// A new network.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateNetwork {
    /// One line of 1 to 128 characters, unique in the project.
    pub(super) name: String,
    /// A part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fc00::/7, of at least 256 addresses.
    pub(super) ip_range: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// At most 50.
    pub(super) subnets: Option<Vec<NewSubnet>>,
    /// At most 100.
    pub(super) routes: Option<Vec<Route>>,
    /// Kept, and without effect: there are no vSwitches.
    pub(super) expose_routes_to_vswitch: Option<bool>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateNetwork {
    pub(super) name: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// Kept, and without effect: there are no vSwitches.
    pub(super) expose_routes_to_vswitch: Option<bool>,
}

/// A subnet, as asked for.
#[derive(Deserialize, ToSchema)]
pub(super) struct NewSubnet {
    /// `cloud` or `server`.
    #[serde(rename = "type")]
    kind: String,
    /// A part of the network's range that no other has; without it the next free one of 256 addresses.
    ip_range: Option<String>,
    /// A location's network zone; servers there get its addresses.
    network_zone: String,
    /// There are no vSwitches.
    #[expect(dead_code, reason = "without the type 'vswitch' it means nothing")]
    vswitch_id: Option<i64>,
}

impl From<NewSubnet> for RawSubnet {
    fn from(new: NewSubnet) -> Self {
        Self { kind: new.kind, range: new.ip_range.filter(|range| !range.is_empty()), zone: new.network_zone }
    }
}
