//! What operators tell tenants.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::places;
use super::reference::Reference;
use crate::api::{Announcement, Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::announcements as rows;
use crate::domain::announcement::{Kind, New, Span, Text};
use crate::domain::names::Title;
use crate::error::{Error, Result};

/// Something to tell.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewAnnouncement)]
pub(super) struct NewAnnouncement {
    /// In a few words: one line of 1 to 128 characters.
    title: String,
    /// In more: some lines, up to 4000 characters.
    #[arg(long)]
    text: String,
    /// What sort of news it is; without it info.
    #[arg(long, value_enum, default_value_t)]
    #[serde(default)]
    kind: Kind,
    /// From when it is shown, such as 2027-02-09T12:00:00Z; without it from now.
    #[arg(long)]
    #[serde(default)]
    from: Option<String>,
    /// Until when it is shown.
    #[arg(long)]
    until: String,
    /// Only to those who have servers in this location, by id or name.
    #[arg(long)]
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    location: Option<Reference>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::AnnouncementResponse)]
struct AnnouncementResponse {
    announcement: Announcement,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::AnnouncementsResponse)]
struct AnnouncementsResponse {
    announcements: Vec<Announcement>,
}

/// The newest, those that are over included.
pub(super) async fn list(app: &App) -> Result<Vec<Announcement>> {
    Ok(rows::list(&app.db).await?.into_iter().map(Announcement::from).collect())
}

/// Tells something.
pub(super) async fn create(app: &App, new: NewAnnouncement) -> Result<Announcement> {
    let time = |field: &str, text: &str| {
        let time = DateTime::parse_from_rfc3339(text.trim()).map(|time| time.with_timezone(&Utc));
        time.map_err(|_| Error::invalid(field, "must be a time such as 2027-02-09T12:00:00Z"))
    };
    let from = new.from.map(|from| time("from", &from)).transpose()?;
    let parsed = New {
        title: Title::parse("title", &new.title)?,
        text: Text::parse(&new.text)?,
        kind: new.kind,
        span: Span::new(from, time("until", &new.until)?, Utc::now())?,
    };
    let location = match &new.location {
        Some(location) => Some(places::find_location(app, Some(location)).await?.id),
        None => None,
    };
    let id = rows::create(&app.db, &parsed, location).await?;
    Ok(rows::get(&app.db, id).await?.into())
}

/// Takes something back.
pub(super) async fn delete(app: &App, id: i64) -> Result<()> {
    rows::delete(&app.db, id).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(delete_one))
}

/// Lists announcements, the newest first, those that are over included.
#[utoipa::path(get, path = "/announcements", tag = "Operators: announcements", security(("operator" = [])),
    responses((status = 200, body = AnnouncementsResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<AnnouncementsResponse>> {
    Ok(Json(AnnouncementsResponse { announcements: list(&app).await? }))
}

/// Tells tenants something, on their pages and by their API.
#[utoipa::path(post, path = "/announcements", tag = "Operators: announcements", security(("operator" = [])),
    request_body = NewAnnouncement, responses((status = 201, body = AnnouncementResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewAnnouncement>,
) -> Result<(StatusCode, Json<AnnouncementResponse>)> {
    Ok((StatusCode::CREATED, Json(AnnouncementResponse { announcement: create(&app, new).await? })))
}

/// Takes an announcement back.
#[utoipa::path(delete, path = "/announcements/{id}", tag = "Operators: announcements", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_one(State(app): State<App>, _: Operator, Id(id): Id<i64>) -> Result<StatusCode> {
    delete(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
