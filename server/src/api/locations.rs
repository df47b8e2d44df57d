//! `/locations`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::db::locations::{self, Location as Row};
use crate::db::page::Sort;
use crate::error::{Error, Result};
use crate::ids::LocationId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// A location.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Location {
    id: i64,
    name: String,
    description: String,
    country: String,
    city: String,
    latitude: f64,
    longitude: f64,
    network_zone: String,
}

impl From<&Row> for Location {
    fn from(l: &Row) -> Self {
        Self {
            id: l.id.0,
            name: l.name.clone(),
            description: l.description.clone(),
            country: l.country.clone(),
            city: l.city.clone(),
            latitude: l.latitude,
            longitude: l.longitude,
            network_zone: l.network_zone.clone(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct LocationsResponse {
    locations: Vec<Location>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct LocationResponse {
    location: Location,
}

/// Lists locations.
#[utoipa::path(get, path = "/locations", tag = "locations", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = LocationsResponse), Problems))]
async fn list(State(app): State<App>, query: Query) -> Result<Listing<LocationsResponse>> {
    let mut all = locations::list(&app.db).await?;
    all.retain(|l| query.one("name").is_none_or(|name| l.name == name));
    let page = query.page()?;
    Sort::apply(&query.sort(&[("id", "id"), ("name", "name")])?, &mut all, |column, a, b| match column {
        "name" => a.name.cmp(&b.name),
        _ => a.id.cmp(&b.id),
    });
    let part = page.cut(all);
    let locations = part.items.iter().map(Location::from).collect();
    Ok(query.listing(page, part.total, |meta| LocationsResponse { locations, meta }, &app.config.public_url))
}

/// Shows a location.
#[utoipa::path(get, path = "/locations/{id}", tag = "locations", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = LocationResponse), Problems))]
async fn get(State(app): State<App>, Id(id): Id<LocationId>) -> Result<Json<LocationResponse>> {
    let all = locations::list(&app.db).await?;
    let found = all.iter().find(|l| l.id == id).ok_or(Error::NotFound("location"))?;
    Ok(Json(LocationResponse { location: found.into() }))
}
