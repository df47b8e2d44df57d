//! `/actions`, `/servers/actions` and `/servers/{id}/actions`.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Ids;
use super::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::actions::{self, Action as Row, ActionStatus, Filter, Kind, Subject};
use crate::db::vps;
use crate::error::{Error, Result};
use crate::ids::{ActionId, VpsId};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(list_of_servers))
        .routes(routes!(get_of_servers))
        .routes(routes!(list_of_server))
        .routes(routes!(get_of_server))
}

/// What was asked and how it went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Action {
    id: i64,
    command: String,
    status: ActionStatus,
    /// Per cent.
    progress: i32,
    started: DateTime<Utc>,
    finished: Option<DateTime<Utc>>,
    resources: Vec<Resource>,
    error: Option<ActionError>,
}

/// What an action is about.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Resource {
    id: i64,
    #[serde(rename = "type")]
    kind: &'static str,
}

/// Why an action failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct ActionError {
    code: String,
    message: String,
}

impl From<Row> for Action {
    fn from(a: Row) -> Self {
        let failed = a.status == ActionStatus::Error;
        let resource = |kind| move |id| Resource { id, kind };
        let of = [
            (a.vps_id, "server"),
            (a.image_id, "image"),
            (a.firewall_id, "firewall"),
            (a.primary_ip_id, "primary_ip"),
            (a.floating_ip_id, "floating_ip"),
            (a.network_id, "network"),
        ];
        let resources = of.into_iter().filter_map(|(id, kind)| id.map(resource(kind)));
        Self {
            id: a.id.0,
            command: a.command,
            status: a.status,
            progress: a.progress,
            started: a.started_at,
            finished: a.finished_at,
            resources: resources.collect(),
            error: failed.then(|| ActionError {
                code: a.error_code.unwrap_or_else(|| "action_failed".into()),
                message: a.error_message.unwrap_or_else(|| "the action failed".into()),
            }),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct ActionsResponse {
    actions: Vec<Action>,
    meta: Meta,
}

/// One action.
#[derive(Serialize, ToSchema)]
pub(super) struct ActionResponse {
    action: Action,
}

impl From<Row> for ActionResponse {
    fn from(row: Row) -> Self {
        Self { action: row.into() }
    }
}

/// Some actions, as the query says.
pub(super) async fn answer(
    app: &App,
    tenant: Tenant,
    query: &Query,
    filter: Filter,
) -> Result<Listing<ActionsResponse>> {
    let page = query.page()?;
    let columns = [
        ("id", "id"),
        ("command", "command"),
        ("status", "status"),
        ("progress", "progress"),
        ("started", "started_at"),
        ("finished", "finished_at"),
    ];
    let status = query.all_of("status", |name| {
        let all = [ActionStatus::Running, ActionStatus::Success, ActionStatus::Error];
        all.into_iter().find(|s| s.as_str() == name)
    })?;
    let filter = Filter { status, sort: query.sort(&columns)?, ids: query.ids("id")?, ..filter };
    let part = actions::list(&app.db, tenant.project_id, &filter, page).await?;
    let actions = part.items.into_iter().map(Action::from).collect();
    Ok(query.listing(page, part.total, |meta| ActionsResponse { actions, meta }, &app.config.public_url))
}

/// Lists actions by id; clients poll with this.
#[utoipa::path(get, path = "/actions", tag = "actions", security(("token" = [])),
    params(
        ("id" = Vec<i64>, Query, description = "These actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<ActionsResponse>> {
    if query.ids("id")?.is_empty() {
        return Err(Error::invalid("id", "is required: name the actions to list"));
    }
    answer(&app, tenant, &query, Filter::default()).await
}

/// Shows an action.
#[utoipa::path(get, path = "/actions/{id}", tag = "actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<ActionId>) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get(&app.db, tenant.project_id, id).await?.into()))
}

/// Lists the actions of all servers, also of deleted ones.
#[utoipa::path(get, path = "/servers/actions", tag = "server actions", security(("token" = [])),
    params(
        ("id" = Option<Vec<i64>>, Query, description = "Only these actions"),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list_of_servers(
    State(app): State<App>,
    tenant: Tenant,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    answer(&app, tenant, &query, Filter { of: Some(Kind::Vps), ..Filter::default() }).await
}

/// Shows an action of a server.
#[utoipa::path(get, path = "/servers/actions/{id}", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_servers(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_of(&app.db, tenant.project_id, Kind::Vps, id).await?.into()))
}

/// Lists the actions of a server, also of a deleted one.
#[utoipa::path(get, path = "/servers/{id}/actions", tag = "server actions", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("status" = Option<Vec<String>>, Query, description = "running, success, error"),
        ("sort" = Option<Vec<String>>, Query, description = "id, command, status, started, finished"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ActionsResponse), Problems))]
async fn list_of_server(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    query: Query,
) -> Result<Listing<ActionsResponse>> {
    if !vps::ever_existed(&app.db, tenant.project_id, id).await? {
        return Err(Error::NotFound("server"));
    }
    answer(&app, tenant, &query, Filter { about: Some(Subject::Vps(id)), ..Filter::default() }).await
}

/// Shows an action of a server.
#[utoipa::path(get, path = "/servers/{id}/actions/{action_id}", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path), ("action_id" = i64, Path)),
    responses((status = 200, body = ActionResponse), Problems))]
async fn get_of_server(
    State(app): State<App>,
    tenant: Tenant,
    Ids(id, action_id): Ids<VpsId, ActionId>,
) -> Result<Json<ActionResponse>> {
    Ok(Json(actions::get_about(&app.db, tenant.project_id, Subject::Vps(id), action_id).await?.into()))
}
