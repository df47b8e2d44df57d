//! `/servers/{id}/network`: walls that the operator, or the month's traffic, has put around a server.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::domain::guard::port_text;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// What holds for a server's network, whatever its firewalls say.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Network)]
struct Network {
    /// Whether nothing passes, in or out. The server runs on, and its console works.
    isolated: bool,
    /// Why the operator has isolated it; null when it has not.
    reason: Option<String>,
    /// Since when.
    isolated_at: Option<DateTime<Utc>>,
    /// Ports that nobody outside is reached at from it, as `tcp/25`.
    blocked_ports: Vec<String>,
    /// Bandwidth each way in Mbit/s that holds now; 0 for no limit.
    bandwidth_mbit: i64,
    traffic: Traffic,
}

/// What its traffic of the month has led to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::NetworkTraffic)]
struct Traffic {
    /// What was reached of the included traffic: 0, 80 or 100.
    percent: i16,
    /// Whether what is included is one sum for all servers of the project.
    pooled: bool,
    /// What happens at 100: `nothing`, `throttle` or `suspend`. It is undone when the month begins.
    over_traffic: String,
    /// To what the bandwidth is lowered, Mbit/s; null while it is not.
    throttled_to_mbit: Option<i64>,
    /// Whether nothing passes because of it.
    suspended: bool,
}

impl From<vps::Network> for Network {
    fn from(n: vps::Network) -> Self {
        Self {
            isolated: n.isolated_at.is_some() || n.suspended,
            reason: n.isolated_reason,
            isolated_at: n.isolated_at,
            blocked_ports: n.blocked_ports.iter().map(port_text).collect(),
            bandwidth_mbit: n.bandwidth_mbit,
            traffic: Traffic {
                percent: n.percent,
                pooled: n.pooled,
                over_traffic: n.over_traffic,
                throttled_to_mbit: (n.throttle_mbit > 0).then_some(n.throttle_mbit),
                suspended: n.suspended,
            },
        }
    }
}

/// Shows what holds for a server's network: isolation and its reason, blocked ports, what its traffic has led to.
#[utoipa::path(get, path = "/servers/{id}/network", tag = "berth: traffic", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Network), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<Network>> {
    Ok(Json(vps::network(&app.db, tenant.project_id, id).await?.into()))
}
