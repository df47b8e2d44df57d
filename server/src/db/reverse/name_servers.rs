//! The name server of a pool, as operators set it.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool};

use crate::app::App;
use crate::dns::Algorithm;
use crate::domain::reverse::{KeyName, Template, Zone};
use crate::error::{Error, Result};

/// The name server of a pool. The key's secret is never told.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = operators::NameServer)]
pub struct NameServer {
    /// Which pool.
    pub pool_id: i64,
    /// Address and port of the zones' primary server.
    pub server: String,
    /// Zones of the pool's reverse names.
    pub zones: Vec<String>,
    /// Name of the TSIG key.
    pub key_name: String,
    /// `hmac-sha256` or `hmac-sha512`.
    pub key_algorithm: String,
    /// The name of addresses that nobody has named; null: none.
    pub default_name: Option<String>,
    /// How long others may keep a name, seconds.
    pub ttl_s: i64,
    /// Names that the name server has yet to take.
    pub pending: i64,
    /// Names of those that it has refused.
    pub refused: i64,
    /// What is wrong with the name server, or with the name that it refused last; null: nothing.
    pub error: Option<String>,
    /// When that was seen last.
    pub error_at: Option<DateTime<Utc>>,
}

/// What an operator says of a name server.
#[derive(Clone)]
pub struct Wanted {
    /// Address and port.
    pub server: SocketAddr,
    /// Zones of the pool's reverse names.
    pub zones: Vec<Zone>,
    /// Name of the TSIG key.
    pub key_name: KeyName,
    /// How the key signs.
    pub key_algorithm: Algorithm,
    /// The key itself; none: the one that is known already.
    pub key_secret: Option<Vec<u8>>,
    /// The name of addresses that nobody has named.
    pub default_name: Option<Template>,
    /// How long others may keep a name, seconds.
    pub ttl_s: i64,
}

/// A week.
const LONGEST_TTL_S: i64 = 604_800;

/// The name server of a pool.
pub async fn get(db: &PgPool, pool: i64) -> Result<NameServer> {
    let found = sqlx::query_as!(
        NameServer,
        r#"select s.pool_id, s.server, s.zones, s.key_name, s.key_algorithm, s.default_name, s.ttl_s, s.error, s.error_at,
                  n.pending as "pending!", n.refused as "refused!"
           from pool_name_servers s,
                lateral (select count(*) as pending, count(n.error) as refused
                         from reverse_names n join addresses a on a.ip = n.address
                         where a.pool_id = s.pool_id and n.written < n.version) n
           where s.pool_id = $1"#,
        pool
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("name server"))
}

/// Sets the name server of a pool. It is told all names of the pool anew.
///
/// # Errors
/// `invalid_input` for zones that do not hold the pool, or a missing secret.
pub async fn set(app: &App, pool: i64, wanted: &Wanted) -> Result<NameServer> {
    if !(1..=LONGEST_TTL_S).contains(&wanted.ttl_s) {
        return Err(Error::invalid("ttl_s", format!("must be from 1 to {LONGEST_TTL_S} seconds")));
    }
    let mut tx = app.db.begin().await?;
    let cidr = lock(&mut tx, pool).await?;
    if !Zone::cover(&wanted.zones, cidr) {
        return Err(Error::invalid("zones", format!("do not hold the reverse names of all of {cidr}")));
    }
    let zones: Vec<String> = wanted.zones.iter().map(|zone| zone.name().to_owned()).collect();
    let set = sqlx::query!(
        "insert into pool_name_servers as s (pool_id, server, zones, key_name, key_algorithm, key_secret, default_name, ttl_s)
         select $1, $2, $3, $4, $5, secret, $7, $8
         from (select coalesce($6, (select key_secret from pool_name_servers where pool_id = $1)) as secret) known
         where secret is not null
         on conflict (pool_id) do update
            set server = excluded.server, zones = excluded.zones, key_name = excluded.key_name,
                key_algorithm = excluded.key_algorithm, key_secret = excluded.key_secret,
                default_name = excluded.default_name, ttl_s = excluded.ttl_s,
                failures = 0, next_at = now(), error = null, error_at = null",
        pool,
        wanted.server.to_string(),
        &zones,
        wanted.key_name.as_str(),
        wanted.key_algorithm.as_str(),
        wanted.key_secret.as_deref(),
        wanted.default_name.as_ref().map(Template::as_str),
        wanted.ttl_s
    );
    if set.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::invalid("key_secret", "is required: none is known yet"));
    }
    name_all(&mut tx, pool, wanted.default_name.is_some()).await?;
    tx.commit().await?;
    app.names.notify_one();
    get(&app.db, pool).await
}

/// Forgets the name server of a pool. What it was told it keeps; names that it has not taken yet are given up.
pub async fn forget(app: &App, pool: i64) -> Result<()> {
    let mut tx = app.db.begin().await?;
    lock(&mut tx, pool).await?;
    let gone = sqlx::query!("delete from pool_name_servers where pool_id = $1", pool);
    if gone.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("name server"));
    }
    let names = sqlx::query_scalar!(
        "delete from reverse_names n using addresses a where a.ip = n.address and a.pool_id = $1 returning n.ip",
        pool
    );
    let names = names.fetch_all(&mut *tx).await?;
    sqlx::query!(
        "update actions set status = 'error', progress = 100, finished_at = now(), error_code = 'unsupported_error',
                error_message = 'reverse DNS is no longer offered for this address'
         where status = 'running' and reverse_ip = any($1)",
        &names
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(())
}

/// Locks all addresses of a pool, in order: what is wanted of their names stands still.
async fn lock(tx: &mut PgConnection, pool: i64) -> Result<IpNet> {
    let cidr = sqlx::query_scalar!(r#"select cidr as "cidr: IpNet" from pools where id = $1"#, pool);
    let cidr = cidr.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("pool"))?;
    sqlx::query!("select from addresses where pool_id = $1 order by ip for update", pool).execute(tx).await?;
    Ok(cidr)
}

/// Has all names of a pool written anew, with a default for each address that somebody holds.
async fn name_all(tx: &mut PgConnection, pool: i64, default: bool) -> Result<()> {
    sqlx::query!(
        "update reverse_names n set version = version + 1, failures = 0, next_at = now(), error = null
         from addresses a where a.ip = n.address and a.pool_id = $1",
        pool
    )
    .execute(&mut *tx)
    .await?;
    if default {
        sqlx::query!(
            "insert into reverse_names (ip, address)
             select ip, ip from addresses
             where pool_id = $1 and held and masklen(ip) = case family(ip) when 4 then 32 else 128 end
             on conflict (ip) do nothing",
            pool
        )
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// Names of a pool that its name server has yet to take back; for whoever deletes the pool.
pub(in crate::db) async fn pending(tx: &mut PgConnection, pool: i64) -> Result<i64> {
    let pending = sqlx::query_scalar!(
        r#"select count(*) as "pending!" from reverse_names n join addresses a on a.ip = n.address
           where a.pool_id = $1 and n.written < n.version"#,
        pool
    );
    Ok(pending.fetch_one(tx).await?)
}
