//! How many descriptors the processes of a running guest may open, changed from outside.
//!
//! The monitor sets the limit before PID 1 is executed and every process inherits it; here it is changed for those that
//! run. A limit can be lowered by whoever made the guest's user namespace, and raised only with `CAP_SYS_RESOURCE`. A
//! process that is forked between two looks inherits its parent's limit, so it is looked again until nothing differs.
#![expect(unsafe_code, reason = "prlimit and pidfd_open have no wrapper in std or nix")]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use berth_proto::VpsId;

use super::cgroup::Tree;

/// Looks at all processes at most so many times.
const LOOKS: usize = 5;

/// Gives every process of a guest this hard limit, and a soft one that is not above it. False when a limit had to be
/// raised, and this agent may not.
pub(super) fn set(tree: &Tree, id: VpsId, most: u64) -> io::Result<bool> {
    for _ in 0..LOOKS {
        let mut changed = false;
        for pid in tree.processes(id) {
            match set_one(pid, most) {
                Ok(done) => changed |= done,
                Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {} // it has ended
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
    Ok(exchange(pid, None)?.rlim_max)
}

/// Whether it had to be changed. A number is somebody else's as soon as its process is gone; so its handle is opened
/// first, and a process that has ended before that is not in the guest's groups any more.
fn set_one(pid: i32, most: u64) -> io::Result<bool> {
    let _handle = open(pid)?;
    let now = exchange(pid, None)?;
    if now.rlim_max == most {
        return Ok(false);
    }
    exchange(pid, Some(libc::rlimit { rlim_cur: now.rlim_cur.min(most), rlim_max: most }))?;
    Ok(true)
}

fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: two integers are passed, no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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
        assert!(set_one(pid, before - 1).unwrap());
        assert!(!set_one(pid, before - 1).unwrap());
        assert_eq!(of(pid).unwrap(), before - 1);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of(pid).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
