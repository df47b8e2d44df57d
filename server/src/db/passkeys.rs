//! Passkeys of people, and what their devices were asked.
//!
//! A challenge is taken away by the first answer to it, right or wrong, so none can be answered twice; the passkey's row is
//! held while an answer is checked, so of two answers with one counter one is refused. Who has a passkey and types a
//! password is asked for it, or for another second factor ([`super::factors`]); recovery codes are made with the first.

use std::net::IpAddr;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::factors;
use super::users::User;
use crate::auth::passkey::{Answer, Challenge, RelyingParty, Why};
use crate::auth::secret;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::UserId;

/// Passkeys that a person can have.
pub const MOST: i64 = 20;
/// Minutes in which a device is to answer.
pub const MINUTES: i32 = 5;
/// Challenges of sign-ins that are kept for one address; older ones go, so that nobody fills the table.
const MOST_OPEN: i64 = 1000;

/// What an answer is to be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Signing in with nothing else.
    SignIn,
    /// The second factor of a sign-in.
    Factor,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Factor => "factor",
        }
    }
}

/// A passkey, as its owner sees it.
#[derive(Clone, Debug)]
pub struct Passkey {
    /// Which one.
    pub id: i64,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When somebody signed in with it last.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What came of an answer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is the passkey of this person.
    Right(User),
    /// It is not believed; whose it would be, where that is known.
    Refused(Option<User>, Why),
}

/// The passkeys of a person, the oldest first.
pub async fn list(db: &PgPool, user: UserId) -> Result<Vec<Passkey>> {
    let all = sqlx::query_as!(
        Passkey,
        "select id, name, created_at, last_used_at from passkeys where user_id = $1 order by id",
        user.0
    );
    Ok(all.fetch_all(db).await?)
}

/// How many passkeys and recovery codes a person has.
pub async fn count(db: &PgPool, user: UserId) -> Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select (select count(*) from passkeys where user_id = $1) as "passkeys!",
                  (select count(*) from recovery_codes where user_id = $1) as "codes!""#,
        user.0
    );
    let row = row.fetch_one(db).await?;
    Ok((row.passkeys, row.codes))
}

/// What a device is asked to make a passkey of, by this session.
pub async fn ask_for_new(db: &PgPool, here: &RelyingParty, user: UserId, session: &str) -> Result<Value> {
    let person = sqlx::query!("select email, name from users where id = $1", user.0);
    let person = person.fetch_optional(db).await?.ok_or(Error::Unauthorized)?;
    let handle = sqlx::query_scalar!(
        "insert into passkey_handles (user_id) values ($1) on conflict (user_id) do update set user_id = excluded.user_id
         returning handle",
        user.0
    );
    let handle = handle.fetch_one(db).await?;
    let known = credentials(db, user).await?;
    too_many(i64::try_from(known.len()).unwrap_or(i64::MAX))?;
    let asked = here.ask_for_new(handle, &person.email, &person.name, known)?;
    keep(db, session, "add", Some(user), asked, None).await
}

/// Takes what the device made. Gives recovery codes, when these are the first; or why it is refused.
pub async fn add(
    db: &PgPool,
    here: &RelyingParty,
    user: UserId,
    session: &str,
    name: &str,
    shown: &str,
) -> Result<Result<Option<Vec<String>>, Why>> {
    let Some((state, whose)) = take(db, session, "add").await? else { return Ok(Err(Why::Over)) };
    if whose != Some(user.0) {
        return Ok(Err(Why::Over)); // the session is somebody else's by now
    }
    let made = match here.new_one(state, shown) {
        Ok(made) => made,
        Err(why) => return Ok(Err(why)),
    };
    let credential = serde_json::to_value(&made).context("a passkey")?;
    let id: &[u8] = made.cred_id().as_ref();
    let mut tx = db.begin().await?;
    sqlx::query!("select id from users where id = $1 for update", user.0).fetch_optional(&mut *tx).await?;
    let had = sqlx::query_scalar!(r#"select count(*) as "n!" from passkeys where user_id = $1"#, user.0);
    too_many(had.fetch_one(&mut *tx).await?)?;
    let insert = sqlx::query!(
        "insert into passkeys (user_id, name, credential_id, credential) values ($1, $2, $3, $4)",
        user.0,
        name,
        id,
        credential
    );
    insert.execute(&mut *tx).await.map_err(|e| match broken_constraint(&e) {
        Some("passkeys_credential_id_key") => Error::Uniqueness("this passkey was added already".into()),
        _ => e.into(),
    })?;
    let codes = factors::codes_if_none(&mut tx, user).await?;
    tx.commit().await?;
    Ok(Ok(codes))
}

fn too_many(had: i64) -> Result<()> {
    if had < MOST {
        return Ok(());
    }
    Err(Error::LimitExceeded(format!(
        "you have {MOST} passkeys, and more are not possible: remove one first"
    )))
}

/// Calls a passkey something else.
pub async fn rename(db: &PgPool, user: UserId, id: i64, name: &str) -> Result<()> {
    let renamed =
        sqlx::query!("update passkeys set name = $3 where user_id = $1 and id = $2", user.0, id, name);
    match renamed.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("passkey")),
        _ => Ok(()),
    }
}

/// Removes a passkey. Recovery codes go with the last second factor.
pub async fn remove(db: &PgPool, user: UserId, id: i64) -> Result<()> {
    let mut tx = db.begin().await?;
    let gone = sqlx::query!("delete from passkeys where user_id = $1 and id = $2", user.0, id);
    if gone.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("passkey"));
    }
    factors::forget_codes(&mut tx, user).await?;
    Ok(tx.commit().await?)
}

/// What a device is asked to sign in with nothing else; `browser` is the cookie of who asks.
pub async fn ask(db: &PgPool, here: &RelyingParty, browser: &str, source: IpAddr) -> Result<Value> {
    let source = source.to_string();
    sqlx::query!(
        "delete from passkey_challenges where purpose = 'sign_in' and source = $1::text::inet
           and expires_at < (select c.expires_at from passkey_challenges c where c.purpose = 'sign_in' and c.source = $1::text::inet
                             order by c.expires_at desc offset $2 limit 1)",
        source,
        MOST_OPEN
    )
    .execute(db)
    .await?;
    keep(db, browser, Purpose::SignIn.name(), None, here.ask(&[])?, Some(source)).await
}

/// What a device is asked for the second factor of this step of a sign-in; none when it is over.
pub async fn ask_step(db: &PgPool, here: &RelyingParty, step: &str) -> Result<Option<Value>> {
    let Some(asked) = factors::asked(db, step).await? else { return Ok(None) };
    let known = credentials(db, asked.user).await?;
    if known.is_empty() {
        return Err(Error::NotFound("passkey"));
    }
    keep(db, step, Purpose::Factor.name(), Some(asked.user), here.ask(&known)?, None).await.map(Some)
}

/// Checks an answer to what this holder of a cookie was asked.
pub async fn answer(
    db: &PgPool,
    here: &RelyingParty,
    holder: &str,
    purpose: Purpose,
    shown: &str,
) -> Result<Outcome> {
    let taken = take(db, holder, purpose.name()).await?;
    let answer = match Answer::parse(shown) {
        Ok(answer) => answer,
        Err(why) => return Ok(Outcome::Refused(None, why)),
    };
    let mut tx = db.begin().await?;
    let row = sqlx::query!(
        r#"select p.id as passkey, p.credential, h.handle, u.id, u.email, u.name, u.operator, u.created_at,
                  u.email_verified_at is not null as "verified!"
           from passkeys p join users u on u.id = p.user_id join passkey_handles h on h.user_id = p.user_id
           where p.credential_id = $1 for update of p"#,
        answer.credential_id()
    );
    let Some(row) = row.fetch_optional(&mut *tx).await? else {
        return Ok(Outcome::Refused(None, Why::Unknown));
    };
    let user = User {
        id: row.id.into(),
        email: row.email,
        name: row.name,
        operator: row.operator,
        created_at: row.created_at,
        verified: row.verified,
    };
    let Some((state, asked)) = taken else { return Ok(Outcome::Refused(Some(user), Why::Over)) };
    // Who signs in by nothing else says who they are by the passkey; of a second factor it is known before.
    let theirs = match (asked, answer.handle()) {
        (None, handle) => handle == Some(row.handle),
        (Some(asked), None) => asked == user.id.0,
        (Some(asked), Some(handle)) => asked == user.id.0 && handle == row.handle,
    };
    if !theirs {
        return Ok(Outcome::Refused(Some(user), Why::Unknown));
    }
    let mut passkey = serde_json::from_value(row.credential).context("a passkey of the database")?;
    if let Err(why) = here.check(state, &answer, &mut passkey) {
        return Ok(Outcome::Refused(Some(user), why));
    }
    sqlx::query!(
        "update passkeys set credential = $2, last_used_at = now() where id = $1",
        row.passkey,
        serde_json::to_value(&passkey).context("a passkey")?
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Outcome::Right(user))
}

/// Removes challenges that nobody answered.
pub(crate) async fn forget(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!("delete from passkey_challenges where expires_at < now()").execute(db).await?;
    Ok(())
}

async fn credentials(db: &PgPool, user: UserId) -> Result<Vec<Vec<u8>>> {
    let all =
        sqlx::query_scalar!("select credential_id from passkeys where user_id = $1 order by id", user.0);
    Ok(all.fetch_all(db).await?)
}

/// Keeps a challenge, instead of the one before; gives what the browser is told.
async fn keep(
    db: &PgPool,
    holder: &str,
    purpose: &str,
    user: Option<UserId>,
    asked: Challenge,
    source: Option<String>,
) -> Result<Value> {
    sqlx::query!(
        "insert into passkey_challenges (holder, purpose, user_id, state, source, expires_at)
         values ($1, $2, $3, $4, $5::text::inet, now() + make_interval(mins => $6))
         on conflict (holder, purpose) do update set user_id = $3, state = $4, source = $5::text::inet, expires_at = excluded.expires_at",
        &secret::hash(holder),
        purpose,
        user.map(|user| user.0),
        asked.state,
        source,
        MINUTES
    )
    .execute(db)
    .await?;
    Ok(asked.options)
}

/// Takes a challenge away: its state, and whose answer it wants.
async fn take(db: &PgPool, holder: &str, purpose: &str) -> Result<Option<(Value, Option<i64>)>> {
    let row = sqlx::query!(
        "delete from passkey_challenges where holder = $1 and purpose = $2 returning state, user_id, expires_at > now() as \"good!\"",
        &secret::hash(holder),
        purpose
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.filter(|row| row.good).map(|row| (row.state, row.user_id)))
}

/// Removes all passkeys of a person; gives how many.
pub(super) async fn lose(tx: &mut PgConnection, user: UserId) -> Result<u64> {
    let gone = sqlx::query!("delete from passkeys where user_id = $1", user.0).execute(tx).await?;
    Ok(gone.rows_affected())
}
