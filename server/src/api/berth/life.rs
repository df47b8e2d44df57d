//! `/servers/{id}/life`, `/servers/{id}/actions/freeze` and `…/thaw`: what happens between power on and power off.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use berth_proto::{Exit, VpsFault};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::ActionResponse;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps::{self, Vps};
use crate::domain::life::{exit_text, parse_policy, policy_name};
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, patch)).routes(routes!(freeze)).routes(routes!(thaw))
}

/// How a server lives.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Life)]
struct Life {
    /// Whether it was seen to stand still. Its status is `running` all the same.
    frozen: bool,
    /// Whether it was asked to stand still. Every power command takes that back.
    should_be_frozen: bool,
    /// What happens when it ends by itself: `always`, `on-failure` or `never` started again. One that reboots itself is
    /// always started again, also one whose host went down; one that powers itself off stays off.
    restart_policy: &'static str,
    /// Its place among the servers that its host starts when it has booted: smaller ones first. Operators set it.
    autostart_order: i32,
    /// How it ended last; null if it never did.
    last_exit: Option<LastExit>,
    /// What stands in the way of what was asked, or why it is not started again yet.
    fault: Option<Fault>,
}

/// How a server ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::LastExit)]
struct LastExit {
    /// `reboot`, `halt` (both from inside), `code`, `signal`, `oom`, `stopped` (as asked), `lost` (with its host), or
    /// `unknown`.
    kind: &'static str,
    /// What its first process returned, or the signal that killed it.
    value: Option<i32>,
    /// For people.
    text: String,
}

impl From<Exit> for LastExit {
    fn from(exit: Exit) -> Self {
        let (kind, value) = match exit {
            Exit::Reboot => ("reboot", None),
            Exit::Halt => ("halt", None),
            Exit::Code(code) => ("code", Some(code)),
            Exit::Signal(signal) => ("signal", Some(signal)),
            Exit::Oom => ("oom", None),
            Exit::Stopped => ("stopped", None),
            Exit::Lost => ("lost", None),
            Exit::Unknown => ("unknown", None),
        };
        Self { kind, value, text: exit_text(exit) }
    }
}

/// What stands in the way.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Fault)]
struct Fault {
    /// For programs: `restart_delayed`, `start_failed`, ….
    code: String,
    /// For people, with what to do.
    message: String,
    /// Whether the host has given up.
    terminal: bool,
}

impl From<VpsFault> for Fault {
    fn from(VpsFault { code, message, terminal }: VpsFault) -> Self {
        Self { code, message, terminal }
    }
}

impl From<&Vps> for Life {
    fn from(vps: &Vps) -> Self {
        Self {
            frozen: vps.observed_frozen,
            should_be_frozen: vps.frozen,
            restart_policy: policy_name(vps.restart_policy()),
            autostart_order: vps.autostart_order,
            last_exit: vps.exit().map(LastExit::from),
            fault: vps.fault().map(Fault::from),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::LifeResponse)]
struct LifeResponse {
    life: Life,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[schema(as = berth::ChangeLife)]
struct ChangeLife {
    /// `always`, `on-failure` or `never`.
    restart_policy: String,
}

/// Shows how a server lives.
#[utoipa::path(get, path = "/servers/{id}/life", tag = "Berth: life", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = LifeResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<LifeResponse>> {
    let vps = vps::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(LifeResponse { life: (&vps).into() }))
}

/// Chooses what happens when a server ends by itself.
#[utoipa::path(patch, path = "/servers/{id}/life", tag = "Berth: life", security(("token" = [])),
    params(("id" = i64, Path)), request_body = ChangeLife,
    responses((status = 200, body = LifeResponse), Problems))]
async fn patch(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(change): Body<ChangeLife>,
) -> Result<Json<LifeResponse>> {
    let policy = parse_policy("restart_policy", &change.restart_policy)?;
    let vps = vps::set_restart_policy(&app, tenant.project_id, id, policy).await?;
    Ok(Json(LifeResponse { life: (&vps).into() }))
}

type Started = (StatusCode, Json<ActionResponse>);

/// Makes a running server stand still: it keeps its memory and gets no CPU, until it is thawed or a power command comes.
#[utoipa::path(post, path = "/servers/{id}/actions/freeze", tag = "Berth: life", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn freeze(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    let action = vps::freeze(&app, tenant.project_id, id, true).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Lets a frozen server go on.
#[utoipa::path(post, path = "/servers/{id}/actions/thaw", tag = "Berth: life", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = ActionResponse), Problems))]
async fn thaw(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Started> {
    let action = vps::freeze(&app, tenant.project_id, id, false).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}
