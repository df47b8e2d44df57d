//! The channel between a monitor and its newborn child: a few one-byte messages, some with descriptors.
//!
//! The child's end is closed by exec, so that end-of-file without a failure message means that PID 1 runs (or that
//! the child was killed, which its pidfd tells).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

/// One side.
#[derive(Debug)]
pub(crate) struct Barrier(OwnedFd);

/// What comes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Signal {
    /// To the child: your ids are mapped.
    Mapped = b'M',
    /// To the child, with the template's and the disk's mount: here are your layers.
    Layers = b'L',
    /// To the child: you are in your cgroups, and your interface is there.
    Go = b'G',
    /// From the child, with master and slave: this is my console.
    Console = b'C',
    /// From a process that joined a guest, with the pidfd of the program and, if it has a terminal, the other side of that.
    Joined = b'J',
    /// From the child: it failed; the text says why.
    Failed = b'f',
    /// As `Failed`, and trying again will not help.
    FailedForGood = b'F',
}

/// A message as it arrived.
#[derive(Debug)]
pub(crate) struct Message {
    /// Which; none at the end of the channel.
    pub(crate) signal: Option<Signal>,
    /// Text after the signal.
    pub(crate) text: String,
    /// Descriptors that came along.
    pub(crate) fds: Vec<OwnedFd>,
}

/// The two sides, both closed by exec.
pub(crate) fn pair() -> io::Result<(Barrier, Barrier)> {
    let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Barrier(a), Barrier(b)))
}

impl Barrier {
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.as_fd()
    }

    pub(crate) fn send(&self, signal: Signal, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
        let first = [signal as u8];
        let parts = [IoSlice::new(&first), IoSlice::new(text.as_bytes())];
        sendmsg::<()>(self.0.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, None)?;
        Ok(())
    }

    /// The next message, or the end.
    pub(crate) fn receive(&self) -> io::Result<Message> {
        match self.receive_once() {
            // The other side ended with something of ours unread. What it said before comes after this.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.receive_once(),
            result => result,
        }
    }

    /// As [`Self::receive`], but an error that would block when nothing has come yet.
    pub(crate) fn try_receive(&self) -> io::Result<Message> {
        match self.receive_with(MsgFlags::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                self.receive_with(MsgFlags::MSG_DONTWAIT)
            }
            result => result,
        }
    }

    fn receive_once(&self) -> io::Result<Message> {
        self.receive_with(MsgFlags::empty())
    }

    fn receive_with(&self, how: MsgFlags) -> io::Result<Message> {
        let mut bytes = [0_u8; 2048];
        let mut space = nix::cmsg_space!([i32; 4]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | how;
        let (n, fds) = {
            let got = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
            let mut fds = Vec::new();
            for message in got.cmsgs()? {
                if let ControlMessageOwned::ScmRights(raw) = message {
                    fds.extend(raw.into_iter().map(adopt));
                }
            }
            (got.bytes, fds)
        };
        let signal = bytes[..n].first().map(|byte| parse(*byte)).transpose()?;
        let text = String::from_utf8_lossy(bytes[..n].get(1..).unwrap_or_default()).into_owned();
        Ok(Message { signal, text, fds })
    }

    /// Waits for exactly this message.
    pub(crate) fn expect(&self, wanted: Signal) -> io::Result<Vec<OwnedFd>> {
        let message = self.receive()?;
        match message.signal {
            Some(signal) if signal == wanted => Ok(message.fds),
            None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other side is gone")),
            Some(other) => {
                Err(io::Error::other(format!("expected {wanted:?}, got {other:?} {}", message.text)))
            }
        }
    }
}

fn parse(byte: u8) -> io::Result<Signal> {
    let all = [
        Signal::Mapped,
        Signal::Layers,
        Signal::Go,
        Signal::Console,
        Signal::Joined,
        Signal::Failed,
        Signal::FailedForGood,
    ];
    let found = all.into_iter().find(|signal| *signal as u8 == byte);
    found.ok_or_else(|| io::Error::other(format!("unknown message {byte:#x}")))
}

#[expect(unsafe_code, reason = "descriptors arrive as integers")]
fn adopt(fd: i32) -> OwnedFd {
    // SAFETY: recvmsg has just installed this descriptor in this process, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn carries_text_and_descriptors() {
        let (a, b) = pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        a.send(Signal::Console, "hello", &[writer.as_fd()]).unwrap();
        drop(writer);
        let message = b.receive().unwrap();
        assert_eq!((message.signal, message.text.as_str()), (Some(Signal::Console), "hello"));
        let mut sent = std::fs::File::from(message.fds.into_iter().next().unwrap());
        sent.write_all(b"x").unwrap();
        drop(sent);
        let mut got = String::new();
        reader.read_to_string(&mut got).unwrap();
        assert_eq!(got, "x");
    }

    #[test]
    fn the_end_is_not_a_message() {
        let (a, b) = pair().unwrap();
        drop(a);
        assert_eq!(b.receive().unwrap().signal, None);
        assert_eq!(b.expect(Signal::Go).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn last_words_are_heard_though_something_was_left_unread() {
        let (a, b) = pair().unwrap();
        a.send(Signal::Go, "", &[]).unwrap();
        b.send(Signal::Failed, "why", &[]).unwrap();
        drop(b);
        let message = a.receive().unwrap();
        assert_eq!((message.signal, message.text.as_str()), (Some(Signal::Failed), "why"));
        assert_eq!(a.receive().unwrap().signal, None);
    }

    #[test]
    fn another_message_is_refused() {
        let (a, b) = pair().unwrap();
        a.send(Signal::Mapped, "", &[]).unwrap();
        assert!(b.expect(Signal::Go).unwrap_err().to_string().contains("Mapped"));
    }
}
