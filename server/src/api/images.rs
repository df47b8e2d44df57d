//! `/images`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::db::images::{self, Image as Row};
use crate::db::page::Sort;
use crate::domain::labels::Labels;
use crate::error::{Error, Result};
use crate::ids::ImageId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// Systems that the hcloud API has a word for.
const FLAVORS: [&str; 7] = ["alma", "centos", "debian", "fedora", "opensuse", "rocky", "ubuntu"];

/// What servers start from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Image {
    id: i64,
    #[serde(rename = "type")]
    kind: &'static str,
    status: &'static str,
    name: String,
    description: String,
    /// Size of the archive, GB.
    image_size: f64,
    /// Smallest disk, GB.
    disk_size: f64,
    created: DateTime<Utc>,
    created_from: Option<CreatedFrom>,
    bound_to: Option<i64>,
    os_flavor: String,
    os_version: Option<String>,
    rapid_deploy: bool,
    protection: Protection,
    deprecated: Option<DateTime<Utc>>,
    deleted: Option<DateTime<Utc>>,
    labels: BTreeMap<String, String>,
    architecture: String,
}

/// The server that a snapshot was made from.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CreatedFrom {
    id: i64,
    name: String,
}

/// What is refused.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
struct Protection {
    delete: bool,
}

impl From<&Row> for Image {
    fn from(i: &Row) -> Self {
        let gigabytes = |bytes: i64| bytes as f64 / 1e9;
        let known = FLAVORS.contains(&i.os_flavor.as_str());
        Self {
            id: i.id.0,
            kind: "system",
            status: "available",
            name: i.name.clone(),
            description: i.description.clone(),
            image_size: gigabytes(i.size_bytes),
            disk_size: gigabytes(i.disk_bytes),
            created: i.created_at,
            created_from: None,
            bound_to: None,
            os_flavor: if known { i.os_flavor.clone() } else { "unknown".into() },
            os_version: i.os_version.clone(),
            rapid_deploy: true,
            protection: Protection { delete: false },
            deprecated: i.retired_at,
            deleted: None,
            labels: BTreeMap::new(),
            architecture: i.architecture.clone(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct ImagesResponse {
    images: Vec<Image>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct ImageResponse {
    image: Image,
}

/// Lists images.
#[utoipa::path(get, path = "/images", tag = "images", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only those with this name"),
        ("type" = Option<Vec<String>>, Query, description = "system, app, snapshot, backup"),
        ("status" = Option<Vec<String>>, Query, description = "available, creating, unavailable"),
        ("architecture" = Option<Vec<String>>, Query, description = "x86, arm"),
        ("bound_to" = Option<Vec<String>>, Query, description = "Only backups of these servers"),
        ("include_deprecated" = Option<bool>, Query, description = "Also those that are not offered any more"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name, created; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = ImagesResponse), Problems))]
async fn list(State(app): State<App>, query: Query) -> Result<Listing<ImagesResponse>> {
    let one_of = |name, possible: &'static [&'static str]| {
        query.all_of(name, move |v| possible.iter().find(|p| **p == v).copied())
    };
    let kinds = one_of("type", &["system", "app", "snapshot", "backup"])?;
    let statuses = one_of("status", &["available", "creating", "unavailable"])?;
    let architectures = one_of("architecture", &["x86", "arm"])?;
    let selector = query.selector()?;
    let deprecated = query.flag("include_deprecated")?;
    let wanted = |image: &Row| {
        (deprecated || image.retired_at.is_none())
            && query.one("name").is_none_or(|name| image.name == name)
            && (kinds.is_empty() || kinds.contains(&"system"))
            && (statuses.is_empty() || statuses.contains(&"available"))
            && (architectures.is_empty() || architectures.contains(&image.architecture.as_str()))
            && query.one("bound_to").is_none()
            && selector.matches(&Labels::default())
    };
    let mut all = images::list(&app.db).await?;
    all.retain(wanted);
    let columns = [("id", "id"), ("name", "name"), ("created", "created_at")];
    Sort::apply(&query.sort(&columns)?, &mut all, |column, a, b| match column {
        "name" => a.name.cmp(&b.name),
        "created_at" => a.created_at.cmp(&b.created_at),
        _ => a.id.cmp(&b.id),
    });
    let page = query.page()?;
    let part = page.cut(all);
    let images = part.items.iter().map(Image::from).collect();
    Ok(query.listing(page, part.total, |meta| ImagesResponse { images, meta }, &app.config.public_url))
}

/// Shows an image.
#[utoipa::path(get, path = "/images/{id}", tag = "images", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = ImageResponse), Problems))]
async fn get(State(app): State<App>, Id(id): Id<ImageId>) -> Result<Json<ImageResponse>> {
    let found = images::by_ids(&app.db, &[id.0]).await?;
    let image = found.first().ok_or(Error::NotFound("image"))?;
    Ok(Json(ImageResponse { image: image.into() }))
}
