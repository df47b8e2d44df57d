//! Who works in a project, for operators; and who may make an account.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::db::settings;
use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};

/// Somebody in a project.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Member)]
pub(super) struct Member {
    user: i64,
    email: String,
    name: String,
    role: Role,
    since: DateTime<Utc>,
}

impl From<db::members::Member> for Member {
    fn from(m: db::members::Member) -> Self {
        Self { user: m.user.0, email: m.email, name: m.name, role: m.role, since: m.since }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::MembersResponse)]
struct MembersResponse {
    members: Vec<Member>,
}

/// What somebody is to be.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[schema(as = operators::NewRole)]
struct NewRole {
    role: Role,
}

/// What holds for the whole installation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Settings)]
pub(crate) struct Settings {
    /// Who may make an account: `open` (anybody, if mail leaves), `invited` or `off`.
    pub(crate) sign_up: String,
    /// Whether mail leaves: whether the server was started with a mail server.
    pub(crate) mail: bool,
}

/// What to change; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ChangeSettings)]
pub(crate) struct ChangeSettings {
    /// Who may make an account: open, invited or off.
    #[arg(long)]
    pub(crate) sign_up: Option<String>,
}

/// The settings.
pub(crate) async fn settings(app: &App) -> Result<Settings> {
    let sign_up = settings::get(&app.db, settings::SIGN_UP).await?;
    Ok(Settings { sign_up: sign_up.unwrap_or_else(|| "invited".into()), mail: app.mailer.is_some() })
}

/// Changes settings.
pub(crate) async fn change_settings(app: &App, change: ChangeSettings) -> Result<Settings> {
    if let Some(sign_up) = change.sign_up {
        if !["open", "invited", "off"].contains(&sign_up.as_str()) {
            return Err(Error::invalid("sign_up", "must be open, invited or off"));
        }
        settings::set(&app.db, settings::SIGN_UP, sign_up).await?;
    }
    settings(app).await
}

/// The members of a project.
pub(super) async fn list(app: &App, project: ProjectId) -> Result<Vec<Member>> {
    Ok(db::members::list(&app.db, project).await?.into_iter().map(Member::from).collect())
}

/// Lets somebody in, or makes them something else.
pub(crate) async fn put(app: &App, project: ProjectId, user: UserId, role: Role) -> Result<()> {
    db::members::put(&app.db, project, user, role).await
}

/// Takes somebody out.
pub(super) async fn remove(app: &App, project: ProjectId, user: UserId) -> Result<()> {
    db::members::remove(&app.db, (UserId(0), Role::Owner), project, user).await
}

/// Removes the second factor of somebody who lost it, passkeys, codes and all, and ends their sessions.
pub(crate) async fn lose_factor(app: &App, user: UserId) -> Result<()> {
    db::factors::lose(&app.db, user).await?;
    db::sessions::end(&app.db, user, "", None).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_all))
        .routes(routes!(put_member, delete_member))
        .routes(routes!(delete_factor))
        .routes(routes!(get_settings, put_settings))
}

/// Lists who works in a project.
#[utoipa::path(get, path = "/projects/{id}/members", tag = "Operators: projects", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = MembersResponse), Problems))]
async fn get_all(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<ProjectId>,
) -> Result<Json<MembersResponse>> {
    Ok(Json(MembersResponse { members: list(&app, id).await? }))
}

/// Lets a user work in a project, or makes them something else there.
#[utoipa::path(put, path = "/projects/{id}/members/{user}", tag = "Operators: projects", security(("operator" = [])),
    params(("id" = i64, Path), ("user" = i64, Path)), request_body = NewRole,
    responses((status = 204), Problems))]
async fn put_member(
    State(app): State<App>,
    _: Operator,
    path: Path<(String, String)>,
    Body(NewRole { role }): Body<NewRole>,
) -> Result<StatusCode> {
    let (project, user) = ids(&path)?;
    put(&app, project, user, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user out of a project.
#[utoipa::path(delete, path = "/projects/{id}/members/{user}", tag = "Operators: projects", security(("operator" = [])),
    params(("id" = i64, Path), ("user" = i64, Path)), responses((status = 204), Problems))]
async fn delete_member(
    State(app): State<App>,
    _: Operator,
    path: Path<(String, String)>,
) -> Result<StatusCode> {
    let (project, user) = ids(&path)?;
    remove(&app, project, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn ids(Path((project, user)): &Path<(String, String)>) -> Result<(ProjectId, UserId)> {
    let project = project.parse().map_err(|_| Error::NotFound("project"))?;
    Ok((ProjectId(project), UserId(user.parse().map_err(|_| Error::NotFound("user"))?)))
}

/// Removes the second factor of a user who lost it, passkeys included; all their sessions end.
#[utoipa::path(delete, path = "/users/{id}/second_factor", tag = "Operators: users", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_factor(State(app): State<App>, _: Operator, Id(id): Id<UserId>) -> Result<StatusCode> {
    lose_factor(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows what holds for the whole installation.
#[utoipa::path(get, path = "/settings", tag = "Operators: settings", security(("operator" = [])),
    responses((status = 200, body = Settings), Problems))]
async fn get_settings(State(app): State<App>, _: Operator) -> Result<Json<Settings>> {
    Ok(Json(settings(&app).await?))
}

/// Changes what holds for the whole installation.
#[utoipa::path(put, path = "/settings", tag = "Operators: settings", security(("operator" = [])),
    request_body = ChangeSettings, responses((status = 200, body = Settings), Problems))]
async fn put_settings(
    State(app): State<App>,
    _: Operator,
    Body(change): Body<ChangeSettings>,
) -> Result<Json<Settings>> {
    Ok(Json(change_settings(&app, change).await?))
}
