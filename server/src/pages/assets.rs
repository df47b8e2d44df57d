//! Script, styles, icons and font. Their names carry the hash of their content, so browsers keep them for ever.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// `GET /assets/{file}`.
pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let Some(asset) = berth_web::assets::get(&file, accepts) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let fixed = [
        (header::CONTENT_TYPE, asset.mime),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    let encoding = asset.encoding.header().map(|name| [(header::CONTENT_ENCODING, name)]);
    match encoding {
        Some(encoding) => (fixed, encoding, asset.bytes).into_response(),
        None => (fixed, asset.bytes).into_response(),
    }
}
