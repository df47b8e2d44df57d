//! Kernel settings of the guest's namespaces that differ from the kernel's defaults.

use std::fs::File;
use std::io::Write;
use std::os::fd::BorrowedFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::monitor::failure::{Failure, Step};

/// Path below `/proc/sys`, value, and why.
const SETTINGS: [(&str, &str); 1] = [
    // `ping` without privileges for every user, as on distributions' own kernels.
    ("net/ipv4/ping_group_range", "0 65535"),
];

/// Writes them through the mount of proc that this process made itself.
pub(super) fn apply(proc: BorrowedFd<'_>) -> Result<(), Failure> {
    for (name, value) in SETTINGS {
        let path = format!("sys/{name}");
        let file = openat(proc, path.as_str(), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let mut file = File::from(file.step(format!("opening {name}"))?);
        file.write_all(value.as_bytes()).step(format!("setting {name}"))?;
    }
    Ok(())
}
