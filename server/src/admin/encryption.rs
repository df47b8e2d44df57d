//! Encryption of private networks between hosts.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::places;
use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::locations;
use crate::error::Result;
use crate::ids::LocationId;

/// Whether a location encrypts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Encryption)]
pub(super) struct Encryption {
    /// Whether packets of private networks between its hosts, and between them and others, are encrypted by WireGuard.
    #[arg(action = clap::ArgAction::Set)]
    encrypted: bool,
}

/// Sets whether a location encrypts.
pub(super) async fn set(app: &App, location: LocationId, wanted: Encryption) -> Result<Encryption> {
    locations::set_encrypted(app, location, wanted.encrypted).await?;
    Ok(Encryption { encrypted: locations::encrypted(&app.db, location).await? })
}

/// The same by id or name.
pub(super) async fn set_by_name(app: &App, location: &Reference, wanted: Encryption) -> Result<Encryption> {
    set(app, places::find_location(app, Some(location)).await?.id, wanted).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_encryption, put_encryption))
}

/// Shows whether private networks are encrypted between hosts of a location.
#[utoipa::path(get, path = "/locations/{id}/encryption", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Encryption), Problems))]
async fn get_encryption(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<LocationId>,
) -> Result<Json<Encryption>> {
    Ok(Json(Encryption { encrypted: locations::encrypted(&app.db, id).await? }))
}

/// Sets whether private networks are encrypted between hosts of a location. Between two hosts it begins when both have
/// told their keys; from then on nothing is taken in clear from each other.
#[utoipa::path(put, path = "/locations/{id}/encryption", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Encryption,
    responses((status = 200, body = Encryption), Problems))]
async fn put_encryption(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<LocationId>,
    Body(wanted): Body<Encryption>,
) -> Result<Json<Encryption>> {
    Ok(Json(set(&app, id, wanted).await?))
}
