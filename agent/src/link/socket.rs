//! A WebSocket to the agents' listener, for a stream that the control plane asked for.
//!
//! A connection of its own: the kernel's TCP is the flow control, and a console that stands still holds up no report.
//! HTTP/1.1, because that is what upgrades; the same certificate and the same only root as for calls.

use std::sync::Arc;
use std::time::Duration;

use berth_proto::{LARGEST_MESSAGE, stream_path};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::LinkError;

/// An open stream.
pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// How long connection, handshake and upgrade may take together.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds of both ends: small buffers, and no message that could not be one of ours.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * LARGEST_MESSAGE)
        .max_message_size(Some(LARGEST_MESSAGE))
        .max_frame_size(Some(LARGEST_MESSAGE))
}

/// Opens the stream with this offer's id at the listener with this base URL.
///
/// # Errors
/// When it cannot be reached, or refuses.
pub async fn open(tls: &ClientConfig, base: &str, id: &str) -> Result<Socket, LinkError> {
    let opened = tokio::time::timeout(PATIENCE, connect(tls, base, id)).await;
    opened.map_err(|_| LinkError::Unreachable(format!("no stream in {} s", PATIENCE.as_secs())))?
}

async fn connect(tls: &ClientConfig, base: &str, id: &str) -> Result<Socket, LinkError> {
    let (host, port) = address(base)?;
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
    let name = name.map_err(|_| LinkError::Setup(format!("'{host}' is no name of a server")))?;
    let mut tls = tls.clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let unreachable = |e: std::io::Error| match super::is_refusal(&e) {
        true => LinkError::Refused(e.to_string()),
        false => LinkError::Unreachable(e.to_string()),
    };
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await.map_err(unreachable)?;
    let _ = stream.set_nodelay(true); // only costs latency
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.map_err(unreachable)?;
    let request = format!("wss://{host}:{port}{}", stream_path(id)).into_client_request();
    let request = request.map_err(|e| LinkError::Setup(e.to_string()))?;
    match client_async_with_config(request, stream, Some(config())).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(answer)) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            let message = super::error_message(&body);
            match answer.status().as_u16() {
                401 | 403 => Err(LinkError::Refused(message)),
                status => Err(LinkError::Status { status, message }),
            }
        }
        Err(tungstenite::Error::Io(e)) => Err(unreachable(e)),
        Err(e) => Err(LinkError::Answer(e.to_string())),
    }
}

/// Host and port of a base URL, the host as the URL writes it.
fn address(base: &str) -> Result<(String, u16), LinkError> {
    let wrong = || LinkError::Setup(format!("'{base}' is no URL of an agents' listener"));
    let uri: Uri = base.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => Ok((host.to_owned(), uri.port_u16().unwrap_or(443))),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_are_dialled() {
        for (base, expected) in [
            ("https://control.example:8443", Some(("control.example", 8443))),
            ("https://192.0.2.7/", Some(("192.0.2.7", 443))),
            ("https://[2001:db8::7]:9443", Some(("[2001:db8::7]", 9443))),
            ("http://control.example:8443", None),
            ("control.example:8443", None),
            ("", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(address(base).ok(), expected, "{base}");
        }
    }
}
