//! Mail on its way out. Whoever has something to tell adds a row in their own transaction; the task `mail` sends it.

use sqlx::{PgConnection, PgPool};

use crate::error::Result;

/// After so many tries, about three days, a mail is given up.
const TRIES: i32 = 20;

/// A mail that waits.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Which one.
    pub id: i64,
    /// To whom.
    pub recipient: String,
    /// About what.
    pub subject: String,
    /// Plain text.
    pub body: String,
    /// How often it was tried.
    pub tries: i32,
}

/// Adds a mail.
pub(crate) async fn add(tx: &mut PgConnection, recipient: &str, subject: &str, body: &str) -> Result<()> {
    sqlx::query!(
        "insert into mails (recipient, subject, body) values ($1, $2, $3)",
        recipient,
        subject,
        body
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the next mail that is due and has `send` send it, while no other replica takes it; says whether there was one.
/// One that could not be sent is tried again later and later.
pub(crate) async fn send_next(
    db: &PgPool,
    send: impl AsyncFnOnce(&Mail) -> Result<(), String>,
) -> sqlx::Result<Option<Result<(), String>>> {
    let mut tx = db.begin().await?;
    let due = sqlx::query_as!(
        Mail,
        "select id, recipient, subject, body, tries from mails where next_at <= now()
         order by next_at limit 1 for update skip locked"
    );
    let Some(mail) = due.fetch_optional(&mut *tx).await? else {
        return Ok(None);
    };
    let sent = send(&mail).await;
    match &sent {
        Ok(()) => sqlx::query!("delete from mails where id = $1", mail.id).execute(&mut *tx).await?,
        Err(_) if mail.tries >= TRIES => {
            tracing::warn!(mail = mail.id, subject = mail.subject, "a mail was given up");
            sqlx::query!("delete from mails where id = $1", mail.id).execute(&mut *tx).await?
        }
        Err(why) => {
            let later = sqlx::query!(
                "update mails set tries = tries + 1, error = $2,
                        next_at = now() + least(interval '6 hours', interval '5 seconds' * power(2, tries))
                 where id = $1",
                mail.id,
                why
            );
            later.execute(&mut *tx).await?
        }
    };
    tx.commit().await?;
    Ok(Some(sent))
}
