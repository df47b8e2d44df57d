//! Loop devices, and the ext4 on them.
#![expect(unsafe_code, reason = "ioctls without a wrapper in std or nix")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// `struct loop_info64`.
#[repr(C)]
struct LoopInfo {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// `/dev/loop-control`.
#[derive(Debug)]
pub(crate) struct LoopControl(File);

impl LoopControl {
    /// Opens the control device.
    pub(crate) fn open() -> io::Result<Self> {
        File::options().read(true).write(true).open("/dev/loop-control").map(Self)
    }

    /// The number of a device that was free a moment ago; made if there was none.
    pub(crate) fn free_device(&self) -> io::Result<u32> {
        // SAFETY: this ioctl has no argument.
        let number = unsafe { libc::ioctl(self.0.as_raw_fd(), LOOP_CTL_GET_FREE) };
        u32::try_from(number).map_err(|_| io::Error::last_os_error())
    }
}

/// Binds a file to a loop device, with direct I/O (no second copy of the pages) if the file system can, and such that
/// the device frees itself when its last user has gone. `EBUSY` when somebody else was faster.
pub(crate) fn configure_loop(
    device: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    block_size: u32,
) -> io::Result<()> {
    // SAFETY: all fields are integers, for which zero is valid and means absent.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.fd = u32::try_from(file.as_raw_fd()).expect("an open descriptor is not negative");
    config.block_size = block_size;
    config.info.flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    // SAFETY: `config` has the layout of struct loop_config and lives during the call.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Tells a loop device that its file has grown.
pub(crate) fn refresh_size(device: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_SET_CAPACITY: libc::c_ulong = 0x4C07;
    // SAFETY: this ioctl has no argument.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_CAPACITY) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Grows a mounted ext4 to so many of its blocks. Needs `CAP_SYS_RESOURCE`.
pub(crate) fn grow_fs(root: BorrowedFd<'_>, blocks: u64) -> io::Result<()> {
    const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;
    // SAFETY: the argument is a 64-bit number that lives during the call; the kernel only reads it.
    let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes an ext4 file system fail every further access and forget what it has not written.
pub(crate) fn shut_down_fs(root: BorrowedFd<'_>) -> io::Result<()> {
    const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
    const WITHOUT_LOG_FLUSH: u32 = 2;
    // SAFETY: the argument is a 32-bit number that lives during the call; the kernel only reads it.
    let done = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN, &WITHOUT_LOG_FLUSH) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_the_kernels() {
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
