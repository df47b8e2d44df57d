//! `/berth/v1/audit`: who changed what in the project.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::audit::{self, Filter};
use crate::error::Result;
use crate::ids::ProjectId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::AuditResponse)]
struct AuditResponse {
    entries: Vec<Entry>,
    meta: Meta,
}

/// A change, or an attempt that was noted.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::AuditEntry)]
pub(crate) struct Entry {
    id: i64,
    at: DateTime<Utc>,
    /// The project that it is about.
    project: Option<i64>,
    /// Who: `user`, `token` (a program), `operator_token`, `command` (the operator at a terminal), `nobody` (not signed
    /// in) or `system`.
    actor_kind: String,
    /// The id of the user or token.
    actor_id: Option<i64>,
    /// The user's address or the token's name.
    actor: String,
    /// The address that the request came from.
    source: Option<String>,
    /// Method and path.
    request: String,
    /// As in the header `X-Correlation-Id` of the answer.
    correlation_id: String,
    /// What happened to what, as `server.changed`: a kind of thing, and `created`, `changed` or `deleted`, or what else.
    event: String,
    /// Which one.
    target_id: Option<i64>,
    /// What it was called.
    target: String,
    /// What differed, before; secrets are shown as `…`.
    #[schema(value_type = Option<Object>)]
    before: Option<serde_json::Value>,
    /// What differs, after.
    #[schema(value_type = Option<Object>)]
    after: Option<serde_json::Value>,
    /// Place in the chain of seals; null until it is sealed, about a second later.
    seq: Option<i64>,
    /// SHA-256 of the seal before, hexadecimal, and of the entry as it is exported.
    seal: Option<String>,
}

impl From<audit::Entry> for Entry {
    fn from(e: audit::Entry) -> Self {
        Self {
            id: e.id,
            at: e.at,
            project: e.project_id,
            actor_kind: e.actor_kind,
            actor_id: e.actor_id,
            actor: e.actor,
            source: e.source,
            request: e.request,
            correlation_id: e.correlation_id,
            event: e.event,
            target_id: e.target_id,
            target: e.target,
            before: e.before,
            after: e.after,
            seq: e.seq,
            seal: e.seal.map(hex::encode),
        }
    }
}

/// What a query asks for.
pub(crate) fn filter(query: &Query) -> Result<Filter> {
    let text = |name: &str| query.one(name).map(str::to_owned);
    Ok(Filter {
        project: None,
        event: text("event"),
        actor: text("actor"),
        target_id: query.ids("target_id")?.last().copied(),
        correlation_id: text("correlation_id"),
    })
}

/// Lists who changed what in the project, newest first. What hosts report is not among it, and neither is reading.
#[utoipa::path(get, path = "/audit", tag = "berth: audit", security(("token" = [])),
    params(
        ("event" = Option<String>, Query, description = "`server.changed`, or `server` for all that happened to servers"),
        ("actor" = Option<String>, Query, description = "the address of a user or the name of a token"),
        ("target_id" = Option<i64>, Query),
        ("correlation_id" = Option<String>, Query),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = AuditResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<AuditResponse>> {
    let page = query.page()?;
    let filter = Filter { project: Some(tenant.project_id), ..filter(&query)? };
    let part = audit::list(&app.db, &filter, page).await?;
    let entries = part.items.into_iter().map(Entry::from).collect();
    Ok(query.listing(page, part.total, |meta| AuditResponse { entries, meta }, &app.config.public_url))
}

/// The whole trail of the project as lines of JSON, oldest first, for keeping elsewhere.
#[utoipa::path(get, path = "/audit/export", tag = "berth: audit", security(("token" = [])),
    responses((status = 200, content_type = "application/x-ndjson", body = String), Problems))]
async fn export(State(app): State<App>, tenant: Tenant) -> Response {
    lines(&app, Some(tenant.project_id))
}

/// The trail of a project, or all of it, as it is read from the database.
pub(crate) fn lines(app: &App, project: Option<ProjectId>) -> Response {
    let body = Body::from_stream(audit::export(&app.db, project));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}
