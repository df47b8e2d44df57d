//! Who belongs to a VPS: its processes, and whose a group is that the kernel speaks of.

use berth_proto::VpsId;

use super::{Tree, processes};

/// Groups of one VPS that are looked through for processes; a guest that makes more is one that hides them.
const MOST_GROUPS: usize = 10_000;

impl Tree {
    /// Every process of a VPS, in the numbering of the agent's pid namespace.
    #[must_use]
    pub fn processes(&self, id: VpsId) -> Vec<i32> {
        let Some(hierarchy) = self.layout.with_controller("pids") else { return Vec::new() };
        let (mut groups, mut pids) = (vec![self.group(hierarchy, id)], Vec::new());
        let mut seen = 0;
        // the guest makes groups below its own, as many as it likes
        while let Some(group) = groups.pop().filter(|_| seen < MOST_GROUPS) {
            seen += 1;
            pids.extend(processes(&group));
            let below = std::fs::read_dir(&group).into_iter().flatten().flatten();
            groups.extend(below.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        }
        pids
    }

    /// The VPS that a group of the memory hierarchy belongs to, by its path as the kernel's log has it.
    #[must_use]
    pub fn owner(&self, path: &str) -> Option<VpsId> {
        let below = path.strip_prefix('/')?.strip_prefix(&self.parent)?.strip_prefix('/')?;
        let number = below.split(['/', ',']).next()?;
        let id = VpsId(number.parse().ok()?);
        (id.to_string() == number).then_some(id)
    }
}
