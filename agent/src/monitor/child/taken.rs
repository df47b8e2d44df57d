//! What the child takes from the host before it lets go of the host's tree.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, fstat, makedev};

use super::lxcfs::Lxcfs;
use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::clone_mount;
use crate::monitor::wire::Start;

/// Device nodes of every guest: name, numbers, and whether a guest can do without.
const DEVICES: [(&str, u64, u64, bool); 8] = [
    ("null", 1, 3, false),
    ("zero", 1, 5, false),
    ("full", 1, 7, false),
    ("random", 1, 8, false),
    ("urandom", 1, 9, false),
    ("tty", 5, 0, false),
    // Both act within the namespaces of whoever opens them: a tunnel device appears in the guest's network namespace,
    // a FUSE mount in its mount namespace. VPN software and many file systems need them.
    ("net/tun", 10, 200, true),
    ("fuse", 10, 229, true),
];

/// All of it.
#[derive(Debug)]
pub(super) struct Taken {
    /// An empty directory to build on.
    pub(super) stage: OwnedFd,
    /// Device nodes by name, as detached mounts.
    pub(super) devices: Vec<(&'static str, OwnedFd)>,
    /// lxcfs files.
    pub(super) lxcfs: Lxcfs,
}

impl Taken {
    /// Takes it. Must run before the process's ids change: afterwards it has no right to walk the host's directories.
    pub(super) fn from_host(start: &Start) -> Result<Self, Failure> {
        // The copy of the host's mounts must not carry anything back to the host.
        let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).step("cutting mount propagation")?;
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let stage = open(&start.run_dir, flags, Mode::empty()).step("opening the run directory")?;
        let lxcfs = start.lxcfs.as_deref().map(Lxcfs::take).unwrap_or_default();
        Ok(Self { stage, devices: devices(start.devices.as_deref())?, lxcfs })
    }
}

/// Takes the host's nodes, or in their place those of `ours`, which everybody may open.
fn devices(ours: Option<&Path>) -> Result<Vec<(&'static str, OwnedFd)>, Failure> {
    let mut taken = Vec::with_capacity(DEVICES.len());
    for (name, major, minor, optional) in DEVICES {
        let host = format!("/dev/{name}");
        // Where the host has none, its kernel lacks the driver.
        let own = ours.filter(|_| optional && Path::new(&host).exists()).map(|dir| dir.join(name));
        let path = own.filter(|own| own.exists()).map_or(host, |own| own.display().to_string());
        match open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(node) => {
                let stat = fstat(&node).step(format!("looking at {path}"))?;
                let is_device = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR;
                if !is_device || stat.st_rdev != makedev(major, minor) {
                    return Err(Failure::refused(path, "it is not the device that it should be"));
                }
                taken.push((name, clone_mount(node.as_fd(), c"").step(format!("taking {path}"))?));
            }
            Err(_) if optional => {}
            Err(error) => return Err(error).fatal(format!("opening {path}")),
        }
    }
    Ok(taken)
}

/// Something empty to mount a file on.
pub(super) fn placeholder(directory: &OwnedFd, name: &str) -> nix::Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    nix::fcntl::openat(directory, name, flags, mode).map(File::from)
}
