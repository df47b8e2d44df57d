//! `/networks`.

mod actions;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::wire::{CreateNetwork, Network, NetworkResponse, NetworksResponse, UpdateNetwork};
use super::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::networks::{self, Filter, NewNetwork, Update};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::network::Layout;
use crate::error::Result;
use crate::ids::NetworkId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(actions::router())
}

/// Lists private networks.
#[utoipa::path(get, path = "/networks", tag = "networks", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = NetworksResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<NetworksResponse>> {
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        selector: query.selector()?,
        sort: query.sort(&[("id", "id"), ("name", "name"), ("created", "created_at")])?,
    };
    let page = query.page()?;
    let part = networks::list(&app.db, tenant.project_id, &filter, page).await?;
    let networks = part.items.into_iter().map(Network::from).collect();
    Ok(query.listing(page, part.total, |meta| NetworksResponse { networks, meta }, &app.config.public_url))
}

/// Makes a private network.
#[utoipa::path(post, path = "/networks", tag = "networks", security(("token" = [])),
    request_body = CreateNetwork, responses((status = 201, body = NetworkResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreateNetwork>,
) -> Result<(StatusCode, Json<NetworkResponse>)> {
    let mut layout = Layout::new(&new.ip_range)?;
    for (n, subnet) in new.subnets.unwrap_or_default().into_iter().enumerate() {
        layout.add_subnet(&format!("subnets.{n}."), &subnet.into())?;
    }
    for (n, route) in new.routes.unwrap_or_default().iter().enumerate() {
        layout.add_route(&format!("routes.{n}."), &route.destination, &route.gateway)?;
    }
    let new = NewNetwork {
        name: Title::parse("name", &new.name)?,
        labels: Labels::parse(new.labels.unwrap_or_default())?,
        layout,
        expose_routes: new.expose_routes_to_vswitch.unwrap_or(false),
    };
    let id = networks::create(&app, tenant.project_id, &new).await?;
    let network = networks::get(&app.db, tenant.project_id, id).await?.into();
    Ok((StatusCode::CREATED, Json(NetworkResponse { network })))
}

/// Shows a private network.
#[utoipa::path(get, path = "/networks/{id}", tag = "networks", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = NetworkResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<NetworkId>) -> Result<Json<NetworkResponse>> {
    let network = networks::get(&app.db, tenant.project_id, id).await?.into();
    Ok(Json(NetworkResponse { network }))
}

/// Changes name or labels of a private network.
#[utoipa::path(put, path = "/networks/{id}", tag = "networks", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateNetwork,
    responses((status = 200, body = NetworkResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<NetworkId>,
    Body(change): Body<UpdateNetwork>,
) -> Result<Json<NetworkResponse>> {
    let change = Update {
        name: change.name.map(|name| Title::parse("name", &name)).transpose()?,
        labels: change.labels.map(Labels::parse).transpose()?,
        expose_routes: change.expose_routes_to_vswitch,
    };
    let network = networks::update(&app, tenant.project_id, id, &change).await?.into();
    Ok(Json(NetworkResponse { network }))
}

/// Deletes a private network. Servers that are in it are detached.
#[utoipa::path(delete, path = "/networks/{id}", tag = "networks", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Deleted"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<NetworkId>) -> Result<StatusCode> {
    networks::delete(&app, tenant.project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
