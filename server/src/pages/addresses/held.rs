//! Primary and floating IPs as one thing, because their pages differ in little. Each call goes to the functions that the
//! API uses for the kind.

use chrono::{DateTime, Utc};
use ipnet::IpNet;

use crate::app::App;
use crate::db::actions::Subject;
use crate::db::page::{Page, Sort};
use crate::db::reverse::Of;
use crate::db::{floating_ips, primary_ips};
use crate::domain::ip_names::{Kind, description};
use crate::domain::labels::Labels;
use crate::error::Result;
use crate::ids::{FloatingIpId, LocationId, PrimaryIpId, ProjectId, VpsId};

/// Addresses of a kind on the page. Whoever has more finds the rest by the API.
const MOST: i64 = 500;

/// A primary or a floating IP, by its id.
#[derive(Clone, Copy, Debug)]
pub(in crate::pages) enum Ip {
    /// A primary one.
    Primary(PrimaryIpId),
    /// A floating one.
    Floating(FloatingIpId),
}

/// What a route is about; said by its path.
pub(in crate::pages) trait Route: Send + Sync + 'static {
    /// The one with this id.
    fn ip(id: i64) -> Ip;
}

/// `/primary-ips`.
pub(in crate::pages) struct Primary;

/// `/floating-ips`.
pub(in crate::pages) struct Floating;

impl Route for Primary {
    fn ip(id: i64) -> Ip {
        Ip::Primary(PrimaryIpId(id))
    }
}

impl Route for Floating {
    fn ip(id: i64) -> Ip {
        Ip::Floating(FloatingIpId(id))
    }
}

/// One that the project holds.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) ip: Ip,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) labels: Labels,
    pub(super) net: IpNet,
    pub(super) location: LocationId,
    pub(super) vps: Option<i64>,
    pub(super) auto_delete: bool,
    pub(super) protected: bool,
    pub(super) created_at: DateTime<Utc>,
}

impl From<primary_ips::PrimaryIp> for Held {
    fn from(row: primary_ips::PrimaryIp) -> Self {
        Self {
            ip: Ip::Primary(row.id),
            name: row.name,
            description: String::new(),
            labels: row.labels,
            net: row.ip,
            location: row.location_id,
            vps: row.vps_id,
            auto_delete: row.auto_delete,
            protected: row.protect_delete,
            created_at: row.created_at,
        }
    }
}

impl From<floating_ips::FloatingIp> for Held {
    fn from(row: floating_ips::FloatingIp) -> Self {
        Self {
            ip: Ip::Floating(row.id),
            name: row.name,
            description: row.description,
            labels: row.labels,
            net: row.ip,
            location: row.location_id,
            vps: row.vps_id,
            auto_delete: false,
            protected: row.protect_delete,
            created_at: row.created_at,
        }
    }
}

fn by_name() -> Vec<Sort> {
    vec![Sort { column: "name", descending: false }]
}

/// The primary IPs of a project.
pub(super) async fn primary(app: &App, project: ProjectId) -> Result<Vec<Held>> {
    let filter = primary_ips::Filter { sort: by_name(), ..primary_ips::Filter::default() };
    let found = primary_ips::list(&app.db, project, &filter, Page::first(MOST)).await?;
    Ok(found.items.into_iter().map(Held::from).collect())
}

/// The floating IPs of a project.
pub(super) async fn floating(app: &App, project: ProjectId) -> Result<Vec<Held>> {
    let filter = floating_ips::Filter { sort: by_name(), ..floating_ips::Filter::default() };
    let found = floating_ips::list(&app.db, project, &filter, Page::first(MOST)).await?;
    Ok(found.items.into_iter().map(Held::from).collect())
}

/// What can be changed of one.
#[derive(Debug)]
pub(super) struct Settings<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) labels: Labels,
    pub(super) auto_delete: bool,
}

impl Ip {
    /// Its id, and the part of paths and the words that stand for its kind.
    pub(super) fn parts(self) -> (i64, &'static str, &'static str) {
        match self {
            Self::Primary(id) => (id.0, "primary-ips", "primary IP"),
            Self::Floating(id) => (id.0, "floating-ips", "floating IP"),
        }
    }

    /// Its actions are about this.
    pub(super) fn subject(self) -> Subject {
        match self {
            Self::Primary(id) => Subject::PrimaryIp(id),
            Self::Floating(id) => Subject::FloatingIp(id),
        }
    }

    /// Its names are of this.
    pub(super) fn named(self) -> Of {
        match self {
            Self::Primary(id) => Of::Primary(id),
            Self::Floating(id) => Of::Floating(id),
        }
    }

    /// Reads it.
    pub(super) async fn get(self, app: &App, project: ProjectId) -> Result<Held> {
        match self {
            Self::Primary(id) => Ok(primary_ips::get(&app.db, project, id).await?.into()),
            Self::Floating(id) => Ok(floating_ips::get(&app.db, project, id).await?.into()),
        }
    }

    /// Gives it to a server; a floating one whoever has it now.
    pub(super) async fn assign(self, app: &App, project: ProjectId, vps: VpsId) -> Result<()> {
        match self {
            Self::Primary(id) => primary_ips::assign(app, project, id, vps).await.map(drop),
            Self::Floating(id) => floating_ips::assign(app, project, id, vps).await.map(drop),
        }
    }

    /// Takes it from its server.
    pub(super) async fn unassign(self, app: &App, project: ProjectId) -> Result<()> {
        match self {
            Self::Primary(id) => primary_ips::unassign(app, project, id).await.map(drop),
            Self::Floating(id) => floating_ips::unassign(app, project, id).await.map(drop),
        }
    }

    /// Protects it from deletion, or no longer.
    pub(super) async fn protect(self, app: &App, project: ProjectId, delete: bool) -> Result<()> {
        match self {
            Self::Primary(id) => primary_ips::protect(app, project, id, delete).await.map(drop),
            Self::Floating(id) => floating_ips::protect(app, project, id, delete).await.map(drop),
        }
    }

    /// Gives it back.
    pub(super) async fn delete(self, app: &App, project: ProjectId) -> Result<()> {
        match self {
            Self::Primary(id) => primary_ips::delete(app, project, id).await,
            Self::Floating(id) => floating_ips::delete(app, project, id).await,
        }
    }

    /// Changes what can be changed.
    pub(super) async fn set(self, app: &App, project: ProjectId, new: Settings<'_>) -> Result<()> {
        match self {
            Self::Primary(id) => {
                let change = primary_ips::Update {
                    name: Some(Kind::Primary.chosen(new.name, Some(id.0))?),
                    labels: Some(new.labels),
                    auto_delete: Some(new.auto_delete),
                };
                primary_ips::update(app, project, id, &change).await.map(drop)
            }
            Self::Floating(id) => {
                let change = floating_ips::Update {
                    name: Some(Kind::Floating.chosen(new.name, Some(id.0))?),
                    description: Some(description(new.description.to_owned())?),
                    labels: Some(new.labels),
                };
                floating_ips::update(app, project, id, &change).await.map(drop)
            }
        }
    }
}
