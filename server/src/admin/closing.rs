//! What is kept about a person, and the end of an account, by operators.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems, exported};
use crate::app::App;
use crate::auth::Operator;
use crate::db::{closing, export};
use crate::error::Result;
use crate::ids::UserId;

/// An account that is no more.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::ClosedAccount)]
pub(super) struct Closed {
    /// Projects that went with it, because nobody else was in them.
    projects: Vec<i64>,
}

/// Closes an account.
pub(super) async fn close(app: &App, user: UserId) -> Result<Closed> {
    let projects = closing::close(&app.db, user).await?;
    Ok(Closed { projects: projects.into_iter().map(|project| project.0).collect() })
}

/// Everything that is kept about a person, for the command line.
pub(super) async fn document(app: &App, user: UserId) -> Result<Value> {
    let text: String = export::document(&app.db, user).await?.try_collect().await?;
    Ok(serde_json::from_str(&text).map_err(anyhow::Error::from)?)
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(delete_user)).routes(routes!(get_export))
}

/// Closes an account: profile, sessions and memberships go, and projects that nobody else is in and that have no servers and no
/// addresses. Refused while the person is the only owner of another project. The audit trail stays.
#[utoipa::path(delete, path = "/users/{id}", tag = "Operators: users", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Closed), Problems))]
async fn delete_user(State(app): State<App>, _: Operator, Id(id): Id<UserId>) -> Result<Json<Closed>> {
    Ok(Json(close(&app, id).await?))
}

/// Everything that is kept about a person: profile, memberships, sessions, names of tokens, the trail of what they did and what
/// happened to their account. No secrets are among it.
#[utoipa::path(get, path = "/users/{id}/export", tag = "Operators: users", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Object), Problems))]
async fn get_export(State(app): State<App>, _: Operator, Id(id): Id<UserId>) -> Result<Response> {
    exported(&app, id).await
}
