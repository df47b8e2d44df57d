//! `/servers/{id}/traffic`: what came in and went out, month by month, by public and by private networks.

use axum::extract::State;
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::traffic;
use crate::error::Result;
use crate::ids::VpsId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A month of traffic, as the server sees it. Bytes are those of IP packets.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::TrafficMonth)]
struct Month {
    /// First day of it, UTC.
    begins: NaiveDate,
    /// First day of the next.
    ends: NaiveDate,
    in_bytes: i64,
    in_packets: i64,
    out_bytes: i64,
    out_packets: i64,
    private: Private,
}

/// Traffic of private networks, all of them together. It costs nothing, and is no part of the rest.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::PrivateTraffic)]
struct Private {
    in_bytes: i64,
    in_packets: i64,
    out_bytes: i64,
    out_packets: i64,
}

impl From<traffic::Month> for Month {
    fn from(month: traffic::Month) -> Self {
        let traffic::Month { begins, ends, in_bytes, in_packets, out_bytes, out_packets, .. } = month;
        let private = Private {
            in_bytes: month.private_in_bytes,
            in_packets: month.private_in_packets,
            out_bytes: month.private_out_bytes,
            out_packets: month.private_out_packets,
        };
        Self { begins, ends, in_bytes, in_packets, out_bytes, out_packets, private }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::TrafficResponse)]
struct TrafficResponse {
    /// Newest first; the present month is always there.
    months: Vec<Month>,
    meta: Meta,
}

/// Lists what came into a server and went out of it, month by month, and apart from it what passed by private networks.
/// Months begin on the day that the operator has set.
#[utoipa::path(get, path = "/servers/{id}/traffic", tag = "berth: traffic", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = TrafficResponse), Problems))]
async fn list(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    query: Query,
) -> Result<Listing<TrafficResponse>> {
    let page = query.page()?;
    let part = traffic::months(&app.db, tenant.project_id, id, page).await?;
    let months = part.items.into_iter().map(Month::from).collect();
    Ok(query.listing(page, part.total, |meta| TrafficResponse { months, meta }, &app.config.public_url))
}
