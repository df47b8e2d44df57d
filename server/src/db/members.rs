//! Who may work in a project, as what, and who is asked to come.
//!
//! A project that has members has an owner among them: the last one can neither leave nor become less. Whoever changes who
//! is in a project holds its row, so that two owners cannot leave at the same time.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::users::User;
use super::{grants, mails};
use crate::app::App;
use crate::auth::secret::{self, Secret};
use crate::domain::grants::Level;
use crate::domain::names::Email;
use crate::domain::roles::Role;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{ProjectId, UserId, VpsId};

/// How long an invitation is good.
pub const INVITATION_DAYS: i32 = 7;

/// Somebody in a project.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Somebody who was asked.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Which one.
    pub id: i64,
    /// The project.
    pub project: ProjectId,
    /// The project's name.
    pub project_name: String,
    /// Who was asked.
    pub email: String,
    /// What to.
    pub offer: Offer,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// What an invitation is to.
#[derive(Clone, Debug)]
pub enum Offer {
    /// The project, as this.
    Role(Role),
    /// One server of it.
    Server {
        /// Which one.
        vps: VpsId,
        /// Its name.
        name: String,
        /// What they may there.
        level: Level,
    },
}

impl Offer {
    /// What they would be, or might do, in words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Role(role) => role.words().to_owned(),
            Self::Server { level, .. } => level.words().to_owned(),
        }
    }

    /// What they would come to: the project or the server.
    #[must_use]
    pub fn place<'a>(&'a self, project: &'a str) -> &'a str {
        match self {
            Self::Role(_) => project,
            Self::Server { name, .. } => name,
        }
    }
}

/// The members of a project, those who may most first.
pub async fn list(db: &PgPool, project: ProjectId) -> Result<Vec<Member>> {
    let rows = sqlx::query_as!(
        MemberRow,
        "select u.id, u.email, u.name, m.role, m.created_at from memberships m join users u on u.id = m.user_id
         where m.project_id = $1 order by array_position('{owner,admin,member,read_only}', m.role), lower(u.email)",
        project.0
    );
    let member = |r: MemberRow| {
        Ok(Member {
            user: r.id.into(),
            email: r.email,
            name: r.name,
            role: Role::parse(&r.role)?,
            since: r.created_at,
        })
    };
    rows.fetch_all(db).await?.into_iter().map(member).collect()
}

/// The invitations to a project that are still good, newest first.
pub async fn invitations(db: &PgPool, project: ProjectId) -> Result<Vec<Invitation>> {
    let rows = sqlx::query_as!(
        InvitationRow,
        r#"select i.id, i.project_id, p.name as project_name, i.email, i.role, i.vps_id, null::text as vps_name, i.level,
                  i.expires_at
           from invitations i join projects p on p.id = i.project_id
           where i.project_id = $1 and i.vps_id is null and i.expires_at > now() order by i.id desc"#,
        project.0
    );
    rows.fetch_all(db).await?.into_iter().map(InvitationRow::read).collect()
}

/// Asks somebody to come, by mail where mail leaves; gives the link. Who was asked already is asked anew, and the old link is worth nothing.
pub async fn invite(
    app: &App,
    by: (UserId, Role),
    project: ProjectId,
    email: &Email,
    role: Role,
) -> Result<String> {
    let mut tx = app.db.begin().await?;
    if !by.1.may_give(role) {
        return Err(too_much(role));
    }
    let there = sqlx::query_scalar!(
        r#"select exists (select 1 from memberships m join users u on u.id = m.user_id
                          where m.project_id = $1 and lower(u.email) = lower($2)) as "there!""#,
        project.0,
        email.as_str()
    );
    if there.fetch_one(&mut *tx).await? {
        return Err(Error::Uniqueness("this person is a member already".into()));
    }
    let secret = Secret::session();
    let add = sqlx::query!(
        "insert into invitations (project_id, email, role, token_hash, invited_by, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(days => $6))
         on conflict (project_id, lower(email)) where vps_id is null do update
         set role = $3, token_hash = $4, invited_by = $5, created_at = now(), expires_at = now() + make_interval(days => $6)",
        project.0,
        email.as_str(),
        role.name(),
        &secret.hash(),
        by.0.0,
        INVITATION_DAYS
    );
    add.execute(&mut *tx).await?;
    let link = format!("{}/invitation?token={}", app.config.base(), secret.expose());
    if app.mailer.is_some() {
        let name = sqlx::query_scalar!("select name from projects where id = $1", project.0);
        let name = name.fetch_one(&mut *tx).await?;
        let body = format!(
            "You were asked to work in the project {name} as {}. Open this link to join:\n\n  {link}\n\n\
             It is good once, for {INVITATION_DAYS} days.\n",
            role.words()
        );
        mails::add(&mut tx, email.as_str(), &format!("Join {name}"), &body).await?;
    }
    tx.commit().await?;
    Ok(link)
}

/// Takes an invitation back.
pub async fn uninvite(db: &PgPool, project: ProjectId, id: i64) -> Result<()> {
    let gone = sqlx::query!("delete from invitations where id = $1 and project_id = $2", id, project.0);
    match gone.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("invitation")),
        _ => Ok(()),
    }
}

/// The invitation of a link, if it is still good.
pub async fn invitation(db: &PgPool, shown: &str) -> Result<Option<Invitation>> {
    let row = sqlx::query_as!(
        InvitationRow,
        r#"select i.id, i.project_id, p.name as project_name, i.email, i.role, i.vps_id, v.name as "vps_name?", i.level,
                  i.expires_at
           from invitations i join projects p on p.id = i.project_id left join vps v on v.id = i.vps_id
           where i.token_hash = $1 and i.expires_at > now()"#,
        &secret::hash(shown)
    );
    row.fetch_optional(db).await?.map(InvitationRow::read).transpose()
}

/// Takes an invitation up, once. It is for one address: who signed in with another is told so.
pub async fn accept(db: &PgPool, user: &User, shown: &str) -> Result<ProjectId> {
    let mut tx = db.begin().await?;
    let taken = take(&mut tx, shown).await?;
    if !taken.email.eq_ignore_ascii_case(&user.email) {
        let email = taken.email;
        return Err(Error::Forbidden(format!("this invitation is for {email}; sign in with that address")));
    }
    enter(&mut tx, &taken, user.id).await?;
    tx.commit().await?;
    Ok(taken.project)
}

/// An invitation that was used up.
pub(crate) struct Taken {
    /// The project.
    pub(crate) project: ProjectId,
    /// For whom it was.
    pub(crate) email: String,
    offer: Offer,
}

/// Uses up an invitation.
pub(crate) async fn take(tx: &mut PgConnection, shown: &str) -> Result<Taken> {
    let row = sqlx::query!(
        "delete from invitations where token_hash = $1 and expires_at > now() returning project_id, email, role, vps_id, level",
        &secret::hash(shown)
    );
    let row = row.fetch_optional(tx).await?.ok_or(Error::NotFound("invitation"))?;
    let offer = offer(row.role.as_deref(), row.vps_id, None, row.level.as_deref())?;
    Ok(Taken { project: ProjectId(row.project_id), email: row.email, offer })
}

/// Lets somebody in where an invitation was to.
pub(crate) async fn enter(tx: &mut PgConnection, taken: &Taken, user: UserId) -> Result<()> {
    match taken.offer {
        Offer::Role(role) => join(tx, taken.project, user, role).await,
        Offer::Server { vps, level, .. } => grants::insert(tx, taken.project, vps, user, level).await,
    }
}

fn offer(role: Option<&str>, vps: Option<i64>, name: Option<String>, level: Option<&str>) -> Result<Offer> {
    Ok(match (vps, level) {
        (Some(vps), Some(level)) => {
            let name = name.unwrap_or_default();
            Offer::Server { vps: vps.into(), name, level: Level::parse(level)? }
        }
        _ => Offer::Role(Role::parse(role.unwrap_or_default())?), // a check of the table allows nothing else
    })
}

/// Lets somebody in, or makes them what `role` says if they are in already and less.
pub(crate) async fn join(tx: &mut PgConnection, project: ProjectId, user: UserId, role: Role) -> Result<()> {
    let add = sqlx::query!(
        "insert into memberships (project_id, user_id, role) values ($1, $2, $3)
         on conflict (project_id, user_id) do nothing",
        project.0,
        user.0,
        role.name()
    );
    match add.execute(tx).await {
        Ok(_) => Ok(()),
        Err(e) if broken_constraint(&e).is_some_and(|c| c.ends_with("project_id_fkey")) => {
            Err(Error::NotFound("project"))
        }
        Err(e) if broken_constraint(&e).is_some_and(|c| c.ends_with("user_id_fkey")) => {
            Err(Error::NotFound("user"))
        }
        Err(e) => Err(e.into()),
    }
}

/// Makes a member something else. `by` is what whoever does it is; operators are owners everywhere.
pub async fn set_role(db: &PgPool, by: Role, project: ProjectId, user: UserId, role: Role) -> Result<()> {
    let mut tx = db.begin().await?;
    let was = hold(&mut tx, project, user).await?;
    if !by.may_give(was) || !by.may_give(role) {
        return Err(too_much(was.max(role)));
    }
    sqlx::query!(
        "update memberships set role = $3 where project_id = $1 and user_id = $2",
        project.0,
        user.0,
        role.name()
    )
    .execute(&mut *tx)
    .await?;
    has_owner(&mut tx, project).await?;
    Ok(tx.commit().await?)
}

/// Lets somebody in, or makes them something else; for operators. Nothing is changed where no owner would be left.
pub async fn put(db: &PgPool, project: ProjectId, user: UserId, role: Role) -> Result<()> {
    let mut tx = db.begin().await?;
    join(&mut tx, project, user, role).await?;
    hold(&mut tx, project, user).await?;
    sqlx::query!(
        "update memberships set role = $3 where project_id = $1 and user_id = $2",
        project.0,
        user.0,
        role.name()
    )
    .execute(&mut *tx)
    .await?;
    has_owner(&mut tx, project).await?;
    Ok(tx.commit().await?)
}

/// Takes somebody out, of what they were given on single servers too. Everybody may go themselves.
pub async fn remove(db: &PgPool, by: (UserId, Role), project: ProjectId, user: UserId) -> Result<()> {
    let mut tx = db.begin().await?;
    let was = hold(&mut tx, project, user).await?;
    if by.0 != user && !by.1.may_give(was) {
        return Err(too_much(was));
    }
    sqlx::query!("delete from memberships where project_id = $1 and user_id = $2", project.0, user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from grants where project_id = $1 and user_id = $2", project.0, user.0)
        .execute(&mut *tx)
        .await?;
    has_owner(&mut tx, project).await?;
    Ok(tx.commit().await?)
}

/// Holds the project, and gives what somebody is there.
async fn hold(tx: &mut PgConnection, project: ProjectId, user: UserId) -> Result<Role> {
    sqlx::query!("select id from projects where id = $1 for update", project.0)
        .fetch_optional(&mut *tx)
        .await?;
    let role = sqlx::query_scalar!(
        "select role from memberships where project_id = $1 and user_id = $2",
        project.0,
        user.0
    );
    Role::parse(&role.fetch_optional(tx).await?.ok_or(Error::NotFound("member"))?)
}

async fn has_owner(tx: &mut PgConnection, project: ProjectId) -> Result<()> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from memberships where project_id = $1 and role = 'owner') as "any!""#,
        project.0
    );
    match any.fetch_one(tx).await? {
        true => Ok(()),
        false => Err(Error::Conflict("a project needs an owner: make somebody else one first".into())),
    }
}

fn too_much(role: Role) -> Error {
    Error::Forbidden(format!("only an owner can do this to one who is {}", role.words()))
}

struct MemberRow {
    id: i64,
    email: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
}

pub(super) struct InvitationRow {
    pub(super) id: i64,
    pub(super) project_id: i64,
    pub(super) project_name: String,
    pub(super) email: String,
    pub(super) role: Option<String>,
    pub(super) vps_id: Option<i64>,
    pub(super) vps_name: Option<String>,
    pub(super) level: Option<String>,
    pub(super) expires_at: DateTime<Utc>,
}

impl InvitationRow {
    pub(super) fn read(self) -> Result<Invitation> {
        let Self { id, project_id, project_name, email, role, vps_id, vps_name, level, expires_at } = self;
        let offer = offer(role.as_deref(), vps_id, vps_name, level.as_deref())?;
        Ok(Invitation { id, project: ProjectId(project_id), project_name, email, offer, expires_at })
    }
}
