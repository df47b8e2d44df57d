//! SSH keys of a project.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgPool, QueryBuilder};

use super::page::{Listed, Page, Sort};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::selector::Selector;
use crate::domain::ssh::PublicKey;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, SshKeyId};

/// An SSH key.
#[derive(Clone, Debug)]
pub struct SshKey {
    /// Which key.
    pub id: SshKeyId,
    /// What it is called.
    pub name: String,
    /// One line, as in `authorized_keys`.
    pub public_key: String,
    /// MD5 with colons.
    pub fingerprint: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Which keys to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only the one with this fingerprint.
    pub fingerprint: Option<String>,
    /// Only those with these labels.
    pub selector: Selector,
    /// In this order (`id`, `name`).
    pub sort: Vec<Sort>,
}

/// The keys of a project, by id.
pub async fn all(db: &PgPool, project: ProjectId) -> Result<Vec<SshKey>> {
    let all = sqlx::query_as!(
        SshKey,
        r#"select id, name, public_key, fingerprint, labels as "labels: Json<Labels>", created_at
           from ssh_keys where project_id = $1 order by id"#,
        project.0
    );
    Ok(all.fetch_all(db).await?)
}

/// Some keys of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<SshKey>> {
    let mut query = QueryBuilder::new("select id from ssh_keys where project_id = ");
    query.push_bind(project.0);
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_bind(name.clone());
    }
    if let Some(fingerprint) = &filter.fingerprint {
        query.push(" and fingerprint = ").push_bind(fingerprint.clone());
    }
    super::selector::push(&mut query, "labels", &filter.selector);
    Sort::push(&filter.sort, &mut query);
    let ids = query.build_query_scalar::<i64>().fetch_all(db).await?;
    let Listed { items: ids, total } = page.cut(ids);
    let rows = sqlx::query_as!(
        SshKey,
        r#"select k.id, name, public_key, fingerprint, labels as "labels: Json<Labels>", created_at
           from unnest($2::bigint[]) with ordinality as wanted(id, n) join ssh_keys k on k.id = wanted.id
           where project_id = $1 order by wanted.n"#,
        project.0,
        &ids
    );
    Ok(Listed { items: rows.fetch_all(db).await?, total })
}

/// One key.
pub async fn get(db: &PgPool, project: ProjectId, id: SshKeyId) -> Result<SshKey> {
    let found = sqlx::query_as!(
        SshKey,
        r#"select id, name, public_key, fingerprint, labels as "labels: Json<Labels>", created_at
           from ssh_keys where project_id = $1 and id = $2"#,
        project.0,
        id.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("SSH key"))
}

/// Adds a key.
pub async fn create(
    db: &PgPool,
    project: ProjectId,
    name: &Title,
    key: &PublicKey,
    labels: &Labels,
) -> Result<SshKey> {
    let made = sqlx::query_as!(
        SshKey,
        r#"insert into ssh_keys (project_id, name, public_key, fingerprint, labels) values ($1, $2, $3, $4, $5)
           returning id, name, public_key, fingerprint, labels as "labels: Json<Labels>", created_at"#,
        project.0,
        name.as_str(),
        key.as_str(),
        key.fingerprint(),
        Json(labels) as _
    );
    made.fetch_one(db).await.map_err(unique)
}

/// Changes what is given.
pub async fn update(
    db: &PgPool,
    project: ProjectId,
    id: SshKeyId,
    name: Option<&Title>,
    labels: Option<&Labels>,
) -> Result<SshKey> {
    let changed = sqlx::query_as!(
        SshKey,
        r#"update ssh_keys set name = coalesce($3, name), labels = coalesce($4, labels)
           where project_id = $1 and id = $2
           returning id, name, public_key, fingerprint, labels as "labels: Json<Labels>", created_at"#,
        project.0,
        id.0,
        name.map(Title::as_str),
        labels.map(Json) as _
    );
    changed.fetch_optional(db).await.map_err(unique)?.ok_or(Error::NotFound("SSH key"))
}

/// Removes a key. VPSes that were made with it keep it.
pub async fn delete(db: &PgPool, project: ProjectId, id: SshKeyId) -> Result<()> {
    let gone = sqlx::query!("delete from ssh_keys where project_id = $1 and id = $2", project.0, id.0);
    match gone.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("SSH key")),
        _ => Ok(()),
    }
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("ssh_keys_name_key") => Error::Uniqueness("SSH key with the same name already exists".into()),
        Some("ssh_keys_fingerprint_key") => {
            Error::Uniqueness("SSH key with the same fingerprint already exists".into())
        }
        _ => e.into(),
    }
}
