//! Another plan for a server, from its page.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice, ResizeChoice};

use super::cookies;
use super::dress::Failed;
use super::fields::Fields;
use super::preview::plan_choice;
use super::server::{path, refused};
use super::session::{ThingId, ToManage};
use crate::app::App;
use crate::db::plans;
use crate::db::vps::{self, Reference, Vps};
use crate::error::Result;
use crate::ids::VpsId;

/// `POST /projects/{project}/servers/{id}/resize`.
pub(super) async fn submit(
    ToManage(visitor): ToManage,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let plan = Reference::new(fields.get("server_type"));
    let grow_disk = !fields.get("upgrade_disk").is_empty();
    match vps::change_plan(&app, visitor.id(), VpsId(id), &plan, grow_disk).await {
        Ok(_) => {
            let to = path(&visitor, id);
            Ok((cookies::tell(&app.config, &to, Notice::ResizeAccepted), Redirect::to(&to)).into_response())
        }
        Err(e) => refused(&app, &visitor, id, Field::default(), e).await,
    }
}

/// What a server can change to, its own plan included while that is offered.
pub(super) async fn choices(app: &App, vps: &Vps) -> Result<Vec<ResizeChoice>> {
    let offered = plans::offered(&app.db).await?;
    let choices = offered.iter().map(|plan| {
        let too_small = (plan.disk_bytes < vps.disk_bytes).then_some("its disk is smaller");
        ResizeChoice { plan: plan_choice(plan, too_small), current: plan.id == vps.plan_id }
    });
    Ok(choices.collect())
}
