//! The way into a running guest, for short-lived work and for programs.
//!
//! The order matters. What is needed of the host is opened or written first (cgroups, the OOM score), then all
//! namespaces are joined at once by the pidfd of PID 1, and then the ids of the guest's root are taken; from there on
//! no path leads to the host. A process that joins keeps no descriptor of the monitor but those it was given: not the
//! lock (a monitor that died would seem to live), not the disk (it could not be unmounted), nothing that a guest could
//! use.
//!
//! It is not dumpable, and its memory belongs to the host's user namespace until it executes something of the guest's:
//! so the guest can neither trace it nor look through its `/proc` at the monitor's file, its descriptors or its root.
//! It can stop or kill it, which the monitor notices.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use nix::sched::{CloneFlags, setns};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, getppid};

use super::barrier::{Barrier, Signal};
use super::child::{become_root, die_with_parent};
use super::failure::{Failure, Step};
use super::start::Newborn;
use super::sys::{close_all_but, exit_now};
use super::wire::Start;
use crate::failpoint;

/// A guest to join.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    /// How it was started.
    pub(super) start: &'a Start,
    /// Its PID 1.
    pub(super) init: &'a Newborn,
    /// Its monitor: this process, before it forks.
    monitor: u32,
}

impl<'a> Target<'a> {
    pub(super) fn new(start: &'a Start, init: &'a Newborn) -> Self {
        Self { start, init, monitor: std::process::id() }
    }
}

/// How far to go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// To its files, unseen by it.
    Files,
    /// Wholly: children of the process are the guest's.
    All,
}

impl Depth {
    fn namespaces(self) -> CloneFlags {
        let files = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
        match self {
            Self::Files => files,
            Self::All => {
                files
                    | CloneFlags::CLONE_NEWPID
                    | CloneFlags::CLONE_NEWNET
                    | CloneFlags::CLONE_NEWUTS
                    | CloneFlags::CLONE_NEWIPC
                    | CloneFlags::CLONE_NEWCGROUP
            }
        }
    }
}

/// The group of a session on cgroup2: beside what the guest's init made, since a group that has groups below it holds
/// no processes. It stays the host's: the guest may empty it, but not change it.
pub(super) fn group(start: &Start, session: &str) -> PathBuf {
    start.cgroup_v2.join(format!("berth-exec-{session}"))
}

/// Whether the guest's processes stand still, so that one that joined would as well.
pub(super) fn is_frozen(start: &Start) -> bool {
    let v2 = fs::read_to_string(start.cgroup_v2.join("cgroup.events")).unwrap_or_default();
    let v1 = |group: &PathBuf| {
        fs::read_to_string(group.join("freezer.state")).is_ok_and(|state| state.trim() != "THAWED")
    };
    v2.lines().any(|line| line == "frozen 1") || start.cgroups_v1.iter().any(v1)
}

/// Runs in a process that was just forked for it: `work` inside, with nothing of the monitor but `keep`; what goes wrong
/// is said on the barrier.
pub(super) fn inside(
    target: Target<'_>,
    session: Option<&str>,
    depth: Depth,
    (barrier, keep): (&Barrier, &[RawFd]),
    work: impl FnOnce() -> Result<i32, Failure>,
) -> ! {
    let joined = || enter(target, session, depth, barrier, keep).and_then(|()| work());
    let failure = match catch_unwind(AssertUnwindSafe(joined)) {
        Ok(Ok(code)) => exit_now(code),
        Ok(Err(failure)) => failure,
        Err(_) => Failure::refused("joining the server", "the monitor has a bug; see its log"),
    };
    complain(barrier, &failure)
}

/// Says what went wrong, and ends.
pub(super) fn complain(barrier: &Barrier, failure: &Failure) -> ! {
    let mut text = failure.to_string();
    text.truncate(text.floor_char_boundary(1500));
    let _ = barrier.send(Signal::Failed, &text, &[]); // a monitor that does not hear it is dead
    exit_now(1)
}

fn enter(
    target: Target<'_>,
    session: Option<&str>,
    depth: Depth,
    barrier: &Barrier,
    keep: &[RawFd],
) -> Result<(), Failure> {
    die_with_parent()?;
    // It may have died before that was asked for.
    if u32::try_from(getppid().as_raw()) != Ok(target.monitor) {
        return Err(Failure::refused("joining the server", "its monitor is gone"));
    }
    let init = target.init.pidfd.as_fd();
    let mut kept = keep.to_vec();
    kept.extend([init.as_raw_fd(), barrier.fd().as_raw_fd()]);
    close_all_but(&kept).step("closing the monitor's descriptors")?;
    if session.is_none() {
        failpoint::hit("monitor.helper.begun");
    }
    fs::write("/proc/self/oom_score_adj", "0").step("resetting the OOM score")?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    if let Some(session) = session {
        join_groups(target.start, session)?;
    }
    setns(init, depth.namespaces()).step("joining the server's namespaces")?;
    become_root()?;
    chdir("/").step("entering the server's root")
}

fn join_groups(start: &Start, session: &str) -> Result<(), Failure> {
    let own = group(start, session);
    match fs::create_dir(&own) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).step("making a group for the program");
        }
        _ => {}
    }
    for dir in start.cgroups_v1.iter().chain([&own]) {
        fs::write(dir.join("cgroup.procs"), "0").step("joining the server's limits")?;
    }
    Ok(())
}
