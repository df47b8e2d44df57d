//! Policies: what follows on traffic, blocked ports, isolation, resolvers.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use super::{places, projects};
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::db::policies as rows;
use crate::domain::guard::{MOST_RESOLVERS, parse_ports, parse_reason, port_text};
use crate::domain::traffic::Over;
use crate::error::{Error, Result};
use crate::ids::{LocationId, PlanId, ProjectId, VpsId};

/// What holds for the servers of a plan, and changes while they run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Policy)]
pub(super) struct Policy {
    plan: i64,
    /// What happens to a server that has used up the included traffic: `nothing`, `throttle` or `suspend`. Its tenant is
    /// told at 80 and 100 per cent in any case, and everything is undone when the month begins.
    over_traffic: String,
    /// To what its bandwidth is lowered, Mbit/s each way.
    throttle_mbit: i64,
    /// Ports that nobody outside is reached at, as `tcp/25`.
    blocked_ports: Vec<String>,
}

impl From<rows::Policy> for Policy {
    fn from(p: rows::Policy) -> Self {
        let blocked_ports = p.blocked_ports.iter().map(port_text).collect();
        Self { plan: p.plan.0, over_traffic: p.over_traffic, throttle_mbit: p.throttle_mbit, blocked_ports }
    }
}

/// What to change; what is not named stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ChangePolicy)]
pub(super) struct ChangePolicy {
    /// What happens to servers that have used up the included traffic: nothing, throttle or suspend.
    #[arg(long)]
    over_traffic: Option<String>,
    /// To what their bandwidth is lowered, Mbit/s each way.
    #[arg(long)]
    throttle_mbit: Option<i64>,
    /// All ports that nobody outside is reached at, as tcp/25; may be given several times.
    #[arg(long = "block-port")]
    blocked_ports: Option<Vec<String>>,
    /// Block no port.
    #[arg(long = "block-none", conflicts_with = "blocked_ports")]
    #[serde(skip)]
    #[schema(ignore)]
    none: bool,
}

/// Traffic of all servers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Traffic)]
pub(super) struct Traffic {
    /// Day on which months of traffic begin, 1 to 28, UTC.
    reset_day: i64,
}

/// How a project's traffic is reckoned.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ProjectTraffic)]
pub(super) struct ProjectTraffic {
    /// Whether what the plans of its servers include is one sum for all of them.
    #[arg(long, action = clap::ArgAction::Set)]
    pooled: bool,
}

/// Why a server is isolated.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Isolating)]
pub(super) struct Isolating {
    /// A line of 1 to 500 characters, which the tenant reads.
    #[arg(long)]
    reason: String,
}

/// Whether a server is isolated.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Isolation)]
pub(super) struct Isolation {
    server: i64,
    isolated: bool,
    reason: Option<String>,
}

/// Whom guests of a location ask for names.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Resolvers)]
pub(crate) struct Resolvers {
    /// At most 3 addresses; none: those of each host. Servers get them when they start.
    #[schema(value_type = Vec<String>)]
    pub(crate) resolvers: Vec<IpAddr>,
}

/// The plan that is meant.
pub(super) async fn find_plan(app: &App, plan: &Reference) -> Result<PlanId> {
    let all = db::plans::list(&app.db).await?;
    Ok(plan.find(all, |p| (p.id.0, p.name.clone())).ok_or(Error::NotFound("plan"))?.id)
}

/// The policy of a plan.
pub(super) async fn policy(app: &App, plan: PlanId) -> Result<Policy> {
    Ok(rows::get(&app.db, plan).await?.into())
}

/// Changes the policy of a plan.
pub(super) async fn change_policy(app: &App, plan: PlanId, wanted: ChangePolicy) -> Result<Policy> {
    let ports = if wanted.none { Some(Vec::new()) } else { wanted.blocked_ports };
    let change = rows::Change {
        over_traffic: wanted.over_traffic.map(|name| Over::parse("over_traffic", &name)).transpose()?,
        throttle_mbit: wanted.throttle_mbit,
        blocked_ports: ports.map(|ports| parse_ports("blocked_ports", &ports)).transpose()?,
    };
    Ok(rows::set(app, plan, &change).await?.into())
}

/// The day on which months begin.
pub(super) async fn traffic(app: &App) -> Result<Traffic> {
    Ok(Traffic { reset_day: rows::reset_day(&app.db).await? })
}

/// Sets it.
pub(super) async fn set_traffic(app: &App, wanted: Traffic) -> Result<Traffic> {
    rows::set_reset_day(&app.db, wanted.reset_day).await?;
    traffic(app).await
}

/// Sets how a project's traffic is reckoned.
pub(super) async fn set_project(app: &App, id: ProjectId, wanted: ProjectTraffic) -> Result<ProjectTraffic> {
    rows::set_pooled(&app.db, id, wanted.pooled).await?;
    Ok(ProjectTraffic { pooled: rows::pooled(&app.db, id).await? })
}

/// As [`set_project`], by id or name.
pub(super) async fn set_project_by_name(
    app: &App,
    project: &Reference,
    wanted: ProjectTraffic,
) -> Result<ProjectTraffic> {
    set_project(app, projects::find(app, project).await?.id, wanted).await
}

/// Lets nothing pass to and from a server; its console works.
pub(super) async fn isolate(app: &App, id: VpsId, wanted: &Isolating) -> Result<Isolation> {
    let vps = db::vps::isolate(app, id, Some(&parse_reason(&wanted.reason)?)).await?;
    Ok(Isolation { server: id.0, isolated: vps.isolated_reason.is_some(), reason: vps.isolated_reason })
}

/// Takes that back.
pub(super) async fn release(app: &App, id: VpsId) -> Result<Isolation> {
    let vps = db::vps::isolate(app, id, None).await?;
    Ok(Isolation { server: id.0, isolated: vps.isolated_reason.is_some(), reason: vps.isolated_reason })
}

/// Sets whom guests of a location ask for names.
pub(crate) async fn set_resolvers(app: &App, location: LocationId, wanted: &Resolvers) -> Result<Resolvers> {
    if wanted.resolvers.len() > MOST_RESOLVERS {
        return Err(Error::invalid(
            "resolvers",
            format!("more than {MOST_RESOLVERS}; resolvers ask no more"),
        ));
    }
    db::locations::set_resolvers(app, location, &wanted.resolvers).await?;
    Ok(Resolvers { resolvers: db::locations::resolvers(&app.db, location).await? })
}

/// As [`set_resolvers`], by id or name.
pub(super) async fn set_resolvers_by_name(
    app: &App,
    location: &Reference,
    wanted: &Resolvers,
) -> Result<Resolvers> {
    set_resolvers(app, places::find_location(app, Some(location)).await?.id, wanted).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_policy, patch_policy))
        .routes(routes!(get_traffic, put_traffic))
        .routes(routes!(get_project_traffic, put_project_traffic))
        .routes(routes!(put_isolation, delete_isolation))
        .routes(routes!(get_resolvers, put_resolvers))
}

/// Shows what holds for the servers of a plan: what follows on traffic, and blocked ports.
#[utoipa::path(get, path = "/plans/{id}/policy", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Policy), Problems))]
async fn get_policy(State(app): State<App>, _: Operator, Id(id): Id<PlanId>) -> Result<Json<Policy>> {
    Ok(Json(policy(&app, id).await?))
}

/// Changes what holds for the servers of a plan, those included that run.
#[utoipa::path(patch, path = "/plans/{id}/policy", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = ChangePolicy, responses((status = 200, body = Policy), Problems))]
async fn patch_policy(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<PlanId>,
    Body(wanted): Body<ChangePolicy>,
) -> Result<Json<Policy>> {
    Ok(Json(change_policy(&app, id, wanted).await?))
}

/// Shows on which day months of traffic begin.
#[utoipa::path(get, path = "/traffic", tag = "Operators: policies", security(("operator" = [])),
    responses((status = 200, body = Traffic), Problems))]
async fn get_traffic(State(app): State<App>, _: Operator) -> Result<Json<Traffic>> {
    Ok(Json(traffic(&app).await?))
}

/// Sets on which day months of traffic begin.
#[utoipa::path(put, path = "/traffic", tag = "Operators: policies", security(("operator" = [])),
    request_body = Traffic, responses((status = 200, body = Traffic), Problems))]
async fn put_traffic(
    State(app): State<App>,
    _: Operator,
    Body(wanted): Body<Traffic>,
) -> Result<Json<Traffic>> {
    Ok(Json(set_traffic(&app, wanted).await?))
}

/// Shows how a project's traffic is reckoned.
#[utoipa::path(get, path = "/projects/{id}/traffic", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ProjectTraffic), Problems))]
async fn get_project_traffic(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<ProjectId>,
) -> Result<Json<ProjectTraffic>> {
    Ok(Json(ProjectTraffic { pooled: rows::pooled(&app.db, id).await? }))
}

/// Sets how a project's traffic is reckoned.
#[utoipa::path(put, path = "/projects/{id}/traffic", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = ProjectTraffic,
    responses((status = 200, body = ProjectTraffic), Problems))]
async fn put_project_traffic(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<ProjectId>,
    Body(wanted): Body<ProjectTraffic>,
) -> Result<Json<ProjectTraffic>> {
    Ok(Json(set_project(&app, id, wanted).await?))
}

/// Isolates a server: nothing passes to it and from it, connections that stand included. It runs on, and its console
/// works. Its tenant is told the reason.
#[utoipa::path(put, path = "/servers/{id}/isolation", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Isolating, responses((status = 200, body = Isolation), Problems))]
async fn put_isolation(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<VpsId>,
    Body(wanted): Body<Isolating>,
) -> Result<Json<Isolation>> {
    Ok(Json(isolate(&app, id, &wanted).await?))
}

/// Lets an isolated server be reached again.
#[utoipa::path(delete, path = "/servers/{id}/isolation", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Isolation), Problems))]
async fn delete_isolation(State(app): State<App>, _: Operator, Id(id): Id<VpsId>) -> Result<Json<Isolation>> {
    Ok(Json(release(&app, id).await?))
}

/// Shows whom guests of a location ask for names.
#[utoipa::path(get, path = "/locations/{id}/resolvers", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Resolvers), Problems))]
async fn get_resolvers(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<LocationId>,
) -> Result<Json<Resolvers>> {
    Ok(Json(Resolvers { resolvers: db::locations::resolvers(&app.db, id).await? }))
}

/// Sets whom guests of a location ask for names; servers get them when they start.
#[utoipa::path(put, path = "/locations/{id}/resolvers", tag = "Operators: policies", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Resolvers, responses((status = 200, body = Resolvers), Problems))]
async fn put_resolvers(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<LocationId>,
    Body(wanted): Body<Resolvers>,
) -> Result<Json<Resolvers>> {
    Ok(Json(set_resolvers(&app, id, &wanted).await?))
}
