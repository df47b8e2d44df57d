//! Files of lxcfs over the guest's own in `/proc` and `/sys`.
//!
//! A bind of a FUSE file system dies with the process that serves it: every access is an error ("Transport endpoint is
//! not connected") until it is taken away. So a helper in the running guest takes away what is dead, which uncovers the
//! kernel's own files with the host's figures, and binds the files of a new lxcfs when there is one. What a guest itself
//! has put there stays.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, umount2};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};

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

    /// In a running guest whose tree is this process's: takes away dead ones, and puts these where no live ones are.
    ///
    /// # Errors
    /// When a dead one cannot be taken away or its successor not be put there; the others are done all the same.
    pub(crate) fn renew(self) -> io::Result<()> {
        let tree = Tree::of_this_root()?;
        let mut outcome = Ok(());
        let mut note = |path: &str, result: io::Result<()>| {
            if let Err(error) = result {
                outcome = Err(io::Error::new(error.kind(), format!("{path}: {error}")));
            }
        };
        for path in FILES {
            note(path, take_dead_away(&tree, path));
        }
        for (path, mount) in self.0 {
            note(path, put_where_none_is(&tree, path, &mount));
        }
        outcome
    }
}

fn take_dead_away(tree: &Tree, path: &str) -> io::Result<()> {
    // More than one only where agents died at an unlucky moment.
    for _ in 0..4 {
        match fstatfs(tree.handle(path)?) {
            Err(Errno::ENOTCONN | Errno::ECONNABORTED) => {}
            _ => break,
        }
        umount2(format!("/{path}").as_str(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    }
    Ok(())
}

fn put_where_none_is(tree: &Tree, path: &str, mount: &OwnedFd) -> io::Result<()> {
    let place = tree.handle(path)?;
    if fstatfs(&place)?.filesystem_type() == FUSE_SUPER_MAGIC {
        return Ok(());
    }
    move_mount_onto(mount, place.as_fd())
}
