//! How a program's bytes travel between the agent and a monitor, after a session was attached.
//!
//! From the monitor: a byte for the channel ([`berth_proto::channel`], or [`END`]), two for the length (little-endian),
//! then so many bytes. To the monitor: two for the length, then bytes for the program to read; a length of zero means
//! that no more will come. All else (signals, sizes, the kill) is a request of its own on another connection, since a
//! program that does not read would hold it up here.

use std::io;

use berth_proto::ExecEnd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Channel of the last frame: JSON of an [`ExecEnd`].
pub const END: u8 = 3;
/// Bytes before those of a frame from the monitor.
pub const HEAD: usize = 3;
/// Largest number of bytes in a frame of ours. Longer ones are read as well.
pub const PIECE: usize = 4096;

/// A frame from a monitor.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Output, on this channel.
    Output(u8, Vec<u8>),
    /// The program has ended.
    End(ExecEnd),
}

/// The head of a frame.
#[must_use]
pub fn head(channel: u8, length: u16) -> [u8; HEAD] {
    let [low, high] = length.to_le_bytes();
    [channel, low, high]
}

/// Reads a frame; none at the end of the connection.
///
/// # Errors
/// When the connection breaks, also in the middle of a frame, or carries nonsense.
pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; HEAD];
    match from.read_exact(&mut head).await {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let mut bytes = vec![0; u16::from_le_bytes([head[1], head[2]]).into()];
    from.read_exact(&mut bytes).await?;
    Ok(Some(match head[0] {
        END => Frame::End(serde_json::from_slice(&bytes)?),
        channel => Frame::Output(channel, bytes),
    }))
}

/// Sends bytes for the program to read, or none: nothing more will come.
///
/// # Errors
/// When the connection breaks.
pub async fn write_input(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return to.write_all(&[0, 0]).await;
    }
    for piece in bytes.chunks(PIECE) {
        let length = u16::try_from(piece.len()).expect("a piece is short");
        to.write_all(&length.to_le_bytes()).await?;
        to.write_all(piece).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_come_as_they_were_sent() {
        let (mut here, mut there) = tokio::io::duplex(100);
        here.write_all(&head(1, 3)).await.unwrap();
        here.write_all(b"abc").await.unwrap();
        here.write_all(&head(END, 10)).await.unwrap();
        here.write_all(br#"{"code":7}"#).await.unwrap();
        drop(here);
        assert_eq!(read(&mut there).await.unwrap(), Some(Frame::Output(1, b"abc".to_vec())));
        let end = ExecEnd { code: Some(7), signal: None };
        assert_eq!(read(&mut there).await.unwrap(), Some(Frame::End(end)));
        assert_eq!(read(&mut there).await.unwrap(), None);
    }

    #[tokio::test]
    async fn input_is_cut_into_pieces() {
        let (mut here, mut there) = tokio::io::duplex(20_000);
        write_input(&mut here, &[b'x'; PIECE + 1]).await.unwrap();
        write_input(&mut here, b"").await.unwrap();
        drop(here);
        let mut all = Vec::new();
        there.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 2 + PIECE + 2 + 1 + 2);
        assert_eq!((&all[..2], &all[all.len() - 2..]), ([0, 16].as_slice(), [0, 0].as_slice()));
    }
}
