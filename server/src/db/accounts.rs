//! Accounts that people make themselves, and what the links in mails are good for.
//!
//! Nobody learns from here who has an account: signing up and asking for a new password answer the same for every
//! address, and do the same work; the difference is in the mail. A link is good once.

use sqlx::{PgConnection, PgPool};

use super::users::User;
use super::{mails, members, projects, users};
use crate::auth::password::Hasher;
use crate::auth::secret::{self, Secret};
use crate::domain::names::{Email, Password, Title};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId};

/// How long a link in a mail is good.
const LINK_HOURS: i32 = 24;
/// Links of one kind that one person can have at a time; each asks for a mail.
const MOST_LINKS: i64 = 5;

/// What a link in a mail is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show that an address is somebody's.
    Verify,
    /// To choose a new password.
    Reset,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }
}

/// Makes an account that cannot be used before its address was verified. Who has one already is told so by mail.
/// `base` is the URL of the dashboard.
pub async fn sign_up(
    db: &PgPool,
    hasher: &Hasher,
    base: &str,
    email: &Email,
    name: &str,
    password: &Password,
) -> Result<()> {
    let hash = hasher.hash(password).await?;
    let mut tx = db.begin().await?;
    let made = sqlx::query_scalar!(
        "insert into users (email, name, password_hash) values ($1, $2, $3) on conflict (lower(email)) do nothing returning id",
        email.as_str(),
        name,
        hash
    );
    match made.fetch_optional(&mut *tx).await? {
        Some(id) => send_link(&mut tx, base, UserId(id), email.as_str(), Purpose::Verify).await?,
        None => ask_again(&mut tx, base, email).await?,
    }
    Ok(tx.commit().await?)
}

/// Somebody who has an account signs up once more: those who never verified it get another link, with the first password.
async fn ask_again(tx: &mut PgConnection, base: &str, email: &Email) -> Result<()> {
    let row = sqlx::query!(
        "select id, email_verified_at from users where lower(email) = lower($1)",
        email.as_str()
    );
    let Some(row) = row.fetch_optional(&mut *tx).await? else { return Ok(()) };
    if row.email_verified_at.is_none() {
        return send_link(tx, base, UserId(row.id), email.as_str(), Purpose::Verify).await;
    }
    let body = format!(
        "Somebody, probably you, wanted to make an account with this address, which has one already.\n\n\
         Sign in:         {base}/sign-in\nForgot password: {base}/reset\n"
    );
    mails::add(tx, email.as_str(), "You have an account already", &body).await
}

/// Makes an account for whoever was invited and has none, and lets them in. Their address is believed: the link was sent
/// there, or handed over by somebody who answers for it.
pub async fn join_new(
    db: &PgPool,
    hasher: &Hasher,
    shown: &str,
    name: &str,
    password: &Password,
) -> Result<(User, ProjectId)> {
    let hash = hasher.hash(password).await?;
    let mut tx = db.begin().await?;
    let invited = members::take(&mut tx, shown).await?;
    let user = sqlx::query_as!(
        User,
        r#"insert into users (email, name, password_hash, email_verified_at) values ($1, $2, $3, now())
           on conflict (lower(email)) do nothing
           returning id, email, name, operator, created_at, true as "verified!""#,
        invited.email,
        name,
        hash
    );
    let taken = || Error::Uniqueness("an account with this address was made meanwhile: sign in".into());
    let user = user.fetch_optional(&mut *tx).await?.ok_or_else(taken)?;
    members::enter(&mut tx, &invited, user.id).await?;
    tx.commit().await?;
    Ok((user, invited.project))
}

/// Sends a link for a new password, if there is such an account.
pub async fn forgot(db: &PgPool, base: &str, email: &str) -> Result<()> {
    if email.contains('\0') {
        return Ok(());
    }
    let mut tx = db.begin().await?;
    let row = sqlx::query!("select id, email from users where lower(email) = lower($1)", email.trim());
    if let Some(row) = row.fetch_optional(&mut *tx).await? {
        send_link(&mut tx, base, UserId(row.id), &row.email, Purpose::Reset).await?;
    }
    Ok(tx.commit().await?)
}

async fn send_link(
    tx: &mut PgConnection,
    base: &str,
    user: UserId,
    email: &str,
    purpose: Purpose,
) -> Result<()> {
    let open = sqlx::query_scalar!(
        r#"select count(*) as "open!" from mail_links where user_id = $1 and purpose = $2 and expires_at > now()"#,
        user.0,
        purpose.name()
    );
    if open.fetch_one(&mut *tx).await? >= MOST_LINKS {
        return Ok(()); // they have mails enough; a link of them is good still
    }
    let secret = Secret::session();
    sqlx::query!(
        "insert into mail_links (token_hash, user_id, purpose, expires_at) values ($1, $2, $3, now() + make_interval(hours => $4))",
        &secret.hash(),
        user.0,
        purpose.name(),
        LINK_HOURS
    )
    .execute(&mut *tx)
    .await?;
    let (subject, why, path) = match purpose {
        Purpose::Verify => (
            "Confirm your address",
            "Open this link to confirm your address and to use your account:",
            "verify",
        ),
        Purpose::Reset => ("Choose a new password", "Open this link to choose a new password:", "reset/new"),
    };
    let link = format!("{base}/{path}?token={}", secret.expose());
    let body = format!(
        "{why}\n\n  {link}\n\nIt is good once, for {LINK_HOURS} hours. If you did not ask for it, do nothing.\n"
    );
    mails::add(tx, email, subject, &body).await
}

/// Whose link this is, if it is still good; it stays so.
pub async fn peek(db: &PgPool, shown: &str, purpose: Purpose) -> Result<Option<String>> {
    let row = sqlx::query_scalar!(
        "select u.email from mail_links l join users u on u.id = l.user_id
         where l.token_hash = $1 and l.purpose = $2 and l.expires_at > now()",
        &secret::hash(shown),
        purpose.name()
    );
    Ok(row.fetch_optional(db).await?)
}

/// Confirms an address by its link, once. The first time a project of their own is made for them.
pub async fn verify(db: &PgPool, shown: &str) -> Result<User> {
    let mut tx = db.begin().await?;
    let user = take(&mut tx, shown, Purpose::Verify).await?;
    confirm(&mut tx, &user).await?;
    tx.commit().await?;
    Ok(user)
}

/// Marks an address as confirmed, and gives who has no project one.
pub(crate) async fn confirm(tx: &mut PgConnection, user: &User) -> Result<()> {
    let first = sqlx::query!(
        "update users set email_verified_at = now() where id = $1 and email_verified_at is null",
        user.id.0
    );
    if first.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from memberships where user_id = $1) as "any!""#,
        user.id.0
    );
    if any.fetch_one(&mut *tx).await? {
        return Ok(());
    }
    let title =
        Title::parse("name", &user.name).map_or_else(|_| "first".to_owned(), |t| t.as_str().to_owned());
    projects::insert_for(tx, &title, user.id).await?;
    Ok(())
}

/// Sets a new password by a link, once. All sessions end; the address is confirmed with it.
pub async fn reset(db: &PgPool, hasher: &Hasher, shown: &str, password: &Password) -> Result<User> {
    let hash = hasher.hash(password).await?;
    let mut tx = db.begin().await?;
    let user = take(&mut tx, shown, Purpose::Reset).await?;
    users::replace_password(&mut tx, user.id, &hash, None).await?;
    sqlx::query!("delete from mail_links where user_id = $1 and purpose = 'reset'", user.id.0)
        .execute(&mut *tx)
        .await?;
    confirm(&mut tx, &user).await?;
    tx.commit().await?;
    Ok(user)
}

async fn take(tx: &mut PgConnection, shown: &str, purpose: Purpose) -> Result<User> {
    let row = sqlx::query_as!(
        User,
        r#"with link as (delete from mail_links where token_hash = $1 and purpose = $2 and expires_at > now() returning user_id)
           select u.id, u.email, u.name, u.operator, u.created_at, u.email_verified_at is not null as "verified!"
           from users u join link on link.user_id = u.id"#,
        &secret::hash(shown),
        purpose.name()
    );
    let gone = || {
        Error::Forbidden(
            "This link is not good any more: it was used, or it is too old. Ask for another one.".into(),
        )
    };
    row.fetch_optional(tx).await?.ok_or_else(gone)
}
