//! Locations and their data centres.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use crate::api::{Body, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::locations as rows;
use crate::domain::names::Slug;
use crate::error::{Error, Result};

/// A location.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Location)]
pub(super) struct Location {
    id: i64,
    name: String,
    description: String,
    country: String,
    city: String,
    latitude: f64,
    longitude: f64,
}

/// A data centre of a location.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Datacenter)]
pub(super) struct Datacenter {
    id: i64,
    name: String,
    location_id: i64,
    description: String,
}

impl From<rows::Location> for Location {
    fn from(l: rows::Location) -> Self {
        let rows::Location { description, country, city, latitude, longitude, .. } = l;
        Self { id: l.id.0, name: l.name, description, country, city, latitude, longitude }
    }
}

impl From<rows::Datacenter> for Datacenter {
    fn from(d: rows::Datacenter) -> Self {
        Self { id: d.id.0, name: d.name, location_id: d.location_id.0, description: d.description }
    }
}

/// A new location.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewLocation)]
pub(super) struct NewLocation {
    /// Short name, for instance `fsn1`.
    name: String,
    /// For people.
    #[arg(long, default_value = "")]
    #[serde(default)]
    description: String,
    /// ISO 3166 code of the country.
    #[arg(long, default_value = "")]
    #[serde(default)]
    country: String,
    /// City.
    #[arg(long, default_value = "")]
    #[serde(default)]
    city: String,
    /// Degrees north.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    #[serde(default)]
    latitude: f64,
    /// Degrees east.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    #[serde(default)]
    longitude: f64,
}

/// A new data centre.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewDatacenter)]
pub(super) struct NewDatacenter {
    /// Short name, for instance `fsn1-dc1`.
    name: String,
    /// Where it is, by id or name; not needed while there is only one location.
    #[arg(long)]
    #[schema(value_type = Option<String>)]
    location: Option<Reference>,
    /// For people.
    #[arg(long, default_value = "")]
    #[serde(default)]
    description: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::LocationsResponse)]
struct LocationsResponse {
    locations: Vec<Location>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::LocationResponse)]
struct LocationResponse {
    location: Location,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::DatacentersResponse)]
struct DatacentersResponse {
    datacenters: Vec<Datacenter>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::DatacenterResponse)]
struct DatacenterResponse {
    datacenter: Datacenter,
}

/// All locations.
pub(super) async fn locations(app: &App) -> Result<Vec<Location>> {
    Ok(rows::list(&app.db).await?.into_iter().map(Location::from).collect())
}

/// All data centres.
pub(super) async fn datacenters(app: &App) -> Result<Vec<Datacenter>> {
    Ok(rows::datacenters(&app.db).await?.into_iter().map(Datacenter::from).collect())
}

/// Makes a location.
pub(super) async fn create_location(app: &App, new: NewLocation) -> Result<Location> {
    let NewLocation { name, description, country, city, latitude, longitude } = new;
    let row = rows::NewLocation { description, country, city, latitude, longitude };
    Ok(rows::create(&app.db, &Slug::parse("name", &name)?, &row).await?.into())
}

/// Makes a data centre.
pub(super) async fn create_datacenter(app: &App, new: NewDatacenter) -> Result<Datacenter> {
    let location = find_location(app, new.location.as_ref()).await?;
    let name = Slug::parse("name", &new.name)?;
    Ok(rows::create_datacenter(&app.db, location.id, &name, &new.description).await?.into())
}

/// The location that is meant; the only one if none is named.
pub(super) async fn find_location(app: &App, wanted: Option<&Reference>) -> Result<rows::Location> {
    meant("location", wanted, rows::list(&app.db).await?, |l| (l.id.0, l.name.clone()))
}

/// The data centre that is meant; the only one if none is named.
pub(super) async fn find_datacenter(app: &App, wanted: Option<&Reference>) -> Result<rows::Datacenter> {
    meant("datacenter", wanted, rows::datacenters(&app.db).await?, |d| (d.id.0, d.name.clone()))
}

fn meant<T>(
    field: &str,
    wanted: Option<&Reference>,
    mut all: Vec<T>,
    key: impl Fn(&T) -> (i64, String),
) -> Result<T> {
    match wanted {
        Some(wanted) => wanted
            .find(all, key)
            .ok_or_else(|| Error::invalid(field, format!("{field} '{wanted}' not found"))),
        None => match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            (None, _) => Err(Error::invalid(field, format!("there is no {field} yet; make one first"))),
            (Some(_), false) => Err(Error::invalid(field, format!("there are several; name one {field}"))),
        },
    }
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_locations, post_location))
        .routes(routes!(get_datacenters, post_datacenter))
}

/// Lists locations.
#[utoipa::path(get, path = "/locations", tag = "Operators: places", security(("operator" = [])),
    responses((status = 200, body = LocationsResponse), Problems))]
async fn get_locations(State(app): State<App>, _: Operator) -> Result<Json<LocationsResponse>> {
    Ok(Json(LocationsResponse { locations: locations(&app).await? }))
}

/// Makes a location.
#[utoipa::path(post, path = "/locations", tag = "Operators: places", security(("operator" = [])),
    request_body = NewLocation, responses((status = 201, body = LocationResponse), Problems))]
async fn post_location(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewLocation>,
) -> Result<(StatusCode, Json<LocationResponse>)> {
    Ok((StatusCode::CREATED, Json(LocationResponse { location: create_location(&app, new).await? })))
}

/// Lists data centres.
#[utoipa::path(get, path = "/datacenters", tag = "Operators: places", security(("operator" = [])),
    responses((status = 200, body = DatacentersResponse), Problems))]
async fn get_datacenters(State(app): State<App>, _: Operator) -> Result<Json<DatacentersResponse>> {
    Ok(Json(DatacentersResponse { datacenters: datacenters(&app).await? }))
}

/// Makes a data centre.
#[utoipa::path(post, path = "/datacenters", tag = "Operators: places", security(("operator" = [])),
    request_body = NewDatacenter, responses((status = 201, body = DatacenterResponse), Problems))]
async fn post_datacenter(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewDatacenter>,
) -> Result<(StatusCode, Json<DatacenterResponse>)> {
    Ok((StatusCode::CREATED, Json(DatacenterResponse { datacenter: create_datacenter(&app, new).await? })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_one_need_not_be_named() {
        let key = |t: &(i64, &str)| (t.0, t.1.to_owned());
        let one = vec![(7, "a")];
        let two = vec![(7, "a"), (8, "b")];
        assert_eq!(meant("location", None, one, key).unwrap().0, 7);
        assert!(meant("location", None, two.clone(), key).unwrap_err().to_string().contains("several"));
        assert!(meant("location", None, Vec::new(), key).is_err());
        assert_eq!(meant("location", Some(&"b".parse().unwrap()), two, key).unwrap().0, 8);
    }
}
