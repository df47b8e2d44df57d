//! Who people are at the operator's provider, and browsers that were sent there.
//!
//! An account is found by issuer and subject alone. That an address is the same makes nobody its owner: who has an account
//! already signs in and links it. A step is taken away by the first that comes back, so no answer is good twice.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::users::User;
use super::{accounts, members, settings};
use crate::auth::password::Hasher;
use crate::auth::provider::{Begun, Known};
use crate::auth::secret::{self, Secret};
use crate::domain::names::{Email, Password};
use crate::domain::roles::Role;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, UserId};

/// Minutes that somebody may take at the provider.
pub const MINUTES: i32 = 10;
/// Steps of sign-ins that are kept for one address; older ones go, so that nobody fills the table.
const MOST_OPEN: i64 = 1000;

/// A browser that was sent away.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the provider's token must hold.
    pub nonce: String,
    /// Of PKCE.
    pub verifier: String,
    /// Who wants a link; none: a sign-in.
    pub user: Option<UserId>,
    /// Where to go afterwards.
    pub next: String,
}

/// Who somebody is at the provider, as they see it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Their address there, when it was linked.
    pub email: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// What came of somebody whom the provider knows.
#[derive(Clone, Debug)]
pub enum Found {
    /// Their account, and whether it was just made.
    In(User, bool),
    /// The provider does not vouch for their address.
    Unverified,
    /// There is an account with this address, which is not linked.
    Taken(UserId),
    /// There is none, and none is made for them.
    NotLetIn,
}

/// Keeps what a browser was sent away with; gives its cookie. `link`: who wants a link, and their session.
pub async fn begin(
    db: &PgPool,
    begun: &Begun,
    link: Option<(UserId, &str)>,
    next: &str,
    source: IpAddr,
) -> Result<Secret> {
    let (cookie, source) = (Secret::session(), source.to_string());
    sqlx::query!(
        "delete from provider_steps where source = $1::text::inet
           and expires_at < (select s.expires_at from provider_steps s where s.source = $1::text::inet
                             order by s.expires_at desc offset $2 limit 1)",
        source,
        MOST_OPEN
    )
    .execute(db)
    .await?;
    let session = link.map(|(_, session)| secret::hash(session));
    sqlx::query!(
        "insert into provider_steps (holder, state, nonce, verifier, user_id, session, next, source, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8::text::inet, now() + make_interval(mins => $9))",
        &cookie.hash(),
        &secret::hash(&begun.state),
        begun.nonce,
        begun.verifier,
        link.map(|(user, _)| user.0),
        session.as_ref().map(|hash| &hash[..]),
        next,
        source,
        MINUTES
    )
    .execute(db)
    .await?;
    Ok(cookie)
}

/// Takes the step of a browser that comes back with this state; none when it was sent away with another, or not at all.
/// A link wants the session besides that asked for it.
pub async fn take(db: &PgPool, cookie: &str, state: &str, session: Option<&str>) -> Result<Option<Step>> {
    let row = sqlx::query!(
        r#"delete from provider_steps where holder = $1
           returning state, nonce, verifier, user_id, session, next, expires_at > now() as "good!""#,
        &secret::hash(cookie)
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    // Hashes are compared, so how long that takes tells nothing.
    let same = row.state == secret::hash(state)
        && row.session.is_none_or(|kept| session.is_some_and(|shown| kept == secret::hash(shown)));
    let step =
        Step { nonce: row.nonce, verifier: row.verifier, user: row.user_id.map(UserId), next: row.next };
    Ok((row.good && same).then_some(step))
}

/// Who a person is at this provider.
pub async fn get(db: &PgPool, user: UserId, issuer: &str) -> Result<Option<Identity>> {
    let row = sqlx::query_as!(
        Identity,
        "select email, created_at from identities where user_id = $1 and issuer = $2",
        user.0,
        issuer
    );
    Ok(row.fetch_optional(db).await?)
}

/// Links an account with whom the provider knows.
pub async fn link(db: &PgPool, user: UserId, known: &Known) -> Result<()> {
    let mut tx = db.begin().await?;
    insert(&mut tx, user, known).await?;
    Ok(tx.commit().await?)
}

async fn insert(tx: &mut PgConnection, user: UserId, known: &Known) -> Result<()> {
    let email: String =
        known.email.as_deref().unwrap_or_default().chars().filter(|c| !c.is_control()).take(254).collect();
    let insert = sqlx::query!(
        "insert into identities (user_id, issuer, subject, email, last_used_at) values ($1, $2, $3, $4, now())",
        user.0,
        known.issuer,
        known.subject,
        email
    );
    insert.execute(tx).await.map_err(|e| match broken_constraint(&e) {
        Some("identities_subject_key") => {
            Error::Uniqueness("whom the provider named is linked with an account already".into())
        }
        Some("identities_user_key") => {
            Error::Uniqueness("this account is linked already: remove that link first".into())
        }
        _ => e.into(),
    })?;
    Ok(())
}

/// Whether a person has a password that they know.
pub async fn has_password(db: &PgPool, user: UserId) -> Result<bool> {
    let has = sqlx::query_scalar!("select has_password from users where id = $1", user.0);
    Ok(has.fetch_optional(db).await?.unwrap_or(false))
}

/// Removes a link, unless it is the only way to sign in.
pub async fn unlink(db: &PgPool, user: UserId, issuer: &str) -> Result<()> {
    let mut tx = db.begin().await?;
    let other = sqlx::query_scalar!(
        r#"select u.has_password or exists (select from passkeys p where p.user_id = u.id) as "other!"
           from users u where u.id = $1 for update"#,
        user.0
    );
    if !other.fetch_optional(&mut *tx).await?.unwrap_or(false) {
        return Err(Error::Conflict("it is your only way to sign in: choose a password first".into()));
    }
    let gone = sqlx::query!("delete from identities where user_id = $1 and issuer = $2", user.0, issuer);
    if gone.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("link"));
    }
    Ok(tx.commit().await?)
}

/// The account of whom the provider knows; one is made where people may have one by themselves.
pub async fn enter(db: &PgPool, hasher: &Hasher, known: &Known) -> Result<Found> {
    let user = sqlx::query_as!(
        User,
        r#"with i as (update identities set last_used_at = now() where issuer = $1 and subject = $2 returning user_id)
           select u.id, u.email, u.name, u.operator, u.created_at, u.email_verified_at is not null as "verified!"
           from users u join i on i.user_id = u.id"#,
        known.issuer,
        known.subject
    );
    if let Some(user) = user.fetch_optional(db).await? {
        return Ok(Found::In(user, false));
    }
    let email = known.email.as_deref().map(Email::parse);
    let Some(Ok(email)) = email.filter(|_| known.verified) else { return Ok(Found::Unverified) };
    let policy: Option<String> = settings::get(db, settings::SIGN_UP).await?;
    // Nobody knows this password, so it is none: a new one is chosen by mail.
    let hash = hasher.hash(&Password::parse(Secret::session().expose())?).await?;
    let mut tx = db.begin().await?;
    let taken = sqlx::query_scalar!("select id from users where lower(email) = lower($1)", email.as_str());
    if let Some(id) = taken.fetch_optional(&mut *tx).await? {
        return Ok(Found::Taken(UserId(id)));
    }
    let asked = sqlx::query_scalar!(
        r#"select exists (select from invitations where lower(email) = lower($1) and expires_at > now()) as "any!""#,
        email.as_str()
    );
    let asked = asked.fetch_one(&mut *tx).await?;
    match policy.as_deref() {
        Some("open") => {}
        Some("off") => return Ok(Found::NotLetIn),
        _ if asked => {}
        _ => return Ok(Found::NotLetIn),
    }
    let name: String = known.name.chars().filter(|c| !c.is_control()).take(128).collect();
    let made = sqlx::query_as!(
        User,
        r#"insert into users (email, name, password_hash, has_password) values ($1, $2, $3, false)
           on conflict (lower(email)) do nothing
           returning id, email, name, operator, created_at, true as "verified!""#,
        email.as_str(),
        name,
        hash
    );
    let made = made.fetch_optional(&mut *tx).await?;
    let made = made.ok_or_else(|| Error::Conflict("this account was made meanwhile: try again".into()))?;
    for (project, role) in invitations(&mut tx, &email).await? {
        members::join(&mut tx, project, made.id, role).await?;
    }
    accounts::confirm(&mut tx, &made).await?;
    insert(&mut tx, made.id, known).await?;
    tx.commit().await?;
    Ok(Found::In(made, true))
}

/// Takes an address's invitations to projects: where to, and as what. Those to single servers are accepted by their links.
async fn invitations(tx: &mut PgConnection, email: &Email) -> Result<Vec<(ProjectId, Role)>> {
    let rows = sqlx::query!(
        r#"delete from invitations where lower(email) = lower($1) and expires_at > now() and vps_id is null
           returning project_id, role as "role!""#,
        email.as_str()
    );
    let rows = rows.fetch_all(tx).await?;
    rows.into_iter().map(|row| Ok((ProjectId(row.project_id), Role::parse(&row.role)?))).collect()
}

/// Removes steps of browsers that did not come back.
pub(crate) async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("delete from provider_steps where expires_at < now()").execute(db).await?;
    Ok(())
}
