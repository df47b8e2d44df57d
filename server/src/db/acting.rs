//! Operators who look at a tenant's pages in their stead.
//!
//! It is a note on the operator's own session, so it is never more than that session, ends with it, and ends by itself
//! after [`MINUTES`]. It holds only while the one is an operator and the other is not ([`sessions::find`](super::sessions)).
//! Begin and end are written to the trail by a trigger (`migrations/0030_operators.sql`), in whatever way it ends.

use sqlx::PgPool;

use crate::auth::secret;
use crate::error::{Error, Result};
use crate::ids::UserId;

/// How long it lasts.
pub const MINUTES: i32 = 30;

/// Begins it, in the session of this cookie, for a reason that the trail keeps.
///
/// # Errors
/// When the person is an operator too or has not confirmed their address, or the session is one already.
pub async fn begin(db: &PgPool, cookie: &str, person: UserId, reason: &str) -> Result<()> {
    let begun = sqlx::query!(
        "update sessions s set acting_for = t.id, acting_until = now() + make_interval(mins => $3), acting_reason = $4
         from users o, users t
         where s.token_hash = $1 and s.expires_at > now() and (s.acting_for is null or s.acting_until <= now())
           and o.id = s.user_id and o.operator and t.id = $2 and not t.operator and t.email_verified_at is not null",
        &secret::hash(cookie),
        person.0,
        MINUTES,
        reason
    );
    match begun.execute(db).await?.rows_affected() {
        0 => {
            let why = "this is possible only for people who run nothing here and whose address is confirmed";
            Err(Error::Conflict(why.into()))
        }
        _ => Ok(()),
    }
}

/// Ends it, in the session of this cookie.
pub async fn end(db: &PgPool, cookie: &str) -> Result<()> {
    let ended = sqlx::query!(
        "update sessions set acting_for = null, acting_until = null, acting_reason = null
         where token_hash = $1 and acting_until is not null",
        &secret::hash(cookie)
    );
    ended.execute(db).await?;
    Ok(())
}

/// Ends all of which the time is over; gives how many.
pub(crate) async fn lapse(db: &PgPool) -> sqlx::Result<u64> {
    let ended = sqlx::query!(
        "update sessions set acting_for = null, acting_until = null, acting_reason = null where acting_until <= now()"
    );
    Ok(ended.execute(db).await?.rows_affected())
}
