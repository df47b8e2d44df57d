//! The trail of everything, and whether it is whole.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{AuditEntry, audit_filter, audit_lines};
use crate::api::{Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Operator;
use crate::db::audit::{self, Filter, Verdict};
use crate::db::page::Page;
use crate::error::Result;
use crate::ids::ProjectId;

#[derive(Serialize, ToSchema)]
#[schema(as = operators::AuditResponse)]
struct AuditResponse {
    entries: Vec<AuditEntry>,
    meta: Meta,
}

/// The newest entries, for the command line.
pub(super) async fn newest(app: &App, size: i64) -> Result<Vec<AuditEntry>> {
    let part = audit::list(&app.db, &Filter::default(), Page::first(size)).await?;
    Ok(part.items.into_iter().map(AuditEntry::from).collect())
}

/// Whether the chain is whole; what is not sealed yet is sealed first.
pub(super) async fn verdict(app: &App) -> Result<Verdict> {
    while audit::seal(&app.db).await? > 0 {}
    audit::verify(&app.db).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export)).routes(routes!(verify))
}

/// Lists who changed what, newest first.
#[utoipa::path(get, path = "/audit", tag = "Operators: audit", security(("operator" = [])),
    params(
        ("project" = Option<i64>, Query), ("event" = Option<String>, Query), ("actor" = Option<String>, Query),
        ("target_id" = Option<i64>, Query), ("correlation_id" = Option<String>, Query),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = AuditResponse), Problems))]
async fn list(State(app): State<App>, _: Operator, query: Query) -> Result<Listing<AuditResponse>> {
    let page = query.page()?;
    let project = query.ids("project")?.last().copied().map(ProjectId);
    let part = audit::list(&app.db, &Filter { project, ..audit_filter(&query)? }, page).await?;
    let entries = part.items.into_iter().map(AuditEntry::from).collect();
    Ok(query.listing(page, part.total, |meta| AuditResponse { entries, meta }, &app.config.public_url))
}

/// The whole trail as lines of JSON, oldest first: `{"entry":…,"seal":…}`. A seal is the SHA-256 of the seal before it,
/// hexadecimal (of nothing for the first), and of the text of `entry`.
#[utoipa::path(get, path = "/audit/export", tag = "Operators: audit", security(("operator" = [])),
    responses((status = 200, content_type = "application/x-ndjson", body = String), Problems))]
async fn export(State(app): State<App>, _: Operator) -> Response {
    audit_lines(&app, None)
}

/// Looks at the whole chain of seals.
#[utoipa::path(get, path = "/audit/verdict", tag = "Operators: audit", security(("operator" = [])),
    responses((status = 200, body = Verdict), Problems))]
async fn verify(State(app): State<App>, _: Operator) -> Result<Json<Verdict>> {
    Ok(Json(verdict(&app).await?))
}
