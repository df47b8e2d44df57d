//! Programs that run in the guest on somebody's request, and files that are fetched and put there.
//!
//! They live here and not in the agent, so that an agent that is restarted finds them again: a session has a name, a
//! history of its output, and, when it is over, its end. There are [`MOST`] of them at most, each with two buffers of
//! fixed size. All end with the guest.

mod session;
mod viewer;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use berth_proto::{ExecSpec, FileTask, is_session};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFd;

use self::session::{Begun, Kind, Session};
use self::viewer::Viewer;
use super::barrier;
use super::caller::say;
use super::child::{program, transfer};
use super::join::{self, Depth, Target, inside};
use super::sys::{Forked, fork};
use super::wire::Answer;

/// Sessions of a guest at once, those that have ended and may be asked for included.
const MOST: usize = 8;

/// All of a guest's.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Vec<Session>,
    /// Files are numbered, since nobody attaches to them again.
    files: u64,
}

impl Sessions {
    /// Begins a program, or attaches to it if that was done before. What came of it is said on the stream.
    pub(super) fn exec(&mut self, target: Target<'_>, id: &str, spec: &ExecSpec, stream: UnixStream) {
        if self.find(id).is_ok() {
            return self.attach(id, [0, 0], stream);
        }
        let begun = self.may_begin(target, id).and_then(|()| begin(target, id, spec));
        self.add(begun, stream);
    }

    /// Does something with a file.
    pub(super) fn file(&mut self, target: Target<'_>, task: &FileTask, stream: UnixStream) {
        self.files += 1;
        let id = format!("file-{}", self.files);
        let begun = self.may_begin(target, &id).and_then(|()| begin_file(target, id, task));
        self.add(begun, stream);
    }

    /// Shows a program to somebody, from these bytes on.
    pub(super) fn attach(&mut self, id: &str, seen: [u64; 2], mut stream: UnixStream) {
        let answer = match self.find(id) {
            Ok(session) if session.is_open() => return session.attach(Viewer::new(stream), seen),
            Ok(_) => Answer::Failed { message: "the program is being started".into() },
            Err(answer) => answer,
        };
        let _ = say(&mut stream, &answer);
    }

    /// Does something with a program.
    fn with(&mut self, id: &str, act: impl FnOnce(&Session) -> io::Result<()>) -> Answer {
        match self.find(id).map(|session| act(session)) {
            Ok(Ok(())) => Answer::Done,
            Ok(Err(error)) => Answer::Failed { message: error.to_string() },
            Err(answer) => answer,
        }
    }

    /// Sends a signal.
    pub(super) fn signal(&mut self, id: &str, signal: i32) -> Answer {
        self.with(id, |session| session.signal(signal))
    }

    /// Changes the size of a terminal.
    pub(super) fn resize(&mut self, id: &str, cols: u16, rows: u16) -> Answer {
        self.with(id, |session| session.resize(cols, rows))
    }

    /// Kills a program.
    pub(super) fn kill(&mut self, id: &str) -> Answer {
        self.with(id, |session| {
            session.kill();
            Ok(())
        })
    }

    /// What to wait for.
    pub(super) fn interests<'a>(&'a self, fds: &mut Vec<PollFd<'a>>) {
        self.all.iter().for_each(|session| session.interests(fds));
    }

    /// How long to wait at most.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.all.iter().filter_map(Session::patience).min()
    }

    /// Does whatever can be done now.
    pub(super) fn turn(&mut self) {
        self.all.retain_mut(Session::turn);
    }

    /// Ends all of them, with the guest.
    pub(super) fn finish(self) {
        self.all.into_iter().for_each(Session::finish);
    }

    fn find(&mut self, id: &str) -> Result<&mut Session, Answer> {
        self.all.iter_mut().find(|session| session.id == id).ok_or(Answer::NoSession)
    }

    fn add(&mut self, begun: io::Result<Begun>, mut stream: UnixStream) {
        match begun {
            Ok(begun) => self.all.push(Session::new(begun, Viewer::new(stream))),
            Err(error) => {
                let _ = say(&mut stream, &Answer::Failed { message: error.to_string() });
            }
        }
    }

    fn may_begin(&mut self, target: Target<'_>, id: &str) -> io::Result<()> {
        if !is_session(id) {
            return Err(io::Error::other("this is no name of a session"));
        }
        if join::is_frozen(target.start) {
            return Err(io::Error::other("the server is frozen; thaw it first"));
        }
        if self.all.len() >= MOST
            && let Some(oldest) = self.all.iter().position(Session::has_ended)
        {
            self.all.remove(oldest).forget();
        }
        if self.all.len() >= MOST {
            let message = format!("{MOST} programs run in this server already; end one first");
            return Err(io::Error::other(message));
        }
        Ok(())
    }
}

fn begin(target: Target<'_>, id: &str, spec: &ExecSpec) -> io::Result<Begun> {
    spec.check().map_err(|(field, message)| io::Error::other(format!("{field}: {message}")))?;
    let pipes = if spec.tty.is_none() { Some(pipes()?) } else { None };
    let (ours, theirs) = barrier::pair()?;
    let group = join::group(target.start, id);
    match fork()? {
        Forked::Parent { pidfd, .. } => {
            let pipes = pipes.map(|(ours, _theirs)| ours);
            Ok(Begun { id: id.into(), kind: Kind::Program, barrier: ours, joiner: pidfd, pipes, group })
        }
        Forked::Child => {
            let pipes = pipes.as_ref().map(|(_, theirs)| theirs.each_ref().map(AsFd::as_fd));
            let keep: Vec<RawFd> = pipes.iter().flatten().map(AsRawFd::as_raw_fd).collect();
            inside(target, Some(id), Depth::All, (&theirs, &keep), || {
                program::launch(spec, pipes, &theirs, target.start.open_files)
            })
        }
    }
}

fn begin_file(target: Target<'_>, id: String, task: &FileTask) -> io::Result<Begun> {
    let (mine, yours) = pipes()?;
    let (ours, theirs) = barrier::pair()?;
    let group = join::group(target.start, &id);
    match fork()? {
        Forked::Parent { pidfd, .. } => {
            let pipes = Some(mine);
            Ok(Begun { id, kind: Kind::File, barrier: ours, joiner: pidfd, pipes, group })
        }
        Forked::Child => {
            let pipes = yours.each_ref().map(AsFd::as_fd);
            let keep = pipes.each_ref().map(AsRawFd::as_raw_fd);
            inside(target, Some(&id), Depth::Files, (&theirs, &keep), || transfer::run(task, pipes, &theirs))
        }
    }
}

/// Standard input, output and error: our ends, which never block, and the program's.
fn pipes() -> io::Result<([OwnedFd; 3], [OwnedFd; 3])> {
    let (their_in, our_in) = io::pipe()?;
    let (our_out, their_out) = io::pipe()?;
    let (our_err, their_err) = io::pipe()?;
    let ours: [OwnedFd; 3] = [our_in.into(), our_out.into(), our_err.into()];
    for fd in &ours {
        let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok((ours, [their_in.into(), their_out.into(), their_err.into()]))
}
