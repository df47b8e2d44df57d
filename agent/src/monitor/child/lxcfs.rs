//! Files of lxcfs over the guest's own in `/proc` and `/sys`.
//!
//! A bind of a FUSE file system dies with the process that serves it: every access is an error ("Transport endpoint is
//! not connected") until it is taken away. So they are taken from the host twice: at the start, and when a new lxcfs has
//! come in place of one that died. The second time a helper in the running guest replaces what is dead and nothing else:
//! a guest that has put something of its own there, or taken ours away and sees the kernel's, decided so.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, umount2};
use nix::sys::statfs::fstatfs;

use crate::monitor::sys::{clone_mount, move_mount_onto};
use crate::monitor::tree::Tree;

/// Files that lxcfs offers and a guest should see instead of the kernel's.
const FILES: [&str; 8] = [
    "proc/meminfo",
    "proc/cpuinfo",
    "proc/stat",
    "proc/uptime",
    "proc/loadavg",
    "proc/swaps",
    "proc/diskstats",
    "sys/devices/system/cpu",
];

/// lxcfs files as detached mounts, by their path in the guest. Whatever is missing, the guest sees the kernel's.
#[derive(Debug, Default)]
pub(crate) struct Lxcfs(Vec<(&'static str, OwnedFd)>);

impl Lxcfs {
    /// Takes them from the host. Must run while the host's tree is seen.
    pub(crate) fn take(lxcfs: &Path) -> Self {
        // A dead lxcfs answers every access with an error.
        if fs::metadata(lxcfs.join("proc")).is_err() {
            return Self::default();
        }
        let take = |name: &'static str| {
            let path = CString::new(lxcfs.join(name).into_os_string().into_encoded_bytes()).ok()?;
            Some((name, clone_mount(AT_FDCWD, &path).ok()?))
        };
        Self(FILES.into_iter().filter_map(take).collect())
    }

    /// The descriptors, for whoever closes all others.
    pub(crate) fn raw_fds(&self) -> Vec<RawFd> {
        self.0.iter().map(|(_, mount)| mount.as_raw_fd()).collect()
    }

    /// Puts them in the guest's tree.
    pub(super) fn attach(self, tree: &Tree) {
        for (path, mount) in self.0 {
            // Best effort, as lxcfs is: without it the guest runs, and sees the host's figures.
            let _ = tree.handle(path).and_then(|place| move_mount_onto(&mount, place.as_fd()));
        }
    }

    /// Puts them in place of dead ones, in a running guest whose tree is this process's.
    ///
    /// # Errors
    /// When a dead one cannot be taken away or its successor not be put there; the others are done all the same.
    pub(crate) fn replace_dead(self) -> io::Result<()> {
        let tree = Tree::of_this_root()?;
        let mut outcome = Ok(());
        for (path, mount) in self.0 {
            if let Err(error) = replace(&tree, path, &mount) {
                outcome = Err(io::Error::new(error.kind(), format!("{path}: {error}")));
            }
        }
        outcome
    }
}

fn replace(tree: &Tree, path: &str, mount: &OwnedFd) -> io::Result<()> {
    // A guest's nested namespaces may have passed on several, one over the other.
    for _ in 0..4 {
        match fstatfs(tree.handle(path)?) {
            Err(Errno::ENOTCONN | Errno::ECONNABORTED) => {}
            _ => return Ok(()),
        }
        let absolute = format!("/{path}");
        umount2(absolute.as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
        if fstatfs(tree.handle(path)?).is_ok() {
            return move_mount_onto(mount, tree.handle(path)?.as_fd());
        }
    }
    Ok(())
}
