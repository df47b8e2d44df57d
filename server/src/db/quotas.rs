//! Quotas of projects: what each may have, what it has, and that nobody passes the one with the other.
//!
//! Whoever makes something that is counted, or makes it larger, takes the project's row by [`hold`] before anything else,
//! writes, and then has [`Room::check`] look at the sums. Since the row is held until the commit, those that come at the
//! same time look one after the other, each at what those before have written; and who is refused rolls everything back. Where a
//! project has no quota the row is only shared, and nobody waits.

use sqlx::{PgConnection, PgPool};

use super::settings;
use crate::domain::quota::{Amounts, Quota, check};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// How a project stood when its row was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    project: ProjectId,
    quota: Quota,
    before: Amounts,
}

/// What to change; an inner none takes a limit away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// Servers.
    pub servers: Option<Option<i64>>,
    /// Thousandths of a core.
    pub cpu_milli: Option<Option<i64>>,
    /// Bytes of memory.
    pub memory_bytes: Option<Option<i64>>,
    /// Bytes of disk.
    pub disk_bytes: Option<Option<i64>>,
    /// IPv4 addresses.
    pub addresses: Option<Option<i64>>,
    /// IPv6 prefixes.
    pub prefixes: Option<Option<i64>>,
}

impl Change {
    fn on(&self, quota: Quota) -> Quota {
        Quota {
            servers: self.servers.unwrap_or(quota.servers),
            cpu_milli: self.cpu_milli.unwrap_or(quota.cpu_milli),
            memory_bytes: self.memory_bytes.unwrap_or(quota.memory_bytes),
            disk_bytes: self.disk_bytes.unwrap_or(quota.disk_bytes),
            addresses: self.addresses.unwrap_or(quota.addresses),
            prefixes: self.prefixes.unwrap_or(quota.prefixes),
        }
    }
}

/// Takes the project's row, before any other row: until the transaction ends its quota and its firewalls stay as they are, and
/// nobody else makes something in a project that has a quota.
///
/// # Errors
/// `conflict` when a quota was given to the project just now, or others had its row for too long.
pub(super) async fn hold(tx: &mut PgConnection, project: ProjectId) -> Result<Room> {
    let limited = sqlx::query_scalar!(
        r#"select num_nonnulls(quota_servers, quota_cpu_milli, quota_memory_bytes, quota_disk_bytes, quota_addresses,
                               quota_prefixes) > 0 as "limited!"
           from projects where id = $1"#,
        project.0
    );
    if !limited.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("project"))? {
        let quota = sqlx::query_as!(
            Quota,
            "select quota_servers as servers, quota_cpu_milli as cpu_milli, quota_memory_bytes as memory_bytes,
                    quota_disk_bytes as disk_bytes, quota_addresses as addresses, quota_prefixes as prefixes
             from projects where id = $1 for share",
            project.0
        );
        let quota = quota.fetch_one(&mut *tx).await.map_err(busy)?;
        return match quota.is_endless() {
            true => Ok(Room { project, quota, before: Amounts::default() }),
            false => Err(Error::Conflict("the project's quota was changed just now; try again".into())),
        };
    }
    let quota = taken(tx, project).await?;
    Ok(Room { project, quota, before: usage(tx, project).await? })
}

/// Takes the project's row for oneself.
async fn taken(tx: &mut PgConnection, project: ProjectId) -> Result<Quota> {
    let quota = sqlx::query_as!(
        Quota,
        "select quota_servers as servers, quota_cpu_milli as cpu_milli, quota_memory_bytes as memory_bytes,
                quota_disk_bytes as disk_bytes, quota_addresses as addresses, quota_prefixes as prefixes
         from projects where id = $1 for no key update",
        project.0
    );
    quota.fetch_optional(tx).await.map_err(busy)?.ok_or(Error::NotFound("project"))
}

/// Says of a row that others had for too long what programs understand: that they may try again.
fn busy(e: sqlx::Error) -> Error {
    match &e {
        sqlx::Error::Database(db) if db.code().as_deref() == Some("55P03") => {
            Error::Conflict("too much is made in this project at the same time; try again".into())
        }
        _ => e.into(),
    }
}

impl Room {
    /// Refuses what would make it more than it may be, before the work is done. What holds is [`Room::check`].
    ///
    /// # Errors
    /// `resource_limit_exceeded` with the figures.
    pub(super) fn admits(&self, more: Amounts) -> Result<()> {
        check(&self.quota, &self.before, &(self.before + more))
    }

    /// Refuses what this transaction has written, when the project has more by it than it may.
    ///
    /// # Errors
    /// `resource_limit_exceeded` with the figures.
    pub(super) async fn check(&self, tx: &mut PgConnection) -> Result<()> {
        if self.quota.is_endless() {
            return Ok(());
        }
        check(&self.quota, &self.before, &usage(tx, self.project).await?)
    }
}

async fn usage(db: &mut PgConnection, project: ProjectId) -> Result<Amounts> {
    let row = sqlx::query_as!(
        Amounts,
        r#"select servers as "servers!", cpu_milli as "cpu_milli!", memory_bytes as "memory_bytes!",
                  disk_bytes as "disk_bytes!", addresses as "addresses!", prefixes as "prefixes!"
           from project_usage($1)"#,
        project.0
    );
    Ok(row.fetch_one(db).await?)
}

/// What a project may have and what it has.
pub async fn get(db: &PgPool, project: ProjectId) -> Result<(Quota, Amounts)> {
    let mut connection = db.acquire().await?;
    let quota = sqlx::query_as!(
        Quota,
        "select quota_servers as servers, quota_cpu_milli as cpu_milli, quota_memory_bytes as memory_bytes,
                quota_disk_bytes as disk_bytes, quota_addresses as addresses, quota_prefixes as prefixes
         from projects where id = $1",
        project.0
    );
    let quota = quota.fetch_optional(&mut *connection).await?.ok_or(Error::NotFound("project"))?;
    Ok((quota, usage(&mut connection, project).await?))
}

/// Changes what a project may have. What it has above that stays.
pub async fn set(db: &PgPool, project: ProjectId, change: &Change) -> Result<()> {
    let mut tx = db.begin().await?;
    let quota = change.on(taken(&mut tx, project).await?);
    sqlx::query!(
        "update projects set quota_servers = $2, quota_cpu_milli = $3, quota_memory_bytes = $4, quota_disk_bytes = $5,
                quota_addresses = $6, quota_prefixes = $7
         where id = $1",
        project.0,
        quota.servers,
        quota.cpu_milli,
        quota.memory_bytes,
        quota.disk_bytes,
        quota.addresses,
        quota.prefixes
    )
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// What projects may have that people make themselves.
pub async fn defaults(db: &PgPool) -> Result<Quota> {
    let value: serde_json::Value = settings::get(db, settings::DEFAULT_QUOTAS).await?.unwrap_or_default();
    let of = |name: &str| value[name].as_i64();
    Ok(Quota {
        servers: of("servers"),
        cpu_milli: of("cpu_milli"),
        memory_bytes: of("memory_bytes"),
        disk_bytes: of("disk_bytes"),
        addresses: of("addresses"),
        prefixes: of("prefixes"),
    })
}

/// Changes that, for projects that are made from now on.
pub async fn set_defaults(db: &PgPool, change: &Change) -> Result<()> {
    let quota = change.on(defaults(db).await?);
    let value = serde_json::json!({
        "servers": quota.servers, "cpu_milli": quota.cpu_milli, "memory_bytes": quota.memory_bytes,
        "disk_bytes": quota.disk_bytes, "addresses": quota.addresses, "prefixes": quota.prefixes,
    });
    Ok(settings::set(db, settings::DEFAULT_QUOTAS, value).await?)
}
