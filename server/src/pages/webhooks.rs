//! Webhooks of a project.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{
    DeliveryRow, Field, Notice, Section, WebhookForm, WebhookPage, WebhookRow, WebhooksPage, When,
};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::session::{Manager, ThingId};
use crate::app::App;
use crate::db::webhooks::{self, Change, Delivery, Webhook};
use crate::domain::names::Title;
use crate::domain::webhook::{Kind, Target};
use crate::error::{Error, Result};
use crate::ids::WebhookId;
use crate::post;

/// `GET /projects/{project}/webhooks`.
pub(super) async fn page(manager: Manager, State(app): State<App>) -> Result<Response, Failed> {
    let told = manager.0.who.told(&app);
    Ok((told, list(&app, &manager, WebhookForm::default()).await?).into_response())
}

/// `POST /projects/{project}/webhooks`.
pub(super) async fn make(
    manager: Manager,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form = typed(&fields);
    let made = async {
        let (name, target, kinds) = read(&app, &form)?;
        webhooks::create(&app.db, manager.0.id(), &name, &target, &kinds).await
    };
    match made.await {
        Ok(hook) => {
            Ok(Redirect::to(&manager.0.project.path(&format!("webhooks/{}", hook.id))).into_response())
        }
        Err(e) => {
            let status = blame(e, &mut form)?;
            Ok((status, list(&app, &manager, form).await?).into_response())
        }
    }
}

/// `GET /projects/{project}/webhooks/{id}`.
pub(super) async fn one(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let told = manager.0.who.told(&app);
    let hook = webhooks::get(&app.db, manager.0.id(), WebhookId(id)).await?;
    let form = WebhookForm {
        name: Field::new(&hook.name),
        url: Field::new(&hook.url),
        kinds: Field::new(hook.kinds.join(" ")),
    };
    Ok((told, show(&app, &manager, hook, form).await?).into_response())
}

/// `POST /projects/{project}/webhooks/{id}`.
pub(super) async fn change(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form = typed(&fields);
    let changed = async {
        let (name, target, kinds) = read(&app, &form)?;
        let change = Change { name: Some(name), target: Some(target), kinds: Some(kinds), enabled: None };
        webhooks::update(&app.db, manager.0.id(), WebhookId(id), &change).await
    };
    match changed.await {
        Ok(_) => Ok(back(&app, &manager, id, Notice::WebhookChanged)),
        Err(e) => {
            let status = blame(e, &mut form)?;
            let hook = webhooks::get(&app.db, manager.0.id(), WebhookId(id)).await?;
            Ok((status, show(&app, &manager, hook, form).await?).into_response())
        }
    }
}

/// `POST /projects/{project}/webhooks/{id}/switch`.
pub(super) async fn switch(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let change = Change { enabled: Some(fields.get("enabled") == "true"), ..Change::default() };
    webhooks::update(&app.db, manager.0.id(), WebhookId(id), &change).await?;
    Ok(back(&app, &manager, id, Notice::WebhookChanged))
}

/// `POST /projects/{project}/webhooks/{id}/test`.
pub(super) async fn test(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    post::test(&app, manager.0.id(), WebhookId(id)).await?;
    Ok(back(&app, &manager, id, Notice::WebhookTried))
}

/// `POST /projects/{project}/webhooks/{id}/redeliver`.
pub(super) async fn redeliver(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let event = fields.get("event").parse().map_err(|_| Error::NotFound("event"))?;
    post::again(&app, manager.0.id(), WebhookId(id), event).await?;
    Ok(back(&app, &manager, id, Notice::WebhookTried))
}

/// `POST /projects/{project}/webhooks/{id}/delete`.
pub(super) async fn delete(
    manager: Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    webhooks::delete(&app.db, manager.0.id(), WebhookId(id)).await?;
    let to = manager.0.project.path("webhooks");
    Ok((cookies::tell(&app.config, &to, Notice::WebhookDeleted), Redirect::to(&to)).into_response())
}

fn back(app: &App, manager: &Manager, id: i64, notice: Notice) -> Response {
    let to = manager.0.project.path(&format!("webhooks/{id}"));
    (cookies::tell(&app.config, &to, notice), Redirect::to(&to)).into_response()
}

fn typed(fields: &Fields) -> WebhookForm {
    WebhookForm {
        name: Field::new(fields.get("name")),
        url: Field::new(fields.get("url")),
        kinds: Field::new(fields.get("kinds")),
    }
}

fn read(app: &App, form: &WebhookForm) -> Result<(Title, Target, Vec<Kind>)> {
    let words = form.kinds.value.split([' ', ',']).filter(|word| !word.is_empty());
    Ok((
        Title::parse("name", &form.name.value)?,
        Target::parse(&form.url.value, app.poster.besides())?,
        Kind::parse_all("kinds", words)?,
    ))
}

/// Puts an error beside its field, and what is about none beside the name; gives the answer's status.
fn blame(e: Error, form: &mut WebhookForm) -> Result<StatusCode> {
    let mut whole = None;
    let mut fields = [("name", &mut form.name), ("url", &mut form.url), ("kinds", &mut form.kinds)];
    let status = super::blame::blame(e, &mut fields, &mut whole)?;
    form.name.error = whole.or(form.name.error.take());
    Ok(status)
}

fn row(hook: &Webhook) -> WebhookRow {
    WebhookRow {
        id: hook.id.0,
        name: hook.name.clone(),
        url: hook.url.clone(),
        kinds: hook.kinds.clone(),
        enabled: hook.enabled,
        failing: hook.failing_since.map(|at| When::new(at, Utc::now())),
    }
}

async fn list(app: &App, manager: &Manager, form: WebhookForm) -> Result<Page<WebhooksPage>> {
    let rows = webhooks::list(&app.db, manager.0.id()).await?.iter().map(row).collect();
    let project = manager.0.project.clone();
    Ok(Page(WebhooksPage { shell: manager.0.shell(Section::Webhooks), project, rows, form }))
}

async fn show(app: &App, manager: &Manager, hook: Webhook, form: WebhookForm) -> Result<Page<WebhookPage>> {
    let now = Utc::now();
    let tried = |t: Delivery| DeliveryRow {
        event: (t.seq > 0).then_some(t.seq),
        kind: t.kind,
        at: When::new(t.at, now),
        took: format!("{} ms", t.took_ms),
        status: t.status,
        error: t.error,
    };
    let deliveries = webhooks::deliveries(&app.db, manager.0.id(), hook.id).await?.into_iter().map(tried);
    Ok(Page(WebhookPage {
        shell: manager.0.shell(Section::Webhooks),
        project: manager.0.project.clone(),
        hook: row(&hook),
        form,
        deliveries: deliveries.collect(),
        secret: hook.secret,
    }))
}
