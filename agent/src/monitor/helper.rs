//! Short-lived processes that join a running guest to change something in it.
//!
//! A helper enters the guest's user and mount namespaces but not its pid namespace: the guest cannot see or trace it. A
//! guest can make any file access hang (FUSE), so a helper is ended after some seconds, and the monitor does not wait
//! for it. There are places where the kernel waits for a guest's FUSE and listens to no signal: a helper that is held
//! there stays until the guest answers or ends, and until then other changes are refused. It keeps no descriptor of the
//! monitor but those that it needs: above all not the VPS's lock, which a helper that hangs would hold on to when the
//! monitor is long dead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nix::sys::wait::{Id, WaitPidFlag, waitid};

use super::barrier::{self, Barrier};
use super::child;
use super::child::lxcfs::Lxcfs;
use super::failure::Step as _;
use super::join::{Depth, Target, inside};
use super::sys::{Forked, alarm, fork};

const SECONDS: u32 = 10;

/// A helper at work.
#[derive(Debug)]
pub(super) struct Helper {
    pidfd: OwnedFd,
    complaint: Barrier,
}

impl Helper {
    /// Sets root's password in a running guest.
    pub(super) fn set_password(target: Target<'_>, hash: Option<&str>) -> io::Result<Self> {
        let (complaint, theirs) = barrier::pair()?;
        match fork()? {
            Forked::Parent { pidfd, .. } => Ok(Self { pidfd, complaint }),
            Forked::Child => {
                alarm(SECONDS);
                inside(target, None, Depth::Files, (&theirs, &[]), || {
                    child::set_password_here(hash).step("setting the password").map(|()| 0)
                })
            }
        }
    }

    /// Takes away what a dead lxcfs left in a running guest, and binds the files of this one. They are taken in the
    /// helper too: an lxcfs can hang.
    pub(super) fn renew_lxcfs(target: Target<'_>, lxcfs: Option<&Path>) -> io::Result<Self> {
        let (complaint, theirs) = barrier::pair()?;
        match fork()? {
            Forked::Parent { pidfd, .. } => Ok(Self { pidfd, complaint }),
            Forked::Child => {
                alarm(SECONDS);
                let taken = catch_unwind(AssertUnwindSafe(|| lxcfs.map(Lxcfs::take).unwrap_or_default()))
                    .unwrap_or_default();
                // The owner goes to the work; in this process nothing closes them but its end.
                let keep = taken.raw_fds();
                inside(target, None, Depth::Files, (&theirs, &keep), || {
                    taken.renew().step("renewing the files of lxcfs").map(|()| 0)
                })
            }
        }
    }

    /// Readable when the helper has ended.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// What came of it.
    pub(super) fn finish(self) -> io::Result<()> {
        use nix::sys::wait::WaitStatus;
        match waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Signaled(..) => Err(io::Error::other("the guest did not let it finish in time")),
            _ => Err(io::Error::other(self.complaint.receive()?.text)),
        }
    }
}
