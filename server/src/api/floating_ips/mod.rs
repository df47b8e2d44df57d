//! `/floating_ips`.

mod actions;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::wire::{
    CreateFloatingIp, CreateFloatingIpResponse, FloatingIp, FloatingIpResponse, FloatingIpsResponse,
    UpdateFloatingIp,
};
use super::actions::Action;
use super::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::floating_ips::{self, Filter, New, Origin, Update};
use crate::db::locations;
use crate::domain::family::Family;
use crate::domain::ip_names::{Kind, description};
use crate::domain::labels::Labels;
use crate::error::{Error, Result};
use crate::ids::{FloatingIpId, VpsId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(actions::router())
}

/// Lists floating IPs.
#[utoipa::path(get, path = "/floating_ips", tag = "floating IPs", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = FloatingIpsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<FloatingIpsResponse>> {
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        selector: query.selector()?,
        sort: query.sort(&[("id", "id"), ("name", "name"), ("created", "created_at")])?,
    };
    let page = query.page()?;
    let part = floating_ips::list(&app.db, tenant.project_id, &filter, page).await?;
    let floating_ips = FloatingIp::all(&app, part.items).await?;
    let body = |meta| FloatingIpsResponse { floating_ips, meta };
    Ok(query.listing(page, part.total, body, &app.config.public_url))
}

/// Takes an address, or a /64 of IPv6, out of a location's pools, for a server or for later.
#[utoipa::path(post, path = "/floating_ips", tag = "floating IPs", security(("token" = [])),
    request_body = CreateFloatingIp, responses((status = 201, body = CreateFloatingIpResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreateFloatingIp>,
) -> Result<(StatusCode, Json<CreateFloatingIpResponse>)> {
    let family = Family::parse(&new.kind)?;
    let home = match new.home_location {
        None => None,
        Some(named) => {
            let all = locations::list(&app.db).await?;
            let found = all.iter().find(|l| named.is(l.id.0, &l.name)).map(|l| l.id);
            let why = format!("location '{}' not found", named.as_str());
            Some(found.ok_or_else(|| Error::invalid("home_location", why))?)
        }
    };
    let origin = match (new.server, home) {
        (Some(id), home) => Origin::Vps(VpsId(id), home),
        (None, Some(home)) => Origin::Location(home),
        (None, None) => return Err(Error::invalid("home_location", "is required without server")),
    };
    let new = New {
        name: new.name.map(|name| Kind::Floating.chosen(&name, None)).transpose()?,
        description: description(new.description.unwrap_or_default())?,
        labels: Labels::parse(new.labels.unwrap_or_default())?,
    };
    let project = tenant.project_id;
    let (id, action) = floating_ips::create(&app, project, &new, family, origin).await?;
    let response = CreateFloatingIpResponse {
        floating_ip: FloatingIp::one(&app, floating_ips::get(&app.db, project, id).await?).await?,
        action: action.map(Action::from),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Shows a floating IP.
#[utoipa::path(get, path = "/floating_ips/{id}", tag = "floating IPs", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = FloatingIpResponse), Problems))]
async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FloatingIpId>,
) -> Result<Json<FloatingIpResponse>> {
    let row = floating_ips::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(FloatingIpResponse { floating_ip: FloatingIp::one(&app, row).await? }))
}

/// Changes name, description or labels.
#[utoipa::path(put, path = "/floating_ips/{id}", tag = "floating IPs", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateFloatingIp,
    responses((status = 200, body = FloatingIpResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FloatingIpId>,
    Body(change): Body<UpdateFloatingIp>,
) -> Result<Json<FloatingIpResponse>> {
    let change = Update {
        name: change.name.map(|name| Kind::Floating.chosen(&name, Some(id.0))).transpose()?,
        description: change.description.map(description).transpose()?,
        labels: change.labels.map(Labels::parse).transpose()?,
    };
    let row = floating_ips::update(&app, tenant.project_id, id, &change).await?;
    Ok(Json(FloatingIpResponse { floating_ip: FloatingIp::one(&app, row).await? }))
}

/// Gives an address back that no server has.
#[utoipa::path(delete, path = "/floating_ips/{id}", tag = "floating IPs", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Deleted"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<FloatingIpId>) -> Result<StatusCode> {
    floating_ips::delete(&app, tenant.project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
