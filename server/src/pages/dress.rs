//! What every answer of the dashboard wears: security headers, a correlation id, and errors as pages.
//!
//! Handlers and layers below say what went wrong ([`Failed`], or a bare status); the page about it is made here, in one
//! place, where the correlation id and the colours are known. An internal error is logged here, once.

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use berth_web::{Acting, MessagePage, Template, Theme, When};
use chrono::Utc;

use super::{Pages, cookies};
use crate::app::App;
use crate::audit;
use crate::db::sessions;
use crate::error::Error;

/// No inline script, no inline style, nothing from another origin, no frame around us.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
                   connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// An error on its way to [`dress`], which makes the page about it.
#[derive(Debug)]
pub(crate) struct Failed(Error);

impl Failed {
    /// Whether nobody is signed in.
    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self.0, Error::Unauthorized)
    }
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(e: E) -> Self {
        Self(e.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(std::sync::Arc::new(self.0));
        response
    }
}

/// A page of a template. A broken template is our fault.
#[derive(Debug)]
pub(super) struct Page<T>(pub(super) T);

impl<T: Template> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        match self.0.render() {
            Ok(html) => (private(), Html(html)).into_response(),
            Err(e) => Failed(Error::Internal(e.into())).into_response(),
        }
    }
}

/// Pages are of one person and one moment.
fn private() -> [(HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

/// Adds the headers that every answer has.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    put_headers(&mut response);
    response
}

fn put_headers(response: &mut Response) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CSP),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: it would blank the Origin of our own forms, by which cross-site requests are told apart.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

/// Turns what went wrong into a page, a redirect to signing in, or an empty answer for script.
pub(super) async fn dress(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let theme = cookies::theme(request.headers());
    let is_script = request.headers().contains_key("hx-request");
    let is_get = request.method() == Method::GET;
    let here = request.uri().path_and_query().map_or_else(String::new, |p| p.as_str().to_owned());
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let session = cookies::session(&pages.app.config, request.headers());

    let mut response = audit::answer(request, &id, async |request| next.run(request).await).await;
    let status = response.status();
    let error = response.extensions_mut().remove::<std::sync::Arc<Error>>();
    if let Some(Error::Internal(e)) = error.as_deref() {
        tracing::error!(correlation_id = id, %method, path, error = format!("{e:#}"), "a page failed");
    }
    let bare = !response.headers().contains_key(header::CONTENT_TYPE);
    if status == StatusCode::UNAUTHORIZED && bare {
        let next = if is_get && here != "/" { format!("?next={}", encode(&here)) } else { String::new() };
        let to = format!("/sign-in{next}");
        let gone = cookies::drop_session(&pages.app.config);
        response = if is_script {
            (status, [("hx-redirect", "/sign-in")], gone, ()).into_response()
        } else {
            (gone, Redirect::to(&to)).into_response()
        };
    } else if error.is_some() || (bare && (status.is_client_error() || status.is_server_error())) {
        let headers = std::mem::take(response.headers_mut());
        response = if is_script {
            status.into_response()
        } else {
            let acting = acting(&pages.app, session).await;
            message(status, error.as_deref(), theme, acting, &id)
        };
        response.headers_mut().extend(headers);
    }
    put_headers(&mut response);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

/// Who it is really, and in whose stead, as far as that can be known now.
async fn acting(app: &App, session: Option<String>) -> Option<(Acting, String)> {
    let session = sessions::find(&app.db, &session?).await.ok()??;
    let (user, until) = session.acting?;
    Some((Acting { operator: session.user.email, until: When::new(until, Utc::now()) }, user.email))
}

fn message(
    status: StatusCode,
    error: Option<&Error>,
    theme: Theme,
    acting: Option<(Acting, String)>,
    id: &str,
) -> Response {
    let told =
        error.filter(|e| !matches!(e, Error::Internal(_) | Error::NotFound(_))).map(ToString::to_string);
    let (title, text) = match status.as_u16() {
        403 => ("This is not allowed", "The request came from another site, or you may not do this."),
        404 => ("There is nothing here", "The address is wrong, or what was here is gone."),
        405 => ("Not like this", "This address takes another kind of request."),
        413 => ("Too much", "What was sent is larger than this page takes."),
        400..=499 => ("This did not work", "Go back, and try again."),
        _ => (
            "Something broke on our side",
            "It was written to the log. Try again; if it happens again, tell an operator the correlation id.",
        ),
    };
    let text = told.unwrap_or_else(|| text.to_owned());
    let page = MessagePage {
        theme,
        status: status.as_u16(),
        title: title.into(),
        text,
        acting,
        correlation_id: id.to_owned(),
    };
    match page.render() {
        Ok(html) => (status, private(), Html(html)).into_response(),
        Err(e) => {
            tracing::error!(correlation_id = id, error = %e, "the page about an error failed");
            (status, "error").into_response()
        }
    }
}

/// Percent-encodes a text for a query's value; paths stay readable.
pub(super) fn encode(path: &str) -> String {
    path.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
