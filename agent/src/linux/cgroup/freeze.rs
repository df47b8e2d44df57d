//! Freezing: every process of a VPS stands still, in the kernel's own time, and goes on as if nothing had been.
//!
//! It is done by cgroup2's freezer on hybrid machines too: that needs no controller, so it works wherever cgroup2 is
//! mounted, which a VPS needs anyway; and a process that it holds can still be killed, which one that v1's freezer holds
//! cannot. The group that is frozen is the outer one, which is ours: the guest can neither undo it nor be hindered in
//! freezing groups of its own (`docker pause`). What somebody else froze by v1 is thawed before a VPS is cleared.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_proto::VpsId;

use super::{CgroupError, Result, Tree, read, write};

/// How long processes may take to stand still. One that waits for a disk does so only when the disk has answered.
const WITHIN: Duration = Duration::from_secs(10);

const FREEZE: &str = "cgroup.freeze";

impl Tree {
    /// Makes every process of a VPS stand still, and waits until all do. Those that do not in time go on, with the others.
    ///
    /// # Errors
    /// When there is no such group, or a process does not stand still in time.
    pub async fn freeze(&self, id: VpsId) -> Result<()> {
        let group = self.freezer(id);
        write(&group.join(FREEZE), "1")?;
        let deadline = Instant::now() + WITHIN;
        while !stands_still(&read(&group.join("cgroup.events"))?) {
            if Instant::now() > deadline {
                write(&group.join(FREEZE), "0")?;
                return Err(CgroupError::NotFrozen(group));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Lets the processes of a VPS go on. What is not frozen, or not there, is as it should be.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn thaw(&self, id: VpsId) -> Result<()> {
        for (hierarchy, group) in self.groups(id) {
            if hierarchy.v2 {
                write(&group.join(FREEZE), "0")?;
            } else if hierarchy.has("freezer") {
                write(&group.join("freezer.state"), "THAWED")?;
            }
        }
        Ok(())
    }

    /// Whether a VPS was made to stand still.
    #[must_use]
    pub fn frozen(&self, id: VpsId) -> bool {
        read(&self.freezer(id).join(FREEZE)).is_ok_and(|told| told.trim() == "1")
    }

    /// The outer group on cgroup2; a path that is nowhere on a machine without it.
    fn freezer(&self, id: VpsId) -> PathBuf {
        let v2 = self.layout.hierarchies.iter().find(|h| h.v2);
        v2.map_or_else(|| Path::new("/nowhere").to_owned(), |h| self.group(h, id))
    }
}

fn stands_still(events: &str) -> bool {
    events.lines().any(|line| line == "frozen 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stands_still_when_all_of_it_does() {
        assert!(stands_still("populated 1\nfrozen 1\n"));
        assert!(!stands_still("populated 1\nfrozen 0\n"));
        assert!(!stands_still(""));
    }
}
