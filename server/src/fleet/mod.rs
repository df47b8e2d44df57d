//! The agents' side of the control plane: listener 2.
//!
//! Agents dial in with mutual TLS ([`listener`]), enrol once ([`enrol`]), ask what they should hold ([`watch`]), say
//! what they see ([`report`]), fetch images ([`images`]) and open streams that they were asked for ([`streams`]). Everything an agent says is about its own host only, and
//! is checked before it is kept: an agent is not trusted with the rest of the fleet.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::app::App;

pub mod ca;
mod enrol;
mod images;
mod listener;
pub(crate) mod outcome;
mod peer;
mod report;
mod streams;
pub(crate) mod text;
mod watch;

pub(crate) use listener::Listener;

/// What the agents' handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) app: App,
    pub(crate) ca: Arc<ca::Ca>,
    /// Cancelled when the server stops: blocked watches answer at once.
    pub(crate) stop: CancellationToken,
}

/// A report of 20,000 VPSes fits.
const LARGEST_REPORT: usize = 32 << 20;
const LARGEST_REQUEST: usize = 64 << 10;

/// Routes of the agents' listener.
pub(crate) fn router(fleet: Fleet) -> Router {
    let routes = Router::new()
        .route("/enrol", post(enrol::enrol))
        .route("/renew", post(enrol::renew))
        .route("/watch", get(watch::watch))
        .route("/report", post(report::report).layer(DefaultBodyLimit::max(LARGEST_REPORT)))
        .route("/images/{sha256}", get(images::image))
        .route("/streams/{id}", get(streams::open))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(fleet);
    Router::new().nest(berth_proto::AGENT_API, routes)
}
