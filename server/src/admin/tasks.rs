//! How the background tasks of this replica are doing. There is no command for it: another process does not know.

use std::collections::BTreeMap;

use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problems;
use crate::app::App;
use crate::auth::Operator;
use crate::tasks::{Status, Tasks};

#[derive(Serialize, ToSchema)]
#[schema(as = operators::TasksResponse)]
struct TasksResponse {
    /// By name.
    tasks: BTreeMap<&'static str, Status>,
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all))
}

/// How the background tasks of this replica are doing.
#[utoipa::path(get, path = "/tasks", tag = "Operators: tasks", security(("operator" = [])),
    responses((status = 200, body = TasksResponse), Problems))]
async fn get_all(_: Operator, Extension(tasks): Extension<Tasks>) -> Json<TasksResponse> {
    Json(TasksResponse { tasks: tasks.statuses() })
}
