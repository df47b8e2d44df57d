//! Enrolment tokens and the certificates that speak for hosts.

use sqlx::PgPool;

/// A host, as its certificate names it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether this is the renewed certificate, used for the first time.
    pub renewed: bool,
}

/// Keeps a one-time token (its hash) for a host; it is good for a day.
///
/// # Errors
/// When the database fails.
pub async fn add_token(db: &PgPool, host: i64, token_hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into enrol_tokens (token_hash, host_id, expires_at) values ($1, $2, now() + interval '24 hours')",
        token_hash,
        host
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses a token up for the agent that holds this public key. None when there is no such token, it is too old, or
/// another key has used it. The same key may use it again: its first answer may have been lost.
///
/// # Errors
/// When the database fails.
pub async fn use_token(
    db: &PgPool,
    token_hash: &[u8],
    key_sha256: &[u8],
) -> sqlx::Result<Option<(i64, String)>> {
    let row = sqlx::query!(
        "update enrol_tokens t set used_at = coalesce(t.used_at, now()), key_sha256 = $2
         from hosts h
         where t.token_hash = $1 and t.expires_at > now() and (t.key_sha256 is null or t.key_sha256 = $2) and h.id = t.host_id
         returning h.id, h.name",
        token_hash,
        key_sha256
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|r| (r.id, r.name)))
}

/// Makes this certificate, good for so many days, the only one that speaks for the host. What was revoked before is in force again: an operator
/// made the token for it.
///
/// # Errors
/// When the database fails.
pub async fn set_certificate(
    db: &PgPool,
    host: i64,
    fingerprint: &str,
    agent_version: &str,
    days: i32,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update hosts set cert_fingerprint = $2, next_cert_fingerprint = null, revoked_at = null,
             enrolled_at = now(), agent_version = $3, cert_until = now() + make_interval(days => $4), next_cert_until = null
         where id = $1",
        host,
        fingerprint,
        agent_version,
        days
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a renewed certificate speak for the host as well, until it is used for the first time.
///
/// # Errors
/// When the database fails.
pub async fn set_next_certificate(db: &PgPool, host: i64, fingerprint: &str, days: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "update hosts set next_cert_fingerprint = $2, next_cert_until = now() + make_interval(days => $3)
         where id = $1 and revoked_at is null",
        host,
        fingerprint,
        days
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The host that a certificate speaks for now, if any.
///
/// # Errors
/// When the database fails.
pub async fn peer(db: &PgPool, fingerprint: &str) -> sqlx::Result<Option<Peer>> {
    sqlx::query_as!(
        Peer,
        r#"select id, name, next_cert_fingerprint is not distinct from $1 as "renewed!" from hosts
           where (cert_fingerprint = $1 or next_cert_fingerprint = $1) and revoked_at is null"#,
        fingerprint
    )
    .fetch_optional(db)
    .await
}

/// Retires the certificate before the renewed one.
///
/// # Errors
/// When the database fails.
pub async fn promote(db: &PgPool, host: i64, fingerprint: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "update hosts set cert_fingerprint = $2, next_cert_fingerprint = null, cert_until = next_cert_until,
                next_cert_until = null
         where id = $1 and next_cert_fingerprint = $2",
        host,
        fingerprint
    )
    .execute(db)
    .await?;
    Ok(())
}
