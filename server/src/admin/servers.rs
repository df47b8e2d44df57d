//! Tenants' servers, as far as operators decide about them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::vps::{self, Vps};
use crate::error::Result;
use crate::ids::VpsId;

/// A server.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Server)]
pub(super) struct Server {
    id: i64,
    name: String,
    project: String,
    host: String,
    /// Its place among those that its host starts when it has booted: smaller ones first.
    autostart_order: i32,
}

impl From<Vps> for Server {
    fn from(v: Vps) -> Self {
        Self {
            id: v.id.0,
            name: v.name,
            project: v.project_name,
            host: v.host_name,
            autostart_order: v.autostart_order,
        }
    }
}

/// What to change.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ChangeServer)]
pub(super) struct Change {
    /// Its place among those that its host starts when it has booted: smaller ones first.
    #[arg(long, allow_negative_numbers = true)]
    autostart_order: i32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::ServerResponse)]
struct ServerResponse {
    server: Server,
}

/// Changes a server of any project.
pub(super) async fn change(app: &App, id: VpsId, change: Change) -> Result<Server> {
    Ok(vps::set_autostart_order(app, id, change.autostart_order).await?.into())
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(patch))
}

/// Changes a server of any project.
#[utoipa::path(patch, path = "/servers/{id}", tag = "Operators: servers", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Change, responses((status = 200, body = ServerResponse), Problems))]
async fn patch(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<VpsId>,
    Body(wanted): Body<Change>,
) -> Result<Json<ServerResponse>> {
    Ok(Json(ServerResponse { server: change(&app, id, wanted).await? }))
}
