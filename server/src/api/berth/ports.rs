//! `/servers/{id}/ports`: the ports of its host by which a server with a private address is reached.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Ports by which a server is reached from outside.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Ports)]
struct Ports {
    /// The address to connect to, which is the host's; null while it is not known.
    address: Option<String>,
    /// The first port. By TCP it leads to the server's port 22, so it is what SSH connects to.
    first: i32,
    /// The last port. Each port but the first one by TCP leads to the server's port of the same number, by TCP and UDP.
    last: i32,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::PortsResponse)]
struct PortsResponse {
    /// Null for a server that has none, because its address is its own, or its address comes without ports.
    ports: Option<Ports>,
}

/// Shows the ports of its host that lead to a server whose address is not reached from outside.
#[utoipa::path(get, path = "/servers/{id}/ports", tag = "berth: ports", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = PortsResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<PortsResponse>> {
    let vps = vps::get(&app.db, tenant.project_id, id).await?;
    let ends = vps.first_port.zip(vps.last_port);
    let ports = ends.map(|(first, last)| Ports { address: vps.host_ipv4, first, last });
    Ok(Json(PortsResponse { ports }))
}
