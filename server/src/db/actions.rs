//! Actions: what was asked and how it went.
//!
//! An action of a VPS waits for what its host observes: `generation` of the desired state that it belongs to,
//! `boot_epoch` for a start or reboot, `password_epoch` for a password. Whoever takes in reports decides with
//! [`running`] and ends actions with [`finish`] and [`fail`]; an action that has ended never changes again.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::{PgConnection, PgPool, Postgres, QueryBuilder};

use super::page::{Listed, Page, Sort};
use super::reverse::Of;
use crate::error::{Error, Result};
use crate::ids::{ActionId, FirewallId, FloatingIpId, NetworkId, PrimaryIpId, ProjectId, VpsId};

/// An action.
#[derive(Clone, Debug)]
pub struct Action {
    /// Which action.
    pub id: ActionId,
    /// What was asked, in the hcloud API's words: `create_server`, `start_server` …
    pub command: String,
    /// How it stands.
    pub status: ActionStatus,
    /// Per cent.
    pub progress: i32,
    /// The VPS that it is about.
    pub vps_id: Option<i64>,
    /// The image that it is about.
    pub image_id: Option<i64>,
    /// The firewall that it is about.
    pub firewall_id: Option<i64>,
    /// The primary IP that it is about.
    pub primary_ip_id: Option<i64>,
    /// The floating IP that it is about.
    pub floating_ip_id: Option<i64>,
    /// The network that it is about.
    pub network_id: Option<i64>,
    /// Generation of the VPS that it waits for.
    pub generation: i64,
    /// Boot epoch that it waits for; 0 for none.
    pub boot_epoch: i64,
    /// Password epoch that it waits for; 0 for none.
    pub password_epoch: i64,
    /// Why it failed, as a code.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// When it was asked.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActionStatus {
    /// Not ended.
    Running,
    /// Done.
    Success,
    /// Failed for good.
    Error,
}

impl ActionStatus {
    /// The word, as the database and the API spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Error => "error",
        }
    }
}

impl From<String> for ActionStatus {
    fn from(name: String) -> Self {
        match name.as_str() {
            "success" => Self::Success,
            "error" => Self::Error,
            _ => Self::Running, // a check of the table allows no other
        }
    }
}

/// What actions can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A VPS.
    Vps,
    /// A firewall.
    Firewall,
    /// A primary IP.
    PrimaryIp,
    /// A floating IP.
    FloatingIp,
    /// A private network.
    Network,
}

impl Kind {
    fn column(self) -> &'static str {
        match self {
            Self::Vps => "vps_id",
            Self::Firewall => "firewall_id",
            Self::PrimaryIp => "primary_ip_id",
            Self::FloatingIp => "floating_ip_id",
            Self::Network => "network_id",
        }
    }
}

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A VPS.
    Vps(VpsId),
    /// A firewall.
    Firewall(FirewallId),
    /// A primary IP.
    PrimaryIp(PrimaryIpId),
    /// A floating IP.
    FloatingIp(FloatingIpId),
    /// A private network.
    Network(NetworkId),
}

impl Subject {
    fn kind(self) -> Kind {
        match self {
            Self::Vps(_) => Kind::Vps,
            Self::Firewall(_) => Kind::Firewall,
            Self::PrimaryIp(_) => Kind::PrimaryIp,
            Self::FloatingIp(_) => Kind::FloatingIp,
            Self::Network(_) => Kind::Network,
        }
    }

    fn id(self) -> i64 {
        match self {
            Self::Vps(id) => id.0,
            Self::Firewall(id) => id.0,
            Self::PrimaryIp(id) => id.0,
            Self::FloatingIp(id) => id.0,
            Self::Network(id) => id.0,
        }
    }

    /// Its id, if it is of this kind.
    fn of(self, kind: Kind) -> Option<i64> {
        (self.kind() == kind).then(|| self.id())
    }
}

impl Action {
    /// The id of what it is about, of this kind.
    fn about(&self, kind: Kind) -> Option<i64> {
        match kind {
            Kind::Vps => self.vps_id,
            Kind::Firewall => self.firewall_id,
            Kind::PrimaryIp => self.primary_ip_id,
            Kind::FloatingIp => self.floating_ip_id,
            Kind::Network => self.network_id,
        }
    }
}

/// Which actions to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those with these ids.
    pub ids: Vec<i64>,
    /// Only those about this.
    pub about: Option<Subject>,
    /// Only those about any of this kind.
    pub of: Option<Kind>,
    /// Only those that stand so.
    pub status: Vec<ActionStatus>,
    /// In this order (`id`, `command`, `status`, `progress`, `started_at`, `finished_at`).
    pub sort: Vec<Sort>,
}

/// What a new action is about.
#[derive(Clone, Copy, Debug)]
pub struct NewAction<'a> {
    /// What was asked.
    pub command: &'a str,
    /// The VPS.
    pub vps: VpsId,
    /// Generation of the VPS that it waits for.
    pub generation: i64,
    /// Boot epoch that it waits for; 0 for none.
    pub boot_epoch: i64,
    /// Password epoch that it waits for; 0 for none.
    pub password_epoch: i64,
}

/// One action of a project.
pub async fn get(db: &PgPool, project: ProjectId, id: ActionId) -> Result<Action> {
    let found = sqlx::query_as!(
        Action,
        "select id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch, error_code,
                error_message, started_at, finished_at
         from actions where project_id = $1 and id = $2",
        project.0,
        id.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("action"))
}

/// One action of a project that is about something of this kind.
pub async fn get_of(db: &PgPool, project: ProjectId, kind: Kind, id: ActionId) -> Result<Action> {
    let found = get(db, project, id).await?;
    found.about(kind).ok_or(Error::NotFound("action"))?;
    Ok(found)
}

/// One action of a project that is about this.
pub async fn get_about(db: &PgPool, project: ProjectId, subject: Subject, id: ActionId) -> Result<Action> {
    let found = get(db, project, id).await?;
    if found.about(subject.kind()) != Some(subject.id()) {
        return Err(Error::NotFound("action"));
    }
    Ok(found)
}

/// Some actions of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<Action>> {
    let mut query = QueryBuilder::new("select id, count(*) over () from actions");
    conditions(&mut query, project, filter);
    Sort::push(&filter.sort, &mut query);
    query.push(" limit ").push_bind(page.size).push(" offset ").push_bind(page.offset());
    let ids: Vec<(i64, i64)> = query.build_query_as().fetch_all(db).await?;
    let total = match ids.first() {
        Some((_, total)) => *total,
        None if page.offset() == 0 => 0,
        None => {
            let mut query = QueryBuilder::new("select count(*) from actions");
            conditions(&mut query, project, filter);
            query.build_query_scalar().fetch_one(db).await?
        }
    };
    let ids: Vec<i64> = ids.into_iter().map(|(id, _)| id).collect();
    let rows = sqlx::query_as!(
        Action,
        "select a.id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch,
                error_code, error_message, started_at, finished_at
         from unnest($2::bigint[]) with ordinality as wanted(id, n) join actions a on a.id = wanted.id
         where project_id = $1 order by wanted.n",
        project.0,
        &ids
    );
    Ok(Listed { items: rows.fetch_all(db).await?, total })
}

fn conditions(query: &mut QueryBuilder<Postgres>, project: ProjectId, filter: &Filter) {
    query.push(" where project_id = ").push_bind(project.0);
    if !filter.ids.is_empty() {
        query.push(" and id = any(").push_bind(filter.ids.clone()).push(")");
    }
    if let Some(subject) = filter.about {
        query.push(format!(" and {} = ", subject.kind().column())).push_bind(subject.id());
    }
    if let Some(kind) = filter.of {
        query.push(format!(" and {} is not null", kind.column()));
    }
    if !filter.status.is_empty() {
        let names: Vec<&'static str> = filter.status.iter().map(|s| s.as_str()).collect();
        query.push(" and status = any(").push_bind(names).push(")");
    }
}

/// Writes a running action into somebody's transaction.
pub async fn insert(tx: &mut PgConnection, project: ProjectId, new: NewAction<'_>) -> Result<Action> {
    let made = sqlx::query_as!(
        Action,
        "insert into actions (project_id, command, vps_id, generation, boot_epoch, password_epoch)
         values ($1, $2, $3, $4, $5, $6)
         returning id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch,
                   error_code, error_message, started_at, finished_at",
        project.0,
        new.command,
        new.vps.0,
        new.generation,
        new.boot_epoch,
        new.password_epoch
    );
    Ok(made.fetch_one(tx).await?)
}

/// Writes an action that was done before it began.
pub(super) async fn insert_done(
    tx: &mut PgConnection,
    project: ProjectId,
    new: NewAction<'_>,
) -> Result<Action> {
    let action = insert(&mut *tx, project, new).await?;
    finish(&mut *tx, &[action.id]).await?;
    Ok(Action {
        status: ActionStatus::Success,
        progress: 100,
        finished_at: Some(action.started_at),
        ..action
    })
}

/// Writes an action of something that is no VPS, and of it alone, which was done before it began.
pub(super) async fn insert_about(
    tx: &mut PgConnection,
    project: ProjectId,
    command: &str,
    subject: Subject,
) -> Result<Action> {
    let made = sqlx::query_as!(
        Action,
        "insert into actions (project_id, command, firewall_id, primary_ip_id, floating_ip_id, network_id, status, progress,
                              finished_at)
         values ($1, $2, $3, $4, $5, $6, 'success', 100, now())
         returning id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch,
                   error_code, error_message, started_at, finished_at",
        project.0,
        command,
        subject.of(Kind::Firewall),
        subject.of(Kind::PrimaryIp),
        subject.of(Kind::FloatingIp),
        subject.of(Kind::Network)
    );
    Ok(made.fetch_one(tx).await?)
}

/// Writes that an action of a VPS is one of this too.
pub(super) async fn concerns(tx: &mut PgConnection, id: ActionId, subject: Subject) -> Result<()> {
    let written = sqlx::query!(
        "update actions set firewall_id = coalesce($2, firewall_id), primary_ip_id = coalesce($3, primary_ip_id),
                            floating_ip_id = coalesce($4, floating_ip_id), network_id = coalesce($5, network_id)
         where id = $1",
        id.0,
        subject.of(Kind::Firewall),
        subject.of(Kind::PrimaryIp),
        subject.of(Kind::FloatingIp),
        subject.of(Kind::Network)
    );
    written.execute(tx).await?;
    Ok(())
}

/// Writes a running action that ends when the name server has taken the name of an address.
pub(super) async fn insert_of_name(
    tx: &mut PgConnection,
    project: ProjectId,
    of: Of,
    ip: IpNet,
) -> Result<Action> {
    let (vps, primary, floating) = match of {
        Of::Vps(id) => (Some(id.0), None, None),
        Of::Primary(id) => (None, Some(id.0), None),
        Of::Floating(id) => (None, None, Some(id.0)),
    };
    let made = sqlx::query_as!(
        Action,
        "insert into actions (project_id, command, vps_id, primary_ip_id, floating_ip_id, reverse_ip)
         values ($1, 'change_dns_ptr', $2, $3, $4, $5)
         returning id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch,
                   error_code, error_message, started_at, finished_at",
        project.0,
        vps,
        primary,
        floating,
        ip
    );
    Ok(made.fetch_one(tx).await?)
}

/// The actions of a VPS that have not ended, oldest first. For whoever holds the VPS's row.
pub async fn running(tx: &mut PgConnection, vps: VpsId) -> Result<Vec<Action>> {
    let rows = sqlx::query_as!(
        Action,
        "select id, command, status, progress, vps_id, image_id, firewall_id, primary_ip_id, floating_ip_id, network_id, generation, boot_epoch, password_epoch, error_code,
                error_message, started_at, finished_at
         from actions where vps_id = $1 and status = 'running' order by id",
        vps.0
    );
    Ok(rows.fetch_all(tx).await?)
}

/// Ends actions well.
pub async fn finish(tx: &mut PgConnection, ids: &[ActionId]) -> Result<()> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let done = sqlx::query!(
        "update actions set status = 'success', progress = 100, finished_at = now()
         where id = any($1) and status = 'running'",
        &ids
    );
    done.execute(tx).await?;
    Ok(())
}

/// Ends actions with an error that says what to do.
pub async fn fail(tx: &mut PgConnection, ids: &[ActionId], code: &str, message: &str) -> Result<()> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let failed = sqlx::query!(
        "update actions set status = 'error', progress = 100, finished_at = now(), error_code = $2, error_message = $3
         where id = any($1) and status = 'running'",
        &ids,
        code,
        message
    );
    failed.execute(tx).await?;
    Ok(())
}

/// Ends the running actions of a VPS that have one of these names: newer ones want the opposite.
pub(super) async fn supersede(tx: &mut PgConnection, vps: VpsId, commands: &[&str], by: &str) -> Result<()> {
    let commands: Vec<String> = commands.iter().map(|c| (*c).to_owned()).collect();
    let ended = sqlx::query!(
        "update actions set status = 'error', progress = 100, finished_at = now(), error_code = 'superseded',
                error_message = $3
         where vps_id = $1 and status = 'running' and command = any($2)",
        vps.0,
        &commands,
        format!("a later {by} took the place of this action")
    );
    ended.execute(tx).await?;
    Ok(())
}
