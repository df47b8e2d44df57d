//! A program's stream as a client sees it: a WebSocket with channels, and words beside them.

use berth_proto::{ExecEnd, ExecEvent, channel};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::client::{Api, DEADLINE};

/// A program.
#[derive(Debug)]
pub struct Exec {
    socket: WebSocketStream<TcpStream>,
    /// Names it.
    pub session: String,
    /// Where its bytes begin, as it was said.
    pub from: Option<(u64, u64)>,
    /// Standard output so far.
    pub out: String,
    /// Standard error so far.
    pub err: String,
    /// How it ended.
    pub end: Option<ExecEnd>,
}

impl Exec {
    /// Asks the API to run a program, and opens its stream.
    ///
    /// # Panics
    /// When either does not work.
    pub async fn run(api: &Api, id: i64, what: Value) -> Self {
        let answer = api.post(&format!("/berth/v1/servers/{id}/exec"), what).await.expect(201);
        Self::open(&answer).await.unwrap_or_else(|status| panic!("{answer} is refused: {status}"))
    }

    /// Connects to a program again, from these bytes on.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn attach(api: &Api, id: i64, session: &str, stdout: u64) -> Self {
        let path = format!("/berth/v1/servers/{id}/exec/{session}/attach");
        let answer = api.post(&path, json!({"stdout": stdout})).await.expect(201);
        Self::open(&answer).await.unwrap_or_else(|status| panic!("{answer} is refused: {status}"))
    }

    /// Opens the stream of an answer.
    ///
    /// # Errors
    /// The status of a refusal.
    ///
    /// # Panics
    /// When nobody is there.
    pub async fn open(answer: &Value) -> Result<Self, u16> {
        let url = answer["url"].as_str().expect("a URL");
        let session = answer["session"].as_str().expect("a session").to_owned();
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("ws://…/…");
        let stream = TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
        match tokio::time::timeout(DEADLINE, client_async(url, stream)).await.expect("an answer") {
            Ok((socket, _)) => {
                let (out, err) = (String::new(), String::new());
                Ok(Self { socket, session, from: None, out, err, end: None })
            }
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(e) => panic!("{url}: {e}"),
        }
    }

    /// Something for it to read.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn input(&mut self, bytes: &str) {
        let message = [&[channel::STDIN], bytes.as_bytes()].concat();
        self.socket.send(Message::binary(message)).await.expect("the connection stands");
    }

    /// A control.
    ///
    /// # Panics
    /// When the connection is gone.
    pub async fn say(&mut self, control: Value) {
        self.socket.send(Message::text(control.to_string())).await.expect("the connection stands");
    }

    /// Reads one message; the close, if it is that.
    async fn read(&mut self) -> Option<(u16, String)> {
        let message = tokio::time::timeout(DEADLINE * 2, self.socket.next()).await;
        let said = (&self.out, &self.err);
        match message.unwrap_or_else(|_| panic!("nothing comes after {said:?}")) {
            Some(Ok(Message::Binary(bytes))) => match bytes.split_first() {
                Some((&channel::STDERR, rest)) => self.err += &String::from_utf8_lossy(rest),
                Some((&channel::STDOUT, rest)) => self.out += &String::from_utf8_lossy(rest),
                other => panic!("not a channel of output: {other:?}"),
            },
            Some(Ok(Message::Text(text))) => match ExecEvent::parse(&text) {
                Some(ExecEvent::Attached { stdout, stderr }) => self.from = Some((stdout, stderr)),
                Some(ExecEvent::Exit(end)) => self.end = Some(end),
                None => panic!("what is {text}?"),
            },
            Some(Ok(Message::Close(frame))) => {
                let frame = frame.expect("closes have reasons");
                return Some((frame.code.into(), frame.reason.to_string()));
            }
            Some(Ok(_)) => {}
            Some(Err(e)) => panic!("cut: {e} after {said:?}"),
            None => panic!("cut after {said:?}"),
        }
        None
    }

    /// Reads until its output holds this.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn shows(&mut self, wanted: &str) {
        while !self.out.contains(wanted) {
            if let Some(close) = self.read().await {
                panic!("{wanted:?} does not come but {close:?}, after {:?} {:?}", self.out, self.err);
            }
        }
    }

    /// Reads until it is closed; code and reason.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Some(close) = self.read().await {
                return close;
            }
        }
    }

    /// Reads until its end; how it ended.
    ///
    /// # Panics
    /// When it is closed without that.
    pub async fn ended(&mut self) -> ExecEnd {
        let close = self.closed().await;
        self.end.unwrap_or_else(|| panic!("closed without an exit: {close:?}"))
    }
}
