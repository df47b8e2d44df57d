//! The VPS's disk: an ext4 image on a loop device, mounted but attached nowhere.
//!
//! Both descriptors that keep it alive belong to this process and its child. When they are gone, the kernel unmounts
//! the file system and the loop device frees itself: nothing to clean up, however the processes ended.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::statfs::fstatfs;

use super::failure::{Failure, Step};
use super::sys::{
    FsContext, LoopControl, MountFlags, clone_mount, configure_loop, grow_fs, idmap_mount, refresh_size,
    shut_down_fs,
};
use crate::ext4::Superblock;

/// Sector size of the loop devices: that of ext4's blocks, so that direct I/O works on every disk below.
const SECTOR: u32 = 4096;
/// Others may take the device that was just free; on a busy machine this happens a few times in a row.
const ATTEMPTS: u32 = 200;

/// A mounted disk.
#[derive(Debug)]
pub(crate) struct Disk {
    /// The detached mount, ids shifted.
    pub(crate) mount: OwnedFd,
    /// Number of the loop device.
    pub(crate) loop_device: u32,
}

/// How full a disk is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Bytes in all, as the guest's `df` shows them.
    pub(crate) total: u64,
    /// Bytes in use, in the same sense.
    pub(crate) used: u64,
    /// Inodes in all.
    pub(crate) inodes: u64,
}

impl Disk {
    /// Mounts an image with the ids of `userns`.
    pub(crate) fn attach(image: &Path, userns: BorrowedFd<'_>) -> Result<Self, Failure> {
        let file = File::options().read(true).write(true).open(image).step("opening the disk image")?;
        let (device, loop_device) = bind(&file).step("binding the disk image to a loop device")?;
        let context = FsContext::open(c"ext4").fatal("preparing the disk's file system")?;
        context.set("source", &path(loop_device)).step("naming the disk's loop device")?;
        // Inode tables of a fresh sparse image read as zeros; a thread that writes those zeros would fill the pool.
        context.flag(c"noinit_itable").fatal("setting the disk's mount options")?;
        let flags = MountFlags { nodev: true, ..MountFlags::default() };
        let mount = context.mount(flags).step("mounting the disk")?;
        drop(device);
        let disk = Self { mount, loop_device };
        // One that was resized while it was off; where that needs a right that this host does not give, the agent has
        // done it before.
        if disk.is_smaller_than(&file).step("reading the size of the disk")? {
            disk.grow(&file).step("growing the disk")?;
        }
        idmap_mount(disk.mount.as_fd(), userns, flags).fatal("shifting the ids of the disk")?;
        Ok(disk)
    }

    /// Makes the mounted file system as large as its image has become.
    pub(crate) fn grow_to_image(&self, image: &Path) -> io::Result<()> {
        let file = File::open(image)?;
        if self.is_smaller_than(&file)? { self.grow(&file) } else { Ok(()) }
    }

    fn grow(&self, image: &File) -> io::Result<()> {
        let device = open_device(self.loop_device)?;
        refresh_size(device.as_fd())?;
        let block_size = Superblock::read(&device)?.block_size();
        grow_fs(self.root()?.as_fd(), image.metadata()?.len() / block_size)
    }

    fn is_smaller_than(&self, image: &File) -> io::Result<bool> {
        // The file system reads and writes its superblock through the cache of the device that is read here.
        Ok(Superblock::read(&open_device(self.loop_device)?)?.is_smaller_than(image.metadata()?.len()))
    }

    /// The root directory, to ask the file system something: the mount's own descriptor is only a handle.
    fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(openat(&self.mount, ".", flags, Mode::empty())?)
    }

    /// Ends all I/O of the file system for good, so that its unmount need not write anything back.
    pub(crate) fn stop_writing(&self) -> io::Result<()> {
        shut_down_fs(self.root()?.as_fd())
    }

    /// How full it is.
    pub(crate) fn usage(&self) -> io::Result<Usage> {
        let stat = fstatfs(&self.mount)?;
        let size = u64::try_from(stat.block_size()).unwrap_or(0);
        Ok(Usage {
            total: stat.blocks() * size,
            used: (stat.blocks() - stat.blocks_free()) * size,
            inodes: stat.files(),
        })
    }
}

/// A read-only view of the template, ids shifted, attached nowhere.
pub(crate) fn attach_template(template: &Path, userns: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let dir = File::open(template).step("opening the template")?;
    let mount = clone_mount(dir.as_fd(), c"").step("mounting the template")?;
    let flags = MountFlags { readonly: true, nodev: true, ..MountFlags::default() };
    idmap_mount(mount.as_fd(), userns, flags).fatal("shifting the ids of the template")?;
    Ok(mount)
}

fn path(number: u32) -> String {
    format!("/dev/loop{number}")
}

fn bind(image: &File) -> io::Result<(File, u32)> {
    let control = LoopControl::open()?;
    let mut last = io::Error::from(io::ErrorKind::ResourceBusy);
    for _ in 0..ATTEMPTS {
        let number = control.free_device()?;
        let device = match open_device(number) {
            Ok(device) => device,
            Err(error) => {
                last = error;
                continue;
            }
        };
        match configure_loop(device.as_fd(), image.as_fd(), SECTOR) {
            Ok(()) => return Ok((device, number)),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Opens a loop device; makes its node where no udev or devtmpfs does.
fn open_device(number: u32) -> io::Result<File> {
    let path = path(number);
    let open = || File::options().read(true).write(true).open(&path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = Mode::S_IRUSR | Mode::S_IWUSR;
            mknod(path.as_str(), SFlag::S_IFBLK, mode, makedev(7, u64::from(number)))?;
            open()
        }
        result => result,
    }
}
