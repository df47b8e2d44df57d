//! What operators look up: projects and people, by a part of what they are called, a page at a time.
//!
//! A search is a part of a name or an address in any case, or an id. Nothing in it is a pattern.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::page::{Listed, Page};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};

/// A project.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Which project.
    pub id: i64,
    /// What it is called.
    pub name: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Why it is suspended, if so.
    pub suspended_reason: Option<String>,
    /// The address of who owns it longest.
    pub owner: Option<String>,
    /// How many people work in it.
    pub members: i64,
    /// How many servers it has.
    pub servers: i64,
}

macro_rules! tenants {
    ($rest:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Tenant,
            r#"select p.id, p.name, p.created_at, p.suspended_reason,
                      (select u.email from memberships m join users u on u.id = m.user_id
                       where m.project_id = p.id and m.role = 'owner' order by m.created_at, u.id limit 1) as "owner?",
                      (select count(*) from memberships m where m.project_id = p.id) as "members!",
                      (select count(*) from vps v where v.project_id = p.id and v.deleted_at is null) as "servers!"
               from projects p "#
            + $rest
            $(, $arg)*
        )
    };
}

/// Projects of this name or id, or in which somebody of this address works; the newest first.
pub async fn tenants(db: &PgPool, text: &str, page: Page) -> Result<Listed<Tenant>> {
    let items = tenants!(
        "where p.closed_at is null and ($1 = '' or p.id::text = $1 or strpos(lower(p.name), lower($1)) > 0
           or exists (select from memberships m join users u on u.id = m.user_id
                      where m.project_id = p.id and strpos(lower(u.email), lower($1)) > 0))
         order by p.id desc limit $2 offset $3",
        text,
        page.size,
        page.offset()
    );
    let total = sqlx::query_scalar!(
        r#"select count(*) as "total!" from projects p
           where p.closed_at is null and ($1 = '' or p.id::text = $1 or strpos(lower(p.name), lower($1)) > 0
             or exists (select from memberships m join users u on u.id = m.user_id
                        where m.project_id = p.id and strpos(lower(u.email), lower($1)) > 0))"#,
        text
    );
    Ok(Listed { items: items.fetch_all(db).await?, total: total.fetch_one(db).await? })
}

/// One project.
pub async fn tenant(db: &PgPool, id: ProjectId) -> Result<Tenant> {
    tenants!("where p.id = $1 and p.closed_at is null", id.0)
        .fetch_optional(db)
        .await?
        .ok_or(Error::NotFound("project"))
}

/// Somebody who signs in.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who.
    pub id: i64,
    /// The address that they sign in with.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// Whether they run this installation.
    pub operator: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Whether the address is known to be theirs.
    pub verified: bool,
    /// Whether a second factor is asked for.
    pub factor: bool,
    /// In how many projects they work.
    pub projects: i64,
    /// In how many browsers they are signed in.
    pub sessions: i64,
    /// When they signed in last, as the trail says: sessions are forgotten when they end.
    pub signed_in_at: Option<DateTime<Utc>>,
}

macro_rules! people {
    ($rest:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Person,
            r#"select u.id, u.email, u.name, u.operator, u.created_at, u.email_verified_at is not null as "verified!",
                      exists (select from second_factors f where f.user_id = u.id and f.confirmed_at is not null)
                        or exists (select from passkeys k where k.user_id = u.id) as "factor!",
                      (select count(*) from memberships m where m.user_id = u.id) as "projects!",
                      (select count(*) from sessions s where s.user_id = u.id and s.expires_at > now()) as "sessions!",
                      (select max(a.at) from audit a where a.event = 'session.started' and a.target_id = u.id) as "signed_in_at?"
               from users u "#
            + $rest
            $(, $arg)*
        )
    };
}

/// People of this address, name or id; the newest first.
pub async fn people(db: &PgPool, text: &str, page: Page) -> Result<Listed<Person>> {
    let items = people!(
        "where $1 = '' or u.id::text = $1 or strpos(lower(u.email), lower($1)) > 0 or strpos(lower(u.name), lower($1)) > 0
         order by u.id desc limit $2 offset $3",
        text,
        page.size,
        page.offset()
    );
    let total = sqlx::query_scalar!(
        r#"select count(*) as "total!" from users u
           where $1 = '' or u.id::text = $1 or strpos(lower(u.email), lower($1)) > 0 or strpos(lower(u.name), lower($1)) > 0"#,
        text
    );
    Ok(Listed { items: items.fetch_all(db).await?, total: total.fetch_one(db).await? })
}

/// One person.
pub async fn person(db: &PgPool, id: UserId) -> Result<Person> {
    people!("where u.id = $1", id.0).fetch_optional(db).await?.ok_or(Error::NotFound("user"))
}

/// How many servers have each plan.
pub async fn servers_by_plan(db: &PgPool) -> Result<HashMap<i64, i64>> {
    let all = sqlx::query!(
        r#"select plan_id, count(*) as "servers!" from vps where deleted_at is null group by plan_id"#
    );
    Ok(all.fetch_all(db).await?.into_iter().map(|r| (r.plan_id, r.servers)).collect())
}

/// How many servers have each image.
pub async fn servers_by_image(db: &PgPool) -> Result<HashMap<i64, i64>> {
    let all = sqlx::query!(
        r#"select image_id, count(*) as "servers!" from vps where deleted_at is null group by image_id"#
    );
    Ok(all.fetch_all(db).await?.into_iter().map(|r| (r.image_id, r.servers)).collect())
}
