//! `/servers/{id}/actions/…`: power and password.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::{Action, ActionResponse};
use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::domain::power::Command;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(poweron))
        .routes(routes!(poweroff))
        .routes(routes!(shutdown))
        .routes(routes!(reboot))
        .routes(routes!(reset))
        .routes(routes!(reset_password))
}

type Started = (StatusCode, Json<ActionResponse>);

async fn start(app: &App, tenant: Tenant, id: VpsId, command: Command) -> Result<Started> {
    let action = vps::power(app, tenant.project_id, id, command).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Starts a server.
#[utoipa::path(post, path = "/servers/{id}/actions/poweron", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn poweron(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    start(&app, tenant, id, Command::PowerOn).await
}

/// Stops a server at once, as pulling the plug.
#[utoipa::path(post, path = "/servers/{id}/actions/poweroff", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn poweroff(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    start(&app, tenant, id, Command::PowerOff).await
}

/// Asks a server to stop, and stops it after a minute.
#[utoipa::path(post, path = "/servers/{id}/actions/shutdown", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn shutdown(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    start(&app, tenant, id, Command::Shutdown).await
}

/// Asks a server to stop, stops it after a minute, and starts it.
#[utoipa::path(post, path = "/servers/{id}/actions/reboot", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn reboot(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    start(&app, tenant, id, Command::Reboot).await
}

/// Stops a server at once and starts it.
#[utoipa::path(post, path = "/servers/{id}/actions/reset", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn reset(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    start(&app, tenant, id, Command::Reset).await
}

#[derive(Serialize, ToSchema)]
struct ResetPasswordResponse {
    action: Action,
    /// The new password. It is shown here and never again.
    root_password: String,
}

/// Makes a new root password.
#[utoipa::path(post, path = "/servers/{id}/actions/reset_password", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)),
    responses((status = 201, body = ResetPasswordResponse), Problems))]
async fn reset_password(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
) -> Result<(StatusCode, Json<ResetPasswordResponse>)> {
    let (action, password) = vps::reset_password(&app, tenant.project_id, id).await?;
    let response = ResetPasswordResponse { action: action.into(), root_password: password.expose().into() };
    Ok((StatusCode::CREATED, Json(response)))
}
