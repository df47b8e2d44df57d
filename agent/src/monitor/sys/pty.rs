//! Pseudo-terminals of a chosen devpts instance.
#![expect(unsafe_code, reason = "ioctls without a wrapper in std or nix")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Unlocks the other side of a pty master and gives it 80 columns and 24 rows.
pub(crate) fn open_terminal(master: BorrowedFd<'_>) -> io::Result<()> {
    let unlocked: libc::c_int = 0;
    let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: both arguments have the type that the request takes and live during the calls.
    let done = unsafe {
        match libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) {
            0 => libc::ioctl(master.as_raw_fd(), libc::TIOCSWINSZ, &raw const size),
            failed => failed,
        }
    };
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
