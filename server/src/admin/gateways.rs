//! With whom hosts speak BGP, to announce addresses of pools of that kind.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use berth_proto::{Bgp, BgpNeighbour};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::gateways;
use crate::domain::bgp;
use crate::error::{Error, Result};
use crate::ids::HostId;

/// How a host speaks BGP.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Bgp)]
pub(super) struct Speaker {
    /// The host's own AS number.
    #[arg(long)]
    asn: u32,
    /// IPv4 address that names it among routers; its address among hosts where none is given.
    #[arg(long)]
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    router_id: Option<Ipv4Addr>,
    /// Routers, as ADDRESS=ASN; may be given several times.
    #[arg(long = "neighbour", required = true)]
    neighbours: Vec<Neighbour>,
}

/// A router that a host speaks BGP with.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = operators::BgpNeighbour)]
pub(super) struct Neighbour {
    /// Its address, on a network that the host is in.
    #[schema(value_type = String)]
    address: IpAddr,
    /// Its AS number.
    asn: u32,
}

impl FromStr for Neighbour {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parsed = text
            .split_once('=')
            .and_then(|(address, asn)| Some(Self { address: address.parse().ok()?, asn: asn.parse().ok()? }));
        parsed.ok_or_else(|| "must be ADDRESS=ASN, as 192.0.2.1=64500".to_owned())
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::BgpResponse)]
pub(super) struct BgpResponse {
    /// None when the host speaks with nobody.
    bgp: Option<Speaker>,
}

impl From<Bgp> for Speaker {
    fn from(bgp: Bgp) -> Self {
        let neighbours = bgp.neighbours.into_iter().map(|n| Neighbour { address: n.address, asn: n.asn });
        Self { asn: bgp.asn, router_id: bgp.router_id, neighbours: neighbours.collect() }
    }
}

/// With whom a host speaks.
pub(super) async fn show(app: &App, host: HostId) -> Result<BgpResponse> {
    Ok(BgpResponse { bgp: gateways::bgp(&app.db, host).await?.map(Speaker::from) })
}

/// Changes that.
pub(super) async fn set(app: &App, host: HostId, wanted: &Speaker) -> Result<BgpResponse> {
    let neighbours = wanted.neighbours.iter().map(|n| BgpNeighbour { address: n.address, asn: n.asn });
    let wanted = Bgp { asn: wanted.asn, router_id: wanted.router_id, neighbours: neighbours.collect() };
    bgp::check(&wanted).map_err(|(field, why)| Error::invalid(field, why))?;
    gateways::set_bgp(app, host, Some(&wanted)).await?;
    show(app, host).await
}

/// Lets a host speak with nobody.
pub(super) async fn unset(app: &App, host: HostId) -> Result<()> {
    gateways::set_bgp(app, host, None).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_bgp, put_bgp, delete_bgp))
}

/// Whom a host announces addresses to.
#[utoipa::path(get, path = "/hosts/{id}/bgp", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = BgpResponse), Problems))]
async fn get_bgp(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<Json<BgpResponse>> {
    Ok(Json(show(&app, id).await?))
}

/// Sets whom a host announces addresses to. Its running servers are announced at once.
#[utoipa::path(put, path = "/hosts/{id}/bgp", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Speaker, responses((status = 200, body = BgpResponse), Problems))]
async fn put_bgp(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<HostId>,
    Body(wanted): Body<Speaker>,
) -> Result<Json<BgpResponse>> {
    Ok(Json(set(&app, id, &wanted).await?))
}

/// Ends that a host announces addresses.
#[utoipa::path(delete, path = "/hosts/{id}/bgp", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_bgp(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<StatusCode> {
    unset(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
