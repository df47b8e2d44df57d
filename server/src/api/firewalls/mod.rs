//! `/firewalls`.

mod actions;
mod wire;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::wire::{
    CreateFirewall, CreateFirewallResponse, Firewall, FirewallResponse, FirewallsResponse, UpdateFirewall,
    targets,
};
pub(super) use self::wire::{NewRule, rules};
use super::actions::Action;
use super::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::firewalls::{self, Filter};
use crate::domain::firewall;
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::error::Result;
use crate::ids::FirewallId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .merge(actions::router())
}

/// Lists firewalls.
#[utoipa::path(get, path = "/firewalls", tag = "firewalls", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = FirewallsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<FirewallsResponse>> {
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        selector: query.selector()?,
        sort: query.sort(&[("id", "id"), ("name", "name"), ("created", "created_at")])?,
    };
    let page = query.page()?;
    let part = firewalls::list(&app.db, tenant.project_id, &filter, page).await?;
    let firewalls = part.items.into_iter().map(Firewall::from).collect();
    Ok(query.listing(page, part.total, |meta| FirewallsResponse { firewalls, meta }, &app.config.public_url))
}

/// Makes a firewall, and applies it.
#[utoipa::path(post, path = "/firewalls", tag = "firewalls", security(("token" = [])),
    request_body = CreateFirewall, responses((status = 201, body = CreateFirewallResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreateFirewall>,
) -> Result<(StatusCode, Json<CreateFirewallResponse>)> {
    let name = Title::parse("name", &new.name)?;
    let labels = Labels::parse(new.labels.unwrap_or_default())?;
    let rules = firewall::parse(rules(new.rules.unwrap_or_default()))?;
    let to = targets("apply_to", new.apply_to.unwrap_or_default())?;
    let project = tenant.project_id;
    let id = firewalls::create(&app, project, &name, &labels, &rules).await?;
    let applied = firewalls::apply(&app, project, id, &to).await;
    let actions = match applied {
        Ok(actions) => actions,
        Err(e) => {
            // Nothing is half done: nobody has seen it yet.
            firewalls::delete(&app, project, id).await?;
            return Err(e);
        }
    };
    let response = CreateFirewallResponse {
        firewall: firewalls::get(&app.db, project, id).await?.into(),
        actions: actions.into_iter().map(Action::from).collect(),
    };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Shows a firewall.
#[utoipa::path(get, path = "/firewalls/{id}", tag = "firewalls", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = FirewallResponse), Problems))]
async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
) -> Result<Json<FirewallResponse>> {
    let firewall = firewalls::get(&app.db, tenant.project_id, id).await?.into();
    Ok(Json(FirewallResponse { firewall }))
}

/// Changes name or labels of a firewall.
#[utoipa::path(put, path = "/firewalls/{id}", tag = "firewalls", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateFirewall,
    responses((status = 200, body = FirewallResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    Body(change): Body<UpdateFirewall>,
) -> Result<Json<FirewallResponse>> {
    let name = change.name.map(|name| Title::parse("name", &name)).transpose()?;
    let labels = change.labels.map(Labels::parse).transpose()?;
    let row = firewalls::update(&app, tenant.project_id, id, name.as_ref(), labels.as_ref()).await?;
    Ok(Json(FirewallResponse { firewall: row.into() }))
}

/// Deletes a firewall that is applied to nothing.
#[utoipa::path(delete, path = "/firewalls/{id}", tag = "firewalls", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Deleted"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<FirewallId>) -> Result<StatusCode> {
    firewalls::delete(&app, tenant.project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
