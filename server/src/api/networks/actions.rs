//! `/networks/{id}/actions/…` and the lists of actions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{NewSubnet, Route};
use crate::api::actions::{ActionResponse, ActionsResponse, answer};
use crate::api::body::Ids;
use crate::api::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::actions::{self, Filter, Kind, Subject};
use crate::db::networks::{self, Change};
use crate::error::Result;
use crate::ids::{ActionId, NetworkId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(add_subnet))
        .routes(routes!(delete_subnet))
        .routes(routes!(add_route))
        .routes(routes!(delete_route))
        .routes(routes!(change_ip_range))
        .routes(routes!(change_protection))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(list_of_one))
        .routes(routes!(get_of_one))
}

type Started = (StatusCode, Json<ActionResponse>);

async fn change(app: &App, tenant: Tenant, id: NetworkId, change: Change) -> Result<Started> {
    let action = networks::change(app, tenant.project_id, id, &change).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

#[derive(Deserialize, ToSchema)]
struct IpRange {
    /// A network in CIDR notation.
    ip_range: String,
}

#[derive(Deserialize, ToSchema)]
struct ChangeProtection {
    delete: Option<bool>,
}

/// Adds a subnet.
#[utoipa::path(post, path = "/networks/{id}/actions/add_subnet", tag = "network actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = NewSubnet,
    responses((status = 201, body = ActionResponse), Problems))]
async fn add_subnet(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(new): Body<NewSubnet>,
) -> Result<Started> {
    change(&app, tenant, id, Change::AddSubnet(new.into())).await
}

/// Deletes a subnet in which no server has an address.
#[utoipa::path(post, path = "/networks/{id}/actions/delete_subnet", tag = "network actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = IpRange,
    responses((status = 201, body = ActionResponse), Problems))]
async fn delete_subnet(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(subnet): Body<IpRange>,
) -> Result<Started> {
    change(&app, tenant, id, Change::DeleteSubnet(subnet.ip_range)).await
}

/// Adds a route: what lies behind one of the servers. Servers send there by themselves, but for the default route.
#[utoipa::path(post, path = "/networks/{id}/actions/add_route", tag = "network actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = Route, responses((status = 201, body = ActionResponse), Problems))]
async fn add_route(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(route): Body<Route>,
) -> Result<Started> {
    change(&app, tenant, id, Change::AddRoute(route.destination, route.gateway)).await
}

/// Deletes a route.
#[utoipa::path(post, path = "/networks/{id}/actions/delete_route", tag = "network actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = Route,
    responses((status = 201, body = ActionResponse), Problems))]
async fn delete_route(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(route): Body<Route>,
) -> Result<Started> {
    change(&app, tenant, id, Change::DeleteRoute(route.destination, route.gateway)).await
}

/// Makes the range of a network larger. It must begin where it began.
#[utoipa::path(post, path = "/networks/{id}/actions/change_ip_range", tag = "network actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = IpRange,
    responses((status = 201, body = ActionResponse), Problems))]
async fn change_ip_range(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(range): Body<IpRange>,
) -> Result<Started> {
    change(&app, tenant, id, Change::Extend(range.ip_range)).await
}

/// Protects a network from being deleted, or ends that.
#[utoipa::path(post, path = "/networks/{id}/actions/change_protection", tag = "network actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ChangeProtection,
    responses((status = 201, body = ActionResponse), Problems))]
async fn change_protection(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(wanted): Body<ChangeProtection>,
) -> Result<Started> {
    let action = networks::protect(&app, tenant.project_id, id, wanted.delete).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Lists the actions of all networks.
#[utoipa::path(get, path = "/networks/actions", tag = "network actions", security(("token" = [])),
    params(
        ("id" = Option<Vec<i64>>, Query, description = "Only these actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ActionsResponse>> {
    answer(&app, tenant, &query, Filter { of: Some(Kind::Network), ..Filter::default() }).await
}

/// Shows an action of a network.
#[utoipa::path(get, path = "/networks/actions/{id}", tag = "network actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<ActionId>) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_of(&app.db, tenant.project_id, Kind::Network, id).await?.into()))
}

/// Lists the actions of a network.
#[utoipa::path(get, path = "/networks/{id}/actions", tag = "network actions", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    networks::get(&app.db, tenant.project_id, id).await?;
    answer(&app, tenant, &query, Filter { about: Some(Subject::Network(id)), ..Filter::default() }).await
}

/// Shows an action of a network.
#[utoipa::path(get, path = "/networks/{id}/actions/{action_id}", tag = "network actions", security(("token" = [])),
    params(("id" = i64, Path), ("action_id" = i64, Path)),
    responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Ids(id, action_id): Ids<NetworkId, ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_about(&app.db, tenant.project_id, Subject::Network(id), action_id).await?.into()))
}
