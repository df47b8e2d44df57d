//! The guest's root file system: the template below, the VPS's own disk above.
//!
//! The overlay is mounted by the guest's own root, in its own user namespace: an overlay that host root mounts on an
//! idmapped upper layer comes up read-only, and file capabilities and ids would be the host's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{fchdir, pivot_root};

use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::{FsContext, MountFlags, clone_mount, move_mount, move_mount_onto};
use crate::monitor::tree::Tree;

/// Directories of the disk that are bound into the guest as they are: an overlay cannot be the upper layer of another
/// overlay, so container engines in the guest need a real file system for their layers.
const VOLUMES: [(&std::ffi::CStr, &str); 2] =
    [(c"docker", "/var/lib/docker"), (c"containers", "/var/lib/containers")];

/// Directories of a disk, made at its first boot, and their modes. That of the upper layer is the mode of the guest's
/// root directory.
const LAYOUT: [(&str, u32); 4] =
    [("upper", 0o755), ("work", 0o700), ("docker", 0o710), ("containers", 0o755)];

/// A root that is attached in this mount namespace but not entered yet.
#[derive(Debug)]
pub(super) struct Root {
    /// It.
    pub(super) tree: Tree,
    /// What will be bound into it.
    pub(super) volumes: Volumes,
    /// The disk that holds its upper layer.
    pub(super) disk: OwnedFd,
}

/// Detached mounts for [`VOLUMES`].
#[derive(Debug)]
pub(super) struct Volumes(Vec<(&'static str, OwnedFd)>);

/// Builds the root from the two layers, on a small memory file system over the stage directory.
pub(super) fn assemble(stage: &OwnedFd, layers: Vec<OwnedFd>) -> Result<Root, Failure> {
    let mut layers = layers.into_iter();
    let (Some(template), Some(disk)) = (layers.next(), layers.next()) else {
        return Err(Failure::refused("building the root", "layers are missing"));
    };
    let context = FsContext::open(c"tmpfs").step("preparing the stage")?;
    context.set("mode", "0700").step("preparing the stage")?;
    let tmpfs = context.mount(MountFlags::MEMORY).step("mounting the stage")?;
    move_mount_onto(&tmpfs, stage.as_fd()).step("attaching the stage")?;
    for name in ["lower", "disk", "root"] {
        mkdirat(&tmpfs, name, Mode::S_IRWXU).step("making the stage")?;
    }
    move_mount(&template, tmpfs.as_fd(), c"lower").step("attaching the template")?;
    move_mount(&disk, tmpfs.as_fd(), c"disk").step("attaching the disk")?;

    for (name, mode) in LAYOUT {
        match mkdirat(&disk, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error).step("laying out the disk"),
        }
    }

    fchdir(&tmpfs).step("entering the stage")?;
    let overlay = overlay()?;
    move_mount(&overlay, tmpfs.as_fd(), c"root").step("attaching the root")?;
    let mut volumes = Vec::with_capacity(VOLUMES.len());
    for (name, place) in VOLUMES {
        volumes.push((
            place,
            clone_mount(disk.as_fd(), name).step(format!("taking the disk's part for {place}"))?,
        ));
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let tree = Tree::new(open("root", flags, Mode::empty()).step("opening the root")?);
    Ok(Root { tree, volumes: Volumes(volumes), disk })
}

fn overlay() -> Result<OwnedFd, Failure> {
    let context = FsContext::open(c"overlay").fatal("preparing the overlay")?;
    let options =
        [("source", "berth"), ("lowerdir", "lower"), ("upperdir", "disk/upper"), ("workdir", "disk/work")];
    for (key, value) in options {
        context.set(key, value).step(format!("setting the overlay's {key}"))?;
    }
    context.flag(c"userxattr").fatal("setting the overlay's options")?;
    context.mount(MountFlags::default()).step("mounting the overlay")
}

/// Makes it the root of this process and lets go of everything that was there before.
pub(super) fn enter(root: BorrowedFd<'_>) -> Result<(), Failure> {
    fchdir(root).step("entering the root")?;
    pivot_root(".", ".").step("pivoting to the root")?;
    // The old root now lies over the new one; detaching it takes the host's whole tree with it.
    umount2(".", MntFlags::MNT_DETACH).step("letting go of the host's tree")?;
    fchdir(root).step("entering the root again")
}

impl Volumes {
    /// Binds them in place. A guest that made the place a link has its own ideas, and is left to them.
    pub(super) fn attach(self, tree: &Tree) -> Result<(), Failure> {
        for (path, mount) in self.0 {
            let place = match tree.directory(path, 0o710) {
                Ok(place) => place,
                Err(error) if !is_shape(&error) => return Err(error).step(format!("making {path}")),
                Err(_) => continue,
            };
            move_mount_onto(&mount, place.as_fd()).step(format!("binding {path}"))?;
        }
        Ok(())
    }
}

/// Whether an error says that something else than a directory is in the way.
fn is_shape(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENOTDIR))
}

/// `/run`, `/dev/shm` and the like are sized by the plan's memory, not by the host's.
pub(super) fn memory_file_systems(tree: &Tree, memory: u64) -> Result<(), Failure> {
    let mounts = [("/run", "0755", memory / 5), ("/dev/shm", "1777", memory / 2)];
    for (path, mode, size) in mounts {
        let context = FsContext::open(c"tmpfs").step(format!("preparing {path}"))?;
        for (key, value) in [("source", "tmpfs"), ("mode", mode), ("size", &size.to_string())] {
            context.set(key, value).step(format!("preparing {path}"))?;
        }
        let place = tree.directory(path, 0o755).fatal(format!("opening the image's {path}"))?;
        let mount = context.mount(MountFlags::MEMORY).step(format!("mounting {path}"))?;
        move_mount_onto(&mount, place.as_fd()).step(format!("attaching {path}"))?;
    }
    Ok(())
}

/// From here on mounts are propagated among the guest's own namespaces, as its services expect.
pub(super) fn share(tree: &Tree) -> Result<(), Failure> {
    fchdir(tree).step("entering the root")?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SHARED;
    mount(None::<&str>, ".", None::<&str>, flags, None::<&str>).step("sharing mounts inside the guest")
}
