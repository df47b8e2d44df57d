//! The tenant API, compatible with the hcloud API v1: a file a resource.
//!
//! Handlers are short and linear: extract, parse into validated values, one call into `db/`, answer. The words of the
//! hcloud API ("server", "server type") live here and nowhere else. Every answer is JSON in the hcloud API's envelope,
//! also for paths, methods and bodies that are wrong, and for our own faults.
//!
//! What hcloud has no words for is in [`berth`], below `/berth/v1`: same tokens, errors and envelope.
//!
//! The OpenAPI description comes from the same code: [`router`] gives both.

mod actions;
mod berth;
mod body;
mod catalog;
mod datacenters;
mod dns_ptr;
mod docs;
mod envelope;
mod export;
mod firewalls;
mod floating_ips;
mod images;
mod locations;
mod networks;
mod pricing;
mod primary_ips;
mod query;
mod server_types;
mod servers;
mod shell;
mod ssh_keys;

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

pub(crate) use berth::{
    Announcement, AuditEntry, Limits as ServerLimits, Quotas, audit_filter, audit_lines,
    wanted as wanted_limits,
};
pub(crate) use body::Raw;
pub use body::{Body, Id, MAX_BODY};
pub use docs::{ErrorResponse, Problems};
pub(crate) use export::exported;
pub use query::{Listing, Meta, Query};
pub(crate) use servers::new_server;
pub use shell::{method_not_allowed, not_found, shell, traced};

use crate::app::App;
use crate::auth;

/// The tenant API: hcloud's below `/v1`, Berth's own below `/berth/v1`; and the description of both.
pub fn router(app: App) -> (Router, utoipa::openapi::OpenApi) {
    let (hcloud, description) = OpenApiRouter::<App>::new()
        .merge(servers::router())
        .merge(actions::router())
        .merge(server_types::router())
        .merge(images::router())
        .merge(locations::router())
        .merge(datacenters::router())
        .merge(ssh_keys::router())
        .merge(firewalls::router())
        .merge(primary_ips::router())
        .merge(floating_ips::router())
        .merge(networks::router())
        .merge(dns_ptr::router())
        .merge(pricing::router())
        .split_for_parts();
    let (own, own_description) = berth::router().split_for_parts();
    let guarded = |router: Router<App>| {
        router
            .fallback(not_found)
            .method_not_allowed_fallback(method_not_allowed)
            .layer(from_fn_with_state(app.clone(), auth::tenant))
            .with_state(app.clone())
    };
    let router = Router::new().nest("/v1", guarded(hcloud)).nest(berth::PREFIX, guarded(own));
    (shell(router), docs::describe(description).nest(berth::PREFIX, own_description))
}

#[cfg(test)]
mod tests;
