//! `/berth/v1`: what Berth's servers can do and hcloud's API has no words for. A file a feature, each with a `router()`
//! that is merged here.
//!
//! It stands beside `/v1` under the same roof: the same tokens and limits of requests (no handler is reached without a
//! [`Tenant`](crate::auth::Tenant)), the same errors and actions, the same OpenAPI description. Paths are those of `/v1`
//! with more behind them (`/servers/{id}/limits`), so an id means the same in both. Bodies are at most
//! [`MAX_BODY`](crate::api::MAX_BODY). Names of schemas begin with `berth::`, because two of one name would be merged into
//! one, silently; types that `/v1` has too are used as they are.

mod announcements;
mod audit;
mod events;
mod exec;
mod feed;
mod files;
mod firewalls;
mod life;
mod limits;
mod network;
mod ports;
mod quotas;
mod traffic;
mod webhooks;

use utoipa_axum::router::OpenApiRouter;

pub(crate) use announcements::Announcement;
pub(crate) use audit::{Entry as AuditEntry, filter as audit_filter, lines as audit_lines};
pub(crate) use limits::{Limits, wanted};
pub(crate) use quotas::Quotas;

use crate::app::App;

/// What all paths begin with.
pub(super) const PREFIX: &str = "/berth/v1";

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(announcements::router())
        .merge(audit::router())
        .merge(events::router())
        .merge(exec::router())
        .merge(feed::router())
        .merge(files::router())
        .merge(firewalls::router())
        .merge(life::router())
        .merge(limits::router())
        .merge(network::router())
        .merge(ports::router())
        .merge(quotas::router())
        .merge(traffic::router())
        .merge(webhooks::router())
}
