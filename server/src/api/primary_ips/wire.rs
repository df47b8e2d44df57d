//! Primary IPs as clients of the hcloud API send and expect them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Meta;
use crate::api::actions::Action;
use crate::api::catalog::Catalog;
use crate::api::datacenters::Datacenter;
use crate::api::dns_ptr::DnsPtr;
use crate::api::locations::Location;
use crate::api::servers::IdOrName;
use crate::app::App;
use crate::db::primary_ips::PrimaryIp as Row;
use crate::db::reverse::{self, Named};
use crate::domain::family::{Family, shown};
use crate::error::{Error, Result};

/// An address that the project holds, whether or not a server has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct PrimaryIp {
    id: i64,
    name: String,
    /// `192.0.2.7`, or of IPv6 a /64: `2001:db8::/64`.
    ip: String,
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The server that has it.
    assignee_id: Option<i64>,
    /// `server`.
    assignee_type: &'static str,
    /// Whether it goes with the server that has it.
    auto_delete: bool,
    blocked: bool,
    created: DateTime<Utc>,
    /// Some data centre of the location; deprecated.
    datacenter: Datacenter,
    location: Location,
    dns_ptr: Vec<DnsPtr>,
    labels: BTreeMap<String, String>,
    protection: PrimaryIpProtection,
}

/// What is refused.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct PrimaryIpProtection {
    pub(super) delete: bool,
}

impl PrimaryIp {
    /// One, with all that is shown inside of it.
    pub(super) async fn one(app: &App, row: Row) -> Result<Self> {
        Self::all(app, vec![row]).await?.pop().ok_or(Error::NotFound("primary IP"))
    }

    /// Some.
    pub(super) async fn all(app: &App, rows: Vec<Row>) -> Result<Vec<Self>> {
        let catalog = Catalog::load(app).await?;
        let addresses: Vec<IpNet> = rows.iter().map(|row| row.ip).collect();
        let names = reverse::names(&app.db, &addresses).await?;
        rows.into_iter().map(|row| Self::of(row, &catalog, &names)).collect()
    }

    fn of(row: Row, catalog: &Catalog, names: &BTreeMap<IpNet, Vec<Named>>) -> Result<Self> {
        let datacenter = catalog.datacenters.iter().find(|d| d.location_id == row.location_id);
        let datacenter =
            datacenter.ok_or_else(|| anyhow::anyhow!("location {} has no data centre", row.location_id))?;
        Ok(Self {
            id: row.id.0,
            name: row.name,
            ip: shown(row.ip),
            kind: Family::of(row.ip).code(),
            assignee_id: row.vps_id,
            assignee_type: "server",
            auto_delete: row.auto_delete,
            blocked: false,
            created: row.created_at,
            datacenter: Datacenter::of(datacenter, catalog)?,
            location: catalog.location(row.location_id)?.into(),
            dns_ptr: DnsPtr::all(names.get(&row.ip).map_or(&[], Vec::as_slice)),
            labels: row.labels.map().clone(),
            protection: PrimaryIpProtection { delete: row.protect_delete },
        })
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct PrimaryIpsResponse {
    pub(super) primary_ips: Vec<PrimaryIp>,
    pub(super) meta: Meta,
}

#[derive(Serialize, ToSchema)]
pub(super) struct PrimaryIpResponse {
    pub(super) primary_ip: PrimaryIp,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CreatePrimaryIpResponse {
    pub(super) primary_ip: PrimaryIp,
    /// Only when it was made for a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<Action>,
}

/// A new primary IP.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreatePrimaryIp {
    /// One line of 1 to 128 characters, unique in the project; not `primary_ip-` and a number.
    pub(super) name: String,
    /// `ipv4` or `ipv6`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// `server`.
    pub(super) assignee_type: Option<String>,
    /// A server of the project that is off and has no address of this type.
    pub(super) assignee_id: Option<i64>,
    /// Whether it goes with the server that has it; default false.
    pub(super) auto_delete: Option<bool>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// Where; needed without `assignee_id`.
    #[schema(value_type = Option<String>)]
    pub(super) location: Option<IdOrName>,
    /// Where; deprecated, not together with `location`.
    #[schema(value_type = Option<String>)]
    pub(super) datacenter: Option<IdOrName>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdatePrimaryIp {
    pub(super) name: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) auto_delete: Option<bool>,
}

/// Refuses what is not a server to assign to.
pub(super) fn only_servers(assignee_type: Option<&str>) -> Result<()> {
    match assignee_type {
        None | Some("server") => Ok(()),
        Some(_) => Err(Error::invalid("assignee_type", "must be 'server'")),
    }
}
