//! The monitor's life after the start: one `poll` over the guest's pidfd, the console, and the control socket.
//!
//! Everything here is bounded: connections, request size, console history. A caller that does not read is dropped; one
//! that does not write costs a slot until it leaves or a newer one needs it. The guest can fill the console as fast as
//! it likes: it is read and forgotten.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use berth_proto::Exit;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::caller::{Caller, Role, View, say};
use super::exit;
use super::helper::Helper;
use super::oom::OomWatch;
use super::ring::Ring;
use super::start::Running;
use super::stop::{self, Asked};
use super::sys::{pidfd_send_signal, resize_terminal};
use super::wire::{Answer, ExitRecord, Request, Start};

const MAX_CONNECTIONS: usize = 32;
const MAX_REQUEST: usize = 8 << 10;
const CONSOLE_HISTORY: usize = 64 << 10;
/// How often an init that was not ready to be asked is looked at again, in milliseconds.
const ASK_AGAIN: u16 = 100;
/// How often viewers that are behind are looked at, in milliseconds.
const VIEWER_CHECK: u16 = 1000;

/// The monitor of a running guest.
pub(super) struct Monitor<'a> {
    start: &'a Start,
    running: Running,
    history: Ring,
    callers: VecDeque<Caller>,
    helper: Option<Helper>,
    /// The control plane wants the guest to end.
    asked: bool,
    /// The guest's init could not be asked yet.
    ask_pending: bool,
    oom: OomWatch,
}

impl<'a> Monitor<'a> {
    pub(super) fn new(start: &'a Start, running: Running) -> io::Result<Self> {
        nonblocking(&running.console.0)?;
        running.listener.set_nonblocking(true)?;
        Ok(Self {
            start,
            running,
            history: Ring::new(CONSOLE_HISTORY),
            callers: VecDeque::with_capacity(MAX_CONNECTIONS),
            helper: None,
            asked: false,
            ask_pending: false,
            oom: OomWatch::new(start),
        })
    }

    /// Serves until the guest has ended; leaves the exit record and nothing else.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let mut fds = Vec::with_capacity(4 + self.callers.len());
            fds.push(PollFd::new(self.running.newborn.pidfd.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(self.running.console.0.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(self.running.listener.as_fd(), PollFlags::POLLIN));
            let helper = self.helper.as_ref().map(|helper| helper.fd());
            fds.extend(helper.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            let others = fds.len();
            fds.extend(self.callers.iter().map(|c| PollFd::new(c.stream.as_fd(), c.wants(&self.history))));
            let behind = self.callers.iter().any(|c| c.wants(&self.history).contains(PollFlags::POLLOUT));
            let timeout = match (self.ask_pending, behind) {
                (true, _) => PollTimeout::from(ASK_AGAIN),
                (false, true) => PollTimeout::from(VIEWER_CHECK),
                (false, false) => PollTimeout::NONE,
            };
            match poll(&mut fds, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
            drop(fds);

            if ready[0] {
                return self.finish();
            }
            if ready[1] {
                self.console();
            }
            if others > 3 && ready[3] {
                self.helper_done();
            }
            for (index, _) in ready[others..].iter().enumerate().filter(|(_, ready)| **ready) {
                self.hear(index);
            }
            self.show();
            if self.ask_pending {
                self.ask_to_stop();
            }
            self.callers.retain(|caller| caller.role != Role::Done);
            if ready[2] {
                self.accept();
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.running.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.callers.len() >= MAX_CONNECTIONS {
                // The oldest that only occupies a place makes room; else the newcomer goes.
                match self.callers.iter().position(|c| c.role != Role::Waiting) {
                    Some(index) => drop(self.callers.remove(index)),
                    None => continue,
                }
            }
            self.callers.push_back(Caller { stream, request: Vec::new(), role: Role::Asking });
        }
    }

    /// Reads from one caller.
    fn hear(&mut self, index: usize) {
        let mut bytes = [0_u8; 2048];
        let caller = &mut self.callers[index];
        match caller.stream.read(&mut bytes) {
            Ok(0) => caller.role = Role::Done,
            Ok(n) if matches!(caller.role, Role::Viewing(_)) => {
                // Keys for the guest. What its terminal cannot take now is lost, as on a serial line.
                let _ = nix::unistd::write(&self.running.console.0, &bytes[..n]);
            }
            Ok(n) => {
                caller.request.extend_from_slice(&bytes[..n]);
                if let Some(end) = caller.request.iter().position(|byte| *byte == b'\n') {
                    let line = caller.request.drain(..=end).collect::<Vec<u8>>();
                    match serde_json::from_slice(&line) {
                        Ok(request) => self.obey(index, request),
                        Err(error) => self.answer(index, &Answer::Failed { message: error.to_string() }),
                    }
                } else if caller.request.len() > MAX_REQUEST {
                    caller.role = Role::Done;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => caller.role = Role::Done,
        }
    }

    fn obey(&mut self, index: usize, request: Request) {
        match request {
            Request::Status => {
                self.oom.look();
                let answer = Answer::Status {
                    boot_epoch: self.start.boot_epoch,
                    started_at: self.running.started_at,
                    pid: self.running.newborn.pid,
                };
                self.answer(index, &answer);
            }
            Request::Stop => {
                self.asked = true;
                self.ask_pending = true;
                self.answer(index, &Answer::Done);
            }
            Request::Kill { discard } => {
                self.asked = true;
                if discard {
                    // Only saves time: if it fails, the disk is written back and then deleted.
                    let _ = self.running.disk.stop_writing();
                }
                self.callers[index].role = Role::Waiting;
                // It fails only when the guest has just ended, which the next poll tells.
                let _ = pidfd_send_signal(self.running.newborn.pidfd.as_fd(), libc::SIGKILL);
            }
            Request::Wait => self.callers[index].role = Role::Waiting,
            Request::Disk => {
                let answer = match self.running.disk.usage() {
                    Ok((total, used)) => {
                        Answer::Disk { total, used, loop_device: self.running.disk.loop_device }
                    }
                    Err(error) => Answer::Failed { message: error.to_string() },
                };
                self.answer(index, &answer);
            }
            // From the beginning, of which the history is what is left.
            Request::Console => self.callers[index].role = Role::Viewing(View::default()),
            Request::Resize { cols, rows } => {
                let answer = match resize_terminal(self.running.console.0.as_fd(), cols, rows) {
                    Ok(()) => Answer::Done,
                    Err(error) => Answer::Failed { message: error.to_string() },
                };
                self.answer(index, &answer);
            }
            Request::GrowDisk => {
                let answer = match self.running.disk.grow_to_image(&self.start.image) {
                    Ok(()) => Answer::Done,
                    Err(error) => Answer::Failed { message: error.to_string() },
                };
                self.answer(index, &answer);
            }
            Request::SetPassword { hash } => self.set_password(index, hash.as_deref()),
        }
    }

    fn set_password(&mut self, index: usize, hash: Option<&str>) {
        if self.helper.is_some() {
            self.answer(index, &Answer::Failed { message: "another change is being made".into() });
            return;
        }
        match Helper::set_password(&self.running.newborn, hash) {
            Ok(helper) => {
                self.helper = Some(helper);
                self.callers[index].role = Role::Helped;
            }
            Err(error) => self.answer(index, &Answer::Failed { message: error.to_string() }),
        }
    }

    fn helper_done(&mut self) {
        let Some(helper) = self.helper.take() else { return };
        let answer = match helper.finish() {
            Ok(()) => Answer::Done,
            Err(error) => Answer::Failed { message: error.to_string() },
        };
        if let Some(index) = self.callers.iter().position(|caller| caller.role == Role::Helped) {
            self.answer(index, &answer);
        }
    }

    fn ask_to_stop(&mut self) {
        match stop::ask(&self.running.newborn, self.start.stop_signal) {
            Asked::Yes => self.ask_pending = false,
            Asked::NotReady => {}
        }
    }

    /// Drains the console and remembers it.
    fn console(&mut self) {
        let mut bytes = [0_u8; 4096];
        // A bounded number of rounds, so that a guest that never stops writing cannot keep us here.
        for _ in 0..16 {
            let Ok(n @ 1..) = nix::unistd::read(&self.running.console.0, &mut bytes) else { return };
            self.history.push(&bytes[..n]);
        }
    }

    /// Shows the console to those who watch.
    fn show(&mut self) {
        self.callers.iter_mut().for_each(|caller| caller.show(&self.history));
    }

    fn answer(&mut self, index: usize, answer: &Answer) {
        let caller = &mut self.callers[index];
        caller.role = Role::Done;
        let _ = say(&mut caller.stream, answer);
    }

    /// The guest is dead: frees its disk, writes the record, tells those who wait, and leaves.
    fn finish(mut self) -> io::Result<()> {
        self.console();
        self.show(); // its last words
        let Self { start, mut running, mut callers, asked, oom, .. } = self;
        let status = running.newborn.wait()?;
        let exit: Exit = exit::decode(status, asked, || oom.killed());
        // Unmounts the disk and frees the loop device, so that whoever hears of the end can use the image.
        drop(running.disk);
        let written = exit::record(&start.exit_file, ExitRecord { boot_epoch: start.boot_epoch, exit }, true);
        let _ = std::fs::remove_file(start.run_dir.join("ctl.sock"));
        drop(running.listener);
        drop(running.lock);
        for caller in callers.iter_mut().filter(|caller| caller.role == Role::Waiting) {
            let _ = say(&mut caller.stream, &Answer::Ended { exit });
        }
        written
    }
}

fn nonblocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    debug_assert!(fd.as_raw_fd() > 2);
    Ok(())
}
