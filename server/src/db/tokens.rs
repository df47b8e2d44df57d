//! API tokens: of a project, or, without one, of the operators' API. The token itself is shown once and not kept.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::PgPool;

use crate::auth::secret::{self, Secret};
use crate::domain::names::Title;
use crate::domain::reach::Reach;
use crate::domain::scopes::Scopes;
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
    /// What bounds it.
    pub reach: Reach,
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
    scopes: Option<Vec<String>>,
    expires_at: Option<DateTime<Utc>>,
    sources: Option<Vec<IpNet>>,
    suspended_reason: Option<String>,
}

impl TryFrom<Row> for Token {
    type Error = Error;

    fn try_from(r: Row) -> Result<Self> {
        let reach = Reach {
            scopes: r.scopes.map(|names| Scopes::parse("scopes", &names)).transpose()?,
            expires_at: r.expires_at,
            sources: r.sources.unwrap_or_default(),
        };
        Ok(Self {
            id: r.id.into(),
            project_id: r.project_id.map(ProjectId),
            name: r.name,
            writable: r.writable,
            created_at: r.created_at,
            last_used_at: r.last_used_at,
            reach,
            suspended_reason: r.suspended_reason,
        })
    }
}

/// Makes a token without bounds; the secret is to be shown now or never.
pub async fn create(
    db: &PgPool,
    project: Option<ProjectId>,
    name: &Title,
    writable: bool,
) -> Result<(Token, Secret)> {
    create_bounded(db, project, name, writable, &Reach::default()).await
}

/// Makes a token; the secret is to be shown now or never. Scopes say themselves whether it may write.
pub async fn create_bounded(
    db: &PgPool,
    project: Option<ProjectId>,
    name: &Title,
    writable: bool,
    reach: &Reach,
) -> Result<(Token, Secret)> {
    let scopes = reach.scopes.as_ref().map(Scopes::names);
    let writable = reach.scopes.as_ref().map_or(writable, Scopes::any_write);
    let sources = (!reach.sources.is_empty()).then_some(&reach.sources[..]);
    let secret = Secret::token();
    let made = sqlx::query_as!(
        Row,
        "insert into tokens (project_id, name, token_hash, writable, scopes, expires_at, sources)
         values ($1, $2, $3, $4, $5, $6, $7)
         returning id, project_id, name, writable, created_at, last_used_at, scopes, expires_at, sources,
                   null::text as suspended_reason",
        project.map(|p| p.0),
        name.as_str(),
        &secret.hash(),
        writable,
        scopes.as_deref(),
        reach.expires_at,
        sources
    );
    match made.fetch_one(db).await {
        Ok(row) => Ok((row.try_into()?, secret)),
        Err(e) if broken_constraint(&e) == Some("tokens_project_id_fkey") => Err(Error::NotFound("project")),
        Err(e) => Err(e.into()),
    }
}

/// The tokens of a project, or of the operators' API, newest first.
pub async fn list(db: &PgPool, project: Option<ProjectId>) -> Result<Vec<Token>> {
    let all = sqlx::query_as!(
        Row,
        "select id, project_id, name, writable, created_at, last_used_at, scopes, expires_at, sources,
                null::text as suspended_reason
         from tokens where project_id is not distinct from $1 order by id desc",
        project.map(|p| p.0)
    );
    all.fetch_all(db).await?.into_iter().map(Token::try_from).collect()
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
        r#"select exists (select from tokens where id = $1 and project_id = $2
                                         and (expires_at is null or expires_at > now())) as "there!""#,
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
        "select id, project_id, name, writable, created_at, last_used_at, scopes, expires_at, sources,
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
    Ok(Some(row.try_into()?))
}
