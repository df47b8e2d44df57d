//! The trail: read, added to, sealed and verified. What is written to it by itself, and by whom, is in the migration and
//! in [`crate::audit`].
//!
//! A row is sealed by SHA-256 of the seal before it, in hexadecimal, and of the row as one line of JSON with sorted keys
//! ([`Entry::line`]), so that an export can be checked without Berth. The chain is in the order in which rows were seen,
//! since a transaction may commit after one that began later. What nobody can see from inside is that the newest rows are
//! missing together with their seals: whoever wants to know that keeps the head ([`Verdict::head`]) elsewhere.

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::{Stream, TryStreamExt as _, stream};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use super::page::{Listed, Page};
use crate::error::Result;
use crate::ids::ProjectId;

/// Rows that are sealed in one transaction.
const BATCH: i64 = 500;

/// What happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Rises with time, nearly.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// The project that it is about.
    pub project_id: Option<i64>,
    /// `user`, `token`, `operator_token`, `command`, `nobody` (not signed in) or `system`.
    pub actor_kind: String,
    /// The user's or token's id.
    pub actor_id: Option<i64>,
    /// The user's address, the token's name, who typed the command.
    pub actor: String,
    /// The address that the request came from.
    pub source: Option<String>,
    /// Method and path, or the command.
    pub request: String,
    /// As in the answer's header.
    pub correlation_id: String,
    /// What happened to what, as `server.changed`.
    pub event: String,
    /// Which one.
    pub target_id: Option<i64>,
    /// Its name at that time.
    pub target: String,
    /// What differed, before.
    pub before: Option<Value>,
    /// What differs, after.
    pub after: Option<Value>,
    /// Place in the chain; none for the second until it is sealed.
    pub seq: Option<i64>,
    /// The seal.
    pub seal: Option<Vec<u8>>,
}

impl Entry {
    /// What the seal covers: one line of JSON with sorted keys and without spaces.
    #[must_use]
    pub fn line(&self) -> String {
        let all = json!({
            "id": self.id, "at": self.at.to_rfc3339_opts(SecondsFormat::Micros, true), "project_id": self.project_id,
            "actor_kind": self.actor_kind, "actor_id": self.actor_id, "actor": self.actor, "source": self.source,
            "request": self.request, "correlation_id": self.correlation_id, "event": self.event,
            "target_id": self.target_id, "target": self.target, "before": self.before, "after": self.after,
        });
        sorted(all).to_string()
    }

    fn seal_after(&self, previous: &[u8]) -> Vec<u8> {
        Sha256::new().chain_update(hex::encode(previous)).chain_update(self.line()).finalize().to_vec()
    }
}

/// Keys in order, whatever the map's own order is.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(pairs))
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// What somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only what is about this project; none: everything, for operators.
    pub project: Option<ProjectId>,
    /// Only events of this name, or of this kind of thing (`server`).
    pub event: Option<String>,
    /// Only of who is called this, or was looked at in their stead.
    pub actor: Option<String>,
    /// Only what is about the thing with this id.
    pub target_id: Option<i64>,
    /// Only of one request.
    pub correlation_id: Option<String>,
}

/// A page of the trail, newest first.
pub async fn list(db: &PgPool, filter: &Filter, page: Page) -> Result<Listed<Entry>> {
    let items = sqlx::query_as!(
        Entry,
        r#"select id, at, project_id, actor_kind, actor_id, actor, host(source) as source, request, correlation_id, event,
                  target_id, target, before, after, seq, seal
           from audit
           where ($1::bigint is null or project_id = $1) and ($2::text is null or event = $2 or event like $2 || '.%')
             and ($3::text is null or actor = $3
                  or actor_kind = 'user' and $3 = any(string_to_array(actor, ' as '))) and ($4::bigint is null or target_id = $4)
             and ($5::text is null or correlation_id = $5)
           order by id desc limit $6 offset $7"#,
        filter.project.map(|p| p.0),
        filter.event,
        filter.actor,
        filter.target_id,
        filter.correlation_id,
        page.size,
        page.offset()
    );
    let total = sqlx::query_scalar!(
        r#"select count(*) as "total!" from audit
           where ($1::bigint is null or project_id = $1) and ($2::text is null or event = $2 or event like $2 || '.%')
             and ($3::text is null or actor = $3
                  or actor_kind = 'user' and $3 = any(string_to_array(actor, ' as '))) and ($4::bigint is null or target_id = $4)
             and ($5::text is null or correlation_id = $5)"#,
        filter.project.map(|p| p.0),
        filter.event,
        filter.actor,
        filter.target_id,
        filter.correlation_id
    );
    Ok(Listed { items: items.fetch_all(db).await?, total: total.fetch_one(db).await? })
}

/// All of it as lines of JSON, oldest first: `{"entry":…,"seal":…}`, where the text of `entry` is what the seal covers.
pub fn export(
    db: &PgPool,
    project: Option<ProjectId>,
) -> impl Stream<Item = sqlx::Result<String>> + Send + use<> {
    let db = db.clone();
    stream::try_unfold(0, move |after| {
        let db = db.clone();
        async move {
            let rows = sqlx::query_as!(
                Entry,
                r#"select id, at, project_id, actor_kind, actor_id, actor, host(source) as source, request, correlation_id,
                          event, target_id, target, before, after, seq, seal
                   from audit where seq > $1 and ($2::bigint is null or project_id = $2) order by seq limit $3"#,
                after,
                project.map(|p| p.0),
                BATCH
            );
            let rows = rows.fetch_all(&db).await?;
            let last = rows.last().and_then(|row| row.seq);
            let text: String = rows.iter().map(exported).collect();
            Ok(last.map(|last| (text, last)))
        }
    })
}

fn exported(entry: &Entry) -> String {
    let seal = entry.seal.as_ref().map(hex::encode).unwrap_or_default();
    format!("{{\"entry\":{},\"seal\":\"{seal}\"}}\n", entry.line())
}

/// Adds what is no change of a row: somebody signed in, or was refused. Who asks is known from the request.
pub async fn note(
    db: &PgPool,
    project: Option<ProjectId>,
    event: &str,
    target: &str,
    target_id: Option<i64>,
    detail: Value,
) -> Result<()> {
    let add = sqlx::query!(
        "insert into audit (project_id, actor_kind, actor_id, actor, source, request, correlation_id, event, target_id, target, after)
         select $1, coalesce(c ->> 'kind', 'system'), (c ->> 'id')::bigint, coalesce(c ->> 'name', ''), (c ->> 'source')::inet,
                coalesce(c ->> 'request', ''), coalesce(c ->> 'correlation_id', ''), $2, $3, $4, $5
         from (select nullif(current_setting('berth.actor', true), '')::jsonb) s(c)",
        project.map(|p| p.0),
        event,
        target_id,
        target.chars().filter(|c| !c.is_control()).take(200).collect::<String>(),
        detail
    );
    add.execute(db).await?;
    Ok(())
}

/// Seals what is not sealed yet; gives how many rows it sealed. One replica at a time.
pub async fn seal(db: &PgPool) -> sqlx::Result<usize> {
    let mut tx = db.begin().await?;
    let mine = sqlx::query_scalar!(r#"select pg_try_advisory_xact_lock(hashtext('berth audit')) as "mine!""#);
    if !mine.fetch_one(&mut *tx).await? {
        return Ok(0);
    }
    let last = sqlx::query!(
        r#"select seq as "seq!", seal as "seal!" from audit where seq is not null order by seq desc limit 1"#
    );
    let (mut seq, mut previous) =
        last.fetch_optional(&mut *tx).await?.map_or((0, Vec::new()), |row| (row.seq, row.seal));
    let open = sqlx::query_as!(
        Entry,
        r#"select id, at, project_id, actor_kind, actor_id, actor, host(source) as source, request, correlation_id, event,
                  target_id, target, before, after, seq, seal
           from audit where seq is null order by id limit $1"#,
        BATCH
    );
    let open = open.fetch_all(&mut *tx).await?;
    let (mut ids, mut seqs, mut seals) = (Vec::new(), Vec::new(), Vec::new());
    for entry in &open {
        previous = entry.seal_after(&previous);
        seq += 1;
        ids.push(entry.id);
        seqs.push(seq);
        seals.push(previous.clone());
    }
    let set = sqlx::query!(
        "update audit a set seq = s.seq, seal = s.seal
         from unnest($1::bigint[], $2::bigint[], $3::bytea[]) s(id, seq, seal) where a.id = s.id",
        &ids,
        &seqs,
        &seals
    );
    set.execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(open.len())
}

/// What a look at the whole chain found.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = operators::AuditVerdict)]
pub struct Verdict {
    /// Sealed rows that were looked at.
    pub rows: i64,
    /// The newest seal, hexadecimal: keep it elsewhere to find later whether the newest rows are still there.
    pub head: String,
    /// Id of the first row that does not fit; none when all do.
    pub broken_at: Option<i64>,
}

/// Looks at the whole chain.
pub async fn verify(db: &PgPool) -> Result<Verdict> {
    let mut verdict = Verdict { rows: 0, head: String::new(), broken_at: None };
    let mut previous = Vec::new();
    let mut all = sqlx::query_as!(
        Entry,
        r#"select id, at, project_id, actor_kind, actor_id, actor, host(source) as source, request, correlation_id, event,
                  target_id, target, before, after, seq, seal
           from audit where seq is not null order by seq"#
    )
    .fetch(db);
    while let Some(entry) = all.try_next().await? {
        verdict.rows += 1;
        let expected = entry.seal_after(&previous);
        if entry.seq != Some(verdict.rows) || entry.seal.as_ref() != Some(&expected) {
            verdict.broken_at = Some(entry.id);
            break;
        }
        previous = expected;
    }
    verdict.head = hex::encode(previous);
    Ok(verdict)
}
