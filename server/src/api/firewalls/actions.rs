//! `/firewalls/{id}/actions/…` and the lists of actions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::wire::{NewRule, Resource, rules, targets};
use crate::api::actions::{Action, ActionResponse, ActionsResponse, answer};
use crate::api::body::Ids;
use crate::api::{Body, Id, Listing, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::actions::{self, Filter, Kind, Subject};
use crate::db::firewalls;
use crate::domain::firewall;
use crate::error::Result;
use crate::ids::{ActionId, FirewallId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(set_rules))
        .routes(routes!(apply))
        .routes(routes!(remove))
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(list_of_one))
        .routes(routes!(get_of_one))
}

/// The actions that a change has begun.
#[derive(Serialize, ToSchema)]
struct Begun {
    actions: Vec<Action>,
}

type Started = (StatusCode, Json<Begun>);

fn started(actions: Vec<actions::Action>) -> Started {
    (StatusCode::CREATED, Json(Begun { actions: actions.into_iter().map(Action::from).collect() }))
}

#[derive(Deserialize, ToSchema)]
struct SetRules {
    /// At most 50. Without rules nothing comes in and everything goes out.
    #[schema(max_items = 50)]
    rules: Vec<NewRule>,
}

#[derive(Deserialize, ToSchema)]
struct ApplyTo {
    apply_to: Vec<Resource>,
}

#[derive(Deserialize, ToSchema)]
struct RemoveFrom {
    remove_from: Vec<Resource>,
}

/// Replaces all rules of a firewall. Connections that were let through go on.
#[utoipa::path(post, path = "/firewalls/{id}/actions/set_rules", tag = "firewall actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = SetRules, responses((status = 201, body = Begun), Problems))]
async fn set_rules(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    Body(new): Body<SetRules>,
) -> Result<Started> {
    let rules = firewall::parse(rules(new.rules))?;
    Ok(started(firewalls::set_rules(&app, tenant.project_id, id, &rules).await?))
}

/// Applies a firewall to servers, or to all that have some labels.
#[utoipa::path(post, path = "/firewalls/{id}/actions/apply_to_resources", tag = "firewall actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ApplyTo,
    responses((status = 201, body = Begun), Problems))]
async fn apply(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    Body(to): Body<ApplyTo>,
) -> Result<Started> {
    let to = targets("apply_to", to.apply_to)?;
    Ok(started(firewalls::apply(&app, tenant.project_id, id, &to).await?))
}

/// Removes a firewall from servers or label selectors.
#[utoipa::path(post, path = "/firewalls/{id}/actions/remove_from_resources", tag = "firewall actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = RemoveFrom,
    responses((status = 201, body = Begun), Problems))]
async fn remove(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    Body(from): Body<RemoveFrom>,
) -> Result<Started> {
    let from = targets("remove_from", from.remove_from)?;
    Ok(started(firewalls::remove(&app, tenant.project_id, id, &from).await?))
}

/// Lists the actions of all firewalls.
#[utoipa::path(get, path = "/firewalls/actions", tag = "firewall actions", security(("token" = [])),
    params(
        ("id" = Option<Vec<i64>>, Query, description = "Only these actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ActionsResponse>> {
    answer(&app, tenant, &query, Filter { of: Some(Kind::Firewall), ..Filter::default() }).await
}

/// Shows an action of a firewall.
#[utoipa::path(get, path = "/firewalls/actions/{id}", tag = "firewall actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<ActionId>) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_of(&app.db, tenant.project_id, Kind::Firewall, id).await?.into()))
}

/// Lists the actions of a firewall.
#[utoipa::path(get, path = "/firewalls/{id}/actions", tag = "firewall actions", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    firewalls::get(&app.db, tenant.project_id, id).await?;
    answer(&app, tenant, &query, Filter { about: Some(Subject::Firewall(id)), ..Filter::default() }).await
}

/// Shows an action of a firewall.
#[utoipa::path(get, path = "/firewalls/{id}/actions/{action_id}", tag = "firewall actions", security(("token" = [])),
    params(("id" = i64, Path), ("action_id" = i64, Path)),
    responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_one(
    State(app): State<App>,
    tenant: Tenant,
    Ids(id, action_id): Ids<FirewallId, ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_about(&app.db, tenant.project_id, Subject::Firewall(id), action_id).await?.into()))
}
