//! What PID 1, and a program that joins it, may not do. The user namespace already takes away all power over the host; this takes away what would
//! only be noise or a larger surface.

use std::os::fd::BorrowedFd;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout};

use super::seccomp;
use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::{
    drop_bounding_capability, install_seccomp, new_session_keyring, reset_signals, set_nice,
};

/// Capabilities that no process of a guest can ever get, and why. None of them would work in a user namespace; without
/// them, software sees at once that it should not try.
const DROPPED: [(u32, &str); 8] = [
    (16, "CAP_SYS_MODULE: the kernel is the host's"),
    (17, "CAP_SYS_RAWIO: there is no hardware; debugfs and tracefs mounts of systemd depend on it"),
    (25, "CAP_SYS_TIME: the clock is the host's"),
    (30, "CAP_AUDIT_CONTROL: the audit log is the host's"),
    (32, "CAP_MAC_OVERRIDE: security modules are the host's"),
    (33, "CAP_MAC_ADMIN: security modules are the host's"),
    (35, "CAP_WAKE_ALARM: a guest does not wake the host"),
    (37, "CAP_AUDIT_READ: the audit log is the host's"),
];

/// Open files that a process may have by default and at most, as distributions' kernels and systemd set them.
const FILES: (u64, u64) = (1024, 524_288);

/// The hard limit of open files for a plan that says this; 0 for the usual.
pub(crate) fn open_files(asked: u64) -> u64 {
    if asked == 0 { FILES.1 } else { asked }
}

/// Does it, and connects standard input, output and error. The seccomp filter comes last, since it would stop some of
/// the rest.
pub(super) fn apply([input, output, error]: [BorrowedFd<'_>; 3], files: u64) -> Result<(), Failure> {
    for (capability, _) in DROPPED {
        drop_bounding_capability(capability).step("dropping capabilities")?;
    }
    // Without CAP_SYS_RESOURCE the hard limit cannot be raised above what the agent itself has.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).step("reading limits")?;
    let most = most.min(open_files(files));
    setrlimit(Resource::RLIMIT_NOFILE, FILES.0.min(most), most).step("setting limits")?;
    setrlimit(Resource::RLIMIT_CORE, 0, most_core()?).step("setting limits")?;
    new_session_keyring().step("making a keyring")?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    chdir("/").step("entering the root")?;
    dup2_stdin(input).step("connecting standard input")?;
    dup2_stdout(output).step("connecting standard output")?;
    dup2_stderr(error).step("connecting standard error")?;
    reset_signals();
    set_nice(0).step("giving up the monitor's priority")?;
    install_seccomp(&seccomp::program()).fatal("confining system calls")
}

fn most_core() -> Result<u64, Failure> {
    Ok(getrlimit(Resource::RLIMIT_CORE).step("reading limits")?.1)
}
