//! Images from an LXC image server (a simplestreams index), by URL or as a directory of the same layout.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::images::{Image, ImageResponse, Named, check_name, offer, store};
use crate::api::{Body, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::error::{Error, Result};
use crate::images::metadata::{self, Properties};
use crate::images::simplestreams::{self, Choice, INDEX, MAX_INDEX_BYTES, Piece, Wanted};
use crate::images::source::Source;

/// An image of an LXC image server.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::FromServer)]
pub(super) struct FromServer {
    /// Root of the image server: an http or https URL, or an absolute path of the control plane's machine, below which
    /// `streams/v1/index.json` lies.
    #[arg(long)]
    server: String,
    /// Alias (`alpine/3.19`) or product (`alpine:3.19:amd64:default`).
    #[arg(long)]
    image: String,
    /// As the index spells it (`amd64`, `arm64`); that of the control plane's machine if it is not given.
    #[arg(long)]
    architecture: Option<String>,
    /// A version; the newest if it is not given.
    #[arg(long)]
    version: Option<String>,
    /// Name of the image here; made from the alias if it is not given (`alpine-3.19`).
    #[arg(long)]
    name: Option<String>,
    /// Name of the signal that asks its init to stop (`SIGPWR`); hosts find it out if it is not given.
    #[arg(long)]
    stop_signal: Option<String>,
    /// A user that the image has and whom root's keys are for as well.
    #[arg(long)]
    default_user: Option<String>,
}

/// Imports it.
pub(super) async fn import(app: &App, wanted: FromServer) -> Result<Image> {
    let name = wanted.name.clone().unwrap_or_else(|| name_of(&wanted.image));
    check_name(&name)?;
    let source = Source::parse(&wanted.server)?;
    let choice = find(&source, &wanted).await?;
    let said = describe(&source, choice.metadata.as_ref()).await?;
    let Piece { path, size, sha256 } = &choice.root;
    let stored = store(app).import_exact(source.open(path).await?, sha256, *size).await?;
    let named = named(name, wanted, &choice, said);
    offer(app, named, stored).await
}

async fn find(source: &Source, wanted: &FromServer) -> Result<Choice> {
    let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let query = Wanted {
        image: &wanted.image,
        architecture: wanted.architecture.as_deref().unwrap_or(here),
        version: wanted.version.as_deref(),
    };
    let mut near = Vec::new();
    for path in simplestreams::lists(&source.read(INDEX, MAX_INDEX_BYTES).await?)? {
        let list = source.read(&path, MAX_INDEX_BYTES).await?;
        if let Some(choice) = simplestreams::choose(&list, &query)? {
            return Ok(choice);
        }
        near.extend(simplestreams::names(&list, &query)?);
    }
    let near = if near.is_empty() { "nothing".to_owned() } else { near.join(", ") };
    let message =
        format!("the server has no {} for {}; it has, for instance, {near}", query.image, query.architecture);
    Err(Error::invalid("image", message))
}

async fn describe(source: &Source, piece: Option<&Piece>) -> Result<Properties> {
    let Some(Piece { path, size, sha256 }) = piece else { return Ok(Properties::default()) };
    let bytes = source.read(path, *size).await?;
    let found = hex::encode(Sha256::digest(&bytes));
    if bytes.len() as u64 != *size || found != *sha256 {
        let message = format!("{path} is not the file that the index describes (its sha256 is {found})");
        return Err(Error::invalid("sha256", message));
    }
    tokio::task::spawn_blocking(move || metadata::of_archive(&bytes)).await.map_err(anyhow::Error::from)?
}

/// What the operator said goes before what the image says of itself, and that before the index.
fn named(name: String, wanted: FromServer, choice: &Choice, said: Properties) -> Named {
    let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty() && text.len() <= 200);
    let os = said.os.clone().or_else(|| some(&choice.os)).unwrap_or_default();
    let release = said.release.clone().or_else(|| some(&choice.release));
    let description = format!("{os} {} {}", release.as_deref().unwrap_or_default(), choice.version);
    let cloud_init = said.has_cloud_init().unwrap_or(choice.variant == "cloud");
    Named {
        name,
        description: Some(said.description.unwrap_or(description)),
        os_flavor: super::images::known_flavor(&os),
        os_version: release,
        cloud_init,
        sha256: None,
        stop_signal: wanted.stop_signal.or(said.stop_signal),
        default_user: wanted.default_user.or(said.default_user),
    }
}

/// `alpine/3.19` is `alpine-3.19` here, and `debian/12/cloud` is `debian-12-cloud`.
fn name_of(image: &str) -> String {
    image.replace(['/', ':'], "-").to_ascii_lowercase()
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(post))
}

/// Imports an image from an LXC image server; answers when it is there.
#[utoipa::path(post, path = "/images/from_server", tag = "Operators: images", security(("operator" = [])),
    request_body = FromServer, responses((status = 201, body = ImageResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(wanted): Body<FromServer>,
) -> Result<(StatusCode, Json<ImageResponse>)> {
    Ok((StatusCode::CREATED, Json(ImageResponse { image: import(&app, wanted).await? })))
}
