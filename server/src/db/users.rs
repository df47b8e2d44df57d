//! People who sign in to the dashboard.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::auth::password::Hasher;
use crate::auth::secret;
use crate::domain::names::{Email, Password};
use crate::error::{Error, Result, broken_constraint};
use crate::ids::UserId;

/// Somebody who signs in.
#[derive(Clone, Debug)]
pub struct User {
    /// Which user.
    pub id: UserId,
    /// The address that they sign in with.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// Whether they run this installation.
    pub operator: bool,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Whether the address is known to be theirs; before that an account cannot be used.
    pub verified: bool,
}

/// Makes a user, whose address is believed.
pub async fn create(
    db: &PgPool,
    hasher: &Hasher,
    email: &Email,
    name: &str,
    password: &Password,
    operator: bool,
) -> Result<User> {
    let hash = hasher.hash(password).await?;
    let made = sqlx::query_as!(
        User,
        r#"insert into users (email, name, password_hash, operator, email_verified_at) values ($1, $2, $3, $4, now())
           returning id, email, name, operator, created_at, true as "verified!""#,
        email.as_str(),
        name,
        hash,
        operator
    );
    made.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("users_email_key") => Error::Uniqueness("a user with this e-mail address exists already".into()),
        _ => e.into(),
    })
}

/// The user with this address and password. Takes the same work whether there is such a user or not.
pub async fn verify(db: &PgPool, hasher: &Hasher, email: &str, password: &str) -> Result<Option<User>> {
    let row = sqlx::query!(
        r#"select id, email, name, operator, created_at, email_verified_at is not null as "verified!", password_hash
           from users where lower(email) = lower($1)"#,
        email.trim()
    );
    // Postgres refuses text with NUL; nobody has such an address.
    let row = if email.contains('\0') { None } else { row.fetch_optional(db).await? };
    let right = hasher.verify(password, row.as_ref().map(|r| r.password_hash.as_str())).await?;
    if let Some(row) = row.as_ref().filter(|r| right && Hasher::is_old(&r.password_hash)) {
        let hash = hasher.hash_again(password).await?;
        let keep = sqlx::query!(
            "update users set password_hash = $2 where id = $1 and password_hash = $3",
            row.id,
            hash,
            row.password_hash
        );
        keep.execute(db).await?;
    }
    Ok(row.filter(|_| right).map(|r| User {
        id: r.id.into(),
        email: r.email,
        name: r.name,
        operator: r.operator,
        created_at: r.created_at,
        verified: r.verified,
    }))
}

/// Gives a user a new password and ends all their sessions.
pub async fn set_password(db: &PgPool, hasher: &Hasher, id: UserId, password: &Password) -> Result<()> {
    let hash = hasher.hash(password).await?;
    let mut tx = db.begin().await?;
    replace_password(&mut tx, id, &hash, None).await?;
    Ok(tx.commit().await?)
}

/// Writes the hash of a new password, and ends all sessions of the user but that of the cookie `stay`.
pub(super) async fn replace_password(
    tx: &mut PgConnection,
    id: UserId,
    hash: &str,
    stay: Option<&str>,
) -> Result<()> {
    let changed =
        sqlx::query!("update users set password_hash = $2, has_password = true where id = $1", id.0, hash);
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("user"));
    }
    let stay = stay.map(secret::hash);
    sqlx::query!(
        "delete from sessions where user_id = $1 and ($2::bytea is null or token_hash <> $2)",
        id.0,
        stay.as_ref().map(|hash| &hash[..])
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Gives a user another password, who knows the present one. All sessions but `stay` end; says whether it was right.
pub async fn change_password(
    db: &PgPool,
    hasher: &Hasher,
    user: &User,
    stay: &str,
    current: &str,
    new: &Password,
) -> Result<bool> {
    if verify(db, hasher, &user.email, current).await?.is_none() {
        return Ok(false);
    }
    let hash = hasher.hash(new).await?;
    let mut tx = db.begin().await?;
    replace_password(&mut tx, user.id, &hash, Some(stay)).await?;
    tx.commit().await?;
    Ok(true)
}

/// Sets what a user is called.
pub async fn rename(db: &PgPool, id: UserId, name: &str) -> Result<()> {
    sqlx::query!("update users set name = $2 where id = $1", id.0, name).execute(db).await?;
    Ok(())
}

/// The user with this address.
pub async fn find(db: &PgPool, email: &str) -> Result<Option<User>> {
    let found = sqlx::query_as!(
        User,
        r#"select id, email, name, operator, created_at, email_verified_at is not null as "verified!"
           from users where lower(email) = lower($1)"#,
        email.trim()
    );
    Ok(found.fetch_optional(db).await?)
}

/// The address of a user.
pub async fn email(db: &PgPool, id: UserId) -> Result<Option<String>> {
    let found = sqlx::query_scalar!("select email from users where id = $1", id.0);
    Ok(found.fetch_optional(db).await?)
}

/// All users, by id.
pub async fn list(db: &PgPool) -> Result<Vec<User>> {
    let all = sqlx::query_as!(
        User,
        r#"select id, email, name, operator, created_at, email_verified_at is not null as "verified!" from users order by id"#
    );
    Ok(all.fetch_all(db).await?)
}

/// Whether there is any operator; the first start makes one when there is none.
pub async fn has_operator(db: &PgPool) -> Result<bool> {
    let any = sqlx::query_scalar!(r#"select exists (select 1 from users where operator) as "any!""#);
    Ok(any.fetch_one(db).await?)
}
