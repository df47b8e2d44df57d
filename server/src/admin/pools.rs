//! Pools of addresses.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use super::{places, ports};
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::db::pools::{Kind, Pool, QUARANTINE_S};
use crate::domain::names::Slug;
use crate::domain::ports::PER_VPS;
use crate::error::{Error, Result};

/// A new pool. Of IPv4 the network's own, first and broadcast address are not given out; of IPv6 each VPS gets a /64, and
/// the first one is not given out where there are others.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewPool)]
pub(crate) struct NewPool {
    /// Its name.
    pub(crate) name: String,
    /// Network in CIDR notation: of IPv4 a /16 to /30, of IPv6 a /32 to /64.
    pub(crate) cidr: String,
    /// How its addresses reach the world: by default by NAT for IPv4, and routed for IPv6, which is not translated.
    #[arg(long, value_enum)]
    #[serde(default)]
    pub(crate) kind: Option<Kind>,
    /// Where its addresses are given out, by id or name; not needed while there is only one location.
    #[arg(long)]
    #[schema(value_type = Option<String>)]
    pub(crate) location: Option<Reference>,
    /// Seconds that an address rests after it was given back, before anybody can get it again.
    #[arg(long, default_value_t = QUARANTINE_S)]
    #[serde(default = "usual")]
    pub(crate) quarantine_s: i64,
    /// Ports of each host by which VPSes with private addresses are reached, such as 10000-29999; only for the kind nat.
    /// No program of the hosts may listen on any of them.
    #[arg(long)]
    #[serde(default)]
    pub(crate) ports: Option<String>,
    /// How many of them in a row each VPS gets. TCP to the first one leads to its port 22, all else to the port of the same
    /// number.
    #[arg(long, default_value_t = PER_VPS)]
    #[serde(default = "ports::usual")]
    pub(crate) ports_per_vps: u16,
    /// Take also ports that the hosts' own connections may come from, or the control plane listens on.
    #[arg(long)]
    #[serde(default)]
    pub(crate) force_ports: bool,
}

fn usual() -> i64 {
    QUARANTINE_S
}

/// What to change.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ChangePool)]
pub(super) struct ChangePool {
    /// Seconds that an address rests after it was given back; for those that rest already too.
    quarantine_s: i64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::PoolsResponse)]
struct PoolsResponse {
    pools: Vec<Pool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::PoolResponse)]
pub(super) struct PoolResponse {
    pub(super) pool: Pool,
}

/// All pools.
pub(super) async fn list(app: &App) -> Result<Vec<Pool>> {
    db::pools::list(&app.db).await
}

/// Makes a pool.
pub(crate) async fn create(app: &App, new: NewPool) -> Result<Pool> {
    let name = Slug::parse("name", &new.name)?;
    let cidr: IpNet = new
        .cidr
        .parse()
        .map_err(|_| Error::invalid("cidr", "must be a network such as 192.0.2.0/24 or 2001:db8::/48"))?;
    let location = places::find_location(app, new.location.as_ref()).await?.id;
    let ports = new.ports.as_deref();
    let ports = ports.map(|ports| ports::plan(app, ports, new.ports_per_vps, new.force_ports)).transpose()?;
    let quarantine_s = new.quarantine_s;
    db::pools::create(app, &db::pools::NewPool { name, location, cidr, kind: new.kind, quarantine_s, ports })
        .await
}

/// Deletes a pool that no project has an address of.
pub(super) async fn delete(app: &App, pool: &Reference) -> Result<()> {
    db::pools::delete(app, find(app, pool).await?.id).await
}

/// Changes how long addresses of a pool rest.
pub(super) async fn set_quarantine(app: &App, pool: &Reference, wanted: ChangePool) -> Result<Pool> {
    db::pools::set_quarantine(&app.db, find(app, pool).await?.id, wanted.quarantine_s).await
}

pub(super) async fn find(app: &App, pool: &Reference) -> Result<Pool> {
    let all = db::pools::list(&app.db).await?;
    pool.find(all, |p| (p.id, p.name.clone())).ok_or(Error::NotFound("pool"))
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(delete_one, patch))
}

/// Lists pools.
#[utoipa::path(get, path = "/pools", tag = "Operators: pools", security(("operator" = [])),
    responses((status = 200, body = PoolsResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<PoolsResponse>> {
    Ok(Json(PoolsResponse { pools: list(&app).await? }))
}

/// Makes a pool.
#[utoipa::path(post, path = "/pools", tag = "Operators: pools", security(("operator" = [])),
    request_body = NewPool, responses((status = 201, body = PoolResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewPool>,
) -> Result<(StatusCode, Json<PoolResponse>)> {
    Ok((StatusCode::CREATED, Json(PoolResponse { pool: create(&app, new).await? })))
}

/// Changes how long addresses of a pool rest.
#[utoipa::path(patch, path = "/pools/{id}", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = ChangePool,
    responses((status = 200, body = PoolResponse), Problems))]
async fn patch(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<i64>,
    Body(wanted): Body<ChangePool>,
) -> Result<Json<PoolResponse>> {
    Ok(Json(PoolResponse { pool: db::pools::set_quarantine(&app.db, id, wanted.quarantine_s).await? }))
}

/// Deletes a pool that no project has an address of.
#[utoipa::path(delete, path = "/pools/{id}", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_one(State(app): State<App>, _: Operator, Id(id): Id<i64>) -> Result<StatusCode> {
    db::pools::delete(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
