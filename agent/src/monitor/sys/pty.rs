//! Pseudo-terminals of a chosen devpts instance.
#![expect(unsafe_code, reason = "ioctls without a wrapper in std or nix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Unlocks the other side of a pty master and gives it 80 columns and 24 rows.
pub(crate) fn open_terminal(master: BorrowedFd<'_>) -> io::Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the argument has the type that the request takes and lives during the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) };
    if done == 0 { resize_terminal(master, 80, 24) } else { Err(io::Error::last_os_error()) }
}

/// Changes the size of a pty; whoever runs in its foreground gets SIGWINCH when it is another than before.
pub(crate) fn resize_terminal(master: BorrowedFd<'_>, cols: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the argument has the type that the request takes and lives during the call.
    let done = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The other side of a pty master, whatever is mounted where its path would be.
pub(crate) fn peer_of_pty(master: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: takes an integer and returns a descriptor or -1.
    let fd = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a terminal the controlling one of this session, which must be its leader's and have none.
pub(crate) fn take_terminal(slave: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the request takes an integer.
    let done = unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0 as libc::c_int) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many bytes a pipe holds that nobody has read.
pub(crate) fn unread_bytes(pipe: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the argument has the type that the request takes and lives during the call.
    let done = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if done == 0 { Ok(u64::try_from(bytes).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
