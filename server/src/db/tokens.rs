//! API tokens: of a project, or, without one, of the operators' API. The token itself is shown once and not kept.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::auth::secret::{self, Secret};
use crate::domain::names::Title;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, TokenId};

/// An API token, without its secret.
#[derive(Clone, Debug)]
pub struct Token {
    /// Which token.
    pub id: TokenId,
    /// Its project; none for the operators' API.
    pub project_id: Option<ProjectId>,
    /// What it is for.
    pub name: String,
    /// Whether it may change things.
    pub writable: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When it was used last, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Why its project is suspended, if so.
    pub suspended_reason: Option<String>,
}

struct Row {
    id: i64,
    project_id: Option<i64>,
    name: String,
    writable: bool,
    created_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    suspended_reason: Option<String>,
}

impl From<Row> for Token {
    fn from(r: Row) -> Self {
        Self {
            id: r.id.into(),
            project_id: r.project_id.map(ProjectId),
            name: r.name,
            writable: r.writable,
            created_at: r.created_at,
            last_used_at: r.last_used_at,
            suspended_reason: r.suspended_reason,
        }
    }
}

/// Makes a token; the secret is to be shown now or never.
pub async fn create(
    db: &PgPool,
    project: Option<ProjectId>,
    name: &Title,
    writable: bool,
) -> Result<(Token, Secret)> {
    let secret = Secret::token();
    let made = sqlx::query_as!(
        Row,
        "insert into tokens (project_id, name, token_hash, writable) values ($1, $2, $3, $4)
         returning id, project_id, name, writable, created_at, last_used_at, null::text as suspended_reason",
        project.map(|p| p.0),
        name.as_str(),
        &secret.hash(),
        writable
    );
    match made.fetch_one(db).await {
        Ok(row) => Ok((row.into(), secret)),
        Err(e) if broken_constraint(&e) == Some("tokens_project_id_fkey") => Err(Error::NotFound("project")),
        Err(e) => Err(e.into()),
    }
}

/// The tokens of a project, or of the operators' API, newest first.
pub async fn list(db: &PgPool, project: Option<ProjectId>) -> Result<Vec<Token>> {
    let all = sqlx::query_as!(
        Row,
        "select id, project_id, name, writable, created_at, last_used_at, null::text as suspended_reason from tokens
         where project_id is not distinct from $1 order by id desc",
        project.map(|p| p.0)
    );
    Ok(all.fetch_all(db).await?.into_iter().map(Token::from).collect())
}

/// Makes a token stop working.
pub async fn delete(db: &PgPool, project: Option<ProjectId>, id: TokenId) -> Result<()> {
    let gone = sqlx::query!(
        "delete from tokens where id = $1 and project_id is not distinct from $2",
        id.0,
        project.map(|p| p.0)
    );
    match gone.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("token")),
        _ => Ok(()),
    }
}

/// Whether a project still has this token.
pub async fn is_there(db: &PgPool, project: ProjectId, id: TokenId) -> sqlx::Result<bool> {
    let there = sqlx::query_scalar!(
        r#"select exists (select from tokens where id = $1 and project_id = $2) as "there!""#,
        id.0,
        project.0
    );
    there.fetch_one(db).await
}

/// The token with this secret. Notes that it was used, once a minute at most.
pub async fn find(db: &PgPool, shown: &str) -> Result<Option<Token>> {
    if shown.len() != secret::TOKEN_LENGTH {
        return Ok(None);
    }
    let found = sqlx::query_as!(
        Row,
        "select id, project_id, name, writable, created_at, last_used_at,
                (select p.suspended_reason from projects p where p.id = tokens.project_id) as suspended_reason
         from tokens where token_hash = $1",
        &secret::hash(shown)
    );
    let Some(row) = found.fetch_optional(db).await? else {
        return Ok(None);
    };
    if row.last_used_at.is_none_or(|at| Utc::now() - at > chrono::TimeDelta::minutes(1)) {
        sqlx::query!("update tokens set last_used_at = now() where id = $1", row.id).execute(db).await?;
    }
    Ok(Some(row.into()))
}
