//! What the background task reads and writes.
//!
//! Names of one pool are written by one replica at a time ([`claim`]), or an older message could reach the name server
//! after a newer one. Nothing is locked that a request waits for: a name that changes while it is being written has a
//! higher version afterwards, and is written again.

use std::net::IpAddr;

use anyhow::Context as _;
use ipnet::IpNet;
use sqlx::PgPool;

use super::is_single;
use crate::db::Tx;
use crate::dns::{Algorithm, NameServer};
use crate::domain::reverse::{Template, Zone, wanted};
use crate::error::Result;

/// First part of the key of the advisory lock; the second is the pool.
const LOCK: i32 = 0x7264_6e73;

/// Longest wait for a name server that does not answer, seconds.
const LONGEST_SILENCE_S: i32 = 60;

/// Waits for a name that was refused, seconds: the first and the longest.
const REFUSED_S: (i32, i32) = (60, 3600);

/// A name that is to be written.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) ip: IpAddr,
    pub(crate) name: Option<String>,
    version: i64,
}

/// A pool whose names this replica writes, until it is dropped.
pub(crate) struct Claim {
    pub(crate) pool: i64,
    pub(crate) server: NameServer,
    pub(crate) due: Vec<Due>,
    held: Tx,
}

impl Claim {
    /// Lets others have the pool.
    pub(crate) async fn end(self) -> Result<()> {
        Ok(self.held.commit().await?)
    }
}

/// Pools that have something to write, and whose name server may be tried.
pub(crate) async fn pools(db: &PgPool) -> Result<Vec<i64>> {
    let found = sqlx::query_scalar!(
        "select s.pool_id from pool_name_servers s
         where s.next_at <= now()
           and exists (select from reverse_names n join addresses a on a.ip = n.address
                       where a.pool_id = s.pool_id and n.written < n.version and n.next_at <= now())
         order by s.next_at"
    );
    Ok(found.fetch_all(db).await?)
}

/// Takes a pool with at most `most` names that are due, those that tenants have chosen first; none while another
/// replica has it.
pub(crate) async fn claim(db: &PgPool, pool: i64, most: i64) -> Result<Option<Claim>> {
    let mut held = db.begin().await?;
    let key = i32::try_from(pool).context("the pool's id")?;
    let ours = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock($1, $2) as "ours!""#, LOCK, key);
    if !ours.fetch_one(&mut *held).await? {
        return Ok(None);
    }
    let row = sqlx::query!(
        "select server, zones, key_name, key_algorithm, key_secret, default_name, ttl_s
         from pool_name_servers where pool_id = $1",
        pool
    );
    let Some(row) = row.fetch_optional(&mut *held).await? else { return Ok(None) };
    let zones = row.zones.iter().map(|zone| Zone::parse("zones", zone)).collect::<Result<Vec<_>>>()?;
    let algorithm =
        Algorithm::from_name(&row.key_algorithm).context("a check of the table allows no other")?;
    let server = NameServer::new(
        row.server.parse().context("the name server's address")?,
        zones,
        u32::try_from(row.ttl_s).context("a check of the table allows no other")?,
        (&row.key_name, algorithm, row.key_secret),
    )?;
    let default = row.default_name.map(Template::known);
    let rows = sqlx::query!(
        "select n.ip, n.address, n.chosen, n.version from reverse_names n join addresses a on a.ip = n.address
         where a.pool_id = $1 and n.written < n.version and n.next_at <= now()
         order by n.chosen is null, n.next_at, n.ip limit $2",
        pool,
        most
    );
    let due = rows.fetch_all(&mut *held).await?.into_iter().map(|row| {
        let ip = row.ip.addr();
        let name = wanted(row.chosen.as_deref(), default.as_ref(), ip, is_single(row.address));
        Due { ip, name, version: row.version }
    });
    Ok(Some(Claim { pool, server, due: due.collect(), held }))
}

/// The name server has taken a name; gives the projects whose actions have ended.
pub(crate) async fn taken(db: &PgPool, pool: i64, due: &Due) -> Result<Vec<i64>> {
    let ip = IpNet::from(due.ip);
    let mut tx = db.begin().await?;
    sqlx::query!(
        "update reverse_names set written = greatest(written, $2), failures = 0, error = null where ip = $1",
        ip,
        due.version
    )
    .execute(&mut *tx)
    .await?;
    let ended = sqlx::query_scalar!(
        "update actions set status = 'success', progress = 100, finished_at = now()
         where status = 'running' and reverse_ip = $1
           and exists (select from reverse_names where ip = $1 and version = $2)
         returning project_id",
        ip,
        due.version
    );
    let ended = ended.fetch_all(&mut *tx).await?;
    if due.name.is_none() {
        sqlx::query!("delete from reverse_names where ip = $1 and version = $2", ip, due.version)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    note(db, pool, None).await?;
    Ok(ended)
}

/// The name server refuses a name, which is tried again after a while; gives the projects whose actions have ended.
pub(crate) async fn refused(db: &PgPool, pool: i64, due: &Due, why: &str) -> Result<Vec<i64>> {
    let ip = IpNet::from(due.ip);
    let mut tx = db.begin().await?;
    let current = sqlx::query!(
        "update reverse_names set failures = least(failures + 1, 20), error = $3,
                next_at = now() + make_interval(secs => least($4 * 2 ^ failures, $5))
         where ip = $1 and version = $2",
        ip,
        due.version,
        why,
        f64::from(REFUSED_S.0),
        f64::from(REFUSED_S.1)
    );
    let mut ended = Vec::new();
    if current.execute(&mut *tx).await?.rows_affected() > 0 {
        let failed = sqlx::query_scalar!(
            "update actions set status = 'error', progress = 100, finished_at = now(),
                    error_code = 'name_server_refused', error_message = $2
             where status = 'running' and reverse_ip = $1 returning project_id",
            ip,
            format!(
                "the provider's name server refused the name: {why}. Tell your provider; the name is kept, and set once it is accepted"
            )
        );
        ended = failed.fetch_all(&mut *tx).await?;
    }
    tx.commit().await?;
    note(db, pool, Some(why)).await?;
    Ok(ended)
}

/// The name server answered, and this is what is wrong, or nothing. Apart from the names: whoever sets a name server locks
/// its row before theirs.
async fn note(db: &PgPool, pool: i64, why: Option<&str>) -> Result<()> {
    sqlx::query!(
        "update pool_name_servers
         set failures = 0, error = $2, error_at = case when $2::text is null then null else now() end
         where pool_id = $1 and (error is not null or $2::text is not null)",
        pool,
        why
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The name server did not answer: it is left alone for a while, twice as long as the last time. Actions run on.
pub(crate) async fn unanswered(db: &PgPool, pool: i64, why: &str) -> Result<()> {
    sqlx::query!(
        "update pool_name_servers set failures = least(failures + 1, 20), error = $2, error_at = now(),
                next_at = now() + make_interval(secs => least(2 ^ failures, $3))
         where pool_id = $1",
        pool,
        why,
        f64::from(LONGEST_SILENCE_S)
    )
    .execute(db)
    .await?;
    Ok(())
}
