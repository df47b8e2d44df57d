//! A host's stream for the control plane itself: no browser, but a handler that waits.

use std::time::Duration;

use axum::extract::ws::WebSocket;
use berth_proto::{Stream, close};

use super::socket::restart;
use super::{End, Waiting};
use crate::app::App;
use crate::db::streams;
use crate::ids::{HostId, VpsId};
use crate::wake::Changed;

/// How long the host may take to come; somebody waits for the answer to a request.
const PATIENCE: Duration = Duration::from_secs(20);

/// Offers a stream to a host.
pub(super) async fn offer(app: &App, host: HostId, vps: VpsId, what: &Stream) -> Result<Waiting, End> {
    let waiting = app.consoles.wait();
    let url = app.config.agent_stream_url.as_deref();
    if let Err(e) = streams::offer(&app.db, waiting.offer, host, vps, what, url).await {
        tracing::error!(vps = vps.0, error = %e, "a stream cannot be offered to its host");
        return Err(End::new(close::LOST, "it cannot be opened now; try again"));
    }
    app.wake.changed(Changed::Host(host.0));
    Ok(waiting)
}

/// Offers a stream to a host, and waits for it.
pub(crate) async fn fetch(app: &App, host: HostId, vps: VpsId, what: &Stream) -> Result<WebSocket, End> {
    let mut waiting = offer(app, host, vps, what).await?;
    let stream = tokio::select! {
        stream = &mut waiting.stream => stream.map_err(|_| End::new(close::LOST, "the host went away")),
        () = app.consoles.0.stop.cancelled() => Err(restart()),
        () = tokio::time::sleep(PATIENCE) => {
            Err(End::new(close::SILENT, "the server's host did not answer; it may be away for a moment"))
        }
    };
    if stream.is_err()
        && let Err(e) = streams::withdraw(&app.db, waiting.offer).await
    {
        tracing::debug!(error = %e, "an offer is left to expire");
    }
    stream
}
