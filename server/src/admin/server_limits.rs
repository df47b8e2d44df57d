//! Limits of single servers: what their plan does not give, or more than they should have.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems, Raw, ServerLimits, wanted_limits};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::db::actions::ActionStatus;
use crate::domain::limits::{By, Change};
use crate::error::Result;
use crate::ids::VpsId;

/// A change that was asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::LimitsChanged)]
pub(super) struct LimitsChanged {
    /// The action, which the server's project can follow.
    action_id: i64,
    /// How it stands.
    status: ActionStatus,
}

/// The limits of a server, and what became of them.
pub(super) async fn limits(app: &App, id: VpsId) -> Result<ServerLimits> {
    let project = db::vps::project_of(&app.db, id).await?;
    Ok(db::vps::limits(&app.db, project, id).await?.into())
}

/// Changes single limits of a server, to anything that is possible and that its host has room for.
pub(super) async fn set_limits(app: &App, id: VpsId, wanted: &Change) -> Result<LimitsChanged> {
    let project = db::vps::project_of(&app.db, id).await?;
    let action = db::vps::set_limits(app, project, id, wanted, By::Operator).await?;
    Ok(LimitsChanged { action_id: action.id.0, status: action.status })
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, patch))
}

/// Shows the limits of a server: asked for, applied, why not, and how often they were hit.
#[utoipa::path(get, path = "/servers/{id}/limits", tag = "Operators: servers", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ServerLimits), Problems))]
async fn get(State(app): State<App>, _: Operator, Id(id): Id<VpsId>) -> Result<Json<ServerLimits>> {
    Ok(Json(limits(&app, id).await?))
}

/// Changes single limits of a server, without a restart, to anything that its host has room for.
#[utoipa::path(patch, path = "/servers/{id}/limits", tag = "Operators: servers", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Change, responses((status = 200, body = LimitsChanged), Problems))]
async fn patch(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<VpsId>,
    Raw(body): Raw,
) -> Result<Json<LimitsChanged>> {
    Ok(Json(set_limits(&app, id, &wanted_limits(&body)?).await?))
}
