//! Webhooks of a project: where its news are posted to, how far each has come, and the log of deliveries.
//!
//! A webhook is a cursor into the feed: what is behind it is yet to be delivered, in order, at least once. Whoever
//! delivers takes it for [`LEASE_S`]; when they die meanwhile, another goes on from the cursor.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use super::feed;
use crate::domain::names::Title;
use crate::domain::webhook::{Kind, Target, new_secret};
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, WebhookId};

/// Most webhooks of a project.
pub const MOST: i64 = 20;
/// For so long nobody else delivers, in seconds. Longer than the turn of one webhook can take.
const LEASE_S: i32 = 30;
/// A receiver that fails for so long, in hours, is not called any more.
const GIVE_UP_H: i32 = 72;
/// Deliveries that are kept of each.
const KEEP: i64 = 200;

/// A webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Which one.
    pub id: WebhookId,
    /// Whose.
    pub project_id: ProjectId,
    /// What it is called.
    pub name: String,
    /// Where it leads.
    pub url: String,
    /// What signs.
    pub secret: String,
    /// What it hears; nothing: everything.
    pub kinds: Vec<String>,
    /// Whether it is called.
    pub enabled: bool,
    /// How far it has come in the feed.
    pub cursor: i64,
    /// How often what comes next was tried in vain.
    pub tries: i32,
    /// Since when it fails.
    pub failing_since: Option<DateTime<Utc>>,
    /// Since when it exists.
    pub created_at: DateTime<Utc>,
}

/// A try to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Which one.
    pub id: i64,
    /// The number of what was delivered; 0 for a test.
    pub seq: i64,
    /// What happened.
    pub kind: String,
    /// When it was tried.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: i32,
    /// The answer's status.
    pub status: Option<i32>,
    /// Why it does not count.
    pub error: Option<String>,
}

/// What came of a try.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) took_ms: i32,
    pub(crate) status: Option<i32>,
    pub(crate) error: Option<String>,
}

/// What may be changed; none: as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Another name.
    pub name: Option<Title>,
    /// Another receiver.
    pub target: Option<Target>,
    /// Other news.
    pub kinds: Option<Vec<Kind>>,
    /// Whether it is called. Called again, it goes on where it stopped, as far as that is kept.
    pub enabled: Option<bool>,
}

/// Webhooks of a project.
pub async fn list(db: &PgPool, project: ProjectId) -> Result<Vec<Webhook>> {
    let all = sqlx::query_as!(
        Webhook,
        "select id, project_id, name, url, secret, kinds, enabled, cursor, tries, failing_since, created_at
         from webhooks where project_id = $1 order by id",
        project.0
    );
    Ok(all.fetch_all(db).await?)
}

/// One of them.
pub async fn get(db: &PgPool, project: ProjectId, id: WebhookId) -> Result<Webhook> {
    let found = sqlx::query_as!(
        Webhook,
        "select id, project_id, name, url, secret, kinds, enabled, cursor, tries, failing_since, created_at
         from webhooks where project_id = $1 and id = $2",
        project.0,
        id.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("webhook"))
}

/// Makes one. It hears what happens from now on.
pub async fn create(
    db: &PgPool,
    project: ProjectId,
    name: &Title,
    target: &Target,
    kinds: &[Kind],
) -> Result<Webhook> {
    feed::number(db).await?;
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let mut tx = db.begin().await?;
    // Serialises with others that are made at the same time.
    sqlx::query!("select id from projects where id = $1 for no key update", project.0)
        .fetch_one(&mut *tx)
        .await?;
    let count =
        sqlx::query_scalar!(r#"select count(*) as "n!" from webhooks where project_id = $1"#, project.0);
    if count.fetch_one(&mut *tx).await? >= MOST {
        return Err(Error::LimitExceeded(format!("a project has at most {MOST} webhooks")));
    }
    let made = sqlx::query_scalar!(
        "insert into webhooks (project_id, name, url, secret, kinds, cursor)
         select $1, $2, $3, $4, $5, last from feed_head returning id",
        project.0,
        name.as_str(),
        target.url().as_str(),
        new_secret(),
        &kinds
    );
    let id = made.fetch_one(&mut *tx).await.map_err(unique)?;
    tx.commit().await?;
    get(db, project, WebhookId(id)).await
}

/// Changes one.
pub async fn update(db: &PgPool, project: ProjectId, id: WebhookId, change: &Change) -> Result<Webhook> {
    let kinds: Option<Vec<String>> =
        change.kinds.as_ref().map(|kinds| kinds.iter().map(ToString::to_string).collect());
    let changed = sqlx::query!(
        "update webhooks set name = coalesce($3, name), url = coalesce($4, url), kinds = coalesce($5, kinds),
                enabled = coalesce($6, enabled),
                tries = case when $4::text is not null or $6 then 0 else tries end,
                next_at = case when $4::text is not null or $6 then now() else next_at end,
                failing_since = case when $4::text is not null or $6 then null else failing_since end
         where project_id = $1 and id = $2",
        project.0,
        id.0,
        change.name.as_ref().map(Title::as_str),
        change.target.as_ref().map(|t| t.url().as_str()),
        kinds.as_deref(),
        change.enabled
    );
    if changed.execute(db).await.map_err(unique)?.rows_affected() == 0 {
        return Err(Error::NotFound("webhook"));
    }
    get(db, project, id).await
}

/// Removes one, with its log.
pub async fn delete(db: &PgPool, project: ProjectId, id: WebhookId) -> Result<()> {
    let gone = sqlx::query!("delete from webhooks where project_id = $1 and id = $2", project.0, id.0);
    match gone.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("webhook")),
        _ => Ok(()),
    }
}

/// The newest deliveries of one.
pub async fn deliveries(db: &PgPool, project: ProjectId, id: WebhookId) -> Result<Vec<Delivery>> {
    get(db, project, id).await?;
    let newest = sqlx::query_as!(
        Delivery,
        "select id, seq, kind, at, took_ms, status, error from webhook_deliveries
         where webhook_id = $1 order by id desc limit $2",
        id.0,
        KEEP
    );
    Ok(newest.fetch_all(db).await?)
}

/// Notes a try.
pub(crate) async fn log(
    db: &PgPool,
    id: WebhookId,
    seq: i64,
    kind: &str,
    outcome: &Outcome,
) -> sqlx::Result<Option<Delivery>> {
    let noted = sqlx::query_as!(
        Delivery,
        "with old as (delete from webhook_deliveries where webhook_id = $1 and id <= coalesce(
                          (select id from webhook_deliveries where webhook_id = $1 order by id desc offset $7 limit 1), 0))
         insert into webhook_deliveries (webhook_id, seq, kind, took_ms, status, error)
         select id, $2, $3, $4, $5, $6 from webhooks where id = $1
         returning id, seq, kind, at, took_ms, status, error",
        id.0,
        seq,
        kind,
        outcome.took_ms,
        outcome.status,
        outcome.error,
        KEEP - 1
    );
    noted.fetch_optional(db).await // none: it was removed meanwhile
}

/// Takes webhooks that have something to deliver, for a while.
pub(crate) async fn take(db: &PgPool, most: i64) -> sqlx::Result<Vec<Webhook>> {
    let due = sqlx::query_as!(
        Webhook,
        "update webhooks set next_at = now() + make_interval(secs => $2)
         where id in (select w.id from webhooks w
                      where enabled and next_at <= now() and exists (
                          select from feed f where f.project_id = w.project_id and f.seq > w.cursor
                            and (w.kinds = '{}' or f.kind = any(w.kinds) or split_part(f.kind, '.', 1) = any(w.kinds)))
                      order by next_at limit $1 for update of w skip locked)
         returning id, project_id, name, url, secret, kinds, enabled, cursor, tries, failing_since, created_at",
        most,
        f64::from(LEASE_S)
    );
    due.fetch_all(db).await
}

/// One thing was delivered. False when the webhook is not what was taken any more.
pub(crate) async fn delivered(db: &PgPool, hook: &Webhook, seq: i64) -> sqlx::Result<bool> {
    let moved = sqlx::query!(
        "update webhooks set cursor = $2, tries = 0, failing_since = null
         where id = $1 and enabled and url = $3 and cursor < $2",
        hook.id.0,
        seq,
        hook.url
    );
    Ok(moved.execute(db).await?.rows_affected() == 1)
}

/// Others may deliver again, at once.
pub(crate) async fn release(db: &PgPool, hook: &Webhook) -> sqlx::Result<()> {
    sqlx::query!("update webhooks set next_at = now() where id = $1", hook.id.0).execute(db).await?;
    Ok(())
}

/// A try was in vain: the next one is later, up to an hour, and after days, or when `gone`, there is none.
pub(crate) async fn failed(db: &PgPool, hook: &Webhook, gone: bool) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhooks set tries = tries + 1, failing_since = coalesce(failing_since, now()),
                next_at = now() + least(interval '1 hour', interval '5 seconds' * power(2, least(tries, 12))),
                enabled = not $2 and coalesce(failing_since, now()) > now() - make_interval(hours => $4)
         where id = $1 and enabled and url = $3",
        hook.id.0,
        gone,
        hook.url,
        GIVE_UP_H
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Moves those that want none of what there is up to the newest, so that nobody looks at it again and again.
pub(crate) async fn pass_over(db: &PgPool) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhooks w set cursor = h.last from feed_head h
         where enabled and cursor < h.last - 1000 and not exists (
             select from feed f where f.project_id = w.project_id and f.seq > w.cursor and f.seq <= h.last
               and (w.kinds = '{}' or f.kind = any(w.kinds) or split_part(f.kind, '.', 1) = any(w.kinds)))"
    )
    .execute(db)
    .await?;
    Ok(())
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("webhooks_name_key") => Error::Uniqueness("webhook with the same name already exists".into()),
        _ => e.into(),
    }
}
