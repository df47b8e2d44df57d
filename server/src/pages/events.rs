//! The event stream of a page: its moving parts, rendered again when something changed.
//!
//! A stream is woken by the commits of its project ([`Wake::events`](crate::wake::Wake::events)) and by a clock, because
//! figures move without a commit and a wake-up may be lost between replicas. Each round asks the database, renders, and
//! sends the parts that differ from what this browser has; news that come together are one round. It ends when the
//! session ends, the thing is gone or the server stops; the browser comes back by itself, at once or with a growing pause.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::session::Visit;
use crate::app::App;
use crate::error::{Error, Result};
use crate::seats::{Seat, Whose};
use crate::wake::Changed;

/// Figures are renewed as often as hosts report.
const TICK: Duration = Duration::from_secs(10);
/// News that come within this time are one round.
const GATHER: Duration = Duration::from_millis(100);

/// The moving parts of a page by the ids of their elements.
pub(super) type Parts = Vec<(&'static str, String)>;

/// What a stream needs.
pub(super) struct Feed<L> {
    /// For the database and the news.
    pub(super) app: App,
    /// The session; the stream ends with it, or when it is for somebody else's pages.
    pub(super) cookie: Visit,
    /// Which news matter.
    pub(super) topic: Changed,
    /// Renders the parts.
    pub(super) load: L,
    /// What is shown last when the thing is gone.
    pub(super) gone: Parts,
}

struct Running<L> {
    _seat: Seat,
    feed: Feed<L>,
    news: Receiver<Changed>,
    sent: Parts,
    fresh: bool,
}

/// What comes next.
enum Stage<L> {
    /// News, as long as there are any.
    Open(Box<Running<L>>),
    /// The word by which the browser does not come back.
    Last,
    /// Nothing.
    Over,
}

/// Starts a stream, unless the person has too many.
pub(super) fn stream<L, F>(feed: Feed<L>) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>>
where
    L: FnMut() -> F + Send + 'static,
    F: Future<Output = Result<Parts>> + Send + 'static,
{
    let seat = feed.app.seats.take(&[Whose::Person(feed.cookie.person())])?;
    let news = feed.app.wake.events(); // before the first read, so that nothing in between is lost
    let running = Box::new(Running { _seat: seat, feed, news, sent: Parts::new(), fresh: true });
    let events = futures_util::stream::unfold(Stage::Open(running), next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

async fn next<L, F>(stage: Stage<L>) -> Option<(Result<Event, Infallible>, Stage<L>)>
where
    L: FnMut() -> F + Send,
    F: Future<Output = Result<Parts>> + Send,
{
    let mut running = match stage {
        Stage::Open(running) => running,
        Stage::Last => return Some((Ok(Event::default().event("gone").data("gone")), Stage::Over)),
        Stage::Over => return None,
    };
    loop {
        if !std::mem::take(&mut running.fresh) && !running.news().await {
            return None;
        }
        match running.round().await {
            Ok(Some(html)) => return Some((Ok(Event::default().data(html)), Stage::Open(running))),
            Ok(None) => {}
            Err(Error::NotFound(_)) => {
                let html: String = running.feed.gone.iter().map(partial).collect();
                return Some((Ok(Event::default().data(html)), Stage::Last));
            }
            Err(Error::Unauthorized) => return None,
            Err(e) => {
                tracing::warn!(error = %e, "an event stream ends");
                return None;
            }
        }
    }
}

impl<L, F> Running<L>
where
    L: FnMut() -> F + Send,
    F: Future<Output = Result<Parts>> + Send,
{
    /// Waits for news or the clock; false when the server stops.
    async fn news(&mut self) -> bool {
        let topic = self.feed.topic;
        let clock = tokio::time::sleep(TICK);
        tokio::pin!(clock);
        loop {
            tokio::select! {
                () = &mut clock => return true,
                news = self.news.recv() => match news {
                    Ok(changed) if changed != topic => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => return false,
                },
            }
        }
        tokio::time::sleep(GATHER).await;
        self.news = self.news.resubscribe(); // what came meanwhile is seen by the read that follows
        true
    }

    /// What this browser does not have yet.
    async fn round(&mut self) -> Result<Option<String>> {
        let app = &self.feed.app;
        if !self.feed.cookie.holds(app).await? {
            return Err(Error::Unauthorized);
        }
        let parts = (self.feed.load)().await?;
        let html: String = parts.iter().filter(|part| !self.sent.contains(part)).map(partial).collect();
        self.sent = parts;
        Ok((!html.is_empty()).then_some(html))
    }
}

fn partial((id, html): &(&'static str, String)) -> String {
    format!("<hx-partial hx-target=\"#{id}\" hx-swap=\"outerMorph\">{html}</hx-partial>")
}
