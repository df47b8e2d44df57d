//! `/datacenters`. Deprecated in the hcloud API and kept here for the clients that still ask.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::catalog::Catalog;
use super::locations::Location;
use super::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::db::locations::Datacenter as Row;
use crate::db::page::Sort;
use crate::db::plans::Plan;
use crate::error::{Error, Result};
use crate::ids::DatacenterId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// A data centre.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Datacenter {
    id: i64,
    name: String,
    description: String,
    location: Location,
    server_types: Types,
}

/// Ids of server types.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Types {
    /// Offered here.
    supported: Vec<i64>,
    /// Offered here, and some host has room for one more.
    available: Vec<i64>,
    /// The same, for servers that are here already.
    available_for_migration: Vec<i64>,
}

impl Datacenter {
    pub(super) fn of(row: &Row, catalog: &Catalog) -> Result<Self> {
        let ids = |plans: Vec<&Plan>| plans.into_iter().map(|p| p.id.0).collect::<Vec<i64>>();
        let available = ids(catalog.offered().filter(|p| catalog.available(row.id, p)).collect());
        Ok(Self {
            id: row.id.0,
            name: row.name.clone(),
            description: row.description.clone(),
            location: catalog.location(row.location_id)?.into(),
            server_types: Types {
                supported: ids(catalog.offered().collect()),
                available: available.clone(),
                available_for_migration: available,
            },
        })
    }
}

#[derive(Serialize, ToSchema)]
struct DatacentersResponse {
    datacenters: Vec<Datacenter>,
    /// The data centre to take when one has no reason to take another.
    recommendation: i64,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct DatacenterResponse {
    datacenter: Datacenter,
}

async fn all(app: &App) -> Result<Vec<Datacenter>> {
    let catalog = Catalog::load_with_room(app).await?;
    catalog.datacenters.iter().map(|row| Datacenter::of(row, &catalog)).collect()
}

/// Lists data centres.
#[utoipa::path(get, path = "/datacenters", tag = "datacenters", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = DatacentersResponse), Problems))]
async fn list(State(app): State<App>, query: Query) -> Result<Listing<DatacentersResponse>> {
    let mut all = all(&app).await?;
    let recommendation =
        all.iter().max_by_key(|d| (d.server_types.available.len(), -d.id)).map_or(0, |d| d.id);
    all.retain(|d| query.one("name").is_none_or(|name| d.name == name));
    Sort::apply(&query.sort(&[("id", "id"), ("name", "name")])?, &mut all, |column, a, b| match column {
        "name" => a.name.cmp(&b.name),
        _ => a.id.cmp(&b.id),
    });
    let page = query.page()?;
    let part = page.cut(all);
    let body = |meta| DatacentersResponse { datacenters: part.items, recommendation, meta };
    Ok(query.listing(page, part.total, body, &app.config.public_url))
}

/// Shows a data centre.
#[utoipa::path(get, path = "/datacenters/{id}", tag = "datacenters", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = DatacenterResponse), Problems))]
async fn get(State(app): State<App>, Id(id): Id<DatacenterId>) -> Result<Json<DatacenterResponse>> {
    let found = all(&app).await?.into_iter().find(|d| d.id == id.0);
    Ok(Json(DatacenterResponse { datacenter: found.ok_or(Error::NotFound("datacenter"))? }))
}
