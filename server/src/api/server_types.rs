//! `/server_types`: plans, in the hcloud API's words.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::catalog::Catalog;
use super::pricing::{PriceAt, prices};
use super::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::db::plans::Plan;
use crate::error::{Error, Result};
use crate::ids::PlanId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// What a server can be.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct ServerType {
    id: i64,
    name: String,
    description: String,
    category: &'static str,
    /// CPUs that the server sees.
    cores: i64,
    /// CPU cap in thousandths of a core.
    cpu_milli: i64,
    /// GiB.
    memory: f64,
    /// GiB, a whole number: the official clients read no other.
    disk: i64,
    /// GiB.
    swap: f64,
    cpu_type: &'static str,
    storage_type: &'static str,
    architecture: String,
    deprecated: bool,
    deprecation: Option<Deprecation>,
    prices: Vec<PriceAt>,
    locations: Vec<LocationOf>,
}

/// Where a server type is offered.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct LocationOf {
    id: i64,
    name: String,
    /// Whether some host there has room for one more.
    available: bool,
    recommended: bool,
    deprecation: Option<Deprecation>,
}

/// Since when something is not offered any more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Deprecation {
    announced: DateTime<Utc>,
    unavailable_after: DateTime<Utc>,
}

/// GiB of a number of bytes.
pub(super) fn gib(bytes: i64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

impl ServerType {
    pub(super) fn of(plan: &Plan, catalog: &Catalog) -> Self {
        let deprecation = plan.retired_at.map(|at| Deprecation { announced: at, unavailable_after: at });
        let location = |l: &crate::db::locations::Location| LocationOf {
            id: l.id.0,
            name: l.name.clone(),
            available: catalog.available_at(l.id, plan),
            recommended: deprecation.is_none(),
            deprecation: deprecation.clone(),
        };
        Self {
            id: plan.id.0,
            name: plan.name.clone(),
            description: plan.description.clone(),
            category: "shared",
            cores: plan.cores(),
            cpu_milli: plan.cpu_milli,
            memory: gib(plan.memory_bytes),
            disk: plan.disk_bytes >> 30,
            swap: gib(plan.swap_bytes),
            cpu_type: "shared",
            storage_type: "local",
            architecture: plan.architecture.clone(),
            deprecated: deprecation.is_some(),
            prices: prices(plan, catalog),
            locations: catalog.locations.iter().map(location).collect(),
            deprecation,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ServerTypesResponse {
    server_types: Vec<ServerType>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct ServerTypeResponse {
    server_type: ServerType,
}

/// Lists server types.
#[utoipa::path(get, path = "/server_types", tag = "server types", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ServerTypesResponse), Problems))]
async fn list(State(app): State<App>, query: Query) -> Result<Listing<ServerTypesResponse>> {
    let catalog = Catalog::load_with_room(&app).await?;
    let named = catalog.plans.iter().filter(|p| query.one("name").is_none_or(|name| p.name == name));
    let page = query.page()?;
    let part = page.cut(named.collect());
    let server_types = part.items.into_iter().map(|p| ServerType::of(p, &catalog)).collect();
    let body = |meta| ServerTypesResponse { server_types, meta };
    Ok(query.listing(page, part.total, body, &app.config.public_url))
}

/// Shows a server type.
#[utoipa::path(get, path = "/server_types/{id}", tag = "server types", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ServerTypeResponse), Problems))]
async fn get(State(app): State<App>, Id(id): Id<PlanId>) -> Result<Json<ServerTypeResponse>> {
    let catalog = Catalog::load_with_room(&app).await?;
    let plan = catalog.plans.iter().find(|p| p.id == id).ok_or(Error::NotFound("server type"))?;
    Ok(Json(ServerTypeResponse { server_type: ServerType::of(plan, &catalog) }))
}
