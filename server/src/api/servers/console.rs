//! `/servers/{id}/actions/request_console`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::Action;
use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::console::path;
use crate::db::console::{self, Asker};
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(request_console))
}

#[derive(Serialize, ToSchema)]
struct RequestConsoleResponse {
    action: Action,
    /// A WebSocket, good once and for a minute. Binary messages are the bytes of the server's serial console, in both
    /// directions; it begins with the last output. The text message `{"resize":{"cols":80,"rows":24}}` sets the size
    /// of the window, and `{"connected":true}` comes when the server's host is there. Closes tell why.
    wss_url: String,
    /// Always empty: the URL is the only secret. The field is there because hcloud's clients expect it.
    password: String,
}

/// Opens the serial console of a running server.
#[utoipa::path(post, path = "/servers/{id}/actions/request_console", tag = "server actions",
    security(("token" = [])), params(("id" = i64, Path)),
    responses((status = 201, body = RequestConsoleResponse), Problems))]
async fn request_console(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
) -> Result<(StatusCode, Json<RequestConsoleResponse>)> {
    let (action, ticket) = console::issue(&app, tenant.project_id, id, Asker::Token(tenant.token_id)).await?;
    let wss_url = format!("{}{}", app.config.public_socket_url(), path(&ticket));
    let response = RequestConsoleResponse { action: action.into(), wss_url, password: String::new() };
    Ok((StatusCode::CREATED, Json(response)))
}
