//! Browser sessions. The cookie holds 32 random bytes, the database their SHA-256.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::acting;
use super::users::User;
use crate::auth::secret::{self, Secret};
use crate::error::{Error, Result};
use crate::ids::UserId;

/// How long a session lasts that nobody uses; using it starts the time anew.
pub const LIFETIME_DAYS: i32 = 14;

/// A session that was found.
#[derive(Clone, Debug)]
pub struct Session {
    /// Who signed in.
    pub user: User,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Until when it lasts if it is not used.
    pub expires_at: DateTime<Utc>,
    /// Whose pages it is for, where who signed in is an operator in somebody's stead, and until when.
    pub acting: Option<(User, DateTime<Utc>)>,
}

impl Session {
    /// Whose pages it is for.
    #[must_use]
    pub fn seen_by(&self) -> UserId {
        self.acting.as_ref().map_or(self.user.id, |(user, _)| user.id)
    }
}

/// Starts a session; the secret goes into the cookie.
pub async fn create(db: &PgPool, user: UserId, user_agent: &str, source: Option<IpAddr>) -> Result<Secret> {
    let secret = Secret::session();
    let agent: String = user_agent.chars().filter(|c| !c.is_control()).take(200).collect();
    let insert = sqlx::query!(
        "insert into sessions (token_hash, user_id, user_agent, expires_at, source)
         values ($1, $2, $3, now() + make_interval(days => $4), $5::text::inet)",
        &secret.hash(),
        user.0,
        agent,
        LIFETIME_DAYS,
        source.map(|s| s.to_string())
    );
    insert.execute(db).await?;
    Ok(secret)
}

/// The session of a cookie; none when there is none or it has ended. Using it moves its end, once a minute at most.
pub async fn find(db: &PgPool, cookie: &str) -> Result<Option<Session>> {
    let hash = secret::hash(cookie);
    let row = sqlx::query!(
        r#"select u.id, u.email, u.name, u.operator, u.created_at as user_created_at,
                  u.email_verified_at is not null as "verified!", s.created_at, s.expires_at,
                  s.seen_at < now() - interval '1 minute' as "stale!", s.acting_until,
                  t.id as "acting_id?", t.email as "acting_email?", t.name as "acting_name?", t.created_at as "acting_created_at?"
           from sessions s join users u on u.id = s.user_id
                left join users t on t.id = s.acting_for and s.acting_until > now() and u.operator and not t.operator
           where s.token_hash = $1 and s.expires_at > now()"#,
        &hash
    );
    let Some(row) = row.fetch_optional(db).await? else {
        return Ok(None);
    };
    if row.stale {
        let touch = sqlx::query!(
            "update sessions set seen_at = now(), expires_at = now() + make_interval(days => $2)
             where token_hash = $1",
            &hash,
            LIFETIME_DAYS
        );
        touch.execute(db).await?;
    }
    if row.acting_until.is_some() && row.acting_id.is_none() {
        acting::end(db, cookie).await?; // its time is over, or it holds no more
    }
    let user = User {
        id: row.id.into(),
        email: row.email,
        name: row.name,
        operator: row.operator,
        created_at: row.user_created_at,
        verified: row.verified,
    };
    let acting =
        match (row.acting_id, row.acting_email, row.acting_name, row.acting_created_at, row.acting_until) {
            (Some(id), Some(email), Some(name), Some(created_at), Some(until)) => Some((
                User { id: id.into(), email, name, operator: false, created_at, verified: true },
                until,
            )),
            _ => None,
        };
    Ok(Some(Session { user, created_at: row.created_at, expires_at: row.expires_at, acting }))
}

/// Ends a session.
pub async fn delete(db: &PgPool, cookie: &str) -> Result<()> {
    sqlx::query!("delete from sessions where token_hash = $1", &secret::hash(cookie)).execute(db).await?;
    Ok(())
}

/// A browser that is signed in, as its user sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which one.
    pub id: i64,
    /// What the browser says of itself.
    pub user_agent: String,
    /// Where it signed in from.
    pub source: Option<String>,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it was used last, to the minute.
    pub seen_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// Where a user is signed in, the one that asks first.
pub async fn list(db: &PgPool, user: UserId, cookie: &str) -> Result<Vec<Seen>> {
    let all = sqlx::query_as!(
        Seen,
        r#"select id, user_agent, host(source) as source, created_at, seen_at, token_hash = $2 as "this!"
           from sessions where user_id = $1 and expires_at > now() order by token_hash = $2 desc, seen_at desc"#,
        user.0,
        &secret::hash(cookie)
    );
    Ok(all.fetch_all(db).await?)
}

/// Ends one session of a user, or all but the one that asks.
pub async fn end(db: &PgPool, user: UserId, cookie: &str, id: Option<i64>) -> Result<()> {
    let gone = sqlx::query!(
        "delete from sessions where user_id = $1 and (id = $2 or $2 is null and token_hash <> $3)",
        user.0,
        id,
        &secret::hash(cookie)
    );
    match (gone.execute(db).await?.rows_affected(), id) {
        (0, Some(_)) => Err(Error::NotFound("session")),
        _ => Ok(()),
    }
}

/// Removes sessions that have ended.
pub async fn delete_expired(db: &PgPool) -> Result<u64> {
    Ok(sqlx::query!("delete from sessions where expires_at < now()").execute(db).await?.rows_affected())
}
