//! A console as a program sees it: a WebSocket with bytes.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::{Api, DEADLINE};

/// An open console.
#[derive(Debug)]
pub struct Console {
    socket: WebSocketStream<TcpStream>,
    /// Everything that it has shown.
    pub shown: String,
}

impl Console {
    /// Asks the API for the console of a server, and opens it.
    ///
    /// # Panics
    /// When either does not work.
    pub async fn of(api: &Api, id: i64) -> Self {
        let url = ticket(api, id).await;
        Self::open(&url).await.unwrap_or_else(|status| panic!("{url} answers {status:?}"))
    }

    /// Opens a console at its URL.
    ///
    /// # Errors
    /// The status of a refusal.
    ///
    /// # Panics
    /// When nobody is there.
    pub async fn open(url: &str) -> Result<Self, u16> {
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("ws://…/…");
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        match tokio::time::timeout(DEADLINE, client_async(url, stream)).await.expect("an answer") {
            Ok((socket, _)) => Ok(Self { socket, shown: String::new() }),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(e) => panic!("{url}: {e}"),
        }
    }

    /// Reads until what was shown holds this.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn shows(&mut self, wanted: &str) -> &str {
        while !self.shown.contains(wanted) {
            match self.next(DEADLINE).await {
                Ok(Message::Binary(bytes)) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(_) => {}
                Err(e) => panic!("{wanted:?} does not come ({e}) after {:?}", self.shown),
            }
        }
        &self.shown
    }

    /// Reads until the server says that the host is there.
    ///
    /// # Errors
    /// When it says anything else.
    pub async fn connected(&mut self) -> Result<(), String> {
        loop {
            match self.next(DEADLINE).await? {
                Message::Text(text) if text.as_str() == r#"{"connected":true}"# => return Ok(()),
                Message::Ping(_) | Message::Pong(_) => {}
                other => return Err(format!("not connected: {other:?}")),
            }
        }
    }

    /// Types.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn keys(&mut self, keys: &str) {
        self.send(Message::binary(keys.as_bytes().to_vec())).await;
    }

    /// Says how large the window is.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn resize(&mut self, cols: u16, rows: u16) {
        self.send(Message::text(format!("{{\"resize\":{{\"cols\":{cols},\"rows\":{rows}}}}}"))).await;
    }

    /// Sends any message.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn send(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection stands");
    }

    /// Leaves.
    ///
    /// # Panics
    /// When the connection is gone already.
    pub async fn leave(mut self) {
        self.socket.close(None).await.expect("the connection stands");
    }

    /// Reads until it is closed; code and reason.
    ///
    /// # Panics
    /// When it is not closed in time, or without a word.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.next(DEADLINE * 2).await {
                Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.to_string()),
                Ok(Message::Binary(bytes)) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Ok(Message::Close(None)) => panic!("closed without a reason"),
                Ok(_) => {}
                Err(e) => panic!("not closed but cut: {e}, after {:?}", self.shown),
            }
        }
    }

    async fn next(&mut self, patience: Duration) -> Result<Message, String> {
        match tokio::time::timeout(patience, self.socket.next()).await {
            Ok(Some(message)) => message.map_err(|e| e.to_string()),
            Ok(None) => Err("it is closed".into()),
            Err(_) => Err(format!("nothing in {patience:?}")),
        }
    }
}

/// The URL of a server's console.
///
/// # Panics
/// When it is refused.
pub async fn ticket(api: &Api, id: i64) -> String {
    let answer = api.post(&format!("/v1/servers/{id}/actions/request_console"), serde_json::json!({})).await;
    answer.expect(201)["wss_url"].as_str().expect("a URL").to_owned()
}
