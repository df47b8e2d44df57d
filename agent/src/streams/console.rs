//! Bytes between a console and its stream.
//!
//! Two loops in one task, so that a viewer who takes nothing cannot keep the keys from the guest (Ctrl-C is what is
//! pressed when too much comes). Nothing is buffered here: a stream that is slow is not read from the monitor, which
//! keeps the history and skips what does not fit.

use std::time::Duration;

use berth_proto::{ConsoleControl, VpsId, close};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::host::Host;
use crate::link::socket::Socket;

/// The server says something (a ping at least) much more often than this.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the other side may take to accept what it is sent.
const STUCK: Duration = Duration::from_secs(30);
const PIECE: usize = 16 << 10;

/// Passes bytes on until either side ends; says why, for the other side.
pub(super) async fn relay<H: Host>(
    host: &H,
    vps: VpsId,
    console: H::Console,
    socket: &mut Socket,
) -> (u16, String) {
    let (output, keys) = tokio::io::split(console);
    let (sink, stream) = socket.split();
    tokio::select! {
        end = show(output, sink) => end,
        end = take(host, vps, stream, keys) => end,
    }
}

/// Output of the guest.
async fn show(mut output: impl AsyncRead + Unpin, mut sink: impl Sink<Message> + Unpin) -> (u16, String) {
    let mut bytes = vec![0; PIECE];
    loop {
        let n = match output.read(&mut bytes).await {
            Ok(0) | Err(_) => return (close::ENDED, "the server stopped, and its console with it".into()),
            Ok(n) => n,
        };
        let sent = sink.send(Message::Binary(bytes[..n].to_vec().into()));
        if !matches!(tokio::time::timeout(STUCK, sent).await, Ok(Ok(()))) {
            return (close::LOST, "the console was not read".into());
        }
    }
}

/// Keys and the size of the window.
async fn take<H: Host, E>(
    host: &H,
    vps: VpsId,
    mut stream: impl Stream<Item = Result<Message, E>> + Unpin,
    mut keys: impl AsyncWrite + Unpin,
) -> (u16, String) {
    loop {
        let message = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(_)) | None) | Err(_) => return (close::LOST, "the connection broke".into()),
        };
        match message {
            Message::Binary(bytes) => {
                let written = tokio::time::timeout(STUCK, keys.write_all(&bytes)).await;
                if !matches!(written, Ok(Ok(()))) {
                    return (close::ENDED, "the server stopped, and its console with it".into());
                }
            }
            Message::Text(text) => {
                if let Some(ConsoleControl::Resize { cols, rows }) = ConsoleControl::parse(&text) {
                    host.resize_console(vps, cols, rows).await;
                }
            }
            Message::Close(_) => return (1000, String::new()),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}
