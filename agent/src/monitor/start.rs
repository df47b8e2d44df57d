//! The parent's half of a start. The child's half is in [`super::child`].
//!
//! The order is set by what needs what: the ids of the disk need the child's user namespace; the child's root needs the
//! disk; the agent makes the interface in the child's network namespace meanwhile; the child's view of cgroups must be
//! cut off after it has been put into them. Whatever fails, dropping [`Newborn`] kills the child, and with it and this
//! process's descriptors everything that was made is gone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use berth_proto::Exit;
use chrono::{DateTime, Utc};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::barrier::{self, Barrier, Signal};
use super::disk::{Disk, attach_template};
use super::failure::{Failure, Step};
use super::sys::{Clone3, Forked, clone3, pidfd_send_signal};
use super::wire::{ExitRecord, FromMonitor, Start, ToMonitor};
use super::{child, exit};
use crate::failpoint;

/// A guest whose PID 1 runs, and what keeps it alive.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) newborn: Newborn,
    pub(crate) started_at: DateTime<Utc>,
    /// What people should know about this start; usually nothing.
    pub(crate) notice: Option<String>,
    pub(crate) disk: Disk,
    /// Console: our side, and the guest's, which is held so that ours never hangs up.
    pub(crate) console: (OwnedFd, OwnedFd),
    pub(crate) listener: UnixListener,
    pub(crate) lock: File,
}

/// The child, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    reaped: bool,
}

impl Newborn {
    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> nix::Result<WaitStatus> {
        let status = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED)?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if !self.reaped {
            // It fails only when the child is dead already.
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = self.wait();
        }
    }
}

/// The agent's end of the start channel is gone or talks nonsense.
pub(crate) type Channel = BufReader<UnixStream>;

/// Says something to the agent. An agent that is gone is noticed when its word is needed.
pub(crate) fn tell(channel: &mut Channel, message: &FromMonitor) {
    let mut line = serde_json::to_vec(message).expect("messages are plain data");
    line.push(b'\n');
    let _ = channel.get_mut().write_all(&line);
}

/// Hears one message of the agent.
pub(crate) fn hear(channel: &mut Channel) -> std::io::Result<ToMonitor> {
    let mut line = String::new();
    if channel.read_line(&mut line)? == 0 {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the agent is gone"));
    }
    Ok(serde_json::from_str(&line)?)
}

/// Takes the VPS's lock; none if another monitor keeps it.
pub(crate) fn lock(start: &Start) -> Result<Option<File>, Failure> {
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&start.lock_file)
        .step("opening the lock")?;
    // A monitor whose agent died in the middle of a start is on its way out; give it the time to go.
    for _ in 0..200 {
        match file.try_lock() {
            Ok(()) => {
                // For an agent that has to get rid of a monitor that hangs.
                let pid = std::process::id().to_string();
                file.set_len(0)
                    .and_then(|()| (&file).write_all(pid.as_bytes()))
                    .step("noting the monitor's pid")?;
                return Ok(Some(file));
            }
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(fs::TryLockError::Error(error)) => return Err(error).step("taking the lock"),
        }
    }
    Ok(None)
}

/// Starts the guest.
pub(crate) fn start(start: &Start, lock: File, channel: &mut Channel) -> Result<Running, Failure> {
    let socket = start.run_dir.join("ctl.sock");
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).step("making the control socket")?;

    let most = child::confine::open_files(start.open_files);
    let (_, own) = getrlimit(Resource::RLIMIT_NOFILE).step("reading limits")?;
    if start.open_files > own {
        // Needs a right that not every agent has; without it the guest gets what this process has, and the report tells.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, own.min(most), most);
    }
    let cgroup = File::open(&start.cgroup_v2).step("opening the guest's cgroup")?;
    let (ours, theirs) = barrier::pair().step("making a channel")?;
    let namespaces = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC;
    let how = Clone3 { namespaces: namespaces as u64, sibling: false, cgroup: Some(cgroup.as_fd()) };
    let newborn = match clone3(how).fatal("making the guest's namespaces")? {
        Forked::Child => {
            drop(ours);
            drop(lock); // the monitor's alone: a copy that hangs must not keep the VPS locked
            child::run(start, &theirs)
        }
        Forked::Parent { pid, pidfd } => Newborn { pid, pidfd, reaped: false },
    };
    drop(theirs);
    failpoint::hit("monitor.start.cloned");

    map_ids(newborn.pid, start.id_base)?;
    tell(channel, &FromMonitor::Cloned { pid: newborn.pid });
    ours.send(Signal::Mapped, "", &[]).step("waking the guest's first process")?;

    let userns = File::open(format!("/proc/{}/ns/user", newborn.pid)).step("opening the user namespace")?;
    let disk = Disk::attach(&start.image, userns.as_fd())?;
    let template = attach_template(&start.template, userns.as_fd())?;
    let layers = [template.as_fd(), disk.mount.as_fd()];
    ours.send(Signal::Layers, "", &layers).step("handing over the layers")?;
    failpoint::hit("monitor.start.layers");

    for dir in &start.cgroups_v1 {
        let procs = dir.join("cgroup.procs");
        fs::write(&procs, newborn.pid.to_string()).step(format!("joining {}", dir.display()))?;
    }
    wait_for_go(channel, &ours)?;
    failpoint::hit("monitor.start.go");
    ours.send(Signal::Go, "", &[]).step("letting the guest go")?;

    let (console, notice) = first_answer(&ours)?;
    let end = ours.receive().step("waiting for PID 1")?;
    if end.signal.is_some() {
        return Err(told(&end.text, end.signal == Some(Signal::FailedForGood)));
    }
    // Overwritten when the end is seen; so a monitor that dies has said beforehand that it was not.
    let lost = ExitRecord { boot_epoch: start.boot_epoch, exit: Exit::Lost };
    exit::record(&start.exit_file, lost, false).step("preparing the exit record")?;
    Ok(Running { newborn, started_at: Utc::now(), notice, disk, console, listener, lock })
}

fn map_ids(pid: i32, base: u32) -> Result<(), Failure> {
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{map}"), format!("0 {base} 65536")).step("mapping the guest's ids")?;
    }
    // What this process may have got for itself is not for the guest.
    fs::write(format!("/proc/{pid}/oom_score_adj"), "0").step("resetting the guest's OOM score")
}

/// Waits for the agent's word, or for a child that fails before it.
fn wait_for_go(channel: &mut Channel, child: &Barrier) -> Result<(), Failure> {
    if channel.buffer().is_empty() {
        let mut fds = [
            PollFd::new(channel.get_ref().as_fd(), PollFlags::POLLIN),
            PollFd::new(child.fd(), PollFlags::POLLIN),
        ];
        poll(&mut fds, PollTimeout::NONE).step("waiting for the agent")?;
        if fds[1].any() == Some(true) {
            let message = child.receive().step("hearing the guest's first process")?;
            return Err(told(&message.text, message.signal == Some(Signal::FailedForGood)));
        }
    }
    match hear(channel).step("waiting for the agent")? {
        ToMonitor::Go => Ok(()),
        ToMonitor::Start(_) => Err(Failure::refused("waiting for the agent", "it sent a second start")),
    }
}

/// The console, and what people should know.
fn first_answer(child: &Barrier) -> Result<((OwnedFd, OwnedFd), Option<String>), Failure> {
    let message = child.receive().step("waiting for the console")?;
    match message.signal {
        Some(Signal::Console) => {
            let mut fds = message.fds.into_iter();
            let pair = fds.next().zip(fds.next());
            let pair =
                pair.ok_or_else(|| Failure::refused("waiting for the console", "descriptors are missing"))?;
            Ok((pair, Some(message.text).filter(|text| !text.is_empty())))
        }
        signal => Err(told(&message.text, signal == Some(Signal::FailedForGood))),
    }
}

/// A failure as the child told it; an empty text means that it was killed.
fn told(text: &str, terminal: bool) -> Failure {
    let text = if text.is_empty() { "it was killed before PID 1 ran" } else { text };
    let source = std::io::Error::other(text.to_owned());
    Failure { step: "in the guest's namespaces".into(), terminal, source }
}
