//! `PUT /admin/v1/images/archive`: an image from the request's own body, streamed into the store, whatever its size.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use futures_util::TryStreamExt as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::images::{ImageResponse, Named, offer, store};
use crate::api::Problems;
use crate::app::App;
use crate::auth::Operator;
use crate::error::Result;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(put))
}

/// Imports the archive that is the request's body.
#[utoipa::path(put, path = "/images/archive", tag = "Operators: images", security(("operator" = [])), params(Named),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = ImageResponse), Problems))]
async fn put(
    State(app): State<App>,
    _: Operator,
    Query(named): Query<Named>,
    body: Body,
) -> Result<(StatusCode, Json<ImageResponse>)> {
    named.check()?;
    let body = body.into_data_stream().map_err(std::io::Error::other);
    let reader = tokio_util::io::StreamReader::new(body);
    let stored = store(&app).import(std::pin::pin!(reader), named.sha256.as_deref()).await?;
    let image = offer(&app, named, stored).await?;
    Ok((StatusCode::CREATED, Json(ImageResponse { image })))
}
