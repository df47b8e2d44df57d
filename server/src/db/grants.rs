//! Who may do what with a single server.
//!
//! Somebody whom the project does not know is asked by an invitation, as new members are, so that nobody learns who has an
//! account. Whoever has a role or another grant in the project already gets the right at once.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::mails;
use super::members::{INVITATION_DAYS, Invitation, InvitationRow};
use super::projects::Project;
use crate::app::App;
use crate::auth::secret::Secret;
use crate::domain::grants::{Level, Standing};
use crate::domain::names::Email;
use crate::domain::roles::{Right, Role};
use crate::error::{Error, Result};
use crate::ids::{ProjectId, UserId, VpsId};

/// A right that was given.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which one.
    pub id: i64,
    /// Whose address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub level: Level,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// What somebody is to a server of a project, or, without a server, to the one that they may do most with.
pub async fn standing(db: &PgPool, project: ProjectId, user: UserId, vps: Option<VpsId>) -> Result<Standing> {
    let row = sqlx::query!(
        r#"select (select m.role from memberships m join projects p on p.id = m.project_id and p.closed_at is null
                   where m.project_id = $1 and m.user_id = $2) as role,
                  (select g.level from grants g join vps v on v.id = g.vps_id and v.deleted_at is null
                   where g.project_id = $1 and g.user_id = $2 and ($3::bigint is null or g.vps_id = $3)
                   order by array_position('{manage,operate,view}', g.level) limit 1) as level"#,
        project.0,
        user.0,
        vps.map(|vps| vps.0)
    );
    let row = row.fetch_one(db).await?;
    Ok(Standing {
        role: row.role.as_deref().map(Role::parse).transpose()?,
        level: row.level.as_deref().map(Level::parse).transpose()?,
    })
}

/// The projects in which somebody has grants and is nobody else, by name.
pub async fn projects_of(db: &PgPool, user: UserId) -> Result<Vec<Project>> {
    let all = sqlx::query_as!(
        Project,
        "select p.id, p.name, p.created_at, p.suspended_reason from projects p
         where p.closed_at is null
           and p.id in (select g.project_id from grants g join vps v on v.id = g.vps_id and v.deleted_at is null
                        where g.user_id = $1)
           and not exists (select from memberships m where m.project_id = p.id and m.user_id = $1)
         order by p.name",
        user.0
    );
    Ok(all.fetch_all(db).await?)
}

/// What was given on a server, those who may most first.
pub async fn list(db: &PgPool, project: ProjectId, vps: VpsId) -> Result<Vec<Grant>> {
    let rows = sqlx::query!(
        "select g.id, u.email, u.name, g.level, g.created_at from grants g join users u on u.id = g.user_id
         where g.project_id = $1 and g.vps_id = $2
         order by array_position('{manage,operate,view}', g.level), lower(u.email)",
        project.0,
        vps.0
    );
    let grant = rows.fetch_all(db).await?.into_iter().map(|row| {
        let level = Level::parse(&row.level)?;
        Ok(Grant { id: row.id, email: row.email, name: row.name, level, since: row.created_at })
    });
    grant.collect()
}

/// The invitations to a server that are still good, newest first.
pub async fn invitations(db: &PgPool, project: ProjectId, vps: VpsId) -> Result<Vec<Invitation>> {
    let rows = sqlx::query_as!(
        InvitationRow,
        r#"select i.id, i.project_id, p.name as project_name, i.email, i.role, i.vps_id, v.name as "vps_name?", i.level,
                  i.expires_at
           from invitations i join projects p on p.id = i.project_id left join vps v on v.id = i.vps_id
           where i.project_id = $1 and i.vps_id = $2 and i.expires_at > now() order by i.id desc"#,
        project.0,
        vps.0
    );
    rows.fetch_all(db).await?.into_iter().map(InvitationRow::read).collect()
}

/// Gives somebody a right on a server, or another one than they have. Who is nothing to the project yet is invited: then this
/// is the link.
///
/// # Errors
/// `uniqueness_error` when they may do all of it already.
pub async fn give(
    app: &App,
    project: ProjectId,
    vps: VpsId,
    email: &Email,
    level: Level,
    by: UserId,
) -> Result<Option<String>> {
    let mut tx = app.db.begin().await?;
    let name = sqlx::query_scalar!(
        "select name from vps where project_id = $1 and id = $2 and deleting_at is null and deleted_at is null",
        project.0,
        vps.0
    );
    let name = name.fetch_optional(&mut *tx).await?.ok_or(Error::NotFound("server"))?;
    let known = sqlx::query!(
        r#"select u.id, (select m.role from memberships m where m.project_id = $1 and m.user_id = u.id) as role,
                  exists (select from grants g where g.project_id = $1 and g.user_id = u.id) as "granted!"
           from users u where lower(u.email) = lower($2)"#,
        project.0,
        email.as_str()
    );
    if let Some(known) = known.fetch_optional(&mut *tx).await? {
        let role = known.role.as_deref().map(Role::parse).transpose()?;
        if role.is_some_and(|role| role.may(Right::Change)) {
            return Err(Error::Uniqueness(
                "this person may do all of it already, as a member of the project".into(),
            ));
        }
        if role.is_some() || known.granted {
            insert(&mut tx, project, vps, UserId(known.id), level).await?;
            tx.commit().await?;
            return Ok(None);
        }
    }
    let secret = Secret::session();
    let add = sqlx::query!(
        "insert into invitations (project_id, vps_id, email, level, token_hash, invited_by, expires_at)
         values ($1, $2, $3, $4, $5, $6, now() + make_interval(days => $7))
         on conflict (vps_id, lower(email)) where vps_id is not null do update
         set level = $4, token_hash = $5, invited_by = $6, created_at = now(), expires_at = now() + make_interval(days => $7)",
        project.0,
        vps.0,
        email.as_str(),
        level.name(),
        &secret.hash(),
        by.0,
        INVITATION_DAYS
    );
    add.execute(&mut *tx).await?;
    let link = format!("{}/invitation?token={}", app.config.base(), secret.expose());
    if app.mailer.is_some() {
        let body = format!(
            "You were asked to share the server {name}, to {}. Open this link to take it up:\n\n  {link}\n\n\
             It is good once, for {INVITATION_DAYS} days.\n",
            level.words()
        );
        mails::add(&mut tx, email.as_str(), &format!("Access to the server {name}"), &body).await?;
    }
    tx.commit().await?;
    Ok(Some(link))
}

/// Writes a right into somebody's transaction, instead of the one that there is.
pub(super) async fn insert(
    tx: &mut PgConnection,
    project: ProjectId,
    vps: VpsId,
    user: UserId,
    level: Level,
) -> Result<()> {
    let add = sqlx::query!(
        "insert into grants (project_id, vps_id, user_id, level)
         select v.project_id, v.id, $3, $4 from vps v where v.project_id = $1 and v.id = $2 and v.deleted_at is null
         on conflict (vps_id, user_id) do update set level = excluded.level",
        project.0,
        vps.0,
        user.0,
        level.name()
    );
    match add.execute(tx).await?.rows_affected() {
        0 => Err(Error::NotFound("server")),
        _ => Ok(()),
    }
}

/// Makes a right another one.
pub async fn set_level(db: &PgPool, project: ProjectId, vps: VpsId, id: i64, level: Level) -> Result<()> {
    let set = sqlx::query!(
        "update grants set level = $4 where project_id = $1 and vps_id = $2 and id = $3",
        project.0,
        vps.0,
        id,
        level.name()
    );
    found(set.execute(db).await?.rows_affected(), "grant")
}

/// Takes a right back.
pub async fn revoke(db: &PgPool, project: ProjectId, vps: VpsId, id: i64) -> Result<()> {
    let gone = sqlx::query!(
        "delete from grants where project_id = $1 and vps_id = $2 and id = $3",
        project.0,
        vps.0,
        id
    );
    found(gone.execute(db).await?.rows_affected(), "grant")
}

/// Takes an invitation to a server back.
pub async fn uninvite(db: &PgPool, project: ProjectId, vps: VpsId, id: i64) -> Result<()> {
    let gone = sqlx::query!(
        "delete from invitations where project_id = $1 and vps_id = $2 and id = $3",
        project.0,
        vps.0,
        id
    );
    found(gone.execute(db).await?.rows_affected(), "invitation")
}

/// Gives up what one was given.
pub async fn leave(db: &PgPool, project: ProjectId, vps: VpsId, user: UserId) -> Result<()> {
    let gone = sqlx::query!(
        "delete from grants where project_id = $1 and vps_id = $2 and user_id = $3",
        project.0,
        vps.0,
        user.0
    );
    found(gone.execute(db).await?.rows_affected(), "grant")
}

fn found(rows: u64, what: &'static str) -> Result<()> {
    if rows == 0 { Err(Error::NotFound(what)) } else { Ok(()) }
}
