//! Room on a host that is there already: what a VPS takes more or less when its limits change, and gives back at its end.
//! (A new VPS takes its room in `create`, where hosts compete.)

use sqlx::PgConnection;

use crate::domain::placement::{Resources, lack_of_room};
use crate::error::{Error, Result};
use crate::ids::HostId;

/// Books a change on a host whose row this transaction holds.
///
/// # Errors
/// `resource_unavailable` when the host has no room for what is more; `instead` is what could be done then.
pub(super) async fn change(
    tx: &mut PgConnection,
    host: HostId,
    from: &Resources,
    to: &Resources,
    instead: &str,
) -> Result<()> {
    let row = sqlx::query!(
        "select capacity_cpu_milli, capacity_memory, capacity_disk, cpu_overcommit, allocated_cpu_milli,
                allocated_cpu_guarantee_milli, allocated_memory, allocated_disk from hosts where id = $1",
        host.0
    );
    let row = row.fetch_one(&mut *tx).await?;
    let capacity = Resources {
        cpu_milli: row.capacity_cpu_milli,
        cpu_guarantee_milli: 0,
        memory_bytes: row.capacity_memory,
        disk_bytes: row.capacity_disk,
    };
    let allocated = Resources {
        cpu_milli: row.allocated_cpu_milli,
        cpu_guarantee_milli: row.allocated_cpu_guarantee_milli,
        memory_bytes: row.allocated_memory,
        disk_bytes: row.allocated_disk,
    };
    let difference = Resources {
        cpu_milli: to.cpu_milli - from.cpu_milli,
        cpu_guarantee_milli: to.cpu_guarantee_milli - from.cpu_guarantee_milli,
        memory_bytes: to.memory_bytes - from.memory_bytes,
        disk_bytes: to.disk_bytes - from.disk_bytes,
    };
    if let Some(lack) = lack_of_room(&capacity, row.cpu_overcommit, &allocated, &difference) {
        let message = format!("the host of this server has not {lack} more; {instead}");
        return Err(Error::ResourceUnavailable(message));
    }
    book(tx, host, &difference).await
}

/// Gives back what a VPS had that is gone, on a host whose row this transaction holds.
pub(super) async fn give_back(tx: &mut PgConnection, host: HostId, had: &Resources) -> Result<()> {
    let less = Resources {
        cpu_milli: -had.cpu_milli,
        cpu_guarantee_milli: -had.cpu_guarantee_milli,
        memory_bytes: -had.memory_bytes,
        disk_bytes: -had.disk_bytes,
    };
    sqlx::query!("update hosts set vps_count = vps_count - 1 where id = $1", host.0)
        .execute(&mut *tx)
        .await?;
    book(tx, host, &less).await
}

async fn book(tx: &mut PgConnection, host: HostId, difference: &Resources) -> Result<()> {
    let booked = sqlx::query!(
        "update hosts set allocated_cpu_milli = allocated_cpu_milli + $2,
                          allocated_cpu_guarantee_milli = allocated_cpu_guarantee_milli + $3,
                          allocated_memory = allocated_memory + $4, allocated_disk = allocated_disk + $5
         where id = $1",
        host.0,
        difference.cpu_milli,
        difference.cpu_guarantee_milli,
        difference.memory_bytes,
        difference.disk_bytes
    );
    booked.execute(tx).await?;
    Ok(())
}
