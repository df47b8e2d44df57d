//! Everything of one test host that exists on this machine, so that a leak is a difference between two looks.
//!
//! Nothing here knows how the agent names things, only where it was told to put them: under its state directory, its
//! cgroup parent and in its network namespace.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::netns::{Netns, run};
use super::process;

/// What there is, by kind; a thing that is there twice counts twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    things: BTreeMap<String, usize>,
}

/// Where a host's things are.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// The agent's state directory.
    pub state: &'a Path,
    /// The agent's directory for sockets and the like, where it has one.
    pub runtime: &'a Path,
    /// Name of its parent in every cgroup hierarchy.
    pub cgroup: &'a str,
    /// Its network.
    pub netns: &'a Netns,
}

impl Snapshot {
    /// Looks.
    #[must_use]
    pub fn take(places: Places<'_>) -> Self {
        let mut snapshot = Self::default();
        snapshot.loops_and_mounts(places.state);
        snapshot.cgroups(Path::new("/sys/fs/cgroup"), places.cgroup);
        snapshot.network(places.netns);
        snapshot.processes(places.state);
        for dir in [places.state, places.runtime] {
            let device = std::fs::metadata(dir).map_or(0, |m| m.dev());
            snapshot.files(dir, dir, device, 0);
        }
        snapshot
    }

    /// What is here and was not in `before`.
    #[must_use]
    pub fn more_than(&self, before: &Self) -> Vec<String> {
        let old = |thing: &str| before.things.get(thing).copied().unwrap_or(0);
        let new = self.things.iter().filter(|(thing, n)| **n > old(thing));
        new.map(|(thing, n)| format!("{thing} ({} before, {n} now)", old(thing))).collect()
    }

    /// What was in `before` and is not here.
    #[must_use]
    pub fn less_than(&self, before: &Self) -> Vec<String> {
        before.more_than(self)
    }

    fn add(&mut self, kind: &str, what: impl std::fmt::Display) {
        *self.things.entry(format!("{kind}: {what}")).or_default() += 1;
    }

    fn loops_and_mounts(&mut self, state: &Path) {
        let mut ours = vec![format!("{}/", state.display())];
        for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(file) = std::fs::read_to_string(entry.path().join("loop/backing_file")) else { continue };
            if Path::new(file.trim()).starts_with(state) {
                self.add("loop device of", file.trim());
                ours.push(format!("/dev/{name} "));
            }
        }
        // A mount is seen in every namespace that has it: look at each namespace once.
        let mut seen = HashSet::new();
        for (pid, _) in process::all() {
            let Ok(ns) = std::fs::read_link(format!("/proc/{pid}/ns/mnt")) else { continue };
            if !seen.insert(ns) {
                continue;
            }
            let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            for line in mounts.lines().filter(|line| ours.iter().any(|part| line.contains(part.as_str()))) {
                let fields: Vec<_> = line.split(' ').collect();
                let source = line.split_once(" - ").map_or("", |(_, rest)| rest);
                self.add("mount", format!("{} of {source}", fields.get(4).unwrap_or(&"?")));
            }
        }
    }

    fn cgroups(&mut self, dir: &Path, parent: &str) {
        for hierarchy in std::iter::once(dir.to_owned()).chain(directories(dir)) {
            // The parent, the VPS's own group, and the guest's below it: what is deeper belongs to the guest.
            let mut level = vec![hierarchy.join(parent)];
            level.retain(|path| path.is_dir());
            for _ in 0..3 {
                level.iter().for_each(|path| self.add("cgroup", path.display()));
                level = level.iter().flat_map(|path| directories(path)).collect();
            }
        }
    }

    fn network(&mut self, netns: &Netns) {
        for line in netns.ip(&["-o", "link"]).lines() {
            let name = line.split_whitespace().nth(1).unwrap_or(line);
            self.add("interface", name.split('@').next().unwrap_or(name));
        }
        for (kind, args) in [("route", &["route", "show", "table", "all"][..]), ("rule", &["rule"])] {
            for line in netns.ip(args).lines() {
                self.add(kind, line.trim());
            }
        }
        for line in netns.ip(&["neigh", "show", "nud", "permanent"]).lines() {
            self.add("neighbour", line.trim());
        }
        // Counters count; everything else of the rules is either there or not. Elements stand one a line with -T. The
        // agent answers for metadata at another port whenever it starts.
        for line in run(netns.command("nft").args(["-s", "list", "ruleset"])).lines() {
            for part in line.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                let part = part.trim_start_matches("elements = {").trim_end_matches('}').trim();
                let rule = part.split_once(" redirect to :").map_or(part, |(rule, _port)| rule);
                if !rule.bytes().all(|b| b.is_ascii_digit()) {
                    self.add("nft", rule);
                }
            }
        }
    }

    fn processes(&mut self, state: &Path) {
        let ours = format!("{}", state.display());
        for (pid, line) in process::all() {
            if line.contains(&ours) && !line.contains("berth-agent") {
                self.add("process", line);
            } else if std::fs::read_link(format!("/proc/{pid}/root"))
                .is_ok_and(|root| root.starts_with(state))
            {
                self.add("process rooted in", ours.as_str());
            }
        }
    }

    /// Files to a depth that shows whatever the agent keeps about a VPS. What is shared by all VPSes (templates, empty
    /// file systems to copy) may come and stay; what is mounted there is counted as a mount.
    fn files(&mut self, root: &Path, dir: &Path, device: u64, depth: usize) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            if SHARED.iter().any(|shared| name.starts_with(shared)) {
                continue;
            }
            self.add("file", &name);
            let here = entry.metadata().is_ok_and(|m| m.is_dir() && m.dev() == device);
            if depth < 4 && here {
                self.files(root, &path, device, depth + 1);
            }
        }
    }
}

/// What the agent has that belongs to no VPS alone; the last is how the machine's switches were, kept until `stop-all`.
const SHARED: [&str; 5] = ["templates", "blanks", "traffic.json", "private-traffic.json", "ipv6-forwarding"];

fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The file systems that are mounted in this process's own namespace, to see that a test left the machine as it was.
#[must_use]
pub fn machine() -> BTreeSet<String> {
    let mut things = BTreeSet::new();
    for line in std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default().lines() {
        things.insert(format!("mount {}", line.split(' ').nth(4).unwrap_or(line)));
    }
    for dir in ["/run/netns", "/sys/class/net"] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            things.insert(format!("{dir}/{}", entry.file_name().to_string_lossy()));
        }
    }
    let ns = std::fs::metadata("/proc/self/ns/net").map(|m| m.ino()).unwrap_or_default();
    things.insert(format!("network namespace {ns}"));
    things
}
