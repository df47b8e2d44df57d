//! `/berth/v1/events`: what happens in the project, from where the reader stopped; as a list, or as a stream that goes on.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::feed::{self, News};
use crate::db::tokens;
use crate::domain::webhook::Kind;
use crate::error::{Error, Result};
use crate::seats::{Seat, Whose};
use crate::wake::Changed;

/// Events in one answer.
const BATCH: i64 = 100;
/// What is not woken looks again after this time; hosts' reports wake nobody.
const TICK: Duration = Duration::from_secs(5);
/// A stream ends after this time; its client comes back with where it stopped.
const LIFE: Duration = Duration::from_secs(3600);

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(follow))
}

/// Something that happened in the project.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::ProjectEvent)]
pub(super) struct ProjectEvent {
    /// Its place: rises, with gaps. What comes later in time may come a little earlier here, but never behind what was read.
    id: i64,
    at: DateTime<Utc>,
    /// What happened to what: changes as in the audit trail (`server.created`, `ssh_key.deleted`); `action.started`,
    /// `action.success` and `action.error`; and of guests what `/servers/{id}/events` lists (`guest.oom_kill`).
    kind: String,
    /// The thing's id.
    target_id: Option<i64>,
    /// What it was called; the command of an action.
    target: String,
    /// More, by kind: of changes who made them, `before` and `after`; of actions `server_id` and `error`.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl From<News> for ProjectEvent {
    fn from(n: News) -> Self {
        Self { id: n.seq, at: n.at, kind: n.kind, target_id: n.target_id, target: n.target, detail: n.body }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::ProjectEventsResponse)]
struct ProjectEventsResponse {
    events: Vec<ProjectEvent>,
    /// What to ask for next as `after`.
    cursor: i64,
}

/// Lists what happened after an event, oldest first, at most 100 events. They are kept for 30 days.
///
/// Ask again with `after` set to the answer's `cursor`: nothing is missed and nothing comes twice.
#[utoipa::path(get, path = "/events", tag = "berth: events", security(("token" = [])),
    params(
        ("after" = Option<i64>, Query, minimum = 0, description = "The last event that is known; without: from the oldest"),
        ("kind" = Option<Vec<String>>, Query, description = "`server` for all of a thing, `action.error` for one kind"),
    ),
    responses((status = 200, body = ProjectEventsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Json<ProjectEventsResponse>> {
    let kinds = Kind::parse_all("kind", query.all("kind"))?;
    let after = number(&query, "after")?;
    feed::number(&app.db).await?;
    let head = feed::head(&app.db).await?; // before reading: what comes in between is for the next time
    let news = feed::read(&app.db, tenant.project_id, after, &kinds, BATCH).await?;
    let full = i64::try_from(news.len()) == Ok(BATCH);
    let last = news.last().map_or(0, |n| n.seq);
    let cursor = if full { last } else { last.max(head) };
    Ok(Json(ProjectEventsResponse { events: news.into_iter().map(ProjectEvent::from).collect(), cursor }))
}

/// Streams what happens, as server-sent events, from now on or after an event: `id` is the event's, `event` its kind and
/// `data` the event as in the list.
///
/// A client that comes back with `Last-Event-ID`, as browsers' `EventSource` does, misses nothing. A stream ends after an
/// hour, with its token, and when the server stops. A token has at most 16 open at once, and a project 64; one more is
/// answered with 429 and the code `rate_limit_exceeded`.
#[utoipa::path(get, path = "/events/stream", tag = "berth: events", security(("token" = [])),
    params(
        ("after" = Option<i64>, Query, minimum = 0, description = "The last event that is known; without: from now on"),
        ("kind" = Option<Vec<String>>, Query, description = "`server` for all of a thing, `action.error` for one kind"),
    ),
    responses((status = 200, content_type = "text/event-stream", body = String), Problems))]
async fn follow(
    State(app): State<App>,
    tenant: Tenant,
    query: Query,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>> {
    let kinds = Kind::parse_all("kind", query.all("kind"))?;
    let seat = app.seats.take(&[Whose::Token(tenant.token_id), Whose::Project(tenant.project_id)])?;
    let news = app.wake.events(); // before the first look, so that nothing in between is lost
    feed::number(&app.db).await?;
    let known = headers.get("last-event-id").and_then(|v| v.to_str().ok()?.parse().ok());
    let after = match known.or(number(&query, "after")?) {
        Some(after) => {
            feed::read(&app.db, tenant.project_id, Some(after), &kinds, 1).await?; // refused while it can be told
            after
        }
        None => feed::head(&app.db).await?,
    };
    let reader =
        Reader { _seat: seat, app, tenant, kinds, after, news, fresh: true, until: Instant::now() + LIFE };
    let events = stream::unfold(reader, Reader::next).flat_map(stream::iter);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

fn number(query: &Query, name: &str) -> Result<Option<i64>> {
    let parse = |v: &str| v.parse().ok().filter(|n| *n >= 0);
    let wrong = || Error::invalid(name, "must be a whole number from 0");
    query.one(name).map(|v| parse(v).ok_or_else(wrong)).transpose()
}

/// Somebody who follows.
struct Reader {
    _seat: Seat,
    app: App,
    tenant: Tenant,
    kinds: Vec<Kind>,
    after: i64,
    news: Receiver<Changed>,
    fresh: bool,
    until: Instant,
}

impl Reader {
    /// The next events; none when the stream ends.
    async fn next(mut self) -> Option<(Vec<Result<Sent, Infallible>>, Self)> {
        loop {
            if !std::mem::take(&mut self.fresh) && !self.woken().await {
                return None;
            }
            if Instant::now() > self.until || !self.may().await {
                return None;
            }
            let read = feed::read(&self.app.db, self.tenant.project_id, Some(self.after), &self.kinds, BATCH);
            let news = match read.await {
                Ok(news) => news,
                Err(e) => {
                    tracing::warn!(error = %e, "an event stream ends");
                    return None;
                }
            };
            if let Some(last) = news.last() {
                self.after = last.seq;
                self.fresh = true; // there may be more
                return Some((news.into_iter().filter_map(|n| sent(n).map(Ok)).collect(), self));
            }
        }
    }

    /// Waits for news of the project or the clock; false when the server stops.
    async fn woken(&mut self) -> bool {
        let clock = tokio::time::sleep(TICK);
        tokio::pin!(clock);
        let topic = Changed::Project(self.tenant.project_id.0);
        loop {
            tokio::select! {
                () = &mut clock => return true,
                news = self.news.recv() => match news {
                    Ok(changed) if changed != topic => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return true,
                    Err(RecvError::Closed) => return false,
                }
            }
        }
    }

    /// Whether the token still is one.
    async fn may(&self) -> bool {
        tokens::is_there(&self.app.db, self.tenant.project_id, self.tenant.token_id).await.unwrap_or(false)
    }
}

fn sent(news: News) -> Option<Sent> {
    let (id, kind) = (news.seq.to_string(), news.kind.clone());
    Sent::default().id(id).event(kind).json_data(ProjectEvent::from(news)).ok()
}
