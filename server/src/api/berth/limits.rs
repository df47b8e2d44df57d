//! `/berth/v1/servers/{id}/limits`: what a server may use, what became of that on its host, and changing single limits
//! while it runs.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::ActionResponse;
use crate::api::body::{Raw, parse};
use crate::api::{Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps;
use crate::domain::limits::{ALL, By, Change, hits};
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, patch))
}

/// What a server may use, and what became of that.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Limits)]
pub(crate) struct Limits {
    /// Whether the host has carried out what is asked for now; while it has not, `applied` and `why` are of before.
    current: bool,
    /// By name: those that can be changed.
    limits: BTreeMap<&'static str, Limit>,
    /// Processes that were killed for want of memory since the server was started; null while it does not run.
    oom_kills: Option<i64>,
}

/// One limit.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Limit)]
struct Limit {
    /// What is asked for.
    asked: i64,
    /// What the server type gives.
    plan: i64,
    /// What the kernel was seen to hold; null while the server does not run, or where nothing holds it.
    applied: Option<i64>,
    /// Why the host cannot hold it as asked; null when it does, or nothing is known.
    why: Option<String>,
    /// How often it was hit since the server was started; for `cpu_milli` the microseconds that processes waited for it.
    /// Null while the server does not run, and for limits whose hits are not counted.
    hits: Option<i64>,
}

impl From<vps::LimitsReport> for Limits {
    fn from(report: vps::LimitsReport) -> Self {
        let limits = ALL.iter().map(|known| {
            let state = report.states.iter().find(|state| state.limit == known.limit);
            let limit = Limit {
                asked: known.of(&report.asked),
                plan: known.of(&report.plan),
                applied: state.and_then(|state| state.applied),
                why: state.and_then(|state| state.why.clone()),
                hits: report.hits.as_ref().and_then(|all| hits(known.limit, all)),
            };
            (known.name, limit)
        });
        let limits = limits.collect();
        Self { current: report.current, limits, oom_kills: report.hits.map(|hits| hits.oom_kills) }
    }
}

/// Refuses names that are no limits, which would be ignored otherwise, and reads the rest.
pub(crate) fn wanted(body: &[u8]) -> Result<Change> {
    Change::check_names(parse::<Map<String, Value>>(body)?.keys())?;
    parse(body)
}

/// Shows the limits of a server: asked for, applied, why not, and how often they were hit.
#[utoipa::path(get, path = "/servers/{id}/limits", tag = "berth: limits", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Limits), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<Limits>> {
    Ok(Json(vps::limits(&app.db, tenant.project_id, id).await?.into()))
}

/// Changes single limits of a server, without a restart: down, and up again to what the server type gives. The action
/// ends when the host has carried it out. Changing to the server type that it has sets all of them back.
#[utoipa::path(patch, path = "/servers/{id}/limits", tag = "berth: limits", security(("token" = [])),
    params(("id" = i64, Path)), request_body = Change, responses((status = 200, body = ActionResponse), Problems))]
async fn patch(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Raw(body): Raw,
) -> Result<Json<ActionResponse>> {
    let project = tenant.project_id;
    vps::get(&app.db, project, id).await?; // what is not there is not told what its body lacks
    let action = vps::set_limits(&app, project, id, &wanted(&body)?, By::Tenant).await?;
    Ok(Json(action.into()))
}
