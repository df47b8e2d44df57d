//! One question and one answer over TCP: each is a message with its length in front (RFC 1035, 4.2.2).

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For the connection.
const CONNECT: Duration = Duration::from_secs(5);

/// For the whole, from the connection to the last byte of the answer.
pub(super) const WHOLE: Duration = Duration::from_secs(10);

/// The shortest message: a header.
const HEADER: usize = 12;

/// Asks and hears, all `within` this time; the error says what kept the answer away.
pub(super) async fn exchange(
    server: SocketAddr,
    question: &[u8],
    within: Duration,
) -> Result<Vec<u8>, String> {
    let whole = async {
        let stream = timeout(CONNECT, TcpStream::connect(server)).await;
        let stream = stream.map_err(|_| format!("no connection within {} s", CONNECT.as_secs()))?;
        let mut stream = stream.map_err(|e| format!("no connection: {e}"))?;
        let length = u16::try_from(question.len()).map_err(|_| "the question is too long".to_owned())?;
        let framed = [&length.to_be_bytes(), question].concat();
        stream.write_all(&framed).await.map_err(|e| format!("it does not take the question: {e}"))?;
        let broke = |e| format!("its answer broke off: {e}");
        let length = usize::from(stream.read_u16().await.map_err(broke)?);
        if length < HEADER {
            return Err("its answer is no DNS message".into());
        }
        let mut answer = vec![0; length];
        stream.read_exact(&mut answer).await.map_err(broke)?;
        Ok(answer)
    };
    timeout(within, whole).await.unwrap_or_else(|_| Err(format!("no answer within {} s", within.as_secs())))
}
