//! Images: root file systems that VPSes start from.
//!
//! An import has two parts: the archive goes into the store under its digest, then a row offers it by name. When that
//! name was taken, the older image is retired; VPSes that have it keep it. Hosts are told, so that they fetch it ahead.

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use berth_proto::stop_signal;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::images::debian::{self, Suite};
use crate::images::{Store, Stored, metadata};

/// An image.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Image)]
pub(super) struct Image {
    id: i64,
    name: String,
    description: String,
    os_flavor: String,
    os_version: Option<String>,
    /// Digest of the archive.
    sha256: String,
    /// Size of the archive.
    size_bytes: i64,
    /// `tar`, `tar_gz`, `tar_xz`, `tar_zst` or `squashfs`.
    format: String,
    /// Whether cloud-init is inside.
    cloud_init: bool,
    /// Name of the signal that asks its init to stop; hosts find it out if there is none.
    stop_signal: Option<String>,
    /// A user that the image has and whom root's keys are for as well.
    default_user: Option<String>,
    /// Since when it is not offered any more.
    retired_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<db::images::Image> for Image {
    fn from(i: db::images::Image) -> Self {
        Self {
            id: i.id.0,
            name: i.name,
            description: i.description,
            os_flavor: i.os_flavor,
            os_version: i.os_version,
            sha256: i.sha256,
            size_bytes: i.size_bytes,
            format: i.format,
            cloud_init: i.cloud_init,
            stop_signal: i.stop_signal,
            default_user: i.default_user,
            retired_at: i.retired_at,
            created_at: i.created_at,
        }
    }
}

/// What an image is called.
#[derive(Clone, Debug, Default, Deserialize, ToSchema, IntoParams, clap::Args)]
#[schema(as = operators::Named)]
#[into_params(parameter_in = Query)]
pub(super) struct Named {
    /// Short name, for instance `debian-12`. An image that has it is retired.
    #[arg(long)]
    pub(super) name: String,
    /// For people; the name if it is not given.
    #[arg(long)]
    pub(super) description: Option<String>,
    /// Kind of system (debian, ubuntu, …); read from the name if it is not given.
    #[arg(long)]
    pub(super) os_flavor: Option<String>,
    /// Version of the system; read from the name if it is not given.
    #[arg(long)]
    pub(super) os_version: Option<String>,
    /// Cloud-init is inside and gets the user data; looked for in a tarball if it is not said.
    #[arg(long)]
    #[serde(default)]
    pub(super) cloud_init: bool,
    /// Lower-case hex SHA-256 of the archive; one that differs is refused. Needed with a URL.
    #[arg(long)]
    pub(super) sha256: Option<String>,
    /// Name of the signal that asks its init to stop (`SIGPWR`); hosts find it out if it is not given.
    #[arg(long)]
    pub(super) stop_signal: Option<String>,
    /// A user that the image has and whom root's keys are for as well.
    #[arg(long)]
    pub(super) default_user: Option<String>,
}

/// An archive to import: a tarball of a root file system, plain or packed with gzip, xz or zstd, or a squashfs.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Import)]
pub(super) struct Import {
    #[command(flatten)]
    #[serde(flatten)]
    pub(super) named: Named,
    /// Where to fetch it from.
    #[arg(long, required_unless_present = "path", conflicts_with = "path")]
    pub(super) url: Option<String>,
    /// A file on the control plane's machine.
    #[arg(long, alias = "file")]
    #[schema(value_type = Option<String>)]
    pub(super) path: Option<PathBuf>,
}

/// A Debian to build.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::Build)]
pub(super) struct Build {
    /// Which Debian.
    #[arg(long, value_enum)]
    pub(super) suite: Suite,
    /// Where the packages come from.
    #[arg(long, default_value = debian::DEFAULT_MIRROR)]
    #[serde(default = "default_mirror")]
    pub(super) mirror: String,
    /// Name of the image; `debian-12` or `debian-13` if it is not given.
    #[arg(long)]
    pub(super) name: Option<String>,
}

fn default_mirror() -> String {
    debian::DEFAULT_MIRROR.to_owned()
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::ImagesResponse)]
struct ImagesResponse {
    images: Vec<Image>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::ImageResponse)]
pub(super) struct ImageResponse {
    pub(super) image: Image,
}

/// All images, also retired ones.
pub(super) async fn list(app: &App) -> Result<Vec<Image>> {
    Ok(db::images::list(&app.db).await?.into_iter().map(Image::from).collect())
}

/// Imports an archive from a URL or a file.
pub(super) async fn import(app: &App, import: Import) -> Result<Image> {
    import.named.check()?;
    let store = store(app);
    let sha256 = import.named.sha256.as_deref();
    let stored = match (&import.url, &import.path) {
        (Some(url), None) => {
            let sha256 = sha256.ok_or_else(|| Error::invalid("sha256", "is required with a URL"))?;
            let http = reqwest::Client::builder().connect_timeout(std::time::Duration::from_secs(20)).build();
            store.import_url(&http.map_err(anyhow::Error::from)?, url, sha256).await?
        }
        (None, Some(path)) => store.import_file(path, sha256).await?,
        _ => return Err(Error::invalid("url", "name either a URL or a path")),
    };
    offer(app, import.named, stored).await
}

/// Builds a Debian and imports it.
pub(super) async fn build(app: &App, build: Build) -> Result<Image> {
    let name = build.name.unwrap_or_else(|| build.suite.image_name());
    check_name(&name)?;
    let work = tempfile_dir(app).await?;
    let archive = work.0.join("image.tar.zst");
    debian::build(build.suite, &build.mirror, &archive).await?;
    let stored = store(app).import_file(&archive, None).await?;
    let named = Named {
        name,
        description: Some(format!("Debian {}", build.suite.version())),
        os_flavor: Some("debian".into()),
        os_version: Some(build.suite.version().into()),
        ..Named::default()
    };
    offer(app, named, stored).await
}

/// Offers an archive that stands in the store.
pub(super) async fn offer(app: &App, named: Named, stored: Stored) -> Result<Image> {
    named.check()?;
    let (flavor, version) = system(&named.name);
    let cloud_init = named.cloud_init || finds_cloud_init(app, &stored).await?;
    let new = db::images::NewImage {
        description: named.description.unwrap_or_else(|| named.name.clone()),
        os_flavor: named.os_flavor.unwrap_or(flavor),
        os_version: named.os_version.or(version),
        name: named.name,
        sha256: stored.sha256,
        size_bytes: i64::try_from(stored.size_bytes).map_err(anyhow::Error::from)?,
        disk_bytes: 0,
        format: stored.format,
        cloud_init,
        stop_signal: named.stop_signal,
        default_user: named.default_user,
    };
    let image = db::images::create(&app.db, &new).await?;
    tell_hosts(app).await?;
    Ok(image.into())
}

/// Stops offering an image; VPSes that have it keep it.
pub(super) async fn retire(app: &App, image: &Reference) -> Result<()> {
    let all = db::images::offered(&app.db).await?;
    let image = image.find(all, |i| (i.id.0, i.name.clone())).ok_or(Error::NotFound("image"))?;
    withdraw(app, image.id).await
}

/// As [`retire`], by id, and of one that is retired already too. Hosts are told, so that they fetch it no more.
pub(crate) async fn withdraw(app: &App, id: ImageId) -> Result<()> {
    db::images::retire(&app.db, id).await?;
    tell_hosts(app).await
}

async fn tell_hosts(app: &App) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let told = db::hosts::touch(&mut tx, None).await?;
    tx.commit().await?;
    db::hosts::wake(app, &told);
    Ok(())
}

pub(super) fn store(app: &App) -> Store {
    Store::in_data_dir(&app.config.data_dir)
}

/// A directory for building, gone when this is dropped.
struct WorkDir(PathBuf);

impl Drop for WorkDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0); // never made: fine
    }
}

async fn tempfile_dir(app: &App) -> Result<WorkDir> {
    let dir = app.config.data_dir.join(format!("build-{}", uuid::Uuid::new_v4()));
    tokio::fs::create_dir_all(&dir).await.map_err(anyhow::Error::from)?;
    Ok(WorkDir(dir))
}

/// Names of images go into URLs and shell lines, and some have dots (`ubuntu-24.04`).
pub(super) fn check_name(name: &str) -> Result<()> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends = |c: Option<&u8>| c.is_some_and(|c| inner(*c));
    let bytes = name.as_bytes();
    let good = bytes.len() <= 63
        && bytes.iter().all(|c| inner(*c) || b".-".contains(c))
        && ends(bytes.first())
        && ends(bytes.last());
    if good {
        Ok(())
    } else {
        Err(Error::invalid("name", "must be lower-case letters, digits, inner hyphens and dots, at most 63"))
    }
}

impl Named {
    /// Whether everything in it can be meant.
    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if let Some(name) = self.stop_signal.as_deref().filter(|name| stop_signal(name).is_none()) {
            let message = format!("'{name}' is no signal that stops an init, such as SIGPWR or SIGRTMIN+3");
            return Err(Error::invalid("stop_signal", message));
        }
        if let Some(name) = self.default_user.as_deref().filter(|name| !metadata::is_user(name)) {
            return Err(Error::invalid("default_user", format!("'{name}' is no user name")));
        }
        Ok(())
    }
}

async fn finds_cloud_init(app: &App, stored: &Stored) -> Result<bool> {
    let Some(path) = store(app).path(&stored.sha256) else { return Ok(false) };
    let format = stored.format;
    let found = tokio::task::spawn_blocking(move || metadata::finds_cloud_init(&path, format)).await;
    Ok(found.map_err(anyhow::Error::from)?.unwrap_or(false))
}

/// Systems that the hcloud API has a word for.
const KNOWN: &[&str] = &["debian", "ubuntu", "fedora", "centos", "rocky", "alma", "opensuse"];

/// The hcloud API's word for a system (`AlmaLinux`); none where it has none.
pub(super) fn known_flavor(os: &str) -> Option<String> {
    let os = os.to_ascii_lowercase();
    KNOWN.iter().find(|known| os.starts_with(**known)).map(|known| (*known).to_owned())
}

/// Kind and version of the system, as its name tells (`debian-12`).
fn system(name: &str) -> (String, Option<String>) {
    let (flavor, version) = name.split_once('-').map_or((name, None), |(f, v)| (f, Some(v)));
    if KNOWN.contains(&flavor) {
        (flavor.to_owned(), version.map(str::to_owned))
    } else {
        ("unknown".to_owned(), None)
    }
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_all, post))
        .routes(routes!(post_build))
        .routes(routes!(delete_one))
}

/// Lists images, also retired ones.
#[utoipa::path(get, path = "/images", tag = "Operators: images", security(("operator" = [])),
    responses((status = 200, body = ImagesResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<ImagesResponse>> {
    Ok(Json(ImagesResponse { images: list(&app).await? }))
}

/// Imports an image; answers when it is there.
#[utoipa::path(post, path = "/images", tag = "Operators: images", security(("operator" = [])),
    request_body = Import, responses((status = 201, body = ImageResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<Import>,
) -> Result<(StatusCode, Json<ImageResponse>)> {
    Ok((StatusCode::CREATED, Json(ImageResponse { image: import(&app, new).await? })))
}

/// Builds a Debian image; answers when it is there, which takes minutes.
#[utoipa::path(post, path = "/images/build", tag = "Operators: images", security(("operator" = [])),
    request_body = Build, responses((status = 201, body = ImageResponse), Problems))]
async fn post_build(
    State(app): State<App>,
    _: Operator,
    Body(wanted): Body<Build>,
) -> Result<(StatusCode, Json<ImageResponse>)> {
    // Goes on when the client does not wait for the end: a build that is cut off leaves half a system behind.
    let built = tokio::spawn(async move { build(&app, wanted).await });
    Ok((StatusCode::CREATED, Json(ImageResponse { image: built.await.map_err(anyhow::Error::from)?? })))
}

/// Stops offering an image; servers that have it keep it.
#[utoipa::path(delete, path = "/images/{id}", tag = "Operators: images", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_one(State(app): State<App>, _: Operator, Id(id): Id<ImageId>) -> Result<StatusCode> {
    withdraw(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_read() {
        for good in ["debian-12", "ubuntu-24.04", "x"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "a-", "a/b", "Debian", ".hidden", "a b", &"a".repeat(64)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        assert_eq!(system("debian-12"), ("debian".into(), Some("12".into())));
        assert_eq!(system("ubuntu-24.04"), ("ubuntu".into(), Some("24.04".into())));
        assert_eq!(system("my-thing"), ("unknown".into(), None));
    }
}
