//! The console's page, and the tickets that its script asks for.
//!
//! The page itself opens nothing: script posts for a ticket (so a link from elsewhere starts nothing, and the cross-site
//! guard stands before it) and opens the WebSocket with it. The same function makes the API's tickets.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_web::{ConsolePage, Section};
use serde_json::json;

use super::dress::{Failed, Page};
use super::server::capital;
use super::session::{ThingId, ToOperate};
use crate::app::App;
use crate::auth::secret;
use crate::console::path;
use crate::db::console::{self, Asker};
use crate::db::vps;
use crate::error::Error;
use crate::ids::VpsId;

/// `GET /projects/{project}/servers/{id}/console`.
pub(super) async fn page(
    ToOperate(visitor): ToOperate,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Page<ConsolePage>, Failed> {
    let found = vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    let shell = visitor.shell(Section::Servers);
    Ok(Page(ConsolePage { shell, project: visitor.project, id, name: found.name }))
}

/// `POST /projects/{project}/servers/{id}/console/ticket`: where the WebSocket is, or why there is none and whether that
/// will pass by itself.
pub(super) async fn ticket(
    ToOperate(visitor): ToOperate,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let asker = Asker::Session(secret::hash(&visitor.who.cookie));
    match console::issue(&app, visitor.id(), VpsId(id), asker).await {
        Ok((_, ticket)) => Ok(Json(json!({"socket": path(&ticket)})).into_response()),
        Err(e @ (Error::Locked(_) | Error::ResourceUnavailable(_))) => {
            let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::CONFLICT);
            let passes = matches!(e, Error::Locked(_));
            let body = json!({"message": capital(&e.to_string()), "passes": passes});
            Ok((status, Json(body)).into_response())
        }
        Err(e) => Err(e.into()),
    }
}
