//! Device nodes for guests that everybody in a guest may open.
//!
//! A guest gets the host's nodes bound into its `/dev`, with their owner and mode. Those of `tun` and `fuse` are for
//! everybody where udev has set them, and for root alone where it has not; a guest's root is not the host's. For such a
//! host there are nodes of our own, on a small memory file system, because a bind mount shows its path within its file
//! system to the guest. It goes when nothing runs any more.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::make_private_dir;

/// Name below `/dev`, and numbers.
const NODES: [(&str, u64, u64); 2] = [("net/tun", 10, 200), ("fuse", 10, 229)];

/// Read and write for all others.
const FOR_ALL: u32 = 0o006;

/// Makes the nodes if this host needs them; where they are.
pub(super) fn ensure(run_dir: &Path) -> io::Result<Option<PathBuf>> {
    let dir = run_dir.join("devices");
    let host = Path::new("/dev");
    if NODES.iter().all(|(name, ..)| !host.join(name).exists() || is_right(&host.join(name), None)) {
        return Ok(None);
    }
    if !NODES.iter().all(|(name, major, minor)| is_right(&dir.join(name), Some(makedev(*major, *minor)))) {
        make(&dir)?;
    }
    Ok(Some(dir))
}

/// Takes them away. Only when no guest runs.
pub(super) fn remove(run_dir: &Path) {
    let dir = run_dir.join("devices");
    if dir.exists() {
        let _ = umount2(&dir, MntFlags::MNT_DETACH); // not mounted: nothing to do
        let _ = fs::remove_dir(&dir);
    }
}

fn is_right(path: &Path, numbers: Option<u64>) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| {
        let device = meta.file_type().is_char_device() && numbers.is_none_or(|n| meta.rdev() == n);
        device && meta.mode() & FOR_ALL == FOR_ALL
    })
}

fn make(dir: &Path) -> io::Result<()> {
    let _ = umount2(dir, MntFlags::MNT_DETACH); // half of it, from an agent that died
    make_private_dir(dir)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(Some("berth-devices"), dir, Some("tmpfs"), flags, Some("mode=0700,size=64k"))?;
    for (name, major, minor) in NODES {
        let path = dir.join(name);
        make_private_dir(path.parent().unwrap_or(dir))?;
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), makedev(major, minor))?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?; // the umask cuts what mknod is given
    }
    Ok(())
}
