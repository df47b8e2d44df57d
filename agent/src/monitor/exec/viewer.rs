//! Who sees a session: one connection of the agent's, with a frame on its way in each direction and no more.
//!
//! What the viewer does not take stays in the session's history, and what the program does not read stays in the
//! connection, so whoever is slow holds up the other end and nothing grows here.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::frames::{HEAD, PIECE, head};

/// A connection that carries frames.
#[derive(Debug)]
pub(super) struct Viewer {
    stream: UnixStream,
    /// A frame to it, and how much of that is sent.
    out: Box<[u8; HEAD + PIECE]>,
    out_sent: usize,
    out_len: usize,
    /// Bytes from it that the program has not read.
    input: Box<[u8; PIECE]>,
    in_taken: usize,
    in_len: usize,
    /// The length of its next frame, as far as that is known, and what is missing of the frame itself.
    length: [u8; 2],
    length_known: usize,
    missing: usize,
}

/// What reading from a viewer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// There are bytes in [`Viewer::pending`], or nothing has come.
    Bytes,
    /// No more will come for the program.
    EndOfInput,
    /// It is gone.
    Gone,
}

impl Viewer {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            out: Box::new([0; HEAD + PIECE]),
            out_sent: 0,
            out_len: 0,
            input: Box::new([0; PIECE]),
            in_taken: 0,
            in_len: 0,
            length: [0; 2],
            length_known: 0,
            missing: 0,
        }
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Prepares a frame. The one before must have been sent.
    pub(super) fn load(&mut self, channel: u8, bytes: &[u8]) {
        debug_assert!(self.has_sent() && bytes.len() <= PIECE);
        let length = u16::try_from(bytes.len()).expect("a piece is short");
        self.out[..HEAD].copy_from_slice(&head(channel, length));
        self.out[HEAD..HEAD + bytes.len()].copy_from_slice(bytes);
        (self.out_sent, self.out_len) = (0, HEAD + bytes.len());
    }

    pub(super) fn has_sent(&self) -> bool {
        self.out_sent == self.out_len
    }

    /// Sends what it takes now; whether that is all.
    pub(super) fn send(&mut self) -> io::Result<bool> {
        while !self.has_sent() {
            match self.stream.write(&self.out[self.out_sent..self.out_len]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.out_sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Bytes that wait for the program.
    pub(super) fn pending(&self) -> &[u8] {
        &self.input[self.in_taken..self.in_len]
    }

    /// So many of them were taken.
    pub(super) fn took(&mut self, n: usize) {
        self.in_taken += n;
    }

    /// Reads on, unless something is pending: then it is only looked whether it is still there.
    pub(super) fn hear(&mut self) -> Heard {
        if !self.pending().is_empty() {
            let mut fd = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
            let gone = poll(&mut fd, PollTimeout::ZERO).is_ok_and(|n| n > 0);
            return if gone { Heard::Gone } else { Heard::Bytes };
        }
        loop {
            let into = match self.missing {
                0 => &mut self.length[self.length_known..],
                missing => &mut self.input[..missing.min(PIECE)],
            };
            let n = match self.stream.read(into) {
                Ok(0) => return Heard::Gone,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::Bytes,
                Err(_) => return Heard::Gone,
            };
            if self.missing > 0 {
                self.missing -= n;
                (self.in_taken, self.in_len) = (0, n);
                return Heard::Bytes;
            }
            self.length_known += n;
            if self.length_known == self.length.len() {
                self.length_known = 0;
                self.missing = u16::from_le_bytes(self.length).into();
                if self.missing == 0 {
                    return Heard::EndOfInput;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Viewer, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Viewer::new(ours), theirs)
    }

    proptest! {
        #[test]
        fn input_comes_whole_however_it_is_cut(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..10),
            cuts in prop::collection::vec(1_usize..50, 0..200),
            appetite in 1_usize..300,
        ) {
            let mut wire: Vec<u8> = frames.iter()
                .flat_map(|f| [u16::try_from(f.len()).unwrap().to_le_bytes().as_slice(), f].concat())
                .collect();
            wire.extend([0, 0]);
            let (mut viewer, mut end) = pair();
            let (mut got, mut over, mut cuts) = (Vec::new(), false, cuts.into_iter());
            let mut rest = wire.as_slice();
            while !over {
                let (now, later) = rest.split_at(cuts.next().unwrap_or(rest.len()).min(rest.len()));
                end.write_all(now).unwrap();
                rest = later;
                loop {
                    match viewer.hear() {
                        Heard::EndOfInput => { over = true; break }
                        Heard::Gone => panic!("it is there"),
                        Heard::Bytes if viewer.pending().is_empty() => break,
                        Heard::Bytes => {
                            let n = viewer.pending().len().min(appetite);
                            got.extend_from_slice(&viewer.pending()[..n]);
                            viewer.took(n);
                        }
                    }
                }
            }
            prop_assert_eq!(got, frames.concat());
        }
    }

    #[test]
    fn one_that_leaves_is_noticed_also_while_the_program_reads_nothing() {
        let (mut viewer, mut end) = pair();
        end.write_all(&[3, 0, b'a', b'b', b'c']).unwrap();
        assert_eq!((viewer.hear(), viewer.pending()), (Heard::Bytes, b"abc".as_slice()));
        assert_eq!(viewer.hear(), Heard::Bytes, "nothing more is read");
        drop(end);
        assert_eq!(viewer.hear(), Heard::Gone);
    }

    #[test]
    fn a_frame_that_is_not_taken_stays() {
        let (mut viewer, mut end) = pair();
        let mut sent = 0;
        loop {
            viewer.load(1, &[b'x'; PIECE]);
            sent += HEAD + PIECE;
            if !viewer.send().unwrap() {
                break;
            }
        }
        let (mut got, mut bytes) = (0, [0; 9000]);
        while got < sent {
            if let Ok(n) = end.read(&mut bytes) {
                got += n;
            }
            viewer.send().unwrap();
        }
        assert!(viewer.has_sent());
    }
}
