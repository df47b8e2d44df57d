//! Bytes between a program in a guest (or a file of it) and its stream.
//!
//! Two loops in one task, as for consoles. Nothing is buffered: a stream that is slow is not read from the monitor, which
//! then does not read from the program. A signal goes past the bytes that the program has not read, but not past those
//! that are still on the way here.

use std::time::Duration;

use berth_proto::{ExecControl, ExecEnd, ExecEvent, VpsId, channel, close};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::frames::{self, Frame};
use crate::host::{Host, Session, SessionChange};
use crate::link::socket::Socket;

/// The server says something (a ping at least) much more often than this.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the server may take to accept a message; it gives its client half of that.
const STUCK: Duration = Duration::from_secs(60);

/// Passes bytes on until either side ends; says why, for the other side. A session without a name is a file.
pub(super) async fn relay<H: Host>(
    host: &H,
    vps: VpsId,
    name: Option<&str>,
    session: Session<H::Console>,
    socket: &mut Socket,
) -> (u16, String) {
    let [stdout, stderr] = session.from;
    let (output, input) = tokio::io::split(session.connection);
    let (mut sink, stream) = socket.split();
    if name.is_some() {
        let hello = Message::text(ExecEvent::Attached { stdout, stderr }.to_text());
        if sink.send(hello).await.is_err() {
            return (close::LOST, "the connection broke".into());
        }
    }
    tokio::select! {
        end = show(output, sink, name.is_none()) => end,
        end = take(host, vps, name, stream, input) => end,
    }
}

/// Output. That of a file is sent without channels, and what is complained about becomes the reason of the end.
async fn show(
    mut output: impl AsyncRead + Unpin,
    mut sink: impl Sink<Message> + Unpin,
    file: bool,
) -> (u16, String) {
    let mut complaint = Vec::new();
    loop {
        let message = match frames::read(&mut output).await {
            Ok(Some(Frame::Output(channel::STDERR, bytes))) if file => {
                complaint.extend(bytes.into_iter().take(1000 - complaint.len().min(1000)));
                continue;
            }
            Ok(Some(Frame::Output(_, bytes))) if file => Message::Binary(bytes.into()),
            Ok(Some(Frame::Output(channel, mut bytes))) => {
                bytes.insert(0, channel);
                Message::Binary(bytes.into())
            }
            Ok(Some(Frame::End(end))) if file => return file_end(end, &complaint),
            Ok(Some(Frame::End(end))) => {
                let told = sink.send(Message::text(ExecEvent::Exit(end).to_text()));
                let _ = tokio::time::timeout(STUCK, told).await; // it may have left
                return (close::ENDED, "the program ended".into());
            }
            Ok(None) | Err(_) => {
                return (close::LOST, "the server stopped, or the session was taken over elsewhere".into());
            }
        };
        if !matches!(tokio::time::timeout(STUCK, sink.send(message)).await, Ok(Ok(()))) {
            return (close::LOST, "the output was not read".into());
        }
    }
}

fn file_end(end: ExecEnd, complaint: &[u8]) -> (u16, String) {
    match (end.code, end.signal) {
        (Some(0), _) => (close::ENDED, "done".into()),
        (Some(_), _) => (close::NO_SUCH, String::from_utf8_lossy(complaint).into_owned()),
        (None, _) => (close::UNAVAILABLE, "the server did not let it finish".into()),
    }
}

/// Input and controls.
async fn take<H: Host, E>(
    host: &H,
    vps: VpsId,
    name: Option<&str>,
    mut stream: impl Stream<Item = Result<Message, E>> + Unpin,
    mut input: impl AsyncWrite + Unpin,
) -> (u16, String) {
    loop {
        let message = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) | Err(_) => return (close::LOST, "the connection broke".into()),
        };
        let written = match message {
            Message::Binary(bytes) => {
                let bytes = match (name, bytes.split_first()) {
                    (None, _) => &bytes[..],
                    (Some(_), Some((&channel::STDIN, rest))) => rest,
                    (Some(_), _) => continue,
                };
                if bytes.is_empty() { Ok(()) } else { frames::write_input(&mut input, bytes).await }
            }
            Message::Text(text) => match (ExecControl::parse(&text), name) {
                (Some(ExecControl::StdinClose {}), _) => frames::write_input(&mut input, &[]).await,
                (Some(ExecControl::Signal(signal)), Some(name)) => {
                    change(host, vps, name, SessionChange::Signal(signal.number())).await;
                    Ok(())
                }
                (Some(ExecControl::Resize(size)), Some(name)) => {
                    change(host, vps, name, SessionChange::Resize(size)).await;
                    Ok(())
                }
                _ => Ok(()),
            },
            Message::Close(_) => return (1000, String::new()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(()),
        };
        if written.is_err() {
            // The other loop hears why, and says it.
            std::future::pending::<()>().await;
        }
    }
}

/// A program that has ended meanwhile hears nothing, which is no fault of anybody.
async fn change<H: Host>(host: &H, vps: VpsId, name: &str, change: SessionChange) {
    if let Err(fault) = host.change_session(vps, name, change).await {
        tracing::debug!(vps = %vps, fault = fault.message, "a program was not told");
    }
}
