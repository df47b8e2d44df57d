//! `/dev`: a memory file system with the few nodes that are safe in a guest, bound from the host's.

use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::symlinkat;

use super::taken::placeholder;
use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::{FsContext, MountFlags, move_mount_onto};
use crate::monitor::tree::Tree;

/// Links that programs expect: where they lead, and their name.
const LINKS: [(&str, &str); 5] = [
    ("pts/ptmx", "ptmx"),
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Fills `/dev`.
pub(super) fn make(tree: &Tree, devices: &[(&'static str, OwnedFd)]) -> Result<(), Failure> {
    let context = FsContext::open(c"tmpfs").step("preparing /dev")?;
    for (key, value) in [("source", "dev"), ("mode", "0755"), ("size", "4m"), ("nr_inodes", "8192")] {
        context.set(key, value).step("preparing /dev")?;
    }
    let dev = context.mount(MountFlags { nosuid: true, ..MountFlags::default() }).step("mounting /dev")?;
    let place = tree.directory("/dev", 0o755).fatal("opening the image's /dev")?;
    move_mount_onto(&dev, place.as_fd()).step("attaching /dev")?;

    tree.directory("/dev/.berth", 0o700).step("making /dev/.berth")?;
    tree.directory("/dev/net", 0o755).step("making /dev/net")?;
    for (name, mount) in devices {
        placeholder(&dev, name).step(format!("making /dev/{name}"))?;
        let place = tree.handle(&format!("/dev/{name}")).step(format!("opening /dev/{name}"))?;
        move_mount_onto(mount, place.as_fd()).step(format!("attaching /dev/{name}"))?;
    }
    for (target, name) in LINKS {
        symlinkat(target, &dev, name).step(format!("linking /dev/{name}"))?;
    }

    let pts = FsContext::open(c"devpts").step("preparing /dev/pts")?;
    let options =
        [("source", "devpts"), ("mode", "0620"), ("ptmxmode", "0666"), ("gid", "5"), ("max", "1024")];
    for (key, value) in options {
        pts.set(key, value).step("preparing /dev/pts")?;
    }
    pts.flag(c"newinstance").step("preparing /dev/pts")?;
    let flags = MountFlags { nosuid: true, noexec: true, ..MountFlags::default() };
    attach(tree, "/dev/pts", pts, flags)?;
    attach(tree, "/dev/mqueue", FsContext::open(c"mqueue").step("preparing /dev/mqueue")?, MountFlags::KERNEL)
}

fn attach(tree: &Tree, path: &str, context: FsContext, flags: MountFlags) -> Result<(), Failure> {
    let mount = context.mount(flags).step(format!("mounting {path}"))?;
    let place = tree.directory(path, 0o755).step(format!("making {path}"))?;
    move_mount_onto(&mount, place.as_fd()).step(format!("attaching {path}"))
}
