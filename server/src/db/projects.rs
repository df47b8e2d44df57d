//! Projects, and who may work in them.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::domain::names::Title;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, UserId};

/// A tenant's project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Which project.
    pub id: ProjectId,
    /// What it is called.
    pub name: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Makes a project.
pub async fn create(db: &PgPool, name: &Title) -> Result<Project> {
    let made = sqlx::query_as!(
        Project,
        "insert into projects (name) values ($1) returning id, name, created_at",
        name.as_str()
    );
    made.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("projects_name_key") => Error::Uniqueness("a project with this name exists already".into()),
        _ => e.into(),
    })
}

/// All projects, by id; for operators.
pub async fn list(db: &PgPool) -> Result<Vec<Project>> {
    Ok(sqlx::query_as!(Project, "select id, name, created_at from projects order by id")
        .fetch_all(db)
        .await?)
}

/// The project with this name; for operators.
pub async fn find(db: &PgPool, name: &str) -> Result<Option<Project>> {
    let found = sqlx::query_as!(Project, "select id, name, created_at from projects where name = $1", name);
    Ok(found.fetch_optional(db).await?)
}

/// The projects that a user may work in, by name.
pub async fn of_user(db: &PgPool, user: UserId) -> Result<Vec<Project>> {
    let all = sqlx::query_as!(
        Project,
        "select p.id, p.name, p.created_at from projects p join memberships m on m.project_id = p.id
         where m.user_id = $1 order by p.name",
        user.0
    );
    Ok(all.fetch_all(db).await?)
}

/// Lets a user work in a project; does nothing when they may already.
pub async fn add_member(db: &PgPool, project: ProjectId, user: UserId) -> Result<()> {
    let add = sqlx::query!(
        "insert into memberships (project_id, user_id) values ($1, $2) on conflict do nothing",
        project.0,
        user.0
    );
    match add.execute(db).await {
        Ok(_) => Ok(()),
        Err(e) if broken_constraint(&e).is_some_and(|c| c.ends_with("project_id_fkey")) => {
            Err(Error::NotFound("project"))
        }
        Err(e) if broken_constraint(&e).is_some_and(|c| c.ends_with("user_id_fkey")) => {
            Err(Error::NotFound("user"))
        }
        Err(e) => Err(e.into()),
    }
}
