//! Freezing a server, and what happens when it ends by itself, from its page.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice};

use super::cookies;
use super::dress::Failed;
use super::fields::Fields;
use super::server::{path, refused};
use super::session::{ThingId, ToManage, ToOperate, Visitor};
use crate::app::App;
use crate::db::vps;
use crate::domain::life::parse_policy;
use crate::error::Error;
use crate::ids::VpsId;

/// `POST /projects/{project}/servers/{id}/freeze`.
pub(super) async fn freeze(
    ToOperate(visitor): ToOperate,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let freeze = match fields.get("command") {
        "freeze" => true,
        "thaw" => false,
        _ => {
            let wrong = Error::invalid("command", "must be freeze or thaw");
            return refused(&app, &visitor, id, Field::default(), wrong).await;
        }
    };
    match vps::freeze(&app, visitor.id(), VpsId(id), freeze).await {
        Ok(_) => Ok(told(&app, &visitor, id, Notice::PowerAccepted)),
        Err(e) => refused(&app, &visitor, id, Field::default(), e).await,
    }
}

/// `POST /projects/{project}/servers/{id}/restart-policy`.
pub(super) async fn restart_policy(
    ToManage(visitor): ToManage,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let changed = match parse_policy("restart_policy", fields.get("restart_policy")) {
        Ok(policy) => vps::set_restart_policy(&app, visitor.id(), VpsId(id), policy).await,
        Err(e) => Err(e),
    };
    match changed {
        Ok(_) => Ok(told(&app, &visitor, id, Notice::RestartPolicyChanged)),
        Err(e) => refused(&app, &visitor, id, Field::default(), e).await,
    }
}

fn told(app: &App, visitor: &Visitor, id: i64, notice: Notice) -> Response {
    let to = path(visitor, id);
    (cookies::tell(&app.config, &to, notice), Redirect::to(&to)).into_response()
}
