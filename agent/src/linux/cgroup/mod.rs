//! Our cgroups: one group a VPS in every hierarchy, below a parent of our own.
//!
//! The tree is made, delegated, killed and removed here; limit files are written in [`limits`], statistics read in
//! [`usage`]. On cgroup2 a VPS has two levels: `<parent>/<id>` carries the limits and `<parent>/<id>/guest` is handed to
//! the guest, because systemd inside claims every attribute of the group that it is given. On v1, which is no security
//! boundary, nothing is handed over, but the guest joins a group of every hierarchy, so that a guest that mounts one
//! sees nothing but itself.
//!
//! Every method may be called again at any time: making what is there and removing what is gone succeed. Only
//! directories named by a VPS's number below our parent are ever touched.

use std::collections::HashMap;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use berth_proto::{Limits, VpsId};

mod cpus;
mod freeze;
mod held;
mod io;
mod layout;
mod limits;
mod members;
mod share;
mod sockets;
mod usage;
mod weights;

pub(super) use held::state;

pub use layout::{Hierarchy, Layout, Mode};
pub use usage::Usage;

/// Controllers that a VPS's limits and statistics need.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// How long the kernel may take to let go of a group whose processes were killed.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// A cgroup file that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file or directory could not be read or written.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: Error,
    },
    /// The kernel holds another value than the one that was written.
    #[error("{path} holds {found:?} after {wanted:?} was written")]
    NotHeld {
        /// The limit file.
        path: PathBuf,
        /// What was written.
        wanted: String,
        /// What was read back.
        found: String,
    },
    /// The host has no hierarchy with a controller that limits need.
    #[error("this host has no cgroup controller '{0}'; VPSes cannot be limited without it")]
    NoController(&'static str),
    /// A process did not stand still in time; all go on.
    #[error(
        "not every process of {0} could be frozen within 10 seconds; one may wait for a disk or a file system"
    )]
    NotFrozen(PathBuf),
    /// Processes were killed and are still there.
    #[error("the processes of {0} did not end when they were killed")]
    NotEmpty(PathBuf),
}

type Result<T, E = CgroupError> = std::result::Result<T, E>;

/// Our part of the machine's cgroups.
#[derive(Debug)]
pub struct Tree {
    layout: Layout,
    parent: String,
    cpus: Mutex<cpus::Assignment>,
    claims: Mutex<share::Claims>,
}

/// The groups that a guest's first process belongs into, before its cgroup namespace is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Groups of the v1 hierarchies.
    pub v1: Vec<PathBuf>,
    /// The group of cgroup2 that is given to the guest; none on a host without cgroup2.
    pub v2: Option<PathBuf>,
}

impl Tree {
    /// Finds the machine's hierarchies and makes our parent in each.
    ///
    /// # Errors
    /// When there is none with a controller that limits need, or the parent cannot be made.
    pub fn open(parent: &str) -> Result<Self> {
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let (cpus, claims) = (Mutex::default(), Mutex::default());
        let tree = Self { layout: Layout::parse(&mounts), parent: parent.to_owned(), cpus, claims };
        for needed in ["cpu", "memory", "pids"] {
            tree.controller(needed)?;
        }
        for hierarchy in &tree.layout.hierarchies {
            let root = &hierarchy.root;
            tree.enable(hierarchy, root)?;
            make_dir(&root.join(parent))?;
            tree.enable(hierarchy, &root.join(parent))?;
            inherit_cpuset(hierarchy, root, &root.join(parent))?;
        }
        let known: HashMap<_, _> =
            tree.list()?.into_iter().filter_map(|id| Some((id, tree.cpus_of(id)?))).collect();
        let online = tree.online()?;
        tree.weigh_parent(online.len())?;
        tree.find_claims(&known);
        *tree.assignment() = cpus::Assignment::new(online, known);
        Ok(tree)
    }

    /// How the machine's hierarchies are laid out.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Makes the groups of a VPS with its limits in force, and gives the inner cgroup2 group to the guest's root.
    ///
    /// # Errors
    /// When a directory or limit file cannot be used, or a limit is not held. What was made stays, for [`Tree::remove`].
    pub fn create(&self, id: VpsId, limits: &Limits, guest_root: (u32, u32)) -> Result<Membership> {
        let mut membership = Membership::default();
        for hierarchy in &self.layout.hierarchies {
            let group = self.group(hierarchy, id);
            make_dir(&group)?;
            if hierarchy.v2 {
                self.enable(hierarchy, &group)?;
                let guest = group.join("guest");
                make_dir(&guest)?;
                delegate(&guest, guest_root)?;
                membership.v2 = Some(guest);
            } else {
                inherit_cpuset(hierarchy, &hierarchy.root.join(&self.parent), &group)?;
                membership.v1.push(group);
            }
        }
        self.thaw(id)?; // a group that was left may have been frozen, and PID 1 is born into it
        self.apply(id, limits)?;
        Ok(membership)
    }

    /// Puts limits in force, also on a running VPS, and reads them back.
    ///
    /// # Errors
    /// When a limit file cannot be written or does not hold what was written.
    pub fn apply(&self, id: VpsId, limits: &Limits) -> Result<()> {
        let cpus = self.assignment().assign(id, limits.cpu_milli);
        self.remember(id, limits);
        self.share_out(Some(id))?;
        for hierarchy in &self.layout.hierarchies {
            let group = self.group(hierarchy, id);
            limits::write(hierarchy, &group, limits, &cpus)?;
            if hierarchy.v2 {
                // lxcfs looks at the guest's own group; its limit files stay root's
                limits::write(hierarchy, &group.join("guest"), limits, &cpus)?;
            }
        }
        Ok(())
    }

    /// Puts the limits of a VPS's disk in force, whose loop device has this number.
    ///
    /// # Errors
    /// When a limit file cannot be written or does not hold what was written.
    pub fn apply_disk(&self, id: VpsId, limits: &Limits, loop_device: u32) -> Result<()> {
        let disks = self.layout.hierarchies.iter().filter(|h| io::controls(h)).take(1);
        disks.map(|h| (h, self.group(h, id))).try_for_each(|(h, g)| io::write(h, &g, loop_device, limits))
    }

    /// Whether limits say anything about the disk's rates.
    #[must_use]
    pub fn limits_disk(limits: &Limits) -> bool {
        io::wanted(limits)
    }

    /// Kills every process of a VPS, frozen or not, and waits until none is left.
    ///
    /// # Errors
    /// When the kernel does not let go of them.
    pub async fn kill(&self, id: VpsId) -> Result<()> {
        let groups: Vec<_> = self.groups(id).collect();
        let deadline = Instant::now() + EMPTY_WITHIN;
        loop {
            let alive: Vec<_> = groups.iter().filter(|(_, g)| populated(g)).collect();
            let Some((_, first)) = alive.first() else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(CgroupError::NotEmpty(first.clone()));
            }
            for (hierarchy, group) in alive {
                kill_group(hierarchy, group);
            }
            self.thaw(id)?; // they die of it, without having run
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whether a VPS has a group here.
    #[must_use]
    pub fn has(&self, id: VpsId) -> bool {
        self.groups(id).next().is_some()
    }

    /// Whether any process of the VPS is alive.
    #[must_use]
    pub fn populated(&self, id: VpsId) -> bool {
        self.groups(id).any(|(_, group)| populated(&group))
    }

    /// Removes the groups of a VPS, and all that the guest made below them. Its processes must be gone.
    ///
    /// # Errors
    /// When a group stays busy.
    pub async fn remove(&self, id: VpsId) -> Result<()> {
        let deadline = Instant::now() + EMPTY_WITHIN;
        for (_, group) in self.groups(id) {
            while let Err(e) = remove_tree(&group) {
                if Instant::now() > deadline {
                    return Err(CgroupError::Io { what: "removing", path: group, source: e });
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        self.assignment().release(id);
        self.forget_claim(id);
        Ok(())
    }

    /// Removes our parent from every hierarchy, if no VPS is left in it.
    pub fn remove_parent(&self) {
        for hierarchy in &self.layout.hierarchies {
            let _ = std::fs::remove_dir(hierarchy.root.join(&self.parent)); // busy or gone: both fine
        }
    }

    /// Every VPS that has a group here.
    ///
    /// # Errors
    /// When our parent cannot be read.
    pub fn list(&self) -> Result<Vec<VpsId>> {
        let mut ids = Vec::new();
        for hierarchy in &self.layout.hierarchies {
            let path = hierarchy.root.join(&self.parent);
            let entries = match std::fs::read_dir(&path) {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                other => other.map_err(|source| CgroupError::Io { what: "listing", path, source })?,
            };
            ids.extend(entries.flatten().filter_map(|e| Some(VpsId(e.file_name().to_str()?.parse().ok()?))));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// What a VPS uses.
    #[must_use]
    pub fn usage(&self, id: VpsId) -> Usage {
        usage::read(self.groups(id))
    }

    fn groups(&self, id: VpsId) -> impl Iterator<Item = (&Hierarchy, PathBuf)> {
        self.layout.hierarchies.iter().map(move |h| (h, self.group(h, id))).filter(|(_, g)| g.is_dir())
    }

    fn group(&self, hierarchy: &Hierarchy, id: VpsId) -> PathBuf {
        hierarchy.root.join(&self.parent).join(id.to_string())
    }

    fn controller(&self, name: &'static str) -> Result<&Hierarchy> {
        self.layout.with_controller(name).ok_or(CgroupError::NoController(name))
    }

    fn assignment(&self) -> std::sync::MutexGuard<'_, cpus::Assignment> {
        self.cpus.lock().expect("no code panics while holding this lock")
    }

    /// Passes controllers on to the children of a cgroup2 group.
    fn enable(&self, hierarchy: &Hierarchy, group: &Path) -> Result<()> {
        if !hierarchy.v2 {
            return Ok(());
        }
        let offered = read(&group.join("cgroup.controllers"))?;
        let control = group.join("cgroup.subtree_control");
        let passed = read(&control)?;
        for controller in WANTED {
            let has = |list: &str| list.split_whitespace().any(|c| c == controller);
            if has(&offered) && !has(&passed) {
                write(&control, &format!("+{controller}"))?;
            }
        }
        Ok(())
    }

    fn online(&self) -> Result<Vec<u32>> {
        let from = self
            .layout
            .with_controller("cpuset")
            .map(|h| h.root.join(if h.v2 { "cpuset.cpus.effective" } else { "cpuset.cpus" }));
        let text = match from {
            Some(path) => read(&path)?,
            None => read(Path::new("/sys/devices/system/cpu/online"))?,
        };
        Ok(cpus::parse_list(&text))
    }

    fn cpus_of(&self, id: VpsId) -> Option<Vec<u32>> {
        let group = self.group(self.layout.with_controller("cpuset")?, id);
        Some(cpus::parse_list(&read(&group.join("cpuset.cpus")).ok()?))
    }
}

/// Gives the guest's root the files that cgroup2 lets a delegate own; limit files stay ours.
fn delegate(guest: &Path, (uid, gid): (u32, u32)) -> Result<()> {
    let give = |path: &Path| {
        chown(path, Some(uid), Some(gid)).map_err(|source| CgroupError::Io {
            what: "giving to the guest",
            path: path.to_owned(),
            source,
        })
    };
    give(guest)?;
    let files = std::fs::read_to_string("/sys/kernel/cgroup/delegate")
        .unwrap_or_else(|_| "cgroup.procs\ncgroup.threads\ncgroup.subtree_control\n".to_owned());
    for file in files.lines().map(|name| guest.join(name)).filter(|f| f.exists()) {
        give(&file)?;
    }
    Ok(())
}

/// A v1 cpuset takes no process before it has CPUs and memory nodes of its parent's.
fn inherit_cpuset(hierarchy: &Hierarchy, from: &Path, to: &Path) -> Result<()> {
    if hierarchy.v2 || !hierarchy.has("cpuset") {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if read(&to.join(file))?.trim().is_empty() {
            write(&to.join(file), read(&from.join(file))?.trim())?;
        }
    }
    Ok(())
}

fn populated(group: &Path) -> bool {
    match std::fs::read_to_string(group.join("cgroup.events")) {
        Ok(events) => events.lines().any(|l| l == "populated 1"),
        Err(_) => processes(group).next().is_some(),
    }
}

fn kill_group(hierarchy: &Hierarchy, group: &Path) {
    if hierarchy.v2 && std::fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in processes(group) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL); // may have ended
    }
}

fn processes(group: &Path) -> impl Iterator<Item = i32> {
    let list = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|l| l.parse().ok()).filter(|pid| *pid > 0).collect::<Vec<_>>().into_iter()
}

/// Removes a group and what is below it, deepest first.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    let gone = |e: Error| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) };
    let entries = match std::fs::read_dir(group) {
        Ok(entries) => entries,
        Err(e) => return gone(e),
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    std::fs::remove_dir(group).or_else(gone)
}

fn make_dir(path: &Path) -> Result<()> {
    match std::fs::create_dir(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(|source| CgroupError::Io { what: "making", path: path.to_owned(), source }),
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| CgroupError::Io {
        what: "reading",
        path: path.to_owned(),
        source,
    })
}

fn write(path: &Path, value: &str) -> Result<()> {
    std::fs::write(path, value).map_err(|source| CgroupError::Io {
        what: "writing",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
