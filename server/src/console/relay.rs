//! Bytes between a browser and a host.
//!
//! Two loops in one task, one for each direction, so that a browser that takes nothing cannot keep Ctrl-C from the
//! guest. Nothing is buffered: who reads slowly is read from slowly, and the monitor at the far end skips what no longer
//! fits. Each loop pings the side that it writes to, and a side of which nothing is heard for [`SILENCE`], pongs
//! included, is dead. What a host says is checked: bytes, and codes of ours for the end.

use std::sync::Mutex;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use berth_proto::{ConsoleControl, LARGEST_MESSAGE, close};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::{End, Kind, exec};
use crate::fleet::text;

/// Pings are this far apart.
const PING: Duration = Duration::from_secs(20);
/// A side that says nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a side may take to accept one message.
const STUCK: Duration = Duration::from_secs(30);
/// A console in which nothing is typed or shown for so long is closed.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long the end may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How two sides are spoken to.
pub(super) struct Manners {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What the client hears first, when its host is there.
    hello: Option<&'static str>,
    from_client: fn(Option<Message>) -> Fate,
    from_host: fn(Option<Message>) -> Fate,
}

impl Manners {
    /// Of a console.
    pub(super) const CONSOLE: Self = Self {
        name: "console",
        kind: Kind::Console,
        hello: Some(r#"{"connected":true}"#),
        from_client: from_a_browser,
        from_host: from_a_host,
    };
    /// Of a program, whose host says itself that it is there.
    pub(super) const EXEC: Self = Self {
        name: "exec",
        kind: Kind::Exec,
        hello: None,
        from_client: exec::from_a_client,
        from_host: exec::from_a_host,
    };
}

/// What becomes of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    On(Message),
    Dropped,
    End(End),
}

/// Passes bytes on until a side leaves or `told` says so. Both sides are told why.
pub(super) async fn relay(
    mut browser: WebSocket,
    agent: WebSocket,
    early: Vec<Message>,
    manners: &Manners,
    told: impl Future<Output = End>,
) -> End {
    if let Some(hello) = manners.hello
        && !matches!(timeout(STUCK, browser.send(Message::text(hello))).await, Ok(Ok(())))
    {
        return End::left();
    }
    let (mut to_browser, mut from_browser) = browser.split();
    let (mut to_agent, mut from_agent) = agent.split();
    for message in early {
        if let Fate::On(message) = (manners.from_client)(Some(message)) {
            let _ = timeout(STUCK, to_agent.send(message)).await; // that it is dead shows below
        }
    }
    let last = Mutex::new(Instant::now());
    let end = tokio::select! {
        end = pass(&mut from_browser, &mut to_agent, manners.from_client, &last) => end,
        end = pass(&mut from_agent, &mut to_browser, manners.from_host, &last) => end,
        () = idle(&last) => End::new(close::IDLE, "nothing was typed or shown for half an hour"),
        end = told => end,
    };
    tokio::join!(bye(&mut to_browser, &mut from_browser, &end), bye(&mut to_agent, &mut from_agent, &end),);
    end
}

/// One direction.
async fn pass(
    from: &mut SplitStream<WebSocket>,
    to: &mut SplitSink<WebSocket, Message>,
    judge: fn(Option<Message>) -> Fate,
    last: &Mutex<Instant>,
) -> End {
    let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            message = from.next() => {
                heard = Instant::now();
                match judge(message.and_then(Result::ok)) {
                    Fate::On(message) => message,
                    Fate::Dropped => continue,
                    Fate::End(end) => return end,
                }
            }
            _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
            () = sleep_until(heard + SILENCE) => {
                return End::new(close::LOST, "one side has said nothing for a minute");
            }
        };
        if matches!(message, Message::Binary(_)) {
            *last.lock().expect("no code panics while holding this lock") = Instant::now();
        }
        if !matches!(timeout(STUCK, to.send(message)).await, Ok(Ok(()))) {
            return End::new(close::LOST, "the connection broke");
        }
    }
}

/// Nothing from a browser is its end without a word, or a message that is none of ours.
pub(super) fn from_a_browser(message: Option<Message>) -> Fate {
    match message {
        Some(Message::Binary(bytes)) if bytes.len() > LARGEST_MESSAGE => too_large(),
        Some(Message::Binary(bytes)) => Fate::On(Message::Binary(bytes)),
        Some(Message::Text(text)) => match ConsoleControl::parse(&text) {
            Some(control) => Fate::On(Message::text(control.to_text())),
            None => Fate::Dropped,
        },
        Some(Message::Ping(_) | Message::Pong(_)) => Fate::Dropped,
        Some(Message::Close(_)) => Fate::End(End::left()),
        None => too_large(), // or the connection broke, and nobody hears it
    }
}

fn too_large() -> Fate {
    Fate::End(End::new(close::REFUSED, format!("a message may have {} KiB", LARGEST_MESSAGE >> 10)))
}

/// A host's words are not taken on trust.
pub(super) fn from_a_host(message: Option<Message>) -> Fate {
    match message {
        Some(Message::Binary(bytes)) => Fate::On(Message::Binary(bytes)),
        Some(Message::Text(_) | Message::Ping(_) | Message::Pong(_)) => Fate::Dropped,
        Some(Message::Close(Some(CloseFrame { code, reason })))
            if matches!(
                code,
                close::ENDED | close::UNAVAILABLE | close::BUSY | close::LOST | close::NO_SUCH
            ) =>
        {
            Fate::End(End::new(code, text::line(&reason, 100)))
        }
        Some(Message::Close(_)) | None => {
            Fate::End(End::new(close::LOST, "the connection to the server's host broke"))
        }
    }
}

async fn idle(last: &Mutex<Instant>) {
    loop {
        let until = *last.lock().expect("no code panics while holding this lock") + IDLE;
        if Instant::now() >= until {
            return;
        }
        sleep_until(until).await;
    }
}

fn frame(end: &End) -> Message {
    let mut cut = end.reason.len().min(123); // more does not fit into a close
    while !end.reason.is_char_boundary(cut) {
        cut -= 1;
    }
    Message::Close(Some(CloseFrame { code: end.code, reason: end.reason[..cut].into() }))
}

/// Says why, and reads on for a moment: a connection that is dropped with something unread takes its last words along.
async fn bye(to: &mut SplitSink<WebSocket, Message>, from: &mut SplitStream<WebSocket>, end: &End) {
    let said = async {
        if to.send(frame(end)).await.is_ok() {
            while let Some(Ok(_)) = from.next().await {}
        }
    };
    let _ = timeout(FAREWELL, said).await; // it may be gone
}

/// The same for a browser that no host was found for.
pub(super) async fn farewell(browser: &mut WebSocket, end: &End) {
    let said = async {
        if browser.send(frame(end)).await.is_ok() {
            while let Some(Ok(_)) = browser.recv().await {}
        }
    };
    let _ = timeout(FAREWELL, said).await; // it may be gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_says_bytes_and_sizes() {
        let on = |message: Message| from_a_browser(Some(message));
        assert_eq!(on(Message::binary("ls\r")), Fate::On(Message::binary("ls\r")));
        let resize = Message::text(r#"{ "resize": {"cols": 100, "rows": 30}, "x": 1 }"#);
        assert_eq!(on(resize), Fate::Dropped, "one control a message");
        let resize = Message::text(r#"{ "resize": {"cols": 100, "rows": 30, "x": 1} }"#);
        assert_eq!(on(resize), Fate::On(Message::text(r#"{"resize":{"cols":100,"rows":30}}"#)), "made anew");
        for nonsense in ["", "{}", "resize", r#"{"resize":{"cols":0,"rows":0}}"#] {
            assert_eq!(on(Message::text(nonsense)), Fate::Dropped, "{nonsense}");
        }
        assert_eq!(on(Message::Close(None)), Fate::End(End::left()));
        let large = Message::binary(vec![0; LARGEST_MESSAGE + 1]);
        for refused in [Some(large), None] {
            assert!(matches!(from_a_browser(refused), Fate::End(End { code: close::REFUSED, .. })));
        }
    }

    #[test]
    fn a_host_says_bytes_and_why_it_ends() {
        let on = |message: Message| from_a_host(Some(message));
        assert_eq!(on(Message::binary("x")), Fate::On(Message::binary("x")));
        assert_eq!(on(Message::text(r#"{"connected":true}"#)), Fate::Dropped, "only we say that");
        let says = |code, reason: &str| on(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
        assert_eq!(
            says(close::ENDED, "it\nstopped"),
            Fate::End(End::new(close::ENDED, text::line("it\nstopped", 100)))
        );
        for code in [1000, 1001, close::GONE, close::RESTART, 65535] {
            assert!(matches!(says(code, "x"), Fate::End(End { code: close::LOST, .. })), "{code}");
        }
        assert!(matches!(from_a_host(None), Fate::End(End { code: close::LOST, .. })));
    }

    #[test]
    fn a_reason_is_cut_to_what_a_close_takes() {
        let Message::Close(Some(frame)) = frame(&End::new(1000, "ä".repeat(100))) else { unreachable!() };
        assert_eq!(frame.reason.as_str(), "ä".repeat(61));
    }
}
