//! `GET /console?token=…`: the browser's end, from the ticket to the relay.
//!
//! The ticket is the only authority: it is in the URL because browsers cannot send anything else with a WebSocket, it
//! works once and for a minute, and no cookie is looked at, so another site's page can open nothing. A ticket that is
//! none is a plain 401; what goes wrong later is said by the close, whose reason is made for people.
//!
//! Binary messages are the bytes of the console, both ways. Text messages are JSON: `{"resize":{"cols":80,"rows":24}}`
//! from the browser, `{"connected":true}` to it when its host is there.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use berth_proto::{LARGEST_MESSAGE, close};

use super::fetch::offer;
use super::relay::{Manners, farewell, relay};
use super::{End, Kind, Seat, bounded, exec};
use crate::api;
use crate::app::App;
use crate::auth::secret::Secret;
use crate::db::console::{self, Door, Grant};
use crate::db::streams;
use crate::error::{Error, Result};

/// How often it is looked whether who is in may stay.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Messages that are kept for a host that is not there yet, and bytes in them.
const MOST_EARLY: (usize, usize) = (64, LARGEST_MESSAGE);

/// The routes of listener 1.
pub(crate) fn router(app: App) -> Router {
    api::traced(Router::new().route("/console", get(open)).route("/exec", get(exec::open)).with_state(app))
}

/// Path and query of the WebSocket for a ticket.
pub(crate) fn path(ticket: &Secret) -> String {
    format!("/console?token={}", ticket.expose())
}

#[derive(serde::Deserialize)]
pub(super) struct Ticket {
    #[serde(default)]
    pub(super) token: String,
}

async fn open(
    State(app): State<App>,
    Query(ticket): Query<Ticket>,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let grant = console::redeem(&app.db, &ticket.token, Door::Console).await?.ok_or(Error::Unauthorized)?;
    let running = app.consoles.0.running.clone();
    Ok(bounded(upgrade)
        .on_upgrade(move |browser| running.track_future(serve(app, grant, browser, &Manners::CONSOLE))))
}

/// A console or a program's stream from its beginning to its end.
pub(super) async fn serve(app: App, grant: Grant, mut browser: WebSocket, manners: &'static Manners) {
    let (vps, what) = (grant.vps.0, manners.name);
    tracing::info!(vps, what, asker = ?grant.asker, "a stream is opened");
    let end = match connect(&app, &grant, &mut browser, manners.kind).await {
        Ok((_seat, agent, early)) => relay(browser, agent, early, manners, until_told(&app, &grant)).await,
        Err(end) => {
            farewell(&mut browser, &end).await;
            end
        }
    };
    tracing::info!(vps, what, code = end.code, reason = end.reason, "a stream is closed");
}

/// A place, the host's end, and what the browser said meanwhile.
async fn connect(
    app: &App,
    grant: &Grant,
    browser: &mut WebSocket,
    kind: Kind,
) -> Result<(Seat, WebSocket, Vec<Message>), End> {
    let seat = app.consoles.enter(grant.vps, kind)?;
    let mut early = Vec::new();
    let mut waiting = offer(app, grant.host, grant.vps, &grant.what).await?;
    let patience = Duration::from_secs(streams::LIFETIME_SECONDS.unsigned_abs().into());
    let stream = tokio::select! {
        stream = &mut waiting.stream => stream.map_err(|_| End::new(close::LOST, "the host went away")),
        end = gather(browser, &mut early) => Err(end),
        () = app.consoles.0.stop.cancelled() => Err(restart()),
        () = tokio::time::sleep(patience) => {
            Err(End::new(close::SILENT, "the server's host did not answer; it may be away for a moment"))
        }
    };
    if stream.is_err()
        && let Err(e) = streams::withdraw(&app.db, waiting.offer).await
    {
        tracing::debug!(error = %e, "an offer is left to expire");
    }
    Ok((seat, stream?, early))
}

/// Keeps what the browser says while its host is not there yet; ends when it leaves, or says too much.
async fn gather(browser: &mut WebSocket, early: &mut Vec<Message>) -> End {
    let mut bytes = 0;
    while let Some(Ok(message)) = browser.recv().await {
        bytes += match &message {
            Message::Close(_) => return End::left(),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Binary(bytes) => bytes.len(),
            Message::Text(text) => text.len(),
        };
        early.push(message);
        if early.len() > MOST_EARLY.0 || bytes > MOST_EARLY.1 {
            return End::new(close::REFUSED, "too much was sent before the server's host was there");
        }
    }
    End::left()
}

/// Resolves when the console must end though both sides are well: the right to it is gone, or the server stops.
async fn until_told(app: &App, grant: &Grant) -> End {
    let look = async {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            // A database that is away takes no right from anybody.
            if matches!(console::may_stay(&app.db, grant).await, Ok(false)) {
                return End::new(close::GONE, "the server, or your right to see it, is gone");
            }
        }
    };
    tokio::select! {
        end = look => end,
        () = app.consoles.0.stop.cancelled() => restart(),
    }
}

pub(super) fn restart() -> End {
    End::new(close::RESTART, "the control plane restarts; the console comes back in a moment")
}
