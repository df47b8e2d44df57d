//! Hosts: who they are, what they hold, and who speaks for them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use berth_proto::EnrolToken;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::places;
use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::auth::secret::Secret;
use crate::db;
use crate::db::hosts::{Host, Update};
use crate::db::page::Page;
use crate::domain::names::Slug;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::fleet::ca::Ca;
use crate::ids::HostId;

/// A new host.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewHost)]
pub(super) struct NewHost {
    /// Its name.
    pub(super) name: String,
    /// Where it stands, by id or name; not needed while there is only one data centre.
    #[arg(long)]
    #[schema(value_type = Option<String>)]
    pub(super) datacenter: Option<Reference>,
}

/// A VPS on a host.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::OnHost)]
pub(super) struct OnHost {
    id: i64,
    name: String,
    project: String,
    status: Status,
    plan: String,
    ipv4: Option<String>,
    memory_bytes: i64,
    disk_bytes: i64,
}

impl From<db::vps::Vps> for OnHost {
    fn from(v: db::vps::Vps) -> Self {
        Self {
            id: v.id.0,
            status: v.status(),
            ipv4: v.ipv4().map(|ip| ip.to_string()),
            name: v.name,
            project: v.project_name,
            plan: v.plan_name,
            memory_bytes: v.memory_bytes,
            disk_bytes: v.disk_bytes,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::HostsResponse)]
struct HostsResponse {
    hosts: Vec<Host>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::HostResponse)]
struct HostResponse {
    host: Host,
}

/// A host and what it holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Whole)]
pub(super) struct Whole {
    pub(super) host: Host,
    /// Its VPSes.
    pub(super) vpses: Vec<OnHost>,
}

/// What enrols a host, once, within a day.
#[derive(Clone, Serialize, ToSchema)]
#[schema(as = operators::Enrolment)]
pub(crate) struct Enrolment {
    /// For `berth-agent enrol`; shown now and never again.
    pub(crate) token: String,
}

/// All hosts.
pub(super) async fn list(app: &App) -> Result<Vec<Host>> {
    db::hosts::list(&app.db).await
}

/// The host that is meant.
pub(super) async fn find(app: &App, host: &Reference) -> Result<Host> {
    match db::hosts::find(&app.db, &host.to_string()).await? {
        Some(found) => Ok(found),
        None => db::hosts::get(&app.db, HostId(host.id().ok_or(Error::NotFound("host"))?)).await,
    }
}

/// A host and its VPSes.
pub(super) async fn whole(app: &App, id: HostId) -> Result<Whole> {
    let host = db::hosts::get(&app.db, id).await?;
    let vpses = db::vps::on_host(&app.db, id, Page::first(i64::MAX)).await?.items;
    let vpses = vpses.into_iter().map(OnHost::from).collect();
    Ok(Whole { host, vpses })
}

/// Makes a host.
pub(super) async fn create(app: &App, new: &NewHost) -> Result<Host> {
    let name = Slug::parse("name", &new.name)?;
    let datacenter = places::find_datacenter(app, new.datacenter.as_ref()).await?;
    db::hosts::create(app, &name, datacenter.id.0).await
}

/// Makes a token that enrols a host: a new one, one that was built anew, or one that was revoked.
pub(crate) async fn enrolment(app: &App, id: HostId) -> Result<Enrolment> {
    db::hosts::get(&app.db, id).await?;
    let url: Option<String> = db::settings::get(&app.db, db::settings::AGENT_URL).await?;
    let url = url.ok_or_else(|| {
        Error::Conflict(
            "no control plane has run on this database yet; start `berth-server serve` first".into(),
        )
    })?;
    let secret = Secret::token();
    db::enrol::add_token(&app.db, id.0, &secret.hash()).await?;
    let ca_sha256 = Ca::load(&app.db).await?.sha256();
    Ok(Enrolment { token: EnrolToken { url, ca_sha256, secret: secret.expose().to_owned() }.to_string() })
}

/// The same by name, for whoever sets up a host: makes the host if there is none.
pub(super) async fn enrolment_by_name(app: &App, new: &NewHost) -> Result<Enrolment> {
    let host = match db::hosts::find(&app.db, &new.name).await? {
        Some(host) => host,
        None => create(app, new).await?,
    };
    enrolment(app, HostId(host.id)).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_all, post))
        .routes(routes!(get_one, put, delete))
        .routes(routes!(post_enrol_token))
        .routes(routes!(post_revoke))
}

/// Lists hosts.
#[utoipa::path(get, path = "/hosts", tag = "Operators: hosts", security(("operator" = [])),
    responses((status = 200, body = HostsResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<HostsResponse>> {
    Ok(Json(HostsResponse { hosts: list(&app).await? }))
}

/// Makes a host.
#[utoipa::path(post, path = "/hosts", tag = "Operators: hosts", security(("operator" = [])),
    request_body = NewHost, responses((status = 201, body = HostResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewHost>,
) -> Result<(StatusCode, Json<HostResponse>)> {
    Ok((StatusCode::CREATED, Json(HostResponse { host: create(&app, &new).await? })))
}

/// A host and its servers.
#[utoipa::path(get, path = "/hosts/{id}", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Whole), Problems))]
async fn get_one(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<Json<Whole>> {
    Ok(Json(whole(&app, id).await?))
}

/// Keeps new servers away from a host, or changes how much of its CPU is sold.
#[utoipa::path(put, path = "/hosts/{id}", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = Update, responses((status = 200, body = HostResponse), Problems))]
async fn put(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<HostId>,
    Body(change): Body<Update>,
) -> Result<Json<HostResponse>> {
    Ok(Json(HostResponse { host: db::hosts::update(&app, id, change).await? }))
}

/// Removes a host that has no servers.
#[utoipa::path(delete, path = "/hosts/{id}", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<StatusCode> {
    db::hosts::remove(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a token that enrols the host.
#[utoipa::path(post, path = "/hosts/{id}/enrol_token", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 201, body = Enrolment), Problems))]
async fn post_enrol_token(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<HostId>,
) -> Result<(StatusCode, Json<Enrolment>)> {
    Ok((StatusCode::CREATED, Json(enrolment(&app, id).await?)))
}

/// Ends the validity of a host's certificate at once. Its servers run on, unseen.
#[utoipa::path(post, path = "/hosts/{id}/revoke", tag = "Operators: hosts", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = HostResponse), Problems))]
async fn post_revoke(State(app): State<App>, _: Operator, Id(id): Id<HostId>) -> Result<Json<HostResponse>> {
    Ok(Json(HostResponse { host: db::hosts::revoke(&app, id).await? }))
}
