//! Tickets: the right to open one console, or one program's stream, once and within a minute.
//!
//! A ticket is asked for by a token or a session and dies with it. It is used up by a `delete`, so of two that come with
//! the same one only one gets in. Whoever is in is looked at again ([`may_stay`]) for as long as the console is open.

use berth_proto::Stream;
use sqlx::PgPool;
use sqlx::types::Json;

use super::actions::{self, Action, NewAction};
use super::vps;
use crate::app::App;
use crate::auth::secret::{self, Secret};
use crate::domain::console::{may_open, may_reach};
use crate::error::Result;
use crate::ids::{HostId, ProjectId, TokenId, VpsId};
use crate::wake::Changed;

/// How long a ticket is good, in seconds.
pub const LIFETIME_SECONDS: i32 = 60;

/// On whose authority a console is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A token of the project.
    Token(TokenId),
    /// The hash of a session's secret; its user is a member of the project, or operates the VPS by a grant.
    Session([u8; 32]),
}

impl Asker {
    fn columns(&self) -> (Option<i64>, Option<&[u8]>) {
        match self {
            Self::Token(id) => (Some(id.0), None),
            Self::Session(hash) => (None, Some(hash)),
        }
    }
}

/// What a ticket was for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The VPS.
    pub vps: VpsId,
    /// Where it is.
    pub host: HostId,
    /// Whose it is.
    pub project: ProjectId,
    /// Who asked.
    pub asker: Asker,
    /// What is opened.
    pub what: Stream,
}

/// Which tickets a door takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Those of consoles.
    Console,
    /// Those of programs.
    Exec,
}

/// Makes a ticket for the console of a running VPS.
///
/// # Errors
/// When there is no such VPS, or it has no console now.
pub async fn issue(app: &App, project: ProjectId, id: VpsId, asker: Asker) -> Result<(Action, Secret)> {
    let found = vps::get(&app.db, project, id).await?;
    may_open(found.status())?;
    let mut tx = app.db.begin().await?;
    let secret = insert(&mut tx, project, id, asker, None).await?;
    let new = NewAction {
        command: "request_console",
        vps: id,
        generation: found.generation,
        boot_epoch: 0,
        password_epoch: 0,
    };
    let action = actions::insert_done(&mut tx, project, new).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok((action, secret))
}

/// Makes a ticket for a stream of a program of a running VPS.
///
/// # Errors
/// When there is no such VPS, or it does not run.
pub async fn issue_exec(
    app: &App,
    project: ProjectId,
    id: VpsId,
    asker: Asker,
    what: &Stream,
) -> Result<Secret> {
    let found = vps::get(&app.db, project, id).await?;
    may_reach(found.status())?;
    let mut tx = app.db.begin().await?;
    let secret = insert(&mut tx, project, id, asker, Some(what)).await?;
    tx.commit().await?;
    Ok(secret)
}

async fn insert(
    tx: &mut sqlx::PgTransaction<'_>,
    project: ProjectId,
    id: VpsId,
    asker: Asker,
    what: Option<&Stream>,
) -> Result<Secret> {
    let secret = Secret::token();
    let (token, session) = asker.columns();
    sqlx::query!("delete from console_tickets where vps_id = $1 and expires_at < now()", id.0)
        .execute(&mut **tx)
        .await?;
    let ticket = sqlx::query!(
        "insert into console_tickets (token_hash, vps_id, project_id, token_id, session_hash, what, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
        &secret.hash(),
        id.0,
        project.0,
        token,
        session,
        what.map(Json) as _,
        f64::from(LIFETIME_SECONDS)
    );
    ticket.execute(&mut **tx).await?;
    Ok(secret)
}

/// Uses a ticket up. None when there is none for this door, its time is over, or its VPS is gone.
///
/// # Errors
/// When the database fails.
pub async fn redeem(db: &PgPool, ticket: &str, door: Door) -> Result<Option<Grant>> {
    let used = sqlx::query!(
        r#"with used as (delete from console_tickets where token_hash = $1 and (what is null) = $2
                         returning vps_id, project_id, token_id, session_hash, what, expires_at)
           select v.id, v.host_id, u.project_id as "project!", u.token_id, u.session_hash,
                  u.what as "what: Json<Stream>"
           from used u join vps v on v.id = u.vps_id and v.project_id = u.project_id
           where u.expires_at > now() and v.deleting_at is null and v.deleted_at is null"#,
        &secret::hash(ticket),
        door == Door::Console
    );
    let Some(row) = used.fetch_optional(db).await? else { return Ok(None) };
    let asker = match (row.token_id, row.session_hash.map(<[u8; 32]>::try_from)) {
        (Some(id), _) => Asker::Token(TokenId(id)),
        (None, Some(Ok(hash))) => Asker::Session(hash),
        (None, _) => return Ok(None), // a check of the table allows none of these
    };
    let project = ProjectId(row.project);
    let what = row.what.map_or(Stream::Console { vps: VpsId(row.id) }, |what| what.0);
    Ok(Some(Grant { vps: VpsId(row.id), host: HostId(row.host_id), project, asker, what }))
}

/// Whether who was let in may still be there: the VPS, and the token, the membership or the grant.
///
/// # Errors
/// When the database fails.
pub async fn may_stay(db: &PgPool, grant: &Grant) -> Result<bool> {
    let (token, session) = grant.asker.columns();
    let may = sqlx::query_scalar!(
        r#"select exists (select from vps where id = $1 and project_id = $2 and host_id = $3
                                            and deleting_at is null and deleted_at is null)
                  and (exists (select from tokens where id = $4 and project_id = $2
                                             and (expires_at is null or expires_at > now()))
                       or exists (select from sessions s join users u on u.id = s.user_id
                                  left join users t on t.id = s.acting_for and s.acting_until > now() and u.operator and not t.operator
                                  join memberships m on m.user_id = coalesce(t.id, u.id)
                                  where s.token_hash = $5 and s.expires_at > now() and m.project_id = $2)
                       or exists (select from sessions s join users u on u.id = s.user_id
                                  left join users t on t.id = s.acting_for and s.acting_until > now() and u.operator and not t.operator
                                  join grants g on g.user_id = coalesce(t.id, u.id)
                                  where s.token_hash = $5 and s.expires_at > now() and g.vps_id = $1 and g.level <> 'view'))
                  as "may!""#,
        grant.vps.0,
        grant.project.0,
        grant.host.0,
        token,
        session
    );
    Ok(may.fetch_one(db).await?)
}

/// Removes tickets whose time is over.
///
/// # Errors
/// When the database fails.
pub async fn forget(db: &PgPool) -> sqlx::Result<u64> {
    let gone = sqlx::query!("delete from console_tickets where expires_at < now()").execute(db).await?;
    Ok(gone.rows_affected())
}
