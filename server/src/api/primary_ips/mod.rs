//! `/primary_ips`.

mod actions;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::wire::{
    CreatePrimaryIp, CreatePrimaryIpResponse, PrimaryIp, PrimaryIpResponse, PrimaryIpsResponse,
    UpdatePrimaryIp, only_servers,
};
use super::actions::Action;
use super::servers::IdOrName;
use super::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::locations;
use crate::db::primary_ips::{self, Filter, New, Origin, Update};
use crate::domain::family::{Family, parse_held};
use crate::domain::ip_names::Kind;
use crate::domain::labels::Labels;
use crate::error::{Error, Result};
use crate::ids::{LocationId, PrimaryIpId, VpsId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(actions::router())
}

/// Lists primary IPs.
#[utoipa::path(get, path = "/primary_ips", tag = "primary IPs", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("ip" = Option<String>, Query, description = "Only the one with this address, of IPv6 any in its /64"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = PrimaryIpsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<PrimaryIpsResponse>> {
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        ip: query.one("ip").map(|ip| parse_held("ip", ip)).transpose()?,
        selector: query.selector()?,
        sort: query.sort(&[("id", "id"), ("name", "name"), ("created", "created_at")])?,
    };
    let page = query.page()?;
    let part = primary_ips::list(&app.db, tenant.project_id, &filter, page).await?;
    let primary_ips = PrimaryIp::all(&app, part.items).await?;
    let body = |meta| PrimaryIpsResponse { primary_ips, meta };
    Ok(query.listing(page, part.total, body, &app.config.public_url))
}

/// Takes an address out of a location's pools, for a server or for later.
#[utoipa::path(post, path = "/primary_ips", tag = "primary IPs", security(("token" = [])),
    request_body = CreatePrimaryIp, responses((status = 201, body = CreatePrimaryIpResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreatePrimaryIp>,
) -> Result<(StatusCode, Json<CreatePrimaryIpResponse>)> {
    only_servers(new.assignee_type.as_deref())?;
    let family = Family::parse(&new.kind)?;
    let location = place(&app, new.location, new.datacenter).await?;
    let origin = match (new.assignee_id, location) {
        (Some(id), location) => Origin::Vps(VpsId(id), location),
        (None, Some(location)) => Origin::Location(location),
        (None, None) => return Err(Error::invalid("location", "is required without assignee_id")),
    };
    let new = New {
        name: Kind::Primary.chosen(&new.name, None)?,
        labels: Labels::parse(new.labels.unwrap_or_default())?,
        auto_delete: new.auto_delete.unwrap_or(false),
    };
    let project = tenant.project_id;
    let (id, action) = primary_ips::create(&app, project, &new, family, origin).await?;
    let response = CreatePrimaryIpResponse {
        primary_ip: PrimaryIp::one(&app, primary_ips::get(&app.db, project, id).await?).await?,
        action: action.map(Action::from),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// The location that a request names, itself or by one of its data centres.
async fn place(
    app: &App,
    location: Option<IdOrName>,
    datacenter: Option<IdOrName>,
) -> Result<Option<LocationId>> {
    let unknown = |field: &str, named: &IdOrName| {
        Error::invalid(field, format!("{field} '{}' not found", named.as_str()))
    };
    match (location, datacenter) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Error::invalid("location", "cannot be given together with datacenter")),
        (Some(named), None) => {
            let all = locations::list(&app.db).await?;
            let found = all.iter().find(|l| named.is(l.id.0, &l.name)).map(|l| l.id);
            found.ok_or_else(|| unknown("location", &named)).map(Some)
        }
        (None, Some(named)) => {
            let all = locations::datacenters(&app.db).await?;
            let found = all.iter().find(|d| named.is(d.id.0, &d.name)).map(|d| d.location_id);
            found.ok_or_else(|| unknown("datacenter", &named)).map(Some)
        }
    }
}

/// Shows a primary IP.
#[utoipa::path(get, path = "/primary_ips/{id}", tag = "primary IPs", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = PrimaryIpResponse), Problems))]
async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<PrimaryIpId>,
) -> Result<Json<PrimaryIpResponse>> {
    let row = primary_ips::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(PrimaryIpResponse { primary_ip: PrimaryIp::one(&app, row).await? }))
}

/// Changes name, labels, or whether it goes with its server.
#[utoipa::path(put, path = "/primary_ips/{id}", tag = "primary IPs", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdatePrimaryIp,
    responses((status = 200, body = PrimaryIpResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<PrimaryIpId>,
    Body(change): Body<UpdatePrimaryIp>,
) -> Result<Json<PrimaryIpResponse>> {
    let change = Update {
        name: change.name.map(|name| Kind::Primary.chosen(&name, Some(id.0))).transpose()?,
        labels: change.labels.map(Labels::parse).transpose()?,
        auto_delete: change.auto_delete,
    };
    let row = primary_ips::update(&app, tenant.project_id, id, &change).await?;
    Ok(Json(PrimaryIpResponse { primary_ip: PrimaryIp::one(&app, row).await? }))
}

/// Gives an address back that no server has.
#[utoipa::path(delete, path = "/primary_ips/{id}", tag = "primary IPs", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Deleted"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<PrimaryIpId>) -> Result<StatusCode> {
    primary_ips::delete(&app, tenant.project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
