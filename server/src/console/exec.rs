//! `GET /exec?token=…`: a client's end of a program's stream. All but the words is as for a console.
//!
//! A binary message is a byte that names the channel (0: standard input, 1: standard output, 2: standard error) and the
//! bytes. Text messages are JSON: `{"resize":{"cols":80,"rows":24}}`, `{"signal":"TERM"}` and `{"stdin_close":{}}` from
//! the client; `{"attached":{"stdout":0,"stderr":0}}` to it when the program runs, with the numbers of the bytes that come
//! next, and `{"exit":{"code":0}}` or `{"exit":{"signal":9}}` when it has ended and all of its output was sent.

use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use berth_proto::{ExecControl, ExecEvent, channel};

use super::bounded;
use super::relay::{self, Fate, Manners};
use super::socket::{Ticket, serve};
use crate::app::App;
use crate::auth::secret::Secret;
use crate::db::console::{self, Door};
use crate::error::{Error, Result};

/// Path and query of the WebSocket for a ticket.
pub(crate) fn path(ticket: &Secret) -> String {
    format!("/exec?token={}", ticket.expose())
}

pub(super) async fn open(
    State(app): State<App>,
    Query(ticket): Query<Ticket>,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let grant = console::redeem(&app.db, &ticket.token, Door::Exec).await?.ok_or(Error::Unauthorized)?;
    let running = app.consoles.0.running.clone();
    Ok(bounded(upgrade)
        .on_upgrade(move |client| running.track_future(serve(app, grant, client, &Manners::EXEC))))
}

pub(super) fn from_a_client(message: Option<Message>) -> Fate {
    match message {
        Some(Message::Binary(bytes)) if bytes.first() != Some(&channel::STDIN) => Fate::Dropped,
        Some(Message::Text(text)) => match ExecControl::parse(&text) {
            Some(control) => Fate::On(Message::text(control.to_text())),
            None => Fate::Dropped,
        },
        other => relay::from_a_browser(other),
    }
}

pub(super) fn from_a_host(message: Option<Message>) -> Fate {
    match message {
        Some(Message::Binary(bytes))
            if !matches!(bytes.first(), Some(&(channel::STDOUT | channel::STDERR))) =>
        {
            Fate::Dropped
        }
        Some(Message::Text(text)) => match ExecEvent::parse(&text) {
            Some(event) => Fate::On(Message::text(event.to_text())),
            None => Fate::Dropped,
        },
        other => relay::from_a_host(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_of_the_protocol_pass() {
        for (text, passes) in [
            (r#"{"signal":"INT"}"#, true),
            (r#"{"stdin_close":{}}"#, true),
            (r#"{"resize":{"cols":80,"rows":24}}"#, true),
            (r#"{"signal":"STOP"}"#, false),
            (r#"{"exit":{"code":0}}"#, false),
            ("", false),
        ] {
            let fate = from_a_client(Some(Message::text(text)));
            assert_eq!(fate == Fate::On(Message::text(text)), passes, "{text}");
        }
        let exit = Message::text(r#"{"exit":{"code":0}}"#);
        assert_eq!(from_a_host(Some(exit.clone())), Fate::On(exit));
        assert_eq!(from_a_host(Some(Message::text(r#"{"connected":true}"#))), Fate::Dropped);
        for (channel, client, host) in
            [(0, true, false), (1, false, true), (2, false, true), (3, false, false)]
        {
            let message = Message::binary(vec![channel, b'x']);
            assert_eq!(from_a_client(Some(message.clone())) != Fate::Dropped, client, "{channel}");
            assert_eq!(from_a_host(Some(message)) != Fate::Dropped, host, "{channel}");
        }
        assert_eq!(from_a_client(Some(Message::binary(Vec::new()))), Fate::Dropped);
    }
}
