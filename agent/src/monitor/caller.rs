//! Somebody at the control socket: with a request, or looking at the console.
//!
//! Nothing is kept for a viewer but how far it has seen. One that is slow is shown what the history still holds when it
//! reads again, one that reads nothing for [`VIEWER_PATIENCE`] is dropped, and neither holds up the guest.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;

use super::ring::Ring;
use super::wire::Answer;

/// How long a viewer may be behind without reading anything.
const VIEWER_PATIENCE: Duration = Duration::from_secs(30);

/// A connection to the control socket.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) stream: UnixStream,
    pub(super) request: Vec<u8>,
    pub(super) role: Role,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Has not finished its request.
    Asking,
    /// Is told when the guest has ended.
    Waiting,
    /// Sees the console.
    Viewing(View),
    /// Is answered when the helper has finished.
    Helped,
    /// To be closed.
    Done,
}

/// How far a viewer has come.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Bytes of the console that it has seen or missed.
    seen: u64,
    /// Since when it takes nothing although there is something.
    stuck: Option<Instant>,
}

impl Caller {
    /// What to wait for.
    pub(super) fn wants(&self, history: &Ring) -> PollFlags {
        match &self.role {
            Role::Viewing(view) if view.seen < history.total() => PollFlags::POLLIN | PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        }
    }

    /// Shows a viewer as much as it takes now.
    pub(super) fn show(&mut self, history: &Ring) {
        let Role::Viewing(view) = &mut self.role else { return };
        loop {
            let (from, piece) = history.after(view.seen);
            if piece.is_empty() {
                return;
            }
            match self.stream.write(piece) {
                Ok(n) => *view = View { seen: from + n as u64, stuck: None },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let since = *view.stuck.get_or_insert_with(Instant::now);
                    if since.elapsed() > VIEWER_PATIENCE {
                        self.role = Role::Done;
                    }
                    return;
                }
                Err(_) => {
                    self.role = Role::Done;
                    return;
                }
            }
        }
    }
}

/// Answers.
pub(super) fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const HISTORY: usize = 64 << 10;

    fn viewer() -> (Caller, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Caller { stream: ours, request: Vec::new(), role: Role::Viewing(View::default()) }, theirs)
    }

    fn read(stream: &mut UnixStream) -> Vec<u8> {
        let (mut all, mut bytes) = (Vec::new(), [0; 4096]);
        while let Ok(n @ 1..) = stream.read(&mut bytes) {
            all.extend_from_slice(&bytes[..n]);
        }
        all
    }

    #[test]
    fn viewers_see_the_same_and_a_slow_one_holds_up_nobody() {
        let mut history = Ring::new(HISTORY);
        let ((mut quick, mut quick_end), (mut slow, mut slow_end)) = (viewer(), viewer());
        for n in 0..100 {
            history.push(format!("line {n}\r\n").repeat(800).as_bytes());
            quick.show(&history);
            slow.show(&history);
            assert!(read(&mut quick_end).ends_with(format!("line {n}\r\n").as_bytes()), "{n}");
        }
        assert!(slow.wants(&history).contains(PollFlags::POLLOUT), "it is behind");
        assert!(matches!(slow.role, Role::Viewing(View { stuck: Some(_), .. })));
        assert!(read(&mut slow_end).starts_with(b"line 0\r\n"));
        slow.show(&history);
        assert!(read(&mut slow_end).ends_with(b"line 99\r\n"), "it has missed something and sees the end");
        assert_eq!(slow.wants(&history), PollFlags::POLLIN);
    }

    #[test]
    fn a_viewer_that_does_not_read_is_dropped() {
        let mut history = Ring::new(HISTORY);
        let (mut viewer, _end) = viewer();
        while !matches!(viewer.role, Role::Viewing(View { stuck: Some(_), .. })) {
            history.push(&[b'x'; 4096]);
            viewer.show(&history);
        }
        let Role::Viewing(view) = &mut viewer.role else { unreachable!() };
        view.stuck = Instant::now().checked_sub(VIEWER_PATIENCE * 2);
        viewer.show(&history);
        assert_eq!(viewer.role, Role::Done);
    }
}
