//! Whether PID 1 was killed because the guest's memory had run out.
//!
//! The kernel does not say who killed a process, but it counts. Nobody inside can kill PID 1, so when it died by SIGKILL
//! and the guest's group has counted a kill for want of memory lately, that was it. "Lately" is since a count that is a
//! while old, so that a process that was killed hours ago is not taken for PID 1 when the host's root kills that by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::wire::Start;

/// A count must be this old before a newer one takes its place: a big PID 1 takes a while to die.
const OLD: Duration = Duration::from_secs(10);

/// Counts kills for want of memory.
#[derive(Debug)]
pub(super) struct OomWatch {
    /// Where the kernel counts: `memory.oom_control` of v1, or `memory.events` of v2.
    file: Option<PathBuf>,
    /// The count that kills are judged by, and a newer one that will take its place.
    before: u64,
    newer: (u64, Instant),
}

impl OomWatch {
    pub(super) fn new(start: &Start) -> Self {
        let v1 = start.cgroups_v1.iter().map(|dir| dir.join("memory.oom_control"));
        let v2 = start.cgroup_v2.parent().map(|dir| dir.join("memory.events"));
        let file = v1.chain(v2).find(|file| file.exists());
        let count = file.as_deref().map_or(0, count);
        Self { file, before: count, newer: (count, Instant::now()) }
    }

    /// Counts anew if the last count is old. To be called now and then.
    pub(super) fn look(&mut self) {
        let Some(file) = self.file.as_deref().filter(|_| self.newer.1.elapsed() > OLD) else { return };
        self.before = self.newer.0;
        self.newer = (count(file), Instant::now());
    }

    /// Whether a process of the guest was killed for want of memory lately.
    pub(super) fn killed(&self) -> bool {
        self.file.as_deref().is_some_and(|file| count(file) > self.before)
    }
}

fn count(file: &Path) -> u64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    let counts = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
    counts.filter_map(|n| n.trim().parse().ok()).next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kill_is_not_taken_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("memory.events");
        let kills = |n: u64| {
            fs::write(&file, format!("low 0\nhigh 0\nmax 7\noom 3\noom_kill {n}\noom_group_kill 0\n"))
                .unwrap();
        };
        kills(2);
        let now = Instant::now();
        let mut watch = OomWatch { file: Some(file.clone()), before: 2, newer: (2, now) };
        assert!(!watch.killed());
        kills(3);
        watch.look();
        assert!(watch.killed(), "a count that is young is not taken over");
        let old = now.checked_sub(OLD * 2).unwrap_or(now);
        watch.newer.1 = old;
        watch.look();
        watch.newer.1 = old;
        watch.look();
        assert!(!watch.killed());
        watch.file = None;
        assert!(!watch.killed());
    }
}
