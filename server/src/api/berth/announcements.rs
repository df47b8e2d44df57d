//! `/berth/v1/announcements`: what the operators tell.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Problems;
use crate::app::App;
use crate::auth::Tenant;
use crate::db::announcements;
use crate::domain::announcement::Kind;
use crate::error::Result;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Something that the operators tell.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Announcement)]
pub(crate) struct Announcement {
    id: i64,
    title: String,
    /// Some lines.
    text: String,
    kind: Kind,
    /// Name of the location that it is about; null: everywhere.
    location: Option<String>,
    /// From when it is shown.
    from: DateTime<Utc>,
    /// Until when.
    until: DateTime<Utc>,
}

impl From<announcements::Announcement> for Announcement {
    fn from(a: announcements::Announcement) -> Self {
        let announcements::Announcement { id, title, text, kind, location, from, until } = a;
        Self { id, title, text, kind, location, from, until }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::AnnouncementsResponse)]
struct AnnouncementsResponse {
    announcements: Vec<Announcement>,
}

/// Lists what the operators tell now: to all, and about the locations that the project has servers in. At most ten,
/// maintenance first.
#[utoipa::path(get, path = "/announcements", tag = "berth: announcements", security(("token" = [])),
    responses((status = 200, body = AnnouncementsResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant) -> Result<Json<AnnouncementsResponse>> {
    let all = announcements::current(&app.db, &[tenant.project_id], None).await?;
    Ok(Json(AnnouncementsResponse { announcements: all.into_iter().map(Announcement::from).collect() }))
}
