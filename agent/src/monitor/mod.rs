//! `berth-monitor`: the parent of one VPS.
//!
//! One small process with one thread for each running VPS. It makes the guest's namespaces, hands it its disk, keeps
//! its console, its control socket and its pidfd, and writes down how it ended. It outlives the agent that started it.
//!
//! It is a binary of its own, without tokio, because a process that clones itself must have one thread: in the copy,
//! locks of other threads stay taken for ever.
//!
//! Nothing that it makes has to be cleaned up by anybody: its mounts are attached nowhere (in its own mount namespace
//! neither), the loop device frees itself when the last mount is gone, and the guest dies with its monitor. What has a
//! name (cgroups, the host's side of the interface, files) is made by the agent.
//!
//! The same binary unpacks templates (`berth-monitor unpack`), because that too wants a process with one thread that
//! has given up the host's file tree.

mod barrier;
mod caller;
mod child;
mod disk;
mod exec;
mod exit;
mod failure;
mod helper;
mod join;
mod oom;
mod ring;
mod serve;
mod squashfs;
mod start;
mod stop;
mod sys;
mod tree;
mod unpack;
pub mod wire;

pub(crate) use child::confine::open_files;

use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use nix::sys::prctl::set_dumpable;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stdin, setsid};

use self::failure::Failure;
use self::wire::{FromMonitor, Start, ToMonitor};

/// First argument for the monitor of a VPS; its standard input is the start channel.
pub const VPS: &str = "vps";
/// First argument for the unpacker: then the format and the destination; standard input is the archive.
pub const UNPACK: &str = "unpack";

/// The binary's `main`.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some(VPS) => vps(),
        Some(UNPACK) => unpack::main(arguments),
        _ => Err(io::Error::other("this program is started by berth-agent")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn vps() -> io::Result<()> {
    sys::close_from(3)?;
    // All of these fail only if they have been done already or the host is stranger than they matter.
    let _ = setsid();
    chdir("/")?;
    set_dumpable(false)?;
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let _ = std::fs::write("/proc/self/oom_score_adj", "-900");
    // It works for a few milliseconds when a guest starts or ends, and somebody waits for that.
    let _ = sys::set_nice(-5);
    let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    let mut channel = BufReader::new(channel);
    let ToMonitor::Start(start) = start::hear(&mut channel)? else {
        return Err(io::Error::other("the first message must be a start"));
    };
    match begin(&start, &mut channel) {
        Ok(Some(running)) => {
            let (started_at, notice) = (running.started_at, running.notice.clone());
            start::tell(&mut channel, &FromMonitor::Running { started_at, notice });
            drop(channel);
            serve::Monitor::new(&start, running)?.run()
        }
        Ok(None) => {
            start::tell(&mut channel, &FromMonitor::Busy);
            Ok(())
        }
        Err(failure) => {
            let _ = std::fs::remove_file(start.run_dir.join("ctl.sock"));
            let (message, terminal) = (failure.to_string(), failure.terminal);
            start::tell(&mut channel, &FromMonitor::Failed { message, terminal });
            Err(io::Error::other(failure.to_string()))
        }
    }
}

/// None: another monitor holds this VPS.
fn begin(start: &Start, channel: &mut start::Channel) -> Result<Option<start::Running>, Failure> {
    match start::lock(start)? {
        Some(lock) => start::start(start, lock, channel).map(Some),
        None => Ok(None),
    }
}
