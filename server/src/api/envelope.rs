//! Errors as the hcloud API writes them: `{"error":{"code","message","details"}}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::error::Error;

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        if let Self::Internal(e) = &self {
            tracing::error!(error = format!("{e:#}"), "a request failed");
        }
        let details = match &self {
            Self::InvalidInput { field, message } => {
                json!({"fields": [{"name": field, "messages": [message]}]})
            }
            _ => serde_json::Value::Null,
        };
        let status = StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = json!({"code": self.code(), "message": self.to_string(), "details": details});
        (status, Json(json!({"error": error}))).into_response()
    }
}
