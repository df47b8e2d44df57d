//! Memory of sockets on v1, which its memory limit does not count: a guest could hold as many full buffers as the whole
//! machine may, and everybody's connections would be squeezed. On cgroup2 they count as the guest's memory.

use std::path::Path;

use berth_proto::Limits;

use super::{CgroupError, Result, read, write};

const FILE: &str = "memory.kmem.tcp.limit_in_bytes";

/// Allows sockets a quarter of the plan's memory, on top of it. A kernel that does not have the file counts none.
pub(super) fn limit_v1(group: &Path, limits: &Limits) -> Result<()> {
    let path = group.join(FILE);
    if !path.exists() {
        return Ok(());
    }
    let wanted = (limits.memory_bytes / 4 / 4096 * 4096).to_string();
    if read(&path)?.trim() == wanted {
        return Ok(());
    }
    write(&path, &wanted)?;
    let found = read(&path)?;
    if found.trim() == wanted {
        return Ok(());
    }
    Err(CgroupError::NotHeld { path, wanted, found: found.trim().to_owned() })
}
