//! `/proc`, `/sys` and cgroup: the kernel's own file systems, as the guest sees them.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::stat::{Mode, mkdirat};

use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::{FsContext, MountFlags, clone_mount, move_mount_onto};
use crate::monitor::tree::{Attributes, Tree};

/// The guest's `/sys`: systemd takes a read-only one as the sign that devices are not its business.
const READ_ONLY: MountFlags = MountFlags { readonly: true, ..MountFlags::KERNEL };

/// Detached mounts of proc and sysfs, and spare ones.
///
/// The kernel lets a user namespace mount these only where a full one is visible, so they are made while the host's
/// still are. Files of lxcfs and masks will cover parts of the guest's; the spare ones stay uncovered under
/// `/dev/.berth`, so that the guest itself may mount them again (container engines, sandboxed services).
#[derive(Debug)]
pub(super) struct KernelFs {
    /// `/proc`.
    pub(super) proc: OwnedFd,
    sys: OwnedFd,
    spare_proc: OwnedFd,
    spare_sys: OwnedFd,
}

impl KernelFs {
    /// Makes them.
    pub(super) fn prepare() -> Result<Self, Failure> {
        let make = |fs, flags, what| FsContext::open(fs).and_then(|context| context.mount(flags)).fatal(what);
        Ok(Self {
            proc: make(c"proc", MountFlags::KERNEL, "mounting proc")?,
            sys: make(c"sysfs", READ_ONLY, "mounting sysfs")?,
            spare_proc: make(c"proc", MountFlags::KERNEL, "mounting the spare proc")?,
            spare_sys: make(c"sysfs", READ_ONLY, "mounting the spare sysfs")?,
        })
    }

    /// Attaches `/proc` and `/sys`. [`super::devices::make`] makes the place for the spare ones.
    pub(super) fn attach(&self, tree: &Tree) -> Result<(), Failure> {
        for (path, mount) in [("/proc", &self.proc), ("/sys", &self.sys)] {
            let place = tree.directory(path, 0o555).fatal(format!("opening the image's {path}"))?;
            move_mount_onto(mount, place.as_fd()).step(format!("attaching {path}"))?;
        }
        Ok(())
    }

    /// Attaches the spare ones.
    pub(super) fn attach_spare(&self, tree: &Tree) -> Result<(), Failure> {
        for (path, mount) in [("/dev/.berth/proc", &self.spare_proc), ("/dev/.berth/sys", &self.spare_sys)] {
            let place = tree.directory(path, 0o555).step(format!("making {path}"))?;
            move_mount_onto(mount, place.as_fd()).step(format!("attaching {path}"))?;
        }
        Ok(())
    }
}

/// The guest sees cgroup2 and nothing else, whatever the host has.
pub(super) fn attach_cgroup(tree: &Tree) -> Result<(), Failure> {
    let context = FsContext::open(c"cgroup2").fatal("preparing cgroup2")?;
    context.set("source", "cgroup2").step("preparing cgroup2")?;
    let mount = context.mount(MountFlags::KERNEL).fatal("mounting cgroup2")?;
    let place = tree.handle("/sys/fs/cgroup").fatal("finding /sys/fs/cgroup")?;
    move_mount_onto(&mount, place.as_fd()).step("attaching cgroup2")
}

/// A boot id of the guest's own; else all guests of a host share one, and a reboot does not change it.
pub(super) fn boot_id(tree: &Tree) -> Result<(), Failure> {
    let id = random_uuid().step("drawing a boot id")?;
    tree.write("/dev/.berth/boot_id", id.as_bytes(), Attributes::root(0o444)).step("writing the boot id")?;
    cover(tree, "/dev/.berth/boot_id", "/proc/sys/kernel/random/boot_id").step("setting the boot id")
}

fn random_uuid() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let part = |range: std::ops::Range<usize>| hex::encode(&bytes[range]);
    Ok(format!("{}-{}-{}-{}-{}\n", part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)))
}

/// Things of the host that a guest's root cannot change but could read.
const MASKED_FILES: [&str; 5] =
    ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/sysrq-trigger"];
const MASKED_DIRS: [&str; 2] = ["/proc/acpi", "/sys/firmware"];

/// Covers them with `/dev/null` or an empty directory. What this kernel does not have needs no cover.
pub(super) fn mask(tree: &Tree) -> Result<(), Failure> {
    for path in MASKED_FILES.into_iter().filter(|path| tree.exists(path)) {
        cover(tree, "/dev/null", path).step(format!("masking {path}"))?;
    }
    let dev = tree.directory("/dev/.berth", 0o700).step("opening /dev/.berth")?;
    mkdirat(&dev, "empty", Mode::S_IRUSR | Mode::S_IXUSR).step("making an empty directory")?;
    for path in MASKED_DIRS.into_iter().filter(|path| tree.exists(path)) {
        cover(tree, "/dev/.berth/empty", path).step(format!("masking {path}"))?;
    }
    Ok(())
}

fn cover(tree: &Tree, with: &str, path: &str) -> std::io::Result<()> {
    let mount = clone_mount(tree.handle(with)?.as_fd(), c"")?;
    move_mount_onto(&mount, tree.handle(path)?.as_fd())
}
