//! `/berth/v1/webhooks`: where a project's news are posted to.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::webhooks::{self, Change, Delivery as Try, Webhook as Row};
use crate::domain::names::Title;
use crate::domain::webhook::{Kind, Target};
use crate::error::{Error, Result};
use crate::ids::WebhookId;
use crate::post;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(deliveries))
        .routes(routes!(test))
        .routes(routes!(redeliver))
}

/// Where news are posted to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Webhook)]
struct Webhook {
    id: i64,
    name: String,
    url: String,
    /// What it hears: all of a thing (`server`) or one kind (`action.error`); empty: everything.
    kinds: Vec<String>,
    /// False: it is not called, because somebody said so, its receiver answered 410, or it failed for three days.
    enabled: bool,
    /// The `id` of the last event that was delivered, or that was the newest when the webhook was made.
    cursor: i64,
    /// Since when deliveries fail; they are tried again, at most an hour apart.
    failing_since: Option<DateTime<Utc>>,
    created: DateTime<Utc>,
    /// What signs its requests, as <https://www.standardwebhooks.com> has it. Only in the answer to its creation.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.0,
            name: row.name,
            url: row.url,
            kinds: row.kinds,
            enabled: row.enabled,
            cursor: row.cursor,
            failing_since: row.failing_since,
            created: row.created_at,
            secret: None,
        }
    }
}

/// A try to deliver.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::WebhookDelivery)]
struct Delivery {
    id: i64,
    /// The event's id; 0 for a test.
    event: i64,
    kind: String,
    at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    took_ms: i32,
    /// The answer's status; null: there was none.
    status: Option<i32>,
    /// Why it does not count as delivered; null: it does.
    error: Option<String>,
}

impl From<Try> for Delivery {
    fn from(t: Try) -> Self {
        Self {
            id: t.id,
            event: t.seq,
            kind: t.kind,
            at: t.at,
            took_ms: t.took_ms,
            status: t.status,
            error: t.error,
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::WebhooksResponse)]
struct WebhooksResponse {
    webhooks: Vec<Webhook>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::WebhookResponse)]
struct WebhookResponse {
    webhook: Webhook,
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::WebhookDeliveriesResponse)]
struct DeliveriesResponse {
    deliveries: Vec<Delivery>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::WebhookDeliveryResponse)]
struct DeliveryResponse {
    delivery: Delivery,
}

/// A new webhook.
#[derive(Deserialize, ToSchema)]
#[schema(as = berth::CreateWebhook)]
struct CreateWebhook {
    /// One line of 1 to 128 characters, unique in the project.
    name: String,
    /// http or https; a host of the public internet, or one that the operator allows.
    url: String,
    /// What it hears; absent or empty: everything.
    #[serde(default)]
    kinds: Vec<String>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
#[schema(as = berth::UpdateWebhook)]
struct UpdateWebhook {
    name: Option<String>,
    url: Option<String>,
    kinds: Option<Vec<String>>,
    enabled: Option<bool>,
}

/// Lists webhooks.
#[utoipa::path(get, path = "/webhooks", tag = "berth: events", security(("token" = [])),
    responses((status = 200, body = WebhooksResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant) -> Result<Json<WebhooksResponse>> {
    let webhooks = webhooks::list(&app.db, tenant.project_id).await?.into_iter().map(Webhook::from).collect();
    Ok(Json(WebhooksResponse { webhooks }))
}

/// Makes a webhook. It hears what happens from now on; the answer has the secret that signs its requests.
#[utoipa::path(post, path = "/webhooks", tag = "berth: events", security(("token" = [])),
    request_body = CreateWebhook, responses((status = 201, body = WebhookResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookResponse>)> {
    let name = Title::parse("name", &new.name)?;
    let target = Target::parse(&new.url, app.poster.besides())?;
    let kinds = Kind::parse_all("kinds", new.kinds.iter().map(String::as_str))?;
    let made = webhooks::create(&app.db, tenant.project_id, &name, &target, &kinds).await?;
    let secret = Some(made.secret.clone());
    Ok((StatusCode::CREATED, Json(WebhookResponse { webhook: Webhook { secret, ..made.into() } })))
}

/// Shows a webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = WebhookResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<WebhookId>) -> Result<Json<WebhookResponse>> {
    Ok(Json(WebhookResponse { webhook: webhooks::get(&app.db, tenant.project_id, id).await?.into() }))
}

/// Changes a webhook. Enabled again, it goes on where it stopped, as far as events are kept (30 days).
#[utoipa::path(put, path = "/webhooks/{id}", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateWebhook,
    responses((status = 200, body = WebhookResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<WebhookId>,
    Body(new): Body<UpdateWebhook>,
) -> Result<Json<WebhookResponse>> {
    let kinds = new.kinds.as_ref().map(|kinds| Kind::parse_all("kinds", kinds.iter().map(String::as_str)));
    let change = Change {
        name: new.name.map(|name| Title::parse("name", &name)).transpose()?,
        target: new.url.map(|url| Target::parse(&url, app.poster.besides())).transpose()?,
        kinds: kinds.transpose()?,
        enabled: new.enabled,
    };
    let changed = webhooks::update(&app.db, tenant.project_id, id, &change).await?;
    Ok(Json(WebhookResponse { webhook: changed.into() }))
}

/// Removes a webhook and its log.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Removed"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<WebhookId>) -> Result<StatusCode> {
    webhooks::delete(&app.db, tenant.project_id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists what was tried, newest first; the last 200 tries are kept.
#[utoipa::path(get, path = "/webhooks/{id}/deliveries", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = DeliveriesResponse), Problems))]
async fn deliveries(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<WebhookId>,
) -> Result<Json<DeliveriesResponse>> {
    let tries = webhooks::deliveries(&app.db, tenant.project_id, id).await?;
    Ok(Json(DeliveriesResponse { deliveries: tries.into_iter().map(Delivery::from).collect() }))
}

/// Posts an event of the kind `webhook.test` now, and tells what came of it.
#[utoipa::path(post, path = "/webhooks/{id}/test", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = DeliveryResponse), Problems))]
async fn test(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<WebhookId>,
) -> Result<Json<DeliveryResponse>> {
    let tried = post::test(&app, tenant.project_id, id).await?;
    Ok(Json(DeliveryResponse { delivery: tried.into() }))
}

/// Posts an event again, now, and tells what came of it. It has the same `webhook-id` as before.
#[utoipa::path(post, path = "/webhooks/{id}/redeliver/{event}", tag = "berth: events", security(("token" = [])),
    params(("id" = i64, Path), ("event" = i64, Path, description = "The event's id")),
    responses((status = 200, body = DeliveryResponse), Problems))]
async fn redeliver(
    State(app): State<App>,
    tenant: Tenant,
    path: std::result::Result<Path<(i64, i64)>, axum::extract::rejection::PathRejection>,
) -> Result<Json<DeliveryResponse>> {
    let Ok(Path((id, event))) = path else { return Err(Error::NotFound("event")) };
    let tried = post::again(&app, tenant.project_id, WebhookId(id), event).await?;
    Ok(Json(DeliveryResponse { delivery: tried.into() }))
}
