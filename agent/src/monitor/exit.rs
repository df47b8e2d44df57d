//! How a guest's PID 1 ended, and the record of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use berth_proto::Exit;
use nix::sys::wait::WaitStatus;

use super::wire::ExitRecord;

/// Reads the wait status of a PID 1.
///
/// `reboot(2)` inside a pid namespace makes the kernel kill that namespace's PID 1: with SIGHUP for a restart, with
/// SIGINT for halt and power-off. `asked` tells that the control plane wanted the guest to end: then it does not
/// matter how it did. `oom` tells whether the kernel has killed a process of the guest for want of memory just now.
pub(crate) fn decode(status: WaitStatus, asked: bool, oom: impl FnOnce() -> bool) -> Exit {
    use nix::sys::signal::Signal;
    if asked {
        return Exit::Stopped;
    }
    match status {
        WaitStatus::Signaled(_, Signal::SIGHUP, _) => Exit::Reboot,
        WaitStatus::Signaled(_, Signal::SIGINT, _) => Exit::Halt,
        WaitStatus::Signaled(_, Signal::SIGKILL, _) if oom() => Exit::Oom,
        WaitStatus::Signaled(_, signal, _) => Exit::Signal(signal as i32),
        WaitStatus::Exited(_, code) => Exit::Code(code),
        _ => Exit::Lost,
    }
}

/// Puts the record in place, whole or not at all; `durably`, so that it outlasts a loss of power.
pub(crate) fn record(path: &Path, record: ExitRecord, durably: bool) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let mut file = File::create(&tmp)?;
    file.write_all(&serde_json::to_vec(&record)?)?;
    if durably {
        file.sync_all()?;
    }
    fs::rename(&tmp, path)
}

#[cfg(test)]
mod tests {
    use nix::sys::signal::Signal;
    use nix::unistd::Pid;

    use super::*;

    #[test]
    fn reboot_and_halt_are_told_apart() {
        let killed = |signal| WaitStatus::Signaled(Pid::from_raw(7), signal, false);
        let exit = |status| decode(status, false, || false);
        assert_eq!(exit(killed(Signal::SIGHUP)), Exit::Reboot);
        assert_eq!(exit(killed(Signal::SIGINT)), Exit::Halt);
        assert_eq!(exit(killed(Signal::SIGKILL)), Exit::Signal(9));
        assert_eq!(decode(killed(Signal::SIGKILL), false, || true), Exit::Oom);
        assert_eq!(decode(killed(Signal::SIGSEGV), false, || true), Exit::Signal(11));
        assert_eq!(exit(WaitStatus::Exited(Pid::from_raw(7), 3)), Exit::Code(3));
        assert_eq!(decode(killed(Signal::SIGHUP), true, || true), Exit::Stopped);
    }

    #[test]
    fn the_record_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("exit.json");
        for exit in [Exit::Halt, Exit::Code(1)] {
            record(&path, ExitRecord { boot_epoch: 4, exit }, true).unwrap();
            let back: ExitRecord = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(back, ExitRecord { boot_epoch: 4, exit });
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
