//! `/dev/console`: a terminal of the guest's own devpts; the monitor keeps the other side.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, OpenHow, openat2};

use super::taken::placeholder;
use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::{clone_mount, move_mount_onto, open_terminal, peer_of_pty};
use crate::monitor::tree::Tree;

/// Makes it; master and slave.
pub(super) fn make(tree: &Tree) -> Result<(OwnedFd, OwnedFd), Failure> {
    let pts = tree.directory("/dev/pts", 0o755).step("opening /dev/pts")?;
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = openat2(&pts, "ptmx", OpenHow::new().flags(flags)).step("making the console")?;
    open_terminal(master.as_fd()).step("opening the console")?;
    let slave = peer_of_pty(master.as_fd()).step("opening the console's other side")?;
    let dev = tree.directory("/dev", 0o755).step("opening /dev")?;
    let place: File = placeholder(&dev, "console").step("making /dev/console")?;
    let mount = clone_mount(slave.as_fd(), c"").step("taking the console")?;
    move_mount_onto(&mount, place.as_fd()).step("attaching /dev/console")?;
    Ok((master, slave))
}
