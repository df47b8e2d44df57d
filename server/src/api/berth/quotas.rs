//! `/berth/v1/quotas`: what the project may have at most, and what it has.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problems;
use crate::app::App;
use crate::auth::Tenant;
use crate::db::quotas;
use crate::domain::quota::{Amounts, Counted, Quota};
use crate::error::Result;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// What a project may have at most, and what it has. A server counts until nothing is left of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Quotas)]
pub(crate) struct Quotas {
    servers: One,
    /// Thousandths of a core, as server types count them.
    cpu_milli: One,
    memory_bytes: One,
    disk_bytes: One,
    /// IPv4 addresses of primary and floating IPs.
    addresses: One,
    /// IPv6 prefixes (/64) of primary and floating IPs.
    prefixes: One,
}

/// One figure.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = berth::Quota)]
struct One {
    /// At most so much; null: no limit.
    most: Option<i64>,
    /// So much there is.
    used: i64,
}

impl From<(Quota, Amounts)> for Quotas {
    fn from((quota, used): (Quota, Amounts)) -> Self {
        let one = |what: Counted| One { most: quota.of(what), used: used.of(what) };
        Self {
            servers: one(Counted::Servers),
            cpu_milli: one(Counted::Cpu),
            memory_bytes: one(Counted::Memory),
            disk_bytes: one(Counted::Disk),
            addresses: one(Counted::Addresses),
            prefixes: one(Counted::Prefixes),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::QuotasResponse)]
struct QuotasResponse {
    quotas: Quotas,
}

/// Shows what the project may have at most, and what it has. Operators set it; what would pass it is refused with
/// `resource_limit_exceeded`.
#[utoipa::path(get, path = "/quotas", tag = "berth: quotas", security(("token" = [])),
    responses((status = 200, body = QuotasResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant) -> Result<Json<QuotasResponse>> {
    Ok(Json(QuotasResponse { quotas: quotas::get(&app.db, tenant.project_id).await?.into() }))
}
