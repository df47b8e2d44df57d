//! `/floating_ips/{id}/actions/…` and the lists of actions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::FloatingIpProtection;
use crate::api::actions::{ActionResponse, ActionsResponse, answer};
use crate::api::body::Ids;
use crate::api::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::actions::{self, Filter, Kind, Subject};
use crate::db::floating_ips;
use crate::error::Result;
use crate::ids::{ActionId, FloatingIpId, VpsId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(assign))
        .routes(routes!(unassign))
        .routes(routes!(change_protection))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(list_of_one))
        .routes(routes!(get_of_one))
}

#[derive(Deserialize, ToSchema)]
struct AssignFloatingIp {
    /// A server of the project in the address's location.
    server: i64,
}

type Begun = (StatusCode, Json<ActionResponse>);

fn begun(action: actions::Action) -> Begun {
    (StatusCode::CREATED, Json(action.into()))
}

/// Gives a floating IP to a server, whichever has it now. Done when no other answers any more.
#[utoipa::path(post, path = "/floating_ips/{id}/actions/assign", tag = "floating IP actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = AssignFloatingIp,
    responses((status = 201, body = ActionResponse), Problems))]
async fn assign(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FloatingIpId>,
    Body(to): Body<AssignFloatingIp>,
) -> Result<Begun> {
    Ok(begun(floating_ips::assign(&app, tenant.project_id, id, VpsId(to.server)).await?))
}

/// Takes a floating IP from its server.
#[utoipa::path(post, path = "/floating_ips/{id}/actions/unassign", tag = "floating IP actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn unassign(State(app): State<App>, tenant: Tenant, Id(id): Id<FloatingIpId>) -> Result<Begun> {
    Ok(begun(floating_ips::unassign(&app, tenant.project_id, id).await?))
}

/// Protects a floating IP from deletion, or no longer.
#[utoipa::path(post, path = "/floating_ips/{id}/actions/change_protection", tag = "floating IP actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = FloatingIpProtection,
    responses((status = 201, body = ActionResponse), Problems))]
async fn change_protection(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FloatingIpId>,
    Body(wanted): Body<FloatingIpProtection>,
) -> Result<Begun> {
    Ok(begun(floating_ips::protect(&app, tenant.project_id, id, wanted.delete).await?))
}

/// Lists the actions of all floating IPs.
#[utoipa::path(get, path = "/floating_ips/actions", tag = "floating IP actions", security(("token" = [])),
    params(
        ("id" = Option<Vec<i64>>, Query, description = "Only these actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ActionsResponse>> {
    answer(&app, tenant, &query, Filter { of: Some(Kind::FloatingIp), ..Filter::default() }).await
}

/// Shows an action of a floating IP.
#[utoipa::path(get, path = "/floating_ips/actions/{id}", tag = "floating IP actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<ActionId>) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_of(&app.db, tenant.project_id, Kind::FloatingIp, id).await?.into()))
}

/// Lists the actions of a floating IP.
#[utoipa::path(get, path = "/floating_ips/{id}/actions", tag = "floating IP actions", security(("token" = [])),
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
    Id(id): Id<FloatingIpId>,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    floating_ips::get(&app.db, tenant.project_id, id).await?;
    answer(&app, tenant, &query, Filter { about: Some(Subject::FloatingIp(id)), ..Filter::default() }).await
}

/// Shows an action of a floating IP.
#[utoipa::path(get, path = "/floating_ips/{id}/actions/{action_id}", tag = "floating IP actions",
    security(("token" = [])), params(("id" = i64, Path), ("action_id" = i64, Path)),
    responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Ids(id, action_id): Ids<FloatingIpId, ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_about(&app.db, tenant.project_id, Subject::FloatingIp(id), action_id).await?.into()))
}
