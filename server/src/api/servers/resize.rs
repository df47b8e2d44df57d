//! `POST /servers/{id}/actions/change_type`: another server type, without a restart.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::create::IdOrName;
use crate::api::actions::ActionResponse;
use crate::api::body::{Raw, parse};
use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::error::Result;
use crate::ids::VpsId;

/// What to change to.
#[derive(Deserialize, ToSchema)]
pub(super) struct ChangeType {
    /// Id or name of the server type.
    #[schema(value_type = String)]
    server_type: IdOrName,
    /// Whether the disk grows to that of the server type. It cannot shrink again.
    upgrade_disk: bool,
}

/// Changes the server type. A running server goes on running, with its new limits.
#[utoipa::path(post, path = "/servers/{id}/actions/change_type", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = ChangeType,
    responses((status = 201, body = ActionResponse), Problems))]
pub(super) async fn change_type(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<ActionResponse>)> {
    let project = tenant.project_id;
    vps::get(&app.db, project, id).await?; // what is not there is not told what its body lacks
    let wanted = parse::<ChangeType>(&body)?;
    let plan = wanted.server_type.into();
    let action = vps::change_plan(&app, project, id, &plan, wanted.upgrade_disk).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}
