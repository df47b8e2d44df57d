//! How many descriptors the processes of a running guest may open, changed from outside.
//!
//! The monitor sets the limit before PID 1 is executed and every process inherits it; here it is changed for those that
//! run. A limit can be lowered by the owner of the guest's user namespace, for whom a thread of ours stands in, and raised
//! only with `CAP_SYS_RESOURCE`. A
//! process that is forked between two looks inherits its parent's limit, so it is looked again until nothing differs.
#![expect(
    unsafe_code,
    reason = "prlimit of another process and setresuid of one thread have no wrapper in std or nix"
)]

use std::io;

use berth_proto::VpsId;

use super::cgroup::Tree;
use crate::monitor::sys::pidfd_open;

/// Looks at all processes at most so many times.
const LOOKS: usize = 5;

/// Gives every process of a guest this hard limit, and a soft one that is not above it. False when a limit had to be
/// raised, and this agent may not.
pub(super) fn set(tree: &Tree, id: VpsId, owner: u32, most: u64) -> io::Result<bool> {
    for _ in 0..LOOKS {
        let mut changed = false;
        for pid in tree.processes(id) {
            match set_one(pid, owner, most) {
                Ok(done) => changed |= done,
                Err(e) if e.raw_os_error() == Some(libc::ESRCH | libc::ENOENT) => {} // it has ended
                Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        if !changed {
            break;
        }
    }
    Ok(true)
}

/// The hard limit of a process.
pub(super) fn of(pid: i32) -> io::Result<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    hard.ok_or_else(|| io::Error::other("the kernel does not tell how many files it may open"))
}

/// Whether it had to be changed. A number is somebody else's as soon as its process is gone; so its handle is opened
/// first, and a process that has ended before that is not in the guest's groups any more.
fn set_one(pid: i32, owner: u32, most: u64) -> io::Result<bool> {
    let _handle = pidfd_open(pid)?;
    if of(pid)? == most {
        return Ok(false);
    }
    match lower(pid, most) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => standing_in_for(owner, || lower(pid, most))??,
        other => other?,
    }
    Ok(true)
}

fn lower(pid: i32, most: u64) -> io::Result<()> {
    let now = exchange(pid, None)?;
    exchange(pid, Some(libc::rlimit { rlim_cur: now.rlim_cur.min(most), rlim_max: most }))?;
    Ok(())
}

/// Does something with another user as this thread's effective one: an owner of a user namespace has all capabilities
/// over it, also those that this machine's root lacks. Other threads are not touched, as they would be by libc's wrapper.
fn standing_in_for<T>(user: u32, work: impl FnOnce() -> T) -> io::Result<T> {
    let be = |user: u32| {
        let keep = u32::MAX;
        // SAFETY: three integers are passed, no memory.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, keep, user, keep) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    be(user)?;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    if be(0).is_err() {
        std::process::abort(); // never go on as somebody else
    }
    Ok(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn exchange(pid: i32, new: Option<libc::rlimit>) -> io::Result<libc::rlimit> {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or lead to a struct rlimit that lives during the call.
    let done = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, new, &raw mut old) };
    if done == 0 { Ok(old) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_and_lowered() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let before = of(pid).unwrap();
        assert!(set_one(pid, 0, before - 1).unwrap());
        assert!(!set_one(pid, 0, before - 1).unwrap());
        assert_eq!(of(pid).unwrap(), before - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of(pid).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    }
}
