//! Short-lived processes that join a running guest to change something in it.
//!
//! A helper enters the guest's user and mount namespaces but not its pid namespace: the guest cannot see or trace it. A
//! guest can make any file access hang (FUSE), so a helper has seconds to live, and the monitor does not wait for it.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Gid, Uid, chdir, setgroups, setresgid, setresuid};

use super::child;
use super::child::lxcfs::Lxcfs;
use super::start::Newborn;
use super::sys::{Forked, alarm, exit_now, fork};

const SECONDS: u32 = 10;

/// A helper at work.
#[derive(Debug)]
pub(super) struct Helper {
    pidfd: OwnedFd,
    complaint: io::PipeReader,
}

impl Helper {
    /// Sets root's password in a running guest.
    pub(super) fn set_password(init: &Newborn, hash: Option<&str>) -> io::Result<Self> {
        Self::run(init, || (), |()| child::set_password_here(hash))
    }

    /// Binds files of this lxcfs where those of a dead one are.
    pub(super) fn renew_lxcfs(init: &Newborn, lxcfs: &Path) -> io::Result<Self> {
        Self::run(init, || Lxcfs::take(lxcfs), Lxcfs::replace_dead)
    }

    /// Takes something while the host is seen, and works with it inside the guest.
    fn run<T>(
        init: &Newborn,
        take: impl FnOnce() -> T,
        work: impl FnOnce(T) -> io::Result<()>,
    ) -> io::Result<Self> {
        let (complaint, mut write) = io::pipe()?;
        match fork()? {
            Forked::Parent { pidfd, .. } => Ok(Self { pidfd, complaint }),
            Forked::Child => {
                alarm(SECONDS);
                let result = catch_unwind(AssertUnwindSafe(|| {
                    let taken = take();
                    join(init.pidfd.as_fd()).and_then(|()| work(taken))
                }));
                let result = result.unwrap_or_else(|_| Err(io::Error::other("the helper has a bug")));
                let Err(error) = result else { exit_now(0) };
                let _ = write.write_all(error.to_string().as_bytes());
                exit_now(1)
            }
        }
    }

    /// Readable when the helper has ended.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What came of it.
    pub(super) fn finish(mut self) -> io::Result<()> {
        use nix::sys::wait::WaitStatus;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Signaled(..) => Err(io::Error::other("the guest did not let it finish in time")),
            _ => {
                let mut text = String::new();
                self.complaint.read_to_string(&mut text)?;
                Err(io::Error::other(text))
            }
        }
    }
}

fn join(init: BorrowedFd<'_>) -> io::Result<()> {
    setns(init, CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    chdir("/")?;
    Ok(())
}
