//! Which hierarchies a machine has, read from its mounts.

use std::path::PathBuf;

/// How cgroups are mounted, in systemd's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only cgroup2.
    Unified,
    /// Controllers on v1 hierarchies, and cgroup2 beside them.
    Hybrid,
    /// Only v1.
    Legacy,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unified => "unified",
            Self::Hybrid => "hybrid",
            Self::Legacy => "legacy",
        })
    }
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub root: PathBuf,
    /// Its controllers; of cgroup2 those that its root offers.
    pub controllers: Vec<String>,
    /// Whether it is the cgroup2 hierarchy.
    pub v2: bool,
}

impl Hierarchy {
    /// Whether this hierarchy holds a controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

/// All hierarchies of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Each hierarchy once, v1 first.
    pub hierarchies: Vec<Hierarchy>,
}

/// Names of v1 controllers; other mount options are not controllers.
const V1: [&str; 13] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

impl Layout {
    /// Reads `/proc/<pid>/mountinfo`. Where one hierarchy is mounted twice the first place counts.
    #[must_use]
    pub fn parse(mountinfo: &str) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some((mount, file_system)) = line.split_once(" - ") else { continue };
            let (mount, fs): (Vec<_>, Vec<_>) =
                (mount.split(' ').collect(), file_system.split(' ').collect());
            let (Some(&root_in_fs), Some(&point), Some(&kind)) = (mount.get(3), mount.get(4), fs.first())
            else {
                continue;
            };
            if root_in_fs != "/" || !matches!(kind, "cgroup" | "cgroup2") {
                continue; // a sub-tree that someone bound somewhere
            }
            let v2 = kind == "cgroup2";
            let root = PathBuf::from(point);
            let controllers: Vec<String> = if v2 {
                let offered = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
                offered.split_whitespace().map(str::to_owned).collect()
            } else {
                let options = fs.get(2).copied().unwrap_or_default().split(',');
                options.filter(|o| V1.contains(o) || o.starts_with("name=")).map(str::to_owned).collect()
            };
            let same = |h: &Hierarchy| h.v2 == v2 && (v2 || h.controllers == controllers);
            if !hierarchies.iter().any(same) {
                hierarchies.push(Hierarchy { root, controllers, v2 });
            }
        }
        hierarchies.sort_by_key(|h| h.v2);
        Self { hierarchies }
    }

    /// The hierarchy that holds a controller.
    #[must_use]
    pub fn with_controller(&self, name: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.has(name))
    }

    /// Unified, hybrid or legacy.
    #[must_use]
    pub fn mode(&self) -> Mode {
        match (self.hierarchies.iter().any(|h| h.v2), self.hierarchies.iter().any(|h| !h.v2)) {
            (true, false) => Mode::Unified,
            (true, true) => Mode::Hybrid,
            (false, _) => Mode::Legacy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
35 30 0:28 /berth/7 /somewhere rw - cgroup cgroup rw,memory
36 30 0:28 / /again/memory rw - cgroup cgroup rw,memory";

    #[test]
    fn a_hybrid_machine() {
        let layout = Layout::parse(HYBRID);
        assert_eq!(layout.mode(), Mode::Hybrid);
        assert_eq!(layout.hierarchies.len(), 4, "{layout:?}");
        assert_eq!(
            layout.with_controller("cpuacct").unwrap().root,
            PathBuf::from("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(layout.with_controller("memory").unwrap().root, PathBuf::from("/sys/fs/cgroup/memory"));
        assert!(layout.with_controller("name=systemd").is_some());
        assert!(layout.with_controller("pids").is_none());
    }

    #[test]
    fn a_unified_machine() {
        let layout = Layout::parse("30 22 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate");
        assert_eq!(layout.mode(), Mode::Unified);
    }

    #[test]
    fn a_machine_with_nothing_we_can_use() {
        assert_eq!(Layout::parse("garbage\n1 2 3 - \n").mode(), Mode::Legacy);
    }
}
