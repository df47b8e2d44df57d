//! What every JSON request of ours passes through: an id for the log, the limit on bodies, and a net under panics.

use std::any::Any;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use super::body::MAX_BODY;
use crate::audit;
use crate::error::Error;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// Puts a JSON API into its shell: what [`traced`] does, and 413 for bodies that announce too much.
pub fn shell(router: Router) -> Router {
    traced(router.layer(from_fn(limit)))
}

/// `X-Correlation-Id` on every answer and in every line of the log, `server_error` for panics. For routes that take
/// larger bodies.
pub fn traced(router: Router) -> Router {
    router.layer(CatchPanicLayer::custom(panicked)).layer(from_fn(correlate))
}

/// Whether a route streams its body and counts it itself: files that are put into a server.
fn streams(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::PUT && path.starts_with("/berth/v1/servers/") && path.ends_with("/files")
}

async fn limit(request: Request, next: Next) -> Response {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|n: usize| n > MAX_BODY) && !streams(&request) {
        return Error::TooLarge(MAX_BODY).into_response();
    }
    next.run(request).await
}

async fn correlate(request: Request, next: Next) -> Response {
    let id = format!("{:016x}", rand::random::<u64>());
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let answer = audit::answer(request, &id, async |request| next.run(request).await);
    let mut response = answer.instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let said = payload.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without a message");
    Error::Internal(anyhow::anyhow!("a handler panicked: {said}")).into_response()
}

/// For paths that are not there.
pub async fn not_found() -> Error {
    Error::NotFound("path")
}

/// For methods that a path does not have.
pub async fn method_not_allowed() -> Error {
    Error::MethodNotAllowed
}
