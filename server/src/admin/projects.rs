//! Projects: whose VPSes are whose.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::domain::guard::parse_reason;
use crate::domain::names::Title;
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// A tenant's project.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Project)]
pub(super) struct Project {
    id: i64,
    name: String,
    created_at: DateTime<Utc>,
    /// Why it is suspended; null when it is not.
    suspended: Option<String>,
}

impl From<db::projects::Project> for Project {
    fn from(p: db::projects::Project) -> Self {
        Self { id: p.id.0, name: p.name, created_at: p.created_at, suspended: p.suspended_reason }
    }
}

/// A new project.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewProject)]
pub(super) struct NewProject {
    /// One line of 1 to 128 characters.
    name: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::ProjectResponse)]
struct ProjectResponse {
    project: Project,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::ProjectsResponse)]
struct ProjectsResponse {
    projects: Vec<Project>,
}

/// All projects.
pub(super) async fn list(app: &App) -> Result<Vec<Project>> {
    Ok(db::projects::list(&app.db).await?.into_iter().map(Project::from).collect())
}

/// Makes a project.
pub(super) async fn create(app: &App, new: NewProject) -> Result<Project> {
    Ok(db::projects::create(&app.db, &Title::parse("name", &new.name)?).await?.into())
}

/// The project that is meant.
pub(super) async fn find(app: &App, project: &Reference) -> Result<db::projects::Project> {
    let found = project.find(db::projects::list(&app.db).await?, |p| (p.id.0, p.name.clone()));
    found.ok_or_else(|| Error::invalid("project", format!("project '{project}' not found")))
}

/// Why a project is suspended.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Suspending)]
pub(super) struct Suspending {
    /// A line of 1 to 500 characters, which the project's people read.
    #[arg(long)]
    reason: String,
}

/// Suspends a project.
pub(super) async fn suspend(app: &App, project: ProjectId, why: &Suspending) -> Result<()> {
    db::suspension::suspend(app, project, &parse_reason(&why.reason)?).await
}

/// Lifts the suspension of a project.
pub(super) async fn resume(app: &App, project: ProjectId) -> Result<()> {
    db::suspension::resume(app, project).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(put_suspension, delete_suspension))
}

/// Lists projects.
#[utoipa::path(get, path = "/projects", tag = "Operators: projects", security(("operator" = [])),
    responses((status = 200, body = ProjectsResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<ProjectsResponse>> {
    Ok(Json(ProjectsResponse { projects: list(&app).await? }))
}

/// Makes a project.
#[utoipa::path(post, path = "/projects", tag = "Operators: projects", security(("operator" = [])),
    request_body = NewProject, responses((status = 201, body = ProjectResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewProject>,
) -> Result<(StatusCode, Json<ProjectResponse>)> {
    Ok((StatusCode::CREATED, Json(ProjectResponse { project: create(&app, new).await? })))
}

/// Suspends a project: its servers stop, its people and tokens may only look, nothing is deleted.
#[utoipa::path(put, path = "/projects/{id}/suspension", tag = "Operators: projects", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Suspending, responses((status = 204), Problems))]
async fn put_suspension(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<ProjectId>,
    Body(why): Body<Suspending>,
) -> Result<StatusCode> {
    suspend(&app, id, &why).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lifts the suspension of a project: servers that ran start again.
#[utoipa::path(delete, path = "/projects/{id}/suspension", tag = "Operators: projects", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_suspension(State(app): State<App>, _: Operator, Id(id): Id<ProjectId>) -> Result<StatusCode> {
    resume(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
