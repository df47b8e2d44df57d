//! Ports of hosts that VPSes with private addresses are reached by, and the address that they are reached at.

use std::net::Ipv4Addr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pools::{self, PoolResponse};
use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::pools::Pool;
use crate::db::ports;
use crate::domain::ports::{PER_VPS, PortPlan};
use crate::error::Result;
use crate::ids::HostId;

/// Which ports of each host VPSes with addresses of a pool are reached by.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::PoolPorts)]
pub(crate) struct PoolPorts {
    /// A range such as 10000-29999, of which no program of the hosts listens on any.
    pub(crate) ports: String,
    /// How many in a row each VPS gets. TCP to the first one leads to its port 22, all else to the port of the same number.
    #[arg(long, default_value_t = PER_VPS)]
    #[serde(default = "usual")]
    pub(crate) ports_per_vps: u16,
    /// Take also ports that the hosts' own connections may come from, or the control plane listens on.
    #[arg(long)]
    #[serde(default)]
    pub(crate) force: bool,
}

pub(super) fn usual() -> u16 {
    PER_VPS
}

/// By which address a host is reached from outside.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::HostAddress)]
pub(super) struct HostAddress {
    /// The address; null where nobody has said any.
    address: Option<String>,
    /// Whether an operator has said so, and not the host.
    chosen: bool,
}

impl From<ports::HostAddress> for HostAddress {
    fn from(found: ports::HostAddress) -> Self {
        let ports::HostAddress { address, chosen } = found;
        Self { address, chosen }
    }
}

/// The address by which a host is reached from outside.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewHostAddress)]
pub(super) struct NewHostAddress {
    /// An IPv4 address.
    #[schema(value_type = String)]
    address: Ipv4Addr,
}

/// Checks what an operator says of a pool's ports.
pub(super) fn plan(app: &App, ports: &str, per_vps: u16, force: bool) -> Result<PortPlan> {
    let own = [app.config.listen.port(), app.config.agent_listen.port()];
    PortPlan::parse(ports, per_vps, &own, force)
}

/// Gives VPSes with addresses of a pool ports, or others than they had.
pub(crate) async fn set(app: &App, pool: i64, wanted: &PoolPorts) -> Result<Pool> {
    let plan = plan(app, &wanted.ports, wanted.ports_per_vps, wanted.force)?;
    ports::set(app, pool, Some(&plan)).await
}

/// The same by name.
pub(super) async fn set_by_name(app: &App, pool: &Reference, wanted: &PoolPorts) -> Result<Pool> {
    set(app, pools::find(app, pool).await?.id, wanted).await
}

/// Takes the ports of a pool away from all VPSes.
pub(super) async fn unset_by_name(app: &App, pool: &Reference) -> Result<Pool> {
    ports::set(app, pools::find(app, pool).await?.id, None).await
}

/// By which address a host is reached.
pub(super) async fn address(app: &App, host: HostId) -> Result<HostAddress> {
    Ok(ports::host_address(&app.db, host).await?.into())
}

/// Says by which address a host is reached; none: by what it says itself.
pub(super) async fn set_address(
    app: &App,
    host: HostId,
    wanted: Option<NewHostAddress>,
) -> Result<HostAddress> {
    Ok(ports::set_host_address(app, host, wanted.map(|wanted| wanted.address)).await?.into())
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(put_ports, delete_ports)).routes(routes!(
        get_address,
        put_address,
        delete_address
    ))
}

/// Gives servers with addresses of a pool of the kind nat ports of their hosts. Those that are there get theirs at once,
/// instead of any that they had.
#[utoipa::path(put, path = "/pools/{id}/ports", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = PoolPorts,
    responses((status = 200, body = PoolResponse), Problems))]
async fn put_ports(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<i64>,
    Body(wanted): Body<PoolPorts>,
) -> Result<Json<PoolResponse>> {
    Ok(Json(PoolResponse { pool: set(&app, id, &wanted).await? }))
}

/// Takes the ports of a pool away from all servers.
#[utoipa::path(delete, path = "/pools/{id}/ports", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_ports(State(app): State<App>, _: Operator, Id(id): Id<i64>) -> Result<StatusCode> {
    ports::set(&app, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// By which address a host is reached from outside.
#[utoipa::path(get, path = "/hosts/{id}/address", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = HostAddress), Problems))]
async fn get_address(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<Json<HostAddress>> {
    Ok(Json(address(&app, id).await?))
}

/// Says by which address a host is reached from outside, where it is not that of its uplink.
#[utoipa::path(put, path = "/hosts/{id}/address", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = NewHostAddress,
    responses((status = 200, body = HostAddress), Problems))]
async fn put_address(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<HostId>,
    Body(wanted): Body<NewHostAddress>,
) -> Result<Json<HostAddress>> {
    Ok(Json(set_address(&app, id, Some(wanted)).await?))
}

/// Lets the host say itself again by which address it is reached.
#[utoipa::path(delete, path = "/hosts/{id}/address", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_address(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<StatusCode> {
    set_address(&app, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
