//! Images: what is offered, on which hosts each stands ready, and withdrawing one.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_web::{Bytes, Form, ImagePage, ImageRow, ImagesPage, Input, Notice, Section, When};
use chrono::Utc;

use super::{confirmed, done, fill};
use crate::admin;
use crate::app::App;
use crate::db::directory;
use crate::db::hosts::{self, Host};
use crate::db::images::{self, Image};
use crate::error::{Error, Result};
use crate::ids::ImageId;
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn, ThingId};

const PATH: &str = "/fleet/images";

/// `GET /fleet/images`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let mut rows = rows(&app, images::list(&app.db).await?).await?;
    rows.reverse(); // the newest first
    rows.sort_by_key(|row| row.retired.is_some());
    Ok((who.told(&app), Page(ImagesPage { shell: who.shell(Section::Images, None), rows })).into_response())
}

async fn rows(app: &App, all: Vec<Image>) -> Result<Vec<ImageRow>> {
    let now = Utc::now();
    let servers = directory::servers_by_image(&app.db).await?;
    let hosts = hosts::list(&app.db).await?;
    let row = |image: Image| ImageRow {
        id: image.id.0,
        size: Bytes(image.size_bytes),
        cloud_init: image.cloud_init,
        servers: servers.get(&image.id.0).copied().unwrap_or(0),
        ready: hosts.iter().filter(|host| has(host, &image.sha256)).map(|host| host.name.clone()).collect(),
        hosts: hosts.len(),
        retired: image.retired_at.map(|at| When::new(at, now)),
        created: When::new(image.created_at, now),
        name: image.name,
        description: image.description,
        format: image.format.replace('_', "."),
        sha256: image.sha256,
    };
    Ok(all.into_iter().map(row).collect())
}

/// Whether the archive stands ready on a host, as it reported last.
fn has(host: &Host, sha256: &str) -> bool {
    host.images.as_array().is_some_and(|all| all.iter().any(|digest| digest.as_str() == Some(sha256)))
}

async fn find(app: &App, id: i64) -> Result<Image> {
    images::by_ids(&app.db, &[id]).await?.pop().ok_or(Error::NotFound("image"))
}

/// `GET /fleet/images/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let image = find(&app, id).await?;
    let form = withdraw_form(&image);
    Ok((who.told(&app), show(&app, &who, image, form).await?).into_response())
}

fn withdraw_form(image: &Image) -> Option<Form> {
    let action = format!("{PATH}/{}/withdraw", image.id);
    let form = || Form::new("withdraw", action, "Withdraw image", vec![Input::confirm(&image.name)]).danger();
    image.retired_at.is_none().then(form)
}

async fn show(app: &App, who: &SignedIn, image: Image, withdraw: Option<Form>) -> Result<Page<ImagePage>> {
    let row = rows(app, vec![image]).await?.pop().ok_or(Error::NotFound("image"))?;
    Ok(Page(ImagePage { shell: who.shell(Section::Images, None), row, withdraw }))
}

/// `POST /fleet/images/{id}/withdraw`.
pub(in crate::pages) async fn withdraw(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let image = find(&app, id).await?;
    let mut form = withdraw_form(&image).ok_or(Error::NotFound("image"))?;
    fill(&mut form, &fields);
    if !confirmed(&mut form, &fields, &image.name) {
        let page = show(&app, &who, image, Some(form)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    admin::images::withdraw(&app, ImageId(id)).await?;
    Ok(done(&app, &format!("{PATH}/{id}"), Notice::ImageWithdrawn))
}
