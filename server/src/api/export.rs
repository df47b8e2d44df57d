//! What is kept about a person, as one document that is read from the database while it is sent.

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::db::export;
use crate::error::Result;
use crate::ids::UserId;

/// The document.
///
/// # Errors
/// When there is no such person.
pub(crate) async fn exported(app: &App, user: UserId) -> Result<Response> {
    let body = Body::from_stream(export::document(&app.db, user).await?);
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
