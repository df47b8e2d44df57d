//! `/servers`: VPSes, in the hcloud API's words.

mod console;
mod create;
mod metrics;
mod networks;
mod power;
mod protection;
mod resize;
mod wire;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use self::create::IdOrName;
pub(crate) use self::create::new_server;
use self::wire::Server;
use super::actions::ActionResponse;
use super::{Body, Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps::{self, Filter, Update};
use crate::domain::labels::Labels;
use crate::domain::names::VpsName;
use crate::domain::status::Status;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create::create))
        .routes(routes!(get, update, delete))
        .routes(routes!(resize::change_type))
        .routes(routes!(protection::change_protection))
        .merge(power::router())
        .merge(metrics::router())
        .merge(console::router())
        .merge(networks::router())
}

#[derive(Serialize, ToSchema)]
struct ServersResponse {
    servers: Vec<Server>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct ServerResponse {
    server: Server,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
struct UpdateServer {
    /// Host name, unique in the project.
    name: Option<String>,
    /// All labels.
    labels: Option<BTreeMap<String, String>>,
}

/// Statuses that clients may ask for. Nothing of ours is ever called by the last two.
fn status(name: &str) -> Option<Option<Status>> {
    match Status::ALL.into_iter().find(|s| s.as_str() == name) {
        Some(status) => Some(Some(status)),
        None => ["migrating", "rebuilding"].contains(&name).then_some(None),
    }
}

/// Lists servers.
#[utoipa::path(get, path = "/servers", tag = "servers", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("status" = Option<Vec<String>>, Query, description = "Only those with one of these statuses"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ServersResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ServersResponse>> {
    let wanted = query.all_of("status", status)?;
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        selector: query.selector()?,
        status: (!wanted.is_empty()).then(|| wanted.into_iter().flatten().collect()),
        sort: query.sort(&[("id", "id"), ("name", "name"), ("created", "created_at")])?,
        ..Filter::default()
    };
    let page = query.page()?;
    let part = vps::list(&app.db, tenant.project_id, &filter, page).await?;
    let servers = Server::all(&app, &part.items).await?;
    Ok(query.listing(page, part.total, |meta| ServersResponse { servers, meta }, &app.config.public_url))
}

/// Shows a server.
#[utoipa::path(get, path = "/servers/{id}", tag = "servers", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ServerResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<ServerResponse>> {
    let vps = vps::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(ServerResponse { server: Server::one(&app, &vps).await? }))
}

/// Changes name or labels of a server.
#[utoipa::path(put, path = "/servers/{id}", tag = "servers", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateServer,
    responses((status = 200, body = ServerResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(change): Body<UpdateServer>,
) -> Result<Json<ServerResponse>> {
    let change = Update {
        name: change.name.as_deref().map(VpsName::parse).transpose()?,
        labels: change.labels.map(Labels::parse).transpose()?,
    };
    let vps = vps::update(&app, tenant.project_id, id, &change).await?;
    Ok(Json(ServerResponse { server: Server::one(&app, &vps).await? }))
}

/// Deletes a server and its data.
#[utoipa::path(delete, path = "/servers/{id}", tag = "servers", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<VpsId>) -> Result<Json<ActionResponse>> {
    Ok(Json(vps::delete(&app, tenant.project_id, id).await?.into()))
}
