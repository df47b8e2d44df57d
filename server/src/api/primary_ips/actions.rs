//! `/primary_ips/{id}/actions/…` and the lists of actions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{PrimaryIpProtection, only_servers};
use crate::api::actions::{ActionResponse, ActionsResponse, answer};
use crate::api::body::Ids;
use crate::api::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::actions::{self, Filter, Kind, Subject};
use crate::db::primary_ips;
use crate::error::Result;
use crate::ids::{ActionId, PrimaryIpId, VpsId};

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
struct AssignPrimaryIp {
    /// A server of the project that is off and has no address of this type.
    assignee_id: i64,
    /// `server`.
    assignee_type: Option<String>,
}

type Begun = (StatusCode, Json<ActionResponse>);

fn begun(action: actions::Action) -> Begun {
    (StatusCode::CREATED, Json(action.into()))
}

/// Gives a primary IP to a server, which must be off.
#[utoipa::path(post, path = "/primary_ips/{id}/actions/assign", tag = "primary IP actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = AssignPrimaryIp,
    responses((status = 201, body = ActionResponse), Problems))]
async fn assign(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<PrimaryIpId>,
    Body(to): Body<AssignPrimaryIp>,
) -> Result<Begun> {
    only_servers(to.assignee_type.as_deref())?;
    Ok(begun(primary_ips::assign(&app, tenant.project_id, id, VpsId(to.assignee_id)).await?))
}

/// Takes a primary IP from its server, which must be off.
#[utoipa::path(post, path = "/primary_ips/{id}/actions/unassign", tag = "primary IP actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn unassign(State(app): State<App>, tenant: Tenant, Id(id): Id<PrimaryIpId>) -> Result<Begun> {
    Ok(begun(primary_ips::unassign(&app, tenant.project_id, id).await?))
}

/// Protects a primary IP from deletion, or no longer.
#[utoipa::path(post, path = "/primary_ips/{id}/actions/change_protection", tag = "primary IP actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = PrimaryIpProtection,
    responses((status = 201, body = ActionResponse), Problems))]
async fn change_protection(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<PrimaryIpId>,
    Body(wanted): Body<PrimaryIpProtection>,
) -> Result<Begun> {
    Ok(begun(primary_ips::protect(&app, tenant.project_id, id, wanted.delete).await?))
}

/// Lists the actions of all primary IPs.
#[utoipa::path(get, path = "/primary_ips/actions", tag = "primary IP actions", security(("token" = [])),
    params(
        ("id" = Option<Vec<i64>>, Query, description = "Only these actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ActionsResponse>> {
    answer(&app, tenant, &query, Filter { of: Some(Kind::PrimaryIp), ..Filter::default() }).await
}

/// Shows an action of a primary IP.
#[utoipa::path(get, path = "/primary_ips/actions/{id}", tag = "primary IP actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<ActionId>) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_of(&app.db, tenant.project_id, Kind::PrimaryIp, id).await?.into()))
}

/// Lists the actions of a primary IP.
#[utoipa::path(get, path = "/primary_ips/{id}/actions", tag = "primary IP actions", security(("token" = [])),
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
    Id(id): Id<PrimaryIpId>,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    primary_ips::get(&app.db, tenant.project_id, id).await?;
    answer(&app, tenant, &query, Filter { about: Some(Subject::PrimaryIp(id)), ..Filter::default() }).await
}

/// Shows an action of a primary IP.
#[utoipa::path(get, path = "/primary_ips/{id}/actions/{action_id}", tag = "primary IP actions",
    security(("token" = [])), params(("id" = i64, Path), ("action_id" = i64, Path)),
    responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Ids(id, action_id): Ids<PrimaryIpId, ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_about(&app.db, tenant.project_id, Subject::PrimaryIp(id), action_id).await?.into()))
}
