//! What a project's programs hear of: read from where they stopped, by streams, polls and webhooks.
//!
//! Triggers write the rows (see the migration). They get their numbers here, under a lock and after their commit, so a
//! number never appears behind one that somebody has read: whoever keeps the last number misses nothing.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgPool;

use crate::domain::webhook::Kind;
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// Rows that get numbers at a time.
const BATCH: i64 = 1000;

/// Days for which news are kept.
pub const KEEP_DAYS: i32 = 30;

/// Something that happened in a project.
#[derive(Clone, Debug)]
pub struct News {
    /// Its place; rises.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// `server.created`, `action.success`, `guest.oom_kill`.
    pub kind: String,
    /// What it is about.
    pub target_id: Option<i64>,
    /// What that was called.
    pub target: String,
    /// More, by kind.
    pub body: Value,
}

/// Gives numbers to what has none yet; says how many rows got one.
pub async fn number(db: &PgPool) -> sqlx::Result<u64> {
    let any = sqlx::query_scalar!(r#"select exists (select from feed where seq is null) as "any!""#);
    if !any.fetch_one(db).await? {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    sqlx::query!("select last from feed_head for update").fetch_one(&mut *tx).await?;
    let numbered = sqlx::query!(
        "with open as materialized
              (select id, row_number() over (order by id) as n, count(*) over () as all
               from (select id from feed where seq is null order by id limit $1) o),
              head as (update feed_head set last = last + (select count(*) from open) returning last)
         update feed f set seq = head.last - open.all + open.n from open, head where f.id = open.id",
        BATCH
    );
    let numbered = numbered.execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    Ok(numbered)
}

/// The last number that was given.
pub async fn head(db: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select last from feed_head").fetch_one(db).await
}

/// What is behind `after`, at most `limit`, of these kinds (none: of all). None after means from the oldest that is kept.
///
/// # Errors
/// `invalid_input` when something behind `after` is not kept any more, or nothing can be.
pub async fn read(
    db: &PgPool,
    project: ProjectId,
    after: Option<i64>,
    kinds: &[Kind],
    limit: i64,
) -> Result<Vec<News>> {
    number(db).await?;
    if let Some(after) = after {
        kept(db, after).await?;
    }
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    Ok(behind(db, project, after.unwrap_or_default(), &kinds, limit).await?)
}

/// As [`read`], of what has its number, and for whoever knows that it is kept.
pub(crate) async fn behind(
    db: &PgPool,
    project: ProjectId,
    after: i64,
    kinds: &[String],
    limit: i64,
) -> sqlx::Result<Vec<News>> {
    let news = sqlx::query_as!(
        News,
        r#"select seq as "seq!", at, kind, target_id, target, body from feed
           where project_id = $1 and seq > $2
             and ($3::text[] = '{}' or kind = any($3) or split_part(kind, '.', 1) = any($3))
           order by seq limit $4"#,
        project.0,
        after,
        kinds,
        limit
    );
    news.fetch_all(db).await
}

/// One of a project's news.
pub async fn one(db: &PgPool, project: ProjectId, seq: i64) -> Result<News> {
    let found = sqlx::query_as!(
        News,
        r#"select seq as "seq!", at, kind, target_id, target, body from feed where project_id = $1 and seq = $2"#,
        project.0,
        seq
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("event"))
}

async fn kept(db: &PgPool, after: i64) -> Result<()> {
    let row = sqlx::query!(r#"select last, (select min(seq) from feed) as oldest from feed_head"#);
    let row = row.fetch_one(db).await?;
    let oldest = row.oldest.unwrap_or(row.last + 1);
    if after < oldest - 1 {
        return Err(Error::invalid(
            "after",
            format!("is older than what is kept; look at everything again and go on after {}", row.last),
        ));
    }
    if after > row.last {
        return Err(Error::invalid("after", format!("must be at most {}", row.last)));
    }
    Ok(())
}

/// Forgets what is old.
pub(crate) async fn forget(db: &PgPool) -> sqlx::Result<u64> {
    let old = sqlx::query!(
        "delete from feed where at < now() - make_interval(days => $1) and seq is not null",
        KEEP_DAYS
    );
    Ok(old.execute(db).await?.rows_affected())
}
