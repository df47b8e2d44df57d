//! Bodies and path parameters, whose faults are told in the API's own envelope.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{Error, Result};

/// Largest body that is read.
pub const MAX_BODY: usize = 1024 * 1024;

/// A JSON body. What is no JSON gives `json_error`; a value of a wrong type gives `invalid_input` and names the field.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        parse(&read(request).await?).map(Self)
    }
}

/// A body as it came, for those who need its bytes as well as what they mean.
#[derive(Clone, Debug)]
pub(crate) struct Raw(pub(crate) Bytes);

impl<S: Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self> {
        read(request).await.map(Self)
    }
}

/// The bytes of a body, up to [`MAX_BODY`].
async fn read(request: Request) -> Result<Bytes> {
    match Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(e) if e.downcast_ref::<LengthLimitError>().is_some() => Err(Error::TooLarge(MAX_BODY)),
        Err(_) => Err(Error::Json("the request body broke off".into())),
    }
}

/// Reads JSON.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // serde would take an array for an object whose fields come in order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::Json("the request body must be a JSON object".into()));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let error = e.into_inner();
        match error.classify() {
            Category::Data => wrong_type(&path, &error.to_string()),
            _ => malformed(&error),
        }
    })?;
    json.end().map_err(|e| malformed(&e))?;
    Ok(value)
}

fn malformed(e: &serde_json::Error) -> Error {
    Error::Json(format!("the request body is not valid JSON: {e}"))
}

fn wrong_type(path: &str, message: &str) -> Error {
    let message = message.split(" at line ").next().unwrap_or(message);
    match message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`')) {
        Some(field) if path == "." => Error::invalid(field, "is required"),
        Some(field) => Error::invalid(format!("{path}.{field}"), "is required"),
        None if path == "." => Error::Json(format!("the request body has the wrong shape: {message}")),
        None => Error::invalid(path, message),
    }
}

/// The id in a path. What is no id is not found, because nothing has it.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T: From<i64>, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Error::NotFound("path"))?;
        text.parse().map(|id: i64| Self(id.into())).map_err(|_| Error::NotFound("resource"))
    }
}

/// The two ids in a path such as `/servers/{id}/actions/{action_id}`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids<A, B>(pub(super) A, pub(super) B);

impl<A: From<i64>, B: From<i64>, S: Send + Sync> FromRequestParts<S> for Ids<A, B> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Path((a, b)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound("path"))?;
        match (a.parse::<i64>(), b.parse::<i64>()) {
            (Ok(a), Ok(b)) => Ok(Self(a.into(), b.into())),
            _ => Err(Error::NotFound("resource")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[expect(dead_code, reason = "only parsed")]
    struct Wanted {
        name: String,
        count: Option<u8>,
        labels: Option<BTreeMap<String, String>>,
    }

    #[test]
    fn faults_are_told_apart() {
        for (body, code, text) in [
            ("", "json_error", "not valid JSON"),
            ("{", "json_error", "not valid JSON"),
            ("{'name':1}", "json_error", "not valid JSON"),
            ("{\"name\":\"a\"} x", "json_error", "not valid JSON"),
            ("[1]", "json_error", "must be a JSON object"),
            (" [\"a\",1]", "json_error", "must be a JSON object"),
            ("\"a\"", "json_error", "wrong shape"),
            ("{}", "invalid_input", "'name'"),
            ("{\"name\":1}", "invalid_input", "'name'"),
            ("{\"name\":\"a\",\"count\":-1}", "invalid_input", "'count'"),
            ("{\"name\":\"a\",\"labels\":{\"env\":1}}", "invalid_input", "'labels.env'"),
        ] {
            let error = parse::<Wanted>(body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), code, "{body}");
            assert!(error.to_string().contains(text), "{body}: {error}");
        }
        assert!(parse::<Wanted>(b" {\"name\":\"a\",\"more\":[]}\n").is_ok());
    }
}
