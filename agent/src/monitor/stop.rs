//! Asking a guest's init to stop.
//!
//! Systemd takes `SIGRTMIN+3` as "halt"; other inits take `SIGPWR`. A signal that PID 1 neither handles nor waits for is
//! ignored by the kernel, so what is set up in the process tells which one it understands, and an init that has just
//! been started is asked again a little later.

use std::fs;
use std::os::fd::AsFd;

use super::start::Newborn;
use super::sys::pidfd_send_signal;

/// `SIGRTMIN+3` as the C library counts, which keeps two of the kernel's real-time signals for itself.
const SIGRTMIN_3: i32 = 37;

/// The last signal, which nobody waits for.
const SIGRTMAX: i32 = 64;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The signal was sent, or the guest is gone.
    Yes,
    /// Init does not listen to any signal yet.
    NotReady,
}

/// Asks, if init listens; with the signal that its image names, if it listens to that.
pub(super) fn ask(init: &Newborn, named: Option<i32>) -> Asked {
    let Ok(status) = fs::read_to_string(format!("/proc/{}/status", init.pid)) else { return Asked::Yes };
    match signal_for(&status, named) {
        Some(signal) => {
            // It fails only when the guest is gone.
            let _ = pidfd_send_signal(init.pidfd.as_fd(), signal);
            Asked::Yes
        }
        None => Asked::NotReady,
    }
}

/// The signal that means "stop" to a process with this `/proc/<pid>/status`: blocked (it reads a signalfd) or caught.
fn signal_for(status: &str, named: Option<i32>) -> Option<i32> {
    let mask = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let blocked = mask("SigBlk:").unwrap_or(0);
    if blocked >> (SIGRTMAX - 1) & 1 == 1 {
        // Everything is blocked, as shells do for the moment of a fork. That says nothing.
        return None;
    }
    let listens = blocked | mask("SigCgt:").unwrap_or(0);
    named.into_iter().chain([SIGRTMIN_3, libc::SIGPWR]).find(|signal| listens >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_recognised_by_what_it_blocks() {
        let systemd = "Name:\tsystemd\nSigBlk:\t7fe3c0fe28014a03\nSigIgn:\t0000000000001000\nSigCgt:\t00000000000004ec\n";
        assert_eq!(signal_for(systemd, None), Some(SIGRTMIN_3));
    }

    #[test]
    fn other_inits_get_the_power_signal() {
        let busybox = "SigBlk:\t0000000000000000\nSigCgt:\t0000000020014007\n";
        assert_eq!(signal_for(busybox, None), Some(libc::SIGPWR));
    }

    #[test]
    fn what_the_image_names_goes_first_if_init_listens_to_it() {
        let busybox = "SigBlk:\t0000000000000000\nSigCgt:\t0000000020014807\n";
        assert_eq!(signal_for(busybox, Some(libc::SIGUSR2)), Some(libc::SIGUSR2));
        assert_eq!(signal_for(busybox, Some(SIGRTMIN_3)), Some(libc::SIGPWR));
    }

    #[test]
    fn a_shell_that_forks_just_now_is_not_taken_for_systemd() {
        let status = "SigBlk:\tfffffffe7ffbfeff\nSigCgt:\t0000000020014007\n";
        assert_eq!(signal_for(status, None), None);
    }

    #[test]
    fn an_init_that_listens_to_nothing_is_not_ready() {
        assert_eq!(signal_for("SigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n", None), None);
    }
}
