//! Floating IPs as clients of the hcloud API send and expect them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Meta;
use crate::api::actions::Action;
use crate::api::dns_ptr::DnsPtr;
use crate::api::locations::Location;
use crate::api::servers::IdOrName;
use crate::app::App;
use crate::db::floating_ips::FloatingIp as Row;
use crate::db::locations;
use crate::db::reverse::{self, Named};
use crate::domain::family::{Family, shown};
use crate::error::{Error, Result};

/// An address, or a /64 of IPv6, that moves between servers. The server that has it configures it itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FloatingIp {
    id: i64,
    name: String,
    description: String,
    /// `192.0.2.7`, or of IPv6 a /64: `2001:db8::/64`.
    ip: String,
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The server that has it.
    server: Option<i64>,
    dns_ptr: Vec<DnsPtr>,
    /// Where servers can have it.
    home_location: Location,
    blocked: bool,
    protection: FloatingIpProtection,
    labels: BTreeMap<String, String>,
    created: DateTime<Utc>,
}

/// What is refused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct FloatingIpProtection {
    pub(super) delete: bool,
}

impl FloatingIp {
    /// One, with all that is shown inside of it.
    pub(super) async fn one(app: &App, row: Row) -> Result<Self> {
        Self::all(app, vec![row]).await?.pop().ok_or(Error::NotFound("floating IP"))
    }

    /// Some.
    pub(super) async fn all(app: &App, rows: Vec<Row>) -> Result<Vec<Self>> {
        let locations = locations::list(&app.db).await?;
        let addresses: Vec<IpNet> = rows.iter().map(|row| row.ip).collect();
        let names = reverse::names(&app.db, &addresses).await?;
        rows.into_iter().map(|row| Self::of(row, &locations, &names)).collect()
    }

    fn of(row: Row, locations: &[locations::Location], names: &BTreeMap<IpNet, Vec<Named>>) -> Result<Self> {
        let home = locations.iter().find(|l| l.id == row.location_id);
        let home = home.ok_or_else(|| anyhow::anyhow!("location {} is not there", row.location_id))?;
        Ok(Self {
            id: row.id.0,
            name: row.name,
            description: row.description,
            ip: shown(row.ip),
            kind: Family::of(row.ip).code(),
            server: row.vps_id,
            dns_ptr: DnsPtr::all(names.get(&row.ip).map_or(&[], Vec::as_slice)),
            home_location: home.into(),
            blocked: false,
            protection: FloatingIpProtection { delete: row.protect_delete },
            labels: row.labels.map().clone(),
            created: row.created_at,
        })
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct FloatingIpsResponse {
    pub(super) floating_ips: Vec<FloatingIp>,
    pub(super) meta: Meta,
}

#[derive(Serialize, ToSchema)]
pub(super) struct FloatingIpResponse {
    pub(super) floating_ip: FloatingIp,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CreateFloatingIpResponse {
    pub(super) floating_ip: FloatingIp,
    /// Only when it was made for a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<Action>,
}

/// A new floating IP.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateFloatingIp {
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// One line of 1 to 128 characters, unique in the project; not `floating_ip-` and a number. Made when absent.
    pub(super) name: Option<String>,
    /// At most 255 characters.
    #[schema(max_length = 255)]
    pub(super) description: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// A server of the project that gets it.
    pub(super) server: Option<i64>,
    /// Where; needed without `server`.
    #[schema(value_type = Option<String>)]
    pub(super) home_location: Option<IdOrName>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateFloatingIp {
    pub(super) name: Option<String>,
    #[schema(max_length = 255)]
    pub(super) description: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}
