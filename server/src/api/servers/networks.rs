//! `/servers/{id}/actions/attach_to_network` and its kin.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::ActionResponse;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::networks::{self, Order};
use crate::domain::network::{Wish, parse_aliases, parse_ip, parse_net};
use crate::error::Result;
use crate::ids::{NetworkId, VpsId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(attach)).routes(routes!(detach)).routes(routes!(change_alias_ips))
}

type Started = (StatusCode, Json<ActionResponse>);

#[derive(Deserialize, ToSchema)]
struct AttachToNetwork {
    network: i64,
    /// An address of one of its subnets; without it the first free one.
    ip: Option<String>,
    /// The subnet that the address should be of.
    ip_range: Option<String>,
    /// At most 5 more addresses that are routed to the server.
    alias_ips: Option<Vec<String>>,
}

#[derive(Deserialize, ToSchema)]
struct DetachFromNetwork {
    network: i64,
}

#[derive(Deserialize, ToSchema)]
struct ChangeAliasIps {
    network: i64,
    /// All that it should have, at most 5.
    alias_ips: Vec<String>,
}

/// Attaches a server to a private network, also while it runs: it gets one more interface.
#[utoipa::path(post, path = "/servers/{id}/actions/attach_to_network", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = AttachToNetwork,
    responses((status = 201, body = ActionResponse), Problems))]
async fn attach(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(to): Body<AttachToNetwork>,
) -> Result<Started> {
    let wish = Wish {
        ip: to.ip.as_deref().filter(|ip| !ip.is_empty()).map(|ip| parse_ip("ip", ip)).transpose()?,
        subnet: to.ip_range.as_deref().map(|range| parse_net("ip_range", range)).transpose()?,
    };
    let order = Order { wish, aliases: parse_aliases(&to.alias_ips.unwrap_or_default())? };
    let action = networks::attach(&app, tenant.project_id, id, NetworkId(to.network), &order).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Detaches a server from a private network, also while it runs.
#[utoipa::path(post, path = "/servers/{id}/actions/detach_from_network", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = DetachFromNetwork,
    responses((status = 201, body = ActionResponse), Problems))]
async fn detach(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(from): Body<DetachFromNetwork>,
) -> Result<Started> {
    let action = networks::detach(&app, tenant.project_id, id, NetworkId(from.network)).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Replaces the alias addresses that a server has in a private network. The server itself has to be told of them by its
/// owner; they are routed to it.
#[utoipa::path(post, path = "/servers/{id}/actions/change_alias_ips", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ChangeAliasIps,
    responses((status = 201, body = ActionResponse), Problems))]
async fn change_alias_ips(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(change): Body<ChangeAliasIps>,
) -> Result<Started> {
    let aliases = parse_aliases(&change.alias_ips)?;
    let network = NetworkId(change.network);
    let action = networks::change_aliases(&app, tenant.project_id, id, network, &aliases).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}
