//! `GET /agent/v1/images/<sha256>`: archives for agents, in parts if they want.

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use super::Fleet;
use super::peer::Caller;
use crate::error::{Error, Result};
use crate::images::Store;

/// Streams an archive; `Range` is understood, so a broken transfer goes on where it was.
pub(super) async fn image(
    State(fleet): State<Fleet>,
    _caller: Caller,
    Path(sha256): Path<String>,
    request: Request,
) -> Result<Response> {
    let store = Store::in_data_dir(&fleet.app.config.data_dir);
    let path = store.path(&sha256).ok_or(Error::NotFound("image"))?;
    if !tokio::fs::try_exists(&path).await.map_err(anyhow::Error::from)? {
        return Err(Error::NotFound("image"));
    }
    let response = ServeFile::new(&path).oneshot(request).await;
    Ok(response.map_err(anyhow::Error::from)?.map(Body::new).into_response())
}
