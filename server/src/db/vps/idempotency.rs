//! `Idempotency-Key`: a create that is repeated because its answer was lost makes nothing new.
//!
//! The key is written in the transaction of the effect, so either both are there or neither. What is kept is which VPS and
//! action were made, not the answer: a replay cannot show the root password again, because it is kept nowhere.

use sqlx::{PgConnection, PgPool};

use crate::error::{Error, Result};
use crate::ids::{ActionId, ProjectId, VpsId};

/// The key of a request, and what it asked for.
#[derive(Clone, Debug)]
pub struct IdempotencyKey {
    key: String,
    request_hash: [u8; 32],
}

impl IdempotencyKey {
    /// Checks a key: 1 to 255 visible ASCII characters. `request` is the request's body.
    pub fn parse(key: &str, request: &[u8]) -> Result<Self> {
        use sha2::Digest as _;
        if key.is_empty() || key.len() > 255 || !key.bytes().all(|c| c.is_ascii_graphic()) {
            return Err(Error::invalid("Idempotency-Key", "must be 1 to 255 visible ASCII characters"));
        }
        Ok(Self { key: key.into(), request_hash: sha2::Sha256::digest(request).into() })
    }
}

/// What a request with this key has made; an error when the request was another one.
pub(super) async fn find(
    db: &PgPool,
    project: ProjectId,
    key: &IdempotencyKey,
) -> Result<Option<(VpsId, ActionId)>> {
    let row = sqlx::query!(
        "select request_hash, vps_id, action_id from idempotency where project_id = $1 and key = $2",
        project.0,
        key.key
    );
    match row.fetch_optional(db).await? {
        None => Ok(None),
        Some(row) if row.request_hash == key.request_hash => {
            Ok(Some((row.vps_id.into(), row.action_id.into())))
        }
        Some(_) => Err(Error::invalid("Idempotency-Key", "was used for another request")),
    }
}

/// Notes what was made.
pub(super) async fn note(
    tx: &mut PgConnection,
    project: ProjectId,
    key: &IdempotencyKey,
    vps: VpsId,
    action: ActionId,
) -> Result<()> {
    let insert = sqlx::query!(
        "insert into idempotency (project_id, key, request_hash, vps_id, action_id) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
        project.0,
        key.key,
        &key.request_hash,
        vps.0,
        action.0
    );
    match insert.execute(tx).await?.rows_affected() {
        0 => Err(Error::Conflict("another request with this Idempotency-Key ended just now".into())),
        _ => Ok(()),
    }
}

/// Forgets keys that are older than a day; clients have given up by then.
pub async fn forget_old_keys(db: &PgPool) -> sqlx::Result<u64> {
    let old = sqlx::query!("delete from idempotency where created_at < now() - interval '1 day'");
    Ok(old.execute(db).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert!(IdempotencyKey::parse("3f1c-a", b"{}").is_ok());
        for bad in ["", "a b", "ä", "a\n", &"k".repeat(256)] {
            assert!(IdempotencyKey::parse(bad, b"{}").is_err(), "{bad:?}");
        }
    }
}
