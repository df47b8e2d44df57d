//! The descriptor-based mount interface (fsopen, open_tree, move_mount, mount_setattr).
#![expect(unsafe_code, reason = "system calls without a wrapper in std or nix")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Flags of a mount (not of its file system).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MountFlags {
    /// Read-only.
    pub(crate) readonly: bool,
    /// Set-user-id bits have no effect.
    pub(crate) nosuid: bool,
    /// Device nodes cannot be opened.
    pub(crate) nodev: bool,
    /// Nothing can be executed.
    pub(crate) noexec: bool,
}

impl MountFlags {
    /// For kernel interfaces (proc, sys, cgroup).
    pub(crate) const KERNEL: Self = Self { readonly: false, nosuid: true, nodev: true, noexec: true };
    /// For memory file systems of the guest.
    pub(crate) const MEMORY: Self = Self { readonly: false, nosuid: true, nodev: true, noexec: false };

    fn bits(self) -> u64 {
        let flag = |on: bool, bit: u64| if on { bit } else { 0 };
        flag(self.readonly, libc::MOUNT_ATTR_RDONLY)
            | flag(self.nosuid, libc::MOUNT_ATTR_NOSUID)
            | flag(self.nodev, libc::MOUNT_ATTR_NODEV)
            | flag(self.noexec, libc::MOUNT_ATTR_NOEXEC)
    }
}

/// A file system that is being configured.
#[derive(Debug)]
pub(crate) struct FsContext(OwnedFd);

impl FsContext {
    /// Begins a new file system of this type.
    pub(crate) fn open(fstype: &CStr) -> io::Result<Self> {
        // SAFETY: the string is valid and ends with NUL for the length of the call.
        let fd = unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), libc::FSOPEN_CLOEXEC) };
        new_fd(fd).map(Self)
    }

    /// Sets `key=value`.
    pub(crate) fn set(&self, key: &str, value: &str) -> io::Result<()> {
        let (key, value) = (CString::new(key)?, CString::new(value)?);
        self.config(libc::FSCONFIG_SET_STRING, Some(&key), Some(&value))
    }

    /// Sets an option without a value.
    pub(crate) fn flag(&self, key: &CStr) -> io::Result<()> {
        self.config(libc::FSCONFIG_SET_FLAG, Some(key), None)
    }

    /// Creates the file system and a mount of it that is attached nowhere.
    pub(crate) fn mount(self, flags: MountFlags) -> io::Result<OwnedFd> {
        self.config(libc::FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: takes three integers; the descriptor is ours.
        let fd = unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), libc::FSMOUNT_CLOEXEC, flags.bits())
        };
        new_fd(fd)
    }

    fn config(
        &self,
        command: libc::fsconfig_command,
        key: Option<&CStr>,
        value: Option<&CStr>,
    ) -> io::Result<()> {
        let pointer = |s: Option<&CStr>| s.map_or(ptr::null(), CStr::as_ptr);
        // SAFETY: both pointers are null or NUL-terminated strings that outlive the call.
        let done = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                pointer(key),
                pointer(value),
                0 as libc::c_int,
            )
        };
        if done == 0 { Ok(()) } else { Err(self.explain(io::Error::last_os_error())) }
    }

    /// The kernel's own words about the failure, which it leaves in the context's descriptor.
    fn explain(&self, error: io::Error) -> io::Error {
        let mut text = [0_u8; 512];
        match nix::unistd::read(&self.0, &mut text) {
            Ok(n) if n > 0 => {
                let said = String::from_utf8_lossy(&text[..n]).trim().to_owned();
                io::Error::new(error.kind(), format!("{error} ({said})"))
            }
            _ => error,
        }
    }
}

/// A second, detached mount of what is at `path` below `at` (of `at` itself when `path` is empty).
pub(crate) fn clone_mount(at: BorrowedFd<'_>, path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
    // SAFETY: the string is valid and ends with NUL for the length of the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at.as_raw_fd(), path.as_ptr(), flags) };
    new_fd(fd)
}

/// Changes a detached mount: its ids are shifted by the mapping of a user namespace, and flags are added.
pub(crate) fn idmap_mount(
    mount: BorrowedFd<'_>,
    userns: BorrowedFd<'_>,
    flags: MountFlags,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP | flags.bits(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: userns.as_raw_fd() as u64,
    };
    // SAFETY: the path is empty and NUL-terminated, `attr` lives during the call and its size is given.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    nothing(done)
}

/// Attaches a detached mount at `path` below `at`.
pub(crate) fn move_mount(mount: impl AsFd, at: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    attach(mount.as_fd(), at, path, libc::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Attaches a detached mount exactly on what `onto` refers to.
pub(crate) fn move_mount_onto(mount: impl AsFd, onto: BorrowedFd<'_>) -> io::Result<()> {
    attach(mount.as_fd(), onto, c"", libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH)
}

fn attach(mount: BorrowedFd<'_>, at: BorrowedFd<'_>, path: &CStr, flags: u32) -> io::Result<()> {
    // SAFETY: both strings end with NUL and live during the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            at.as_raw_fd(),
            path.as_ptr(),
            flags,
        )
    };
    nothing(done)
}

fn nothing(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn new_fd(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(result).expect("descriptors are small");
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
