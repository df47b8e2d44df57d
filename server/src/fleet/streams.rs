//! `GET /agent/v1/streams/<offer>`: an agent opens a stream that this replica waits for.
//!
//! The caller's certificate says which host it is, and the offer which host may open it: another host that has learnt
//! of the id gets the same answer as for an id that nobody offered, and the offer stands.

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::Fleet;
use super::peer::Caller;
use crate::console::bounded;
use crate::db;
use crate::error::{Error, Result};

pub(super) async fn open(
    State(fleet): State<Fleet>,
    caller: Caller,
    Path(id): Path<Uuid>,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    let consoles = fleet.app.consoles.clone();
    if !consoles.waits_for(id) {
        return Err(Error::NotFound("stream")); // over, or this is not the replica that waits
    }
    let vps = db::streams::take(&fleet.app.db, id, caller.id).await?.ok_or(Error::NotFound("stream"))?;
    tracing::debug!(host = caller.name, vps = vps.0, "a host opens a stream");
    Ok(bounded(upgrade).on_upgrade(async move |socket| consoles.hand_over(id, socket)))
}
