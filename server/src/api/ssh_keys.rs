//! `/ssh_keys`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Body, Id, Listing, Meta, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::ssh_keys::{self, Filter, SshKey as Row};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::ssh::PublicKey;
use crate::error::Result;
use crate::ids::SshKeyId;
use crate::wake::Changed;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, update, delete))
}

/// An SSH key.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct SshKey {
    id: i64,
    name: String,
    /// MD5, with colons.
    fingerprint: String,
    public_key: String,
    labels: BTreeMap<String, String>,
    created: DateTime<Utc>,
}

impl From<Row> for SshKey {
    fn from(k: Row) -> Self {
        Self {
            id: k.id.0,
            name: k.name,
            fingerprint: k.fingerprint,
            public_key: k.public_key,
            labels: k.labels.map().clone(),
            created: k.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
struct SshKeysResponse {
    ssh_keys: Vec<SshKey>,
    meta: Meta,
}

#[derive(Serialize, ToSchema)]
struct SshKeyResponse {
    ssh_key: SshKey,
}

/// A new key.
#[derive(Deserialize, ToSchema)]
struct CreateSshKey {
    /// One line of 1 to 128 characters, unique in the project.
    name: String,
    /// One line, as in `authorized_keys`, without options.
    public_key: String,
    labels: Option<BTreeMap<String, String>>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
struct UpdateSshKey {
    name: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// Lists SSH keys.
#[utoipa::path(get, path = "/ssh_keys", tag = "SSH keys", security(("token" = [])),
    params(
        ("name" = Option<String>, Query, description = "Only the one with this name"),
        ("fingerprint" = Option<String>, Query, description = "Only the one with this fingerprint"),
        ("label_selector" = Option<String>, Query, description = "Only those with these labels"),
        ("sort" = Option<Vec<String>>, Query, description = "id, name; each with :asc or :desc"),
        ("page" = Option<i64>, Query, minimum = 1), ("per_page" = Option<i64>, Query, minimum = 1),
    ),
    responses((status = 200, body = SshKeysResponse), Problems))]
async fn list(State(app): State<App>, tenant: Tenant, query: Query) -> Result<Listing<SshKeysResponse>> {
    let filter = Filter {
        name: query.one("name").map(str::to_owned),
        fingerprint: query.one("fingerprint").map(str::to_owned),
        selector: query.selector()?,
        sort: query.sort(&[("id", "id"), ("name", "name")])?,
    };
    let page = query.page()?;
    let part = ssh_keys::list(&app.db, tenant.project_id, &filter, page).await?;
    let ssh_keys = part.items.into_iter().map(SshKey::from).collect();
    Ok(query.listing(page, part.total, |meta| SshKeysResponse { ssh_keys, meta }, &app.config.public_url))
}

/// Adds an SSH key.
#[utoipa::path(post, path = "/ssh_keys", tag = "SSH keys", security(("token" = [])),
    request_body = CreateSshKey, responses((status = 201, body = SshKeyResponse), Problems))]
async fn create(
    State(app): State<App>,
    tenant: Tenant,
    Body(new): Body<CreateSshKey>,
) -> Result<(StatusCode, Json<SshKeyResponse>)> {
    let name = Title::parse("name", &new.name)?;
    let key = PublicKey::parse(&new.public_key)?;
    let labels = Labels::parse(new.labels.unwrap_or_default())?;
    let row = ssh_keys::create(&app.db, tenant.project_id, &name, &key, &labels).await?;
    app.wake.changed(Changed::Project(tenant.project_id.0));
    Ok((StatusCode::CREATED, Json(SshKeyResponse { ssh_key: row.into() })))
}

/// Shows an SSH key.
#[utoipa::path(get, path = "/ssh_keys/{id}", tag = "SSH keys", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = SshKeyResponse), Problems))]
async fn get(State(app): State<App>, tenant: Tenant, Id(id): Id<SshKeyId>) -> Result<Json<SshKeyResponse>> {
    let row = ssh_keys::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(SshKeyResponse { ssh_key: row.into() }))
}

/// Changes name or labels of an SSH key.
#[utoipa::path(put, path = "/ssh_keys/{id}", tag = "SSH keys", security(("token" = [])),
    params(("id" = i64, Path)), request_body = UpdateSshKey,
    responses((status = 200, body = SshKeyResponse), Problems))]
async fn update(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<SshKeyId>,
    Body(change): Body<UpdateSshKey>,
) -> Result<Json<SshKeyResponse>> {
    let name = change.name.map(|name| Title::parse("name", &name)).transpose()?;
    let labels = change.labels.map(Labels::parse).transpose()?;
    let row = ssh_keys::update(&app.db, tenant.project_id, id, name.as_ref(), labels.as_ref()).await?;
    app.wake.changed(Changed::Project(tenant.project_id.0));
    Ok(Json(SshKeyResponse { ssh_key: row.into() }))
}

/// Removes an SSH key. Servers that have it keep it.
#[utoipa::path(delete, path = "/ssh_keys/{id}", tag = "SSH keys", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 204, description = "Removed"), Problems))]
async fn delete(State(app): State<App>, tenant: Tenant, Id(id): Id<SshKeyId>) -> Result<StatusCode> {
    ssh_keys::delete(&app.db, tenant.project_id, id).await?;
    app.wake.changed(Changed::Project(tenant.project_id.0));
    Ok(StatusCode::NO_CONTENT)
}
