//! API tokens in the `Authorization` header.
//!
//! [`tenant`] guards the tenant API: it finds the token, sees whether it is good now and from there, counts the request,
//! refuses what the token's scopes do not name and writing with a read-only token, and puts the [`Tenant`] where handlers find it. Handlers cannot be reached without it, so none can forget to ask.
//! [`Operator`] is an extractor for the operators' API, which takes only tokens that belong to no project.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, OriginalUri, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;

use crate::app::App;
use crate::audit::{self, Actor};
use crate::db::tokens::{self, Token};
use crate::domain::scopes;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, TokenId};

/// The project on whose behalf a request of the tenant API is made.
#[derive(Clone, Copy, Debug)]
pub struct Tenant {
    /// The project.
    pub project_id: ProjectId,
    /// The token that was used.
    pub token_id: TokenId,
    /// Whether the token may change things.
    pub writable: bool,
}

/// An operator's automation: a token that belongs to no project.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// The token that was used.
    pub token_id: TokenId,
    /// Whether the token may change things.
    pub writable: bool,
}

/// Guards the tenant API; see the module.
pub async fn tenant(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let (tenant, token) = match identify(&app, request.headers(), request.extensions()).await {
        Ok(found) => found,
        Err(e) => return e.into_response(),
    };
    let standing = app.rate.count(tenant.project_id);
    let mut response = if standing.is_some_and(|s| !s.allowed) {
        Error::RateLimited.into_response()
    } else if let Err(e) = may(&token, &request) {
        e.into_response()
    } else {
        request.extensions_mut().insert(tenant);
        next.run(request).await
    };
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    response
}

/// Whether a token may make this request.
fn may(token: &Token, request: &Request) -> Result<()> {
    let writes = changes(request.method());
    if let Some(scopes) = &token.reach.scopes {
        scopes::check(scopes, writes, whole_path(request))?;
    }
    match &token.suspended_reason {
        _ if writes && !token.writable => Err(Error::TokenReadonly),
        Some(why) if writes => Err(Error::Forbidden(format!("the project is suspended: {why}"))),
        _ => Ok(()),
    }
}

/// The path as it came: nested routers see only their part of it.
fn whole_path(request: &Request) -> &str {
    request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri).path()
}

/// Whose token it is.
async fn identify(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Result<(Tenant, Token)> {
    let token = token(app, headers, extensions).await?;
    let project_id = token.project_id.ok_or(Error::Unauthorized)?;
    audit::is(Actor::Token(token.id, token.name.clone()));
    Ok((Tenant { project_id, token_id: token.id, writable: token.writable }, token))
}

/// The token of a request, if it is good now and from there.
async fn token(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Result<Token> {
    let value = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (scheme, secret) = value.split_once(' ').ok_or(Error::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Unauthorized);
    }
    let token = tokens::find(&app.db, secret.trim()).await?.ok_or(Error::Unauthorized)?;
    let from = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    token.reach.check(Utc::now(), from)?;
    Ok(token)
}

fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        parts.extensions.get().copied().ok_or(Error::Unauthorized)
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let token = token(app, &parts.headers, &parts.extensions).await?;
        match token.project_id {
            Some(_) => Err(Error::Forbidden("this needs an operator's token, not a project's".into())),
            None if !token.writable && changes(&parts.method) => Err(Error::TokenReadonly),
            None => {
                audit::is(Actor::OperatorToken(token.id, token.name));
                Ok(Self { token_id: token.id, writable: token.writable })
            }
        }
    }
}
