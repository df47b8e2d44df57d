//! The second factor of a person, and the step of a sign-in in which it is asked for.
//!
//! Only who gave the right password is asked, so nobody can use up the tries of others. A step bears [`TRIES`] wrong codes;
//! a person's codes bear [`A_DAY`] wrong ones a day, after which only recovery codes are taken, which nobody guesses:
//! their owner is not locked out. No code is taken twice. Who has passkeys ([`passkeys`]) may answer by one instead.

use chrono::Utc;
use rand::Rng as _;
use sqlx::{PgConnection, PgPool};

use super::passkeys;
use super::users::User;
use crate::auth::passkey::{RelyingParty, Why};
use crate::auth::secret::{self, Secret};
use crate::auth::totp;
use crate::error::{Error, Result};
use crate::ids::UserId;

/// Wrong codes that one sign-in bears.
pub const TRIES: i32 = 5;
/// Wrong codes that a person's second factor bears in a day.
const A_DAY: i32 = 50;
/// Minutes in which a code is to be given.
const STEP_MINUTES: i32 = 10;
/// Recovery codes that are made.
const CODES: usize = 10;

/// How it stands with a person's second factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Factor {
    /// There is none.
    None,
    /// The secret was made, and no code has come back yet.
    Begun(Vec<u8>),
    /// It is asked for; so many recovery codes are left.
    On(i64),
}

/// What came of a code.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was right.
    Right(User),
    /// It was wrong; so many tries are left.
    Wrong(User, i32),
    /// There is no such step, or it is over: the password is to be given again.
    Over,
}

/// How it stands.
pub async fn get(db: &PgPool, user: UserId) -> Result<Factor> {
    let row = sqlx::query!(
        r#"select secret, confirmed_at is not null as "on!",
                  (select count(*) from recovery_codes c where c.user_id = f.user_id) as "left!"
           from second_factors f where user_id = $1"#,
        user.0
    );
    Ok(match row.fetch_optional(db).await? {
        None => Factor::None,
        Some(row) if row.on => Factor::On(row.left),
        Some(row) => Factor::Begun(row.secret),
    })
}

/// Makes a secret; it is asked for only after [`confirm`].
pub async fn begin(db: &PgPool, user: UserId) -> Result<()> {
    let made = sqlx::query!(
        "insert into second_factors (user_id, secret) values ($1, $2)
         on conflict (user_id) do update set secret = $2, created_at = now() where second_factors.confirmed_at is null",
        user.0,
        &totp::secret()
    );
    match made.execute(db).await?.rows_affected() {
        0 => Err(Error::Conflict("a second factor is on already: turn it off first".into())),
        _ => Ok(()),
    }
}

/// Turns it on, by a code that shows that the authenticator has the secret. Gives the recovery codes; none: a wrong code.
pub async fn confirm(db: &PgPool, user: UserId, code: &str) -> Result<Option<Vec<String>>> {
    let Factor::Begun(secret) = get(db, user).await? else {
        return Err(Error::Conflict("begin with a new secret".into()));
    };
    let Some(step) = totp::step(&secret, code, now())? else { return Ok(None) };
    let mut tx = db.begin().await?;
    let on = sqlx::query!(
        "update second_factors set confirmed_at = now(), last_step = $2
         where user_id = $1 and confirmed_at is null and secret = $3",
        user.0,
        step,
        &secret
    );
    if on.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::Conflict("begin with a new secret".into()));
    }
    let codes = new_codes(&mut tx, user).await?;
    tx.commit().await?;
    Ok(Some(codes))
}

/// Makes recovery codes, instead of those that were.
async fn new_codes(tx: &mut PgConnection, user: UserId) -> Result<Vec<String>> {
    let codes: Vec<String> = (0..CODES).map(|_| recovery_code()).collect();
    let hashes: Vec<Vec<u8>> = codes.iter().map(|code| secret::hash(&plain(code)).to_vec()).collect();
    sqlx::query!("delete from recovery_codes where user_id = $1", user.0).execute(&mut *tx).await?;
    sqlx::query!(
        "insert into recovery_codes (user_id, code_hash) select $1, unnest($2::bytea[])",
        user.0,
        &hashes
    )
    .execute(tx)
    .await?;
    Ok(codes)
}

/// Makes recovery codes for whoever has none.
pub(super) async fn codes_if_none(tx: &mut PgConnection, user: UserId) -> Result<Option<Vec<String>>> {
    let any = sqlx::query_scalar!(
        r#"select exists (select from recovery_codes where user_id = $1) as "any!""#,
        user.0
    );
    if any.fetch_one(&mut *tx).await? {
        return Ok(None);
    }
    new_codes(tx, user).await.map(Some)
}

/// Removes the recovery codes of whoever has nothing left that they would be for.
pub(super) async fn forget_codes(tx: &mut PgConnection, user: UserId) -> Result<()> {
    sqlx::query!(
        "delete from recovery_codes where user_id = $1
           and not exists (select from second_factors f where f.user_id = $1 and f.confirmed_at is not null)
           and not exists (select from passkeys p where p.user_id = $1)",
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Turns it off. Passkeys stay.
pub async fn off(db: &PgPool, user: UserId) -> Result<()> {
    let mut tx = db.begin().await?;
    let gone =
        sqlx::query!("delete from second_factors where user_id = $1", user.0).execute(&mut *tx).await?;
    if gone.rows_affected() == 0 {
        return Err(Error::NotFound("second factor"));
    }
    forget_codes(&mut tx, user).await?;
    Ok(tx.commit().await?)
}

/// Removes all that somebody is asked for beside the password: authenticator, passkeys and codes.
pub async fn lose(db: &PgPool, user: UserId) -> Result<()> {
    let mut tx = db.begin().await?;
    let gone =
        sqlx::query!("delete from second_factors where user_id = $1", user.0).execute(&mut *tx).await?;
    if gone.rows_affected() + passkeys::lose(&mut tx, user).await? == 0 {
        return Err(Error::NotFound("second factor"));
    }
    forget_codes(&mut tx, user).await?;
    Ok(tx.commit().await?)
}

/// Whether somebody who gave the right password is asked for more.
pub async fn wanted(db: &PgPool, user: UserId) -> Result<bool> {
    let wanted = sqlx::query_scalar!(
        r#"select exists (select from second_factors where user_id = $1 and confirmed_at is not null)
                  or exists (select from passkeys where user_id = $1) as "wanted!""#,
        user.0
    );
    Ok(wanted.fetch_one(db).await?)
}

/// Whom a step asks, and what they can answer with.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Who gave the password.
    pub user: UserId,
    /// Whether they have an authenticator.
    pub codes: bool,
    /// Whether they have a passkey.
    pub passkeys: bool,
}

/// Whom a step asks; none when it is over.
pub async fn asked(db: &PgPool, step: &str) -> Result<Option<Asked>> {
    let row = sqlx::query!(
        r#"select user_id,
                  exists (select from second_factors f where f.user_id = s.user_id and f.confirmed_at is not null) as "codes!",
                  exists (select from passkeys p where p.user_id = s.user_id) as "passkeys!"
           from sign_in_steps s where token_hash = $1 and expires_at > now()"#,
        &secret::hash(step)
    );
    let row = row.fetch_optional(db).await?;
    Ok(row.map(|row| Asked { user: row.user_id.into(), codes: row.codes, passkeys: row.passkeys }))
}

/// Somebody gave the right password: the step in which they are asked for a code.
pub async fn ask(db: &PgPool, user: UserId) -> Result<Secret> {
    let secret = Secret::session();
    sqlx::query!(
        "insert into sign_in_steps (token_hash, user_id, expires_at) values ($1, $2, now() + make_interval(mins => $3))",
        &secret.hash(),
        user.0,
        STEP_MINUTES
    )
    .execute(db)
    .await?;
    Ok(secret)
}

/// Takes a code of the authenticator, or a recovery code. A step is over with the right one, or with the last wrong one.
pub async fn answer(db: &PgPool, step: &str, code: &str) -> Result<Outcome> {
    let mut tx = db.begin().await?;
    let hash = secret::hash(step);
    let row = sqlx::query!(
        r#"select u.id, u.email, u.name, u.operator, u.created_at, u.email_verified_at is not null as "verified!", s.wrong,
                  f.secret as "secret?", case when f.wrong_day = current_date then f.wrong else 0 end as "today?"
           from sign_in_steps s join users u on u.id = s.user_id
           left join second_factors f on f.user_id = u.id and f.confirmed_at is not null
           where s.token_hash = $1 and s.expires_at > now() for update of s"#,
        &hash
    );
    let Some(row) = row.fetch_optional(&mut *tx).await? else {
        return Ok(Outcome::Over);
    };
    let user = User {
        id: row.id.into(),
        email: row.email,
        name: row.name,
        operator: row.operator,
        created_at: row.created_at,
        verified: row.verified,
    };
    let budget = row.today.unwrap_or(0) < A_DAY;
    let step = match row.secret {
        Some(secret) if budget => totp::step(&secret, code, now())?,
        _ => None,
    };
    let mut right = false;
    if let Some(step) = step {
        let taken = sqlx::query!(
            "update second_factors set last_step = $2, wrong = 0 where user_id = $1 and last_step < $2",
            user.id.0,
            step
        );
        right = taken.execute(&mut *tx).await?.rows_affected() == 1;
    }
    if !right {
        let spent = sqlx::query!(
            "delete from recovery_codes where user_id = $1 and code_hash = $2",
            user.id.0,
            &secret::hash(&plain(code))
        );
        right = spent.execute(&mut *tx).await?.rows_affected() == 1;
    }
    let left = TRIES - row.wrong - 1;
    if right || left <= 0 {
        sqlx::query!("delete from sign_in_steps where token_hash = $1", &hash).execute(&mut *tx).await?;
    } else {
        sqlx::query!("update sign_in_steps set wrong = wrong + 1 where token_hash = $1", &hash)
            .execute(&mut *tx)
            .await?;
    }
    if !right {
        sqlx::query!(
            "update second_factors set wrong = case when wrong_day = current_date then wrong + 1 else 1 end,
                    wrong_day = current_date where user_id = $1",
            user.id.0
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(if right { Outcome::Right(user) } else { Outcome::Wrong(user, left) })
}

/// Takes a passkey instead of a code; beside what came of it, why it was refused. A refusal counts as a wrong code of this
/// step, but not of the person's day: nothing was guessed.
pub async fn answer_by_passkey(
    db: &PgPool,
    here: &RelyingParty,
    step: &str,
    shown: &str,
) -> Result<(Outcome, Option<Why>)> {
    let Some(asked) = asked(db, step).await? else { return Ok((Outcome::Over, None)) };
    let hash = secret::hash(step);
    let why = match passkeys::answer(db, here, step, passkeys::Purpose::Factor, shown).await? {
        passkeys::Outcome::Right(user) => {
            let done = sqlx::query!(
                "delete from sign_in_steps where token_hash = $1 and user_id = $2",
                &hash,
                user.id.0
            );
            return Ok(match done.execute(db).await?.rows_affected() {
                0 => (Outcome::Over, None),
                _ => (Outcome::Right(user), None),
            });
        }
        passkeys::Outcome::Refused(_, why) => why,
    };
    let row = sqlx::query!(
        r#"with s as (update sign_in_steps set wrong = wrong + 1 where token_hash = $1 and user_id = $2 returning wrong, user_id)
           select s.wrong, u.id, u.email, u.name, u.operator, u.created_at, u.email_verified_at is not null as "verified!"
           from s join users u on u.id = s.user_id"#,
        &hash,
        asked.user.0
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok((Outcome::Over, Some(why))) };
    let left = TRIES - row.wrong;
    if left <= 0 {
        sqlx::query!("delete from sign_in_steps where token_hash = $1", &hash).execute(db).await?;
    }
    let user = User {
        id: row.id.into(),
        email: row.email,
        name: row.name,
        operator: row.operator,
        created_at: row.created_at,
        verified: row.verified,
    };
    Ok((Outcome::Wrong(user, left), Some(why)))
}

/// 16 letters and digits that are not mistaken for one another, 79 bits, in groups of four.
fn recovery_code() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut rng = rand::rng();
    let letters: Vec<char> =
        (0..16).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// A recovery code however it was typed.
fn plain(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn now() -> u64 {
    u64::try_from(Utc::now().timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_codes_are_read_however_they_are_typed() {
        let code = recovery_code();
        assert_eq!(code.len(), 19, "{code}");
        assert_ne!(code, recovery_code());
        assert_eq!(plain(&code.to_uppercase().replace('-', " ")), plain(&code));
    }
}
