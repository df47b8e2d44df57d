//! Asking a guest's init to stop.
//!
//! Each init has its own word for it, and the kernel drops a signal that PID 1 neither handles nor waits for. So what is
//! set up in the process tells which one it understands, and an init that has just been started is asked again a little
//! later. In this order:
//!
//! | Init | Listens to | Is sent | Does |
//! |---|---|---|---|
//! | any, when its image names a signal | that signal | that signal | what the image's maker knows |
//! | systemd | `SIGRTMIN+3` | `SIGRTMIN+3` | halts |
//! | busybox (Alpine with OpenRC too) | `SIGUSR1`, `SIGUSR2`, `SIGPWR`, `SIGTERM` | `SIGUSR2` | runs `shutdown` of inittab, powers off |
//! | sysvinit | `SIGPWR`, never `SIGTERM` | `SIGPWR` | runs `powerfail` of inittab |
//! | openrc-init, a shell, a program | `SIGTERM` | `SIGTERM` | shuts down, ends |
//!
//! `SIGTERM` comes last because to busybox it means "reboot". An init that listens to none of them is killed when
//! patience ends; that is the reconciler's.

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
    // Only its name is looked at, and only to choose among signals that it listens to.
    let program = fs::read_link(format!("/proc/{}/exe", init.pid)).unwrap_or_default();
    let busybox = program.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"busybox"));
    match signal_for(&status, busybox, named) {
        Some(signal) => {
            // It fails only when the guest is gone.
            let _ = pidfd_send_signal(init.pidfd.as_fd(), signal);
            Asked::Yes
        }
        None => Asked::NotReady,
    }
}

/// The signal that means "stop" to a process with this `/proc/<pid>/status`: blocked (it reads a signalfd, or waits for
/// it) or caught.
fn signal_for(status: &str, busybox: bool, named: Option<i32>) -> Option<i32> {
    let mask = |field: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(field))?;
        u64::from_str_radix(value.trim(), 16).ok()
    };
    let blocked = mask("SigBlk:").unwrap_or(0);
    if blocked >> (SIGRTMAX - 1) & 1 == 1 {
        // Everything is blocked, as shells do for the moment of a fork. That says nothing.
        return None;
    }
    let heard = blocked | mask("SigCgt:").unwrap_or(0);
    let listens = |signal: i32| heard >> (signal - 1) & 1 == 1;
    let like_busybox = [libc::SIGUSR1, libc::SIGTERM, libc::SIGPWR].into_iter().all(listens);
    let named = named.filter(|signal| (1..=SIGRTMAX).contains(signal) && listens(*signal));
    // While it waits by sigtimedwait(2) the kernel shows none of the signals that it waits for; this one it catches.
    let busybox_is_ready = listens(libc::SIGUSR2) || listens(libc::SIGTSTP);
    if named.is_some() {
        named
    } else if listens(SIGRTMIN_3) {
        Some(SIGRTMIN_3)
    } else if (listens(libc::SIGUSR2) && like_busybox) || (busybox && busybox_is_ready) {
        Some(libc::SIGUSR2)
    } else if busybox {
        None // its handlers are not all there yet, and SIGTERM would reboot it
    } else {
        [libc::SIGPWR, libc::SIGTERM].into_iter().find(|signal| listens(*signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status in which these signals are caught.
    fn catches(signals: &[i32]) -> String {
        let mask = signals.iter().fold(0_u64, |mask, signal| mask | 1 << (signal - 1));
        format!("Name:\tinit\nSigBlk:\t0000000000000000\nSigCgt:\t{mask:016x}\n")
    }

    #[test]
    fn systemd_is_recognised_by_what_it_blocks() {
        let systemd = "Name:\tsystemd\nSigBlk:\t7fe3c0fe28014a03\nSigIgn:\t0000000000001000\nSigCgt:\t00000000000004ec\n";
        assert_eq!(signal_for(systemd, false, None), Some(SIGRTMIN_3));
    }

    #[test]
    fn sysvinit_gets_the_power_signal_and_never_the_one_that_closes_its_pipe() {
        use libc::{SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGPWR, SIGUSR1, SIGUSR2, SIGWINCH};
        let sysvinit =
            catches(&[SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGALRM, SIGCHLD, SIGCONT, SIGWINCH, SIGPWR]);
        assert_eq!(signal_for(&sysvinit, false, None), Some(SIGPWR));
    }

    #[test]
    fn busybox_is_powered_off_and_not_rebooted() {
        use libc::{SIGHUP, SIGINT, SIGPWR, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
        let all = catches(&[SIGHUP, SIGINT, SIGQUIT, SIGPWR, SIGUSR1, SIGUSR2, SIGTERM]);
        assert_eq!(signal_for(&all, false, None), Some(SIGUSR2), "by what it listens to");
        let waits = "SigBlk:\t0000000020014807\nSigCgt:\t0000000000000000\n";
        assert_eq!(signal_for(waits, true, None), Some(SIGUSR2), "by its name");
        let shown = "SigBlk:\t0000000000000000\nSigIgn:\t0000000180000000\nSigCgt:\t0000000000080000\n";
        assert_eq!(signal_for(shown, true, None), Some(SIGUSR2), "as busybox 1.35 shows itself");
        assert_eq!(signal_for(&catches(&[SIGTERM]), true, None), None, "not ready yet");
    }

    #[test]
    fn a_program_gets_the_usual_signal() {
        use libc::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2};
        let program = catches(&[SIGHUP, SIGINT, SIGTERM, SIGCHLD, SIGUSR2]);
        assert_eq!(signal_for(&program, false, None), Some(SIGTERM));
        let shell = "SigBlk:\t0000000000000000\nSigCgt:\t0000000020014007\n";
        assert_eq!(signal_for(shell, false, None), Some(libc::SIGPWR));
    }

    #[test]
    fn what_the_image_names_goes_first_if_init_listens_to_it() {
        let systemd = "SigBlk:\t7fe3c0fe28014a03\nSigCgt:\t00000000000004ec\n";
        assert_eq!(signal_for(systemd, false, Some(libc::SIGTERM)), Some(libc::SIGTERM));
        assert_eq!(signal_for(&catches(&[libc::SIGTERM]), false, Some(libc::SIGUSR1)), Some(libc::SIGTERM));
        assert_eq!(signal_for(systemd, false, Some(-1)), Some(SIGRTMIN_3));
    }

    #[test]
    fn a_shell_that_forks_just_now_is_not_taken_for_systemd() {
        let status = "SigBlk:\tfffffffe7ffbfeff\nSigCgt:\t0000000020014007\n";
        assert_eq!(signal_for(status, false, None), None);
    }

    #[test]
    fn an_init_that_listens_to_nothing_is_not_ready() {
        assert_eq!(signal_for(&catches(&[]), false, None), None);
    }
}
