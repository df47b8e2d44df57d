//! `/berth/v1/servers/{id}/events`: what happened to a server, newest first.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::events;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::EventsResponse)]
struct EventsResponse {
    events: Vec<Event>,
    meta: Meta,
}

/// Something that happened to a server.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Event)]
struct Event {
    id: i64,
    /// When it was noticed.
    at: DateTime<Utc>,
    /// When the server was started to which it happened; of what befell it from outside (isolation, traffic), when that
    /// was, or when the month of traffic began.
    boot: DateTime<Utc>,
    /// `started`; `stopped` (by request), `halted` and `rebooted` (from inside), `crashed`, `lost` (nobody saw how it
    /// ended); `oom_kill` (a process was killed for want of memory), `limit_hit`; `isolated` and
    /// `released` (by the operator); `traffic_reached`, `traffic_throttled`, `traffic_suspended` and `traffic_restored`.
    /// There may be more later.
    kind: String,
    /// What more is known, by kind. Ends have `exit`: `how` is `stopped`, `halt`, `reboot`, `code`, `signal` or `lost`, and
    /// `value` is the code or signal. `oom_kill` has `victim`, the name that the process gave itself, and `pid`, both
    /// empty or null where the host cannot tell. `limit_hit` has `limit` and `count`, `isolated` has `reason`,
    /// `traffic_reached` has `percent` and `traffic_throttled` has `mbit`.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

impl From<events::Event> for Event {
    fn from(event: events::Event) -> Self {
        let events::Event { id, boot, at, kind, detail } = event;
        Self { id, at, boot, kind, detail }
    }
}

/// Lists what happened to a server, newest first. Some hundred events are kept.
#[utoipa::path(get, path = "/servers/{id}/events", tag = "berth: events", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = EventsResponse), Problems))]
async fn list(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    query: Query,
) -> Result<Listing<EventsResponse>> {
    let page = query.page()?;
    let part = events::list(&app.db, tenant.project_id, id, page).await?;
    let events = part.items.into_iter().map(Event::from).collect();
    Ok(query.listing(page, part.total, |meta| EventsResponse { events, meta }, &app.config.public_url))
}
