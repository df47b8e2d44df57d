//! People who sign in to the dashboard.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::projects;
use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::auth::secret::Secret;
use crate::db;
use crate::domain::names::{Email, Password};
use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::UserId;

/// Somebody who signs in.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::User)]
pub(super) struct User {
    id: i64,
    email: String,
    name: String,
    /// Whether they run this installation.
    operator: bool,
    created_at: DateTime<Utc>,
}

impl From<db::users::User> for User {
    fn from(u: db::users::User) -> Self {
        Self { id: u.id.0, email: u.email, name: u.name, operator: u.operator, created_at: u.created_at }
    }
}

/// A new user.
#[derive(Clone, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewUser)]
pub(super) struct NewUser {
    /// The address that they sign in with.
    email: String,
    /// What they are called.
    #[arg(long, default_value = "")]
    #[serde(default)]
    name: String,
    /// They run this installation.
    #[arg(long)]
    #[serde(default)]
    operator: bool,
    /// Projects that they may work in, by id or name.
    #[arg(long = "project")]
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    projects: Vec<Reference>,
    /// What they are there: owner, admin, member or read_only; without it owner.
    #[arg(long)]
    role: Option<Role>,
    /// Their password; without one a random one is made and shown.
    #[arg(skip)]
    password: Option<String>,
}

/// A user who just got a password.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = operators::WithPassword)]
pub(super) struct WithPassword {
    pub(super) user: User,
    /// The password that was made: shown now and never again.
    pub(super) password: Option<String>,
}

/// A password.
#[derive(Clone, Deserialize, ToSchema)]
#[schema(as = operators::NewPassword)]
struct NewPassword {
    /// Without one a random one is made and shown.
    password: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::UsersResponse)]
struct UsersResponse {
    users: Vec<User>,
}

/// All users.
pub(super) async fn list(app: &App) -> Result<Vec<User>> {
    Ok(db::users::list(&app.db).await?.into_iter().map(User::from).collect())
}

/// Makes a user and lets them work in projects.
pub(super) async fn create(app: &App, new: NewUser) -> Result<WithPassword> {
    let mut projects = Vec::new();
    for project in &new.projects {
        projects.push(projects::find(app, project).await?.id);
    }
    let (password, shown) = choose(new.password)?;
    let email = Email::parse(&new.email)?;
    let user =
        db::users::create(&app.db, &app.passwords, &email, new.name.trim(), &password, new.operator).await?;
    for project in projects {
        db::projects::add_member(&app.db, project, user.id, new.role.unwrap_or(Role::Owner)).await?;
    }
    Ok(WithPassword { user: user.into(), password: shown })
}

/// The user that is meant.
pub(super) async fn find(app: &App, user: &Reference) -> Result<db::users::User> {
    let all = db::users::list(&app.db).await?;
    user.find(all, |u| (u.id.0, u.email.clone())).ok_or(Error::NotFound("user"))
}

/// Gives a user another password; all their sessions end.
pub(super) async fn set_password(
    app: &App,
    user: &Reference,
    password: Option<String>,
) -> Result<WithPassword> {
    let user = find(app, user).await?;
    let (password, shown) = choose(password)?;
    db::users::set_password(&app.db, &app.passwords, user.id, &password).await?;
    Ok(WithPassword { user: user.into(), password: shown })
}

fn choose(password: Option<String>) -> Result<(Password, Option<String>)> {
    match password {
        Some(password) => Ok((Password::parse(&password)?, None)),
        None => {
            let made: String = Secret::token().expose().chars().take(20).collect();
            Ok((Password::parse(&made)?, Some(made)))
        }
    }
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(post_password))
}

/// Lists users.
#[utoipa::path(get, path = "/users", tag = "Operators: users", security(("operator" = [])),
    responses((status = 200, body = UsersResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<UsersResponse>> {
    Ok(Json(UsersResponse { users: list(&app).await? }))
}

/// Makes a user.
#[utoipa::path(post, path = "/users", tag = "Operators: users", security(("operator" = [])),
    request_body = NewUser, responses((status = 201, body = WithPassword), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewUser>,
) -> Result<(StatusCode, Json<WithPassword>)> {
    Ok((StatusCode::CREATED, Json(create(&app, new).await?)))
}

/// Gives a user another password.
#[utoipa::path(post, path = "/users/{id}/password", tag = "Operators: users", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = NewPassword, responses((status = 200, body = WithPassword), Problems))]
async fn post_password(
    State(app): State<App>,
    _: Operator,
    Id(UserId(id)): Id<UserId>,
    Body(new): Body<NewPassword>,
) -> Result<Json<WithPassword>> {
    let user = id.to_string().parse().map_err(|_| Error::NotFound("user"))?;
    Ok(Json(set_password(&app, &user, new.password).await?))
}
