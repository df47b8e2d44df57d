//! One program in the guest, from the fork to the day when nobody asks for its exit code any more.
//!
//! Its output is read only as far as there is room for what the viewer has not taken: so a slow viewer, or none at all,
//! holds up the program and not the monitor, and nothing that the program said is lost while it waits. What was taken
//! stays in the history for a while, for a viewer that comes back.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use berth_proto::{ExecEnd, channel};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::viewer::{Heard, Viewer};
use crate::frames::{END, PIECE};
use crate::monitor::barrier::{Barrier, Signal};
use crate::monitor::caller::say;
use crate::monitor::ring::Ring;
use crate::monitor::sys::{pidfd_send_signal, unread_bytes};
use crate::monitor::wire::Answer;

/// What is kept of each channel.
const HISTORY: usize = 32 << 10;
/// How long joining the guest may take; it can be held up by the guest.
const JOINING: Duration = Duration::from_secs(20);
/// How long a program runs on, or waits, without a viewer.
const ALONE: Duration = Duration::from_secs(10 * 60);
/// How long the end of a program is kept.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// How long a file that is given up may take to go.
const GIVING_UP: Duration = Duration::from_secs(10);
/// What may still be in a terminal when its program has ended.
const IN_A_TERMINAL: u64 = 128 << 10;

/// A channel of output.
#[derive(Debug)]
pub(super) struct Source {
    /// None when no more will come.
    fd: Option<OwnedFd>,
    history: Ring,
    seen: u64,
    /// After the end of the program: what it has left to be read. Others may go on writing, which is not its output.
    left: Option<u64>,
}

impl Source {
    fn new(fd: Option<OwnedFd>) -> Self {
        Self { fd, history: Ring::new(HISTORY), seen: 0, left: None }
    }

    fn unseen(&self) -> u64 {
        self.history.total() - self.seen
    }

    fn room(&self) -> usize {
        HISTORY - usize::try_from(self.unseen()).expect("no more than the buffer holds")
    }

    /// Reads what there is room for, in a bounded number of rounds.
    fn read(&mut self) {
        let mut bytes = [0_u8; PIECE];
        for _ in 0..16 {
            let Some(fd) = &self.fd else { return };
            let most = self.left.map_or(PIECE, |left| usize::try_from(left).unwrap_or(PIECE).min(PIECE));
            if most == 0 {
                self.fd = None;
                return;
            }
            let most = most.min(self.room());
            if most == 0 {
                return;
            }
            match nix::unistd::read(fd, &mut bytes[..most]) {
                Ok(n @ 1..) => {
                    self.history.push(&bytes[..n]);
                    self.left = self.left.map(|left| left.saturating_sub(n as u64));
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if self.left.is_none() => return,
                // The end: of a pipe, of a terminal (EIO), or of what a dead program has left.
                Ok(0) | Err(_) => self.fd = None,
            }
        }
    }
}

/// Where what the program reads is written.
#[derive(Debug)]
enum Input {
    Pipe(OwnedFd),
    /// The terminal's other side, which is also read.
    Terminal,
    Closed,
}

/// What kind of process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something of the guest's.
    Program,
    /// Our own process with a file. It dies with its viewer.
    File,
}

/// What a session begins with.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) barrier: Barrier,
    /// The process that joins.
    pub(super) joiner: OwnedFd,
    /// Our ends of standard input, output and error; none with a terminal.
    pub(super) pipes: Option<[OwnedFd; 3]>,
    /// The program's group on cgroup2.
    pub(super) group: PathBuf,
}

/// A program.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    kind: Kind,
    /// Until it runs.
    barrier: Option<Barrier>,
    joiner: Option<OwnedFd>,
    program: Option<OwnedFd>,
    input: Input,
    outputs: [Source; 2],
    group: PathBuf,
    viewer: Option<Viewer>,
    end: Option<ExecEnd>,
    end_sent: bool,
    /// Since when nobody sees it; while it joins: since when it does.
    since: Instant,
    ended_at: Option<Instant>,
    /// To be killed then.
    given_up: Option<Instant>,
    /// It never ran.
    failed: bool,
}

impl Session {
    pub(super) fn new(begun: Begun, viewer: Viewer) -> Self {
        let Begun { id, kind, barrier, joiner, pipes, group } = begun;
        let (input, outputs) = match pipes {
            Some([input, output, error]) => (Input::Pipe(input), [Some(output), Some(error)]),
            None => (Input::Terminal, [None, None]),
        };
        // A file's process does not fork once more.
        let (joiner, program) = match kind {
            Kind::Program => (Some(joiner), None),
            Kind::File => (None, Some(joiner)),
        };
        Self {
            id,
            kind,
            barrier: Some(barrier),
            joiner,
            program,
            input,
            outputs: outputs.map(Source::new),
            group,
            viewer: Some(viewer),
            end: None,
            end_sent: false,
            since: Instant::now(),
            ended_at: None,
            given_up: None,
            failed: false,
        }
    }

    /// Whether somebody may attach to it.
    pub(super) fn is_open(&self) -> bool {
        self.kind == Kind::Program && self.barrier.is_none() && !self.failed
    }

    /// Whether it has a place only for those who may ask for its end.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some() && self.viewer.is_none()
    }

    /// Shows it to another viewer, from these bytes on; the one before is cut off.
    pub(super) fn attach(&mut self, mut viewer: Viewer, seen: [u64; 2]) {
        for (output, seen) in self.outputs.iter_mut().zip(seen) {
            output.seen = output.history.after(seen).0;
        }
        self.end_sent = false;
        if say(viewer.stream(), &self.attached()).is_ok() {
            self.viewer = Some(viewer);
        }
    }

    fn attached(&self) -> Answer {
        Answer::Attached { stdout: self.outputs[0].seen, stderr: self.outputs[1].seen }
    }

    pub(super) fn signal(&self, signal: i32) -> io::Result<()> {
        match (&self.program, self.kind) {
            (Some(program), Kind::Program) => pidfd_send_signal(program.as_fd(), signal),
            _ => Err(io::Error::other("the program does not run")),
        }
    }

    pub(super) fn resize(&self, cols: u16, rows: u16) -> io::Result<()> {
        match (&self.input, &self.outputs[0].fd) {
            (Input::Terminal, Some(master)) => {
                crate::monitor::sys::resize_terminal(master.as_fd(), cols, rows)
            }
            _ => Err(io::Error::other("the program has no terminal")),
        }
    }

    /// Kills it, and all that is in its group.
    pub(super) fn kill(&self) {
        // They fail only for what is dead already.
        let _ = fs::write(self.group.join("cgroup.kill"), "1");
        for pidfd in [&self.program, &self.joiner].into_iter().flatten() {
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Lets go of one that has ended. A group in which something runs on stays for as long as the guest.
    pub(super) fn forget(&self) {
        let _ = fs::remove_dir(&self.group);
    }

    /// Kills it and waits until it is dead, since it may hold the disk. At the guest's end.
    pub(super) fn finish(mut self) {
        self.kill();
        for pidfd in [self.program.take(), self.joiner.take()].into_iter().flatten() {
            let _ = waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
        self.viewer = None;
    }

    /// What to wait for. What is of no interest now is left out, since the end of a channel is told in any case.
    pub(super) fn interests<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        let mut want = |fd: BorrowedFd<'a>, flags| fds.push(PollFd::new(fd, flags));
        if let Some(barrier) = &self.barrier {
            want(barrier.fd(), PollFlags::POLLIN);
        }
        for pidfd in [&self.program, &self.joiner].into_iter().flatten() {
            want(pidfd.as_fd(), PollFlags::POLLIN);
        }
        let pending = self.viewer.as_ref().is_some_and(|viewer| !viewer.pending().is_empty());
        for output in &self.outputs {
            if let Some(fd) = output.fd.as_ref().filter(|_| output.room() > 0) {
                want(fd.as_fd(), PollFlags::POLLIN);
            }
        }
        match (&self.input, &self.outputs[0].fd) {
            (Input::Pipe(fd), _) | (Input::Terminal, Some(fd)) if pending => {
                want(fd.as_fd(), PollFlags::POLLOUT);
            }
            _ => {}
        }
        if let Some(viewer) = self.viewer.as_ref().filter(|_| self.barrier.is_none()) {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, !pending);
            flags.set(PollFlags::POLLOUT, !viewer.has_sent() || self.has_news());
            want(viewer.fd(), flags);
        }
    }

    /// Whether there is something that the viewer has not been sent.
    fn has_news(&self) -> bool {
        self.outputs.iter().any(|output| output.unseen() > 0) || self.end_to_tell().is_some()
    }

    /// The end, when it is the next thing to be said.
    fn end_to_tell(&self) -> Option<ExecEnd> {
        self.end.filter(|_| !self.end_sent && self.outputs.iter().all(|o| o.fd.is_none() && o.unseen() == 0))
    }

    /// Does whatever can be done now; false when nothing is left of it.
    pub(super) fn turn(&mut self) -> bool {
        self.hear_joiner();
        self.reap();
        if self.barrier.is_none() && !self.failed {
            self.carry();
        }
        self.keep_time();
        let alive = self.program.is_some() || self.joiner.is_some() || self.barrier.is_some();
        if alive {
            return true;
        }
        let forgotten = match self.kind {
            Kind::Program => self.ended_at.is_none_or(|at| at.elapsed() > KEPT),
            Kind::File => true,
        };
        let over = self.failed || self.viewer.is_none() && forgotten;
        if over {
            self.forget();
        }
        !over
    }

    /// When [`Self::turn`] has something to do though nothing happens.
    pub(super) fn patience(&self) -> Option<Duration> {
        let soon = self.barrier.is_some() || self.given_up.is_some();
        match (soon, self.viewer.is_none()) {
            (true, _) => Some(Duration::from_secs(1)),
            (false, true) => Some(Duration::from_secs(10)),
            (false, false) => None,
        }
    }

    fn hear_joiner(&mut self) {
        while let Some(barrier) = &self.barrier {
            let message = match barrier.try_receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                result => result,
            };
            let failure = match message {
                Ok(message) if message.signal == Some(Signal::Joined) && self.kind == Kind::File => None,
                Ok(message) if message.signal == Some(Signal::Joined) => {
                    let mut fds = message.fds.into_iter();
                    self.program = fds.next();
                    if let Some(master) = fds.next() {
                        self.outputs[0].fd = Some(master);
                    }
                    continue;
                }
                // Executed, or dead without a word.
                Ok(message) if message.signal.is_none() && self.program.is_some() => None,
                Ok(message) if message.signal.is_none() => {
                    Some("the server did not let the program begin in time".to_owned())
                }
                Ok(message) => Some(message.text),
                Err(error) => Some(error.to_string()),
            };
            self.barrier = None;
            self.begun(failure);
        }
    }

    fn begun(&mut self, failure: Option<String>) {
        self.failed = failure.is_some();
        let answer = match failure {
            Some(message) => Answer::Failed { message },
            None => self.attached(),
        };
        let told = self.viewer.as_mut().is_some_and(|viewer| say(viewer.stream(), &answer).is_ok());
        if self.failed || !told {
            self.viewer = None;
            self.since = Instant::now();
        }
        if self.failed {
            self.kill();
        }
    }

    fn reap(&mut self) {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
        let ended = |pidfd: &OwnedFd| match waitid(Id::PIDFd(pidfd.as_fd()), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
            Ok(WaitStatus::Exited(_, code)) => Some(ExecEnd { code: Some(code), signal: None }),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                Some(ExecEnd { code: None, signal: Some(signal as i32) })
            }
            _ => Some(ExecEnd { code: None, signal: Some(libc::SIGKILL) }),
        };
        if self.joiner.as_ref().and_then(ended).is_some() {
            self.joiner = None;
        }
        if self.barrier.is_some() {
            return; // whether it ever ran is heard first
        }
        if let Some(end) = self.program.as_ref().and_then(ended) {
            self.program = None;
            self.end = Some(end);
            self.ended_at = Some(Instant::now());
            self.forget();
            let terminal = matches!(self.input, Input::Terminal);
            for output in &mut self.outputs {
                let unread = output.fd.as_ref().and_then(|fd| unread_bytes(fd.as_fd()).ok());
                output.left = Some(if terminal { IN_A_TERMINAL } else { unread.unwrap_or(0) });
            }
            if !terminal {
                self.input = Input::Closed;
            }
        }
    }

    /// Bytes in both directions.
    fn carry(&mut self) {
        self.feed();
        self.outputs.iter_mut().for_each(Source::read);
        while let Some(viewer) = &mut self.viewer {
            match viewer.send() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.leave(),
            }
            if self.end_sent {
                return self.leave();
            }
            if let Some((output, name)) =
                self.outputs.iter_mut().zip([channel::STDOUT, channel::STDERR]).find(|(o, _)| o.unseen() > 0)
            {
                let (from, piece) = output.history.after(output.seen);
                let piece = &piece[..piece.len().min(PIECE)];
                viewer.load(name, piece);
                output.seen = from + piece.len() as u64;
                output.read(); // there is room again
                continue;
            }
            let Some(end) = self.end_to_tell() else { return };
            let text = serde_json::to_vec(&end).expect("two numbers are always JSON");
            if let Some(viewer) = &mut self.viewer {
                viewer.load(END, &text);
                self.end_sent = true;
            }
        }
    }

    /// Gives the program what it has been sent.
    fn feed(&mut self) {
        // A bounded number of rounds, so that a viewer that never stops cannot keep us here.
        for _ in 0..16 {
            let Some(viewer) = &mut self.viewer else { return };
            match viewer.hear() {
                Heard::Gone => return self.leave(),
                Heard::EndOfInput => self.end_input(),
                Heard::Bytes => {}
            }
            let Some(viewer) = &mut self.viewer else { return };
            if viewer.pending().is_empty() {
                return;
            }
            let fd = match (&self.input, &self.outputs[0].fd) {
                (Input::Pipe(fd), _) | (Input::Terminal, Some(fd)) => fd,
                _ => {
                    // Nobody will read it.
                    let all = viewer.pending().len();
                    viewer.took(all);
                    continue;
                }
            };
            match nix::unistd::write(fd, viewer.pending()) {
                Ok(n) => viewer.took(n),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                Err(_) => {
                    let all = viewer.pending().len();
                    viewer.took(all);
                    if matches!(self.input, Input::Pipe(_)) {
                        self.input = Input::Closed;
                    }
                }
            }
        }
    }

    fn end_input(&mut self) {
        match (&self.input, &self.outputs[0].fd) {
            // As a person would: Ctrl-D, which a program may read in its own way.
            (Input::Terminal, Some(master)) => {
                let _ = nix::unistd::write(master, &[4]);
            }
            (Input::Terminal, None) => {}
            _ => self.input = Input::Closed,
        }
    }

    /// The viewer has left.
    fn leave(&mut self) {
        self.viewer = None;
        self.since = Instant::now();
        if self.kind == Kind::File
            && let Some(process) = &self.program
        {
            // It looks for this signal when its input ends, and does not take half a file for a whole one.
            let _ = pidfd_send_signal(process.as_fd(), libc::SIGTERM);
            self.input = Input::Closed;
            self.outputs.iter_mut().for_each(|output| output.fd = None);
            self.given_up = Some(Instant::now() + GIVING_UP);
        }
    }

    fn keep_time(&mut self) {
        let joining = self.barrier.is_some() && self.since.elapsed() > JOINING;
        let alone = self.end.is_none() && self.viewer.is_none() && self.since.elapsed() > ALONE;
        let given_up = self.given_up.is_some_and(|at| Instant::now() > at);
        if joining || alone || given_up {
            self.kill();
        }
        if joining {
            self.barrier = None;
            self.begun(Some("the server did not let the program begin in time".into()));
        }
    }
}
