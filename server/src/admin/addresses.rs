//! Who had an address. Complaints about an address come days after the fact, and name a time.

use axum::Json;
use axum::extract::{Query, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problems;
use crate::app::App;
use crate::auth::Operator;
use crate::db::addresses::{self, Holder};
use crate::domain::family::parse_held;
use crate::error::{Error, Result};

/// Which address, and when.
#[derive(Clone, Debug, Deserialize, IntoParams, clap::Args)]
#[into_params(parameter_in = Query)]
pub(crate) struct Question {
    /// The address; of IPv6 any in the /64.
    pub(crate) ip: String,
    /// A time, such as 2026-02-09T12:00:00Z; without one all who had the address, the newest first.
    #[arg(long)]
    pub(crate) at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::HoldersResponse)]
struct HoldersResponse {
    holders: Vec<Holder>,
}

/// Who had an address.
pub(crate) async fn holders(app: &App, question: &Question) -> Result<Vec<Holder>> {
    let ip = parse_held("ip", &question.ip)?;
    let at = question.at.as_ref().map(|at| DateTime::parse_from_rfc3339(at)).transpose();
    let at = at.map_err(|_| Error::invalid("at", "must be a time such as 2026-02-09T12:00:00Z"))?;
    addresses::holders(&app.db, ip, at.map(|at| at.with_timezone(&Utc))).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

/// Who had an address at a time, or ever. Known for a year.
#[utoipa::path(get, path = "/addresses/holders", tag = "Operators: pools", security(("operator" = [])),
    params(Question), responses((status = 200, body = HoldersResponse), Problems))]
async fn get(
    State(app): State<App>,
    _: Operator,
    Query(question): Query<Question>,
) -> Result<Json<HoldersResponse>> {
    Ok(Json(HoldersResponse { holders: holders(&app, &question).await? }))
}
