//! Quotas of projects: what each may have, what it has, and that nobody passes the one with the other.
//!
//! Whoever makes something that is counted, or makes it larger, takes the project's row by [`hold`] before anything else,
//! writes, and then has [`Room::check`] look at the sums. Since the row is held until the commit, those that come at the
//! same time look one after the other, each at what those before have written; and who is refused rolls everything back.

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

/// Takes the project's row, before any other row: until the transaction ends nobody else makes something in this project,
/// and its firewalls stay as they are.
pub(super) async fn hold(tx: &mut PgConnection, project: ProjectId) -> Result<Room> {
    let quota = sqlx::query_as!(
        Quota,
        "select quota_servers as servers, quota_cpu_milli as cpu_milli, quota_memory_bytes as memory_bytes,
                quota_disk_bytes as disk_bytes, quota_addresses as addresses, quota_prefixes as prefixes
         from projects where id = $1 for no key update",
        project.0
    );
    let quota = quota.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("project"))?;
    let before = if quota.is_endless() { Amounts::default() } else { usage(tx, project).await? };
    Ok(Room { project, quota, before })
}

impl Room {
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
    let quota = change.on(hold(&mut tx, project).await?.quota);
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
