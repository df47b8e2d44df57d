//! Projects, and who may work in them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::members;
use crate::domain::names::Title;
use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};

/// Projects that one person can own.
const MOST_PROJECTS: i64 = 20;

/// A tenant's project.
#[derive(Clone, Debug)]
pub struct Project {
    /// Which project.
    pub id: ProjectId,
    /// What it is called.
    pub name: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Why an operator suspended it, if so.
    pub suspended_reason: Option<String>,
}

/// Makes a project of somebody's own.
pub async fn create_for(db: &PgPool, name: &Title, owner: UserId) -> Result<ProjectId> {
    let mut tx = db.begin().await?;
    let many = sqlx::query_scalar!(
        r#"select count(*) as "many!" from memberships where user_id = $1 and role = 'owner'"#,
        owner.0
    );
    if many.fetch_one(&mut *tx).await? >= MOST_PROJECTS {
        return Err(Error::LimitExceeded(format!("one person owns at most {MOST_PROJECTS} projects")));
    }
    let id = insert_for(&mut tx, name.as_str(), owner).await?;
    tx.commit().await?;
    Ok(id)
}

/// Makes a project of somebody's own in somebody else's transaction, with the quotas that such projects have.
pub(super) async fn insert_for(tx: &mut PgConnection, name: &str, owner: UserId) -> Result<ProjectId> {
    let id = sqlx::query_scalar!(
        "insert into projects (name, quota_servers, quota_cpu_milli, quota_memory_bytes, quota_disk_bytes,
                               quota_addresses, quota_prefixes)
         select $1, (q ->> 'servers')::bigint, (q ->> 'cpu_milli')::bigint, (q ->> 'memory_bytes')::bigint,
                (q ->> 'disk_bytes')::bigint, (q ->> 'addresses')::bigint, (q ->> 'prefixes')::bigint
         from (select (select value from settings where key = 'default_quotas')) s(q)
         returning id",
        name
    );
    let id = id.fetch_one(&mut *tx).await?.into();
    members::join(tx, id, owner, Role::Owner).await?;
    Ok(id)
}

/// Makes a project; operators name each of theirs once, so that commands can tell them apart.
pub async fn create(db: &PgPool, name: &Title) -> Result<Project> {
    let made = sqlx::query_as!(
        Project,
        "insert into projects (name) select $1 where not exists (select 1 from projects where name = $1 and closed_at is null)
         returning id, name, created_at, suspended_reason",
        name.as_str()
    );
    let made = made.fetch_optional(db).await?;
    made.ok_or_else(|| Error::Uniqueness("a project with this name exists already".into()))
}

/// All projects, by id; for operators.
pub async fn list(db: &PgPool) -> Result<Vec<Project>> {
    Ok(sqlx::query_as!(
        Project,
        "select id, name, created_at, suspended_reason from projects where closed_at is null order by id"
    )
    .fetch_all(db)
    .await?)
}

/// The oldest project with this name; for operators.
pub async fn find(db: &PgPool, name: &str) -> Result<Option<Project>> {
    let found = sqlx::query_as!(
        Project,
        "select id, name, created_at, suspended_reason from projects where name = $1 and closed_at is null order by id limit 1",
        name
    );
    Ok(found.fetch_optional(db).await?)
}

/// The projects that a user may work in, by name, and what they are there.
pub async fn of_user(db: &PgPool, user: UserId) -> Result<Vec<(Project, Role)>> {
    let all = sqlx::query!(
        "select p.id, p.name, p.created_at, p.suspended_reason, m.role from projects p join memberships m on m.project_id = p.id
         where m.user_id = $1 and p.closed_at is null order by p.name",
        user.0
    );
    let all = all.fetch_all(db).await?.into_iter().map(|r| {
        let project = Project {
            id: r.id.into(),
            name: r.name,
            created_at: r.created_at,
            suspended_reason: r.suspended_reason,
        };
        Ok((project, Role::parse(&r.role)?))
    });
    all.collect()
}

/// Lets a user work in a project; does nothing when they may already.
pub async fn add_member(db: &PgPool, project: ProjectId, user: UserId, role: Role) -> Result<()> {
    let mut connection = db.acquire().await?;
    members::join(&mut connection, project, user, role).await
}
