//! Private networks of a project: reading and writing them. Their subnets and routes are in [`layout`], who is in them in
//! [`members`].
//!
//! Every change takes the network's row first, then hosts (by id) and VPSes. What follows for other hosts, who must know
//! where each member is, needs no lock: they ask for the whole again (`db::watch`), and are woken after the commit.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, QueryBuilder};

use super::page::{Listed, Page, Sort};
use crate::app::App;
use crate::db::actions::{self, Action, Subject};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::network::{Layout, MAX_NETWORKS, Route, Subnet};
use crate::domain::selector::Selector;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{NetworkId, ProjectId};
use crate::wake::Changed;

mod layout;
mod members;
mod told;

pub use layout::{Change, change};
pub(crate) use members::settle;
pub use members::{Member, Order, attach, change_aliases, detach, of_vpses};
pub(super) use members::{at_birth, forget, hold_all, hosts_of};
pub(super) use told::nics;
pub use told::of_host;

/// Numbers that may be in use, after the sequence has been all around, before that is thought a fault.
const ATTEMPTS: u32 = 64;

/// A network.
#[derive(Clone, Debug)]
pub struct Network {
    /// Which network.
    pub id: NetworkId,
    /// Unique in the project.
    pub name: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// Range, subnets and routes.
    pub layout: Layout,
    /// What clients said about vSwitches, which are not there.
    pub expose_routes: bool,
    /// Whether it may not be deleted.
    pub protect_delete: bool,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// The VPSes in it, by id.
    pub vpses: Vec<i64>,
}

/// Which networks to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only those with these labels.
    pub selector: Selector,
    /// In this order (`id`, `name`, `created_at`).
    pub sort: Vec<Sort>,
}

/// A new network.
#[derive(Clone, Debug)]
pub struct NewNetwork {
    /// Its name.
    pub name: Title,
    /// Its labels.
    pub labels: Labels,
    /// Range, subnets and routes.
    pub layout: Layout,
    /// Kept for clients.
    pub expose_routes: bool,
}

/// What to change; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Another name.
    pub name: Option<Title>,
    /// Other labels, all of them.
    pub labels: Option<Labels>,
    /// Kept for clients.
    pub expose_routes: Option<bool>,
}

/// Some networks of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<Network>> {
    let mut query = QueryBuilder::new("select id from networks where deleted_at is null and project_id = ");
    query.push_bind(project.0);
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_bind(name.clone());
    }
    super::selector::push(&mut query, "labels", &filter.selector);
    Sort::push(&filter.sort, &mut query);
    let ids = query.build_query_scalar::<i64>().fetch_all(db).await?;
    let Listed { items: ids, total } = page.cut(ids);
    Ok(Listed { items: read(db, project, &ids).await?, total })
}

/// One network.
pub async fn get(db: &PgPool, project: ProjectId, id: NetworkId) -> Result<Network> {
    read(db, project, &[id.0]).await?.pop().ok_or(Error::NotFound("network"))
}

async fn read(db: &PgPool, project: ProjectId, ids: &[i64]) -> Result<Vec<Network>> {
    let rows = sqlx::query!(
        r#"select n.id, name, labels as "labels: Json<Labels>", ip_range as "ip_range: IpNet",
                  subnets as "subnets: Json<Vec<Subnet>>", routes as "routes: Json<Vec<Route>>", expose_routes,
                  protect_delete, created_at,
                  array(select m.vps_id from vps_networks m
                        where m.network_id = n.id and m.leaving_generation is null order by 1) as "vpses!"
           from unnest($2::bigint[]) with ordinality as wanted(id, at) join networks n on n.id = wanted.id
           where project_id = $1 and deleted_at is null order by wanted.at"#,
        project.0,
        ids
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| Network {
        id: row.id.into(),
        name: row.name,
        labels: row.labels.0,
        layout: Layout { range: row.ip_range, subnets: row.subnets.0, routes: row.routes.0 },
        expose_routes: row.expose_routes,
        protect_delete: row.protect_delete,
        created_at: row.created_at,
        vpses: row.vpses,
    });
    Ok(rows.collect())
}

/// Makes a network with nobody in it.
///
/// # Errors
/// `uniqueness_error`, `resource_limit_exceeded`, `invalid_input` for a network zone that is not there.
pub async fn create(app: &App, project: ProjectId, new: &NewNetwork) -> Result<NetworkId> {
    let mut tx = app.db.begin().await?;
    // one at a time, or the count would not hold
    sqlx::query!("select id from projects where id = $1 for no key update", project.0)
        .fetch_one(&mut *tx)
        .await?;
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from networks where project_id = $1 and deleted_at is null"#,
        project.0
    );
    if count.fetch_one(&mut *tx).await? >= MAX_NETWORKS {
        return Err(Error::LimitExceeded(format!("a project has at most {MAX_NETWORKS} networks")));
    }
    for subnet in &new.layout.subnets {
        check_zone(&mut tx, "subnets.network_zone", &subnet.zone).await?;
    }
    let vni = free_vni(&mut tx).await?;
    let made = sqlx::query_scalar!(
        "insert into networks (project_id, name, labels, ip_range, subnets, routes, expose_routes, vni)
         values ($1, $2, $3, $4::inet::cidr, $5, $6, $7, $8) returning id",
        project.0,
        new.name.as_str(),
        Json(&new.labels) as _,
        new.layout.range as _,
        Json(&new.layout.subnets) as _,
        Json(&new.layout.routes) as _,
        new.expose_routes,
        vni
    );
    let id = made.fetch_one(&mut *tx).await.map_err(unique)?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(id.into())
}

/// A number that no network has, nor one that is gone but not yet from every host.
async fn free_vni(tx: &mut PgConnection) -> Result<i32> {
    for _ in 0..ATTEMPTS {
        let found = sqlx::query_scalar!(
            r#"select n::integer as "n!" from (select nextval('network_vnis') as n) fresh
               where not exists (select from networks where vni = n)"#
        );
        if let Some(vni) = found.fetch_optional(&mut *tx).await? {
            return Ok(vni);
        }
    }
    Err(Error::ResourceUnavailable("no network number is free; try again".into()))
}

/// Changes what is given. Hosts do not notice.
pub async fn update(app: &App, project: ProjectId, id: NetworkId, change: &Update) -> Result<Network> {
    let changed = sqlx::query!(
        "update networks set name = coalesce($3, name), labels = coalesce($4, labels),
                expose_routes = coalesce($5, expose_routes)
         where project_id = $1 and id = $2 and deleted_at is null",
        project.0,
        id.0,
        change.name.as_ref().map(Title::as_str),
        change.labels.as_ref().map(Json) as _,
        change.expose_routes
    );
    if changed.execute(&app.db).await.map_err(unique)?.rows_affected() == 0 {
        return Err(Error::NotFound("network"));
    }
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}

/// Protects a network from being deleted, or ends that.
pub async fn protect(app: &App, project: ProjectId, id: NetworkId, delete: Option<bool>) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project, id).await?;
    let changed = sqlx::query!(
        "update networks set protect_delete = coalesce($2, protect_delete) where id = $1",
        id.0,
        delete
    );
    changed.execute(&mut *tx).await?;
    let action = actions::insert_about(&mut tx, project, "change_protection", Subject::Network(id)).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// Deletes a network. Whoever is in it is taken out by its host, soon.
pub async fn delete(app: &App, project: ProjectId, id: NetworkId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    if hold(&mut tx, project, id).await?.protect_delete {
        return Err(Error::Protected("network deletion is protected".into()));
    }
    sqlx::query!("update networks set deleted_at = now() where id = $1", id.0).execute(&mut *tx).await?;
    let hosts = members::all_leave(&mut tx, id).await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    app.wake.changed(Changed::Project(project.0));
    Ok(())
}

/// Removes the rows of deleted networks of which no host has anything any more; says how many there were.
pub(crate) async fn forget_deleted(db: &PgPool) -> sqlx::Result<u64> {
    let gone = sqlx::query!(
        "delete from networks n where deleted_at is not null
           and not exists (select from vps_networks m where m.network_id = n.id)"
    );
    Ok(gone.execute(db).await?.rows_affected())
}

/// A network whose row this transaction holds.
#[derive(Debug)]
struct Held {
    id: NetworkId,
    layout: Layout,
    protect_delete: bool,
}

/// Takes a network's row, so that nobody else changes it or who is in it. Before any host's row.
async fn hold(tx: &mut PgConnection, project: ProjectId, id: NetworkId) -> Result<Held> {
    let row = sqlx::query!(
        r#"select ip_range as "ip_range: IpNet", subnets as "subnets: Json<Vec<Subnet>>",
                  routes as "routes: Json<Vec<Route>>", protect_delete
           from networks where project_id = $1 and id = $2 and deleted_at is null for no key update"#,
        project.0,
        id.0
    );
    let row = row.fetch_optional(tx).await?.ok_or(Error::NotFound("network"))?;
    let layout = Layout { range: row.ip_range, subnets: row.subnets.0, routes: row.routes.0 };
    Ok(Held { id, layout, protect_delete: row.protect_delete })
}

async fn check_zone(tx: &mut PgConnection, field: &str, zone: &str) -> Result<()> {
    let known = sqlx::query_scalar!(
        r#"select exists (select from locations where network_zone = $1) as "known!""#,
        zone.replace('\0', "\u{fffd}")
    );
    if known.fetch_one(tx).await? {
        return Ok(());
    }
    Err(Error::invalid(field, format!("'{zone}' is no network zone of a location")))
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("networks_name_key") => Error::Uniqueness("network with the same name already exists".into()),
        _ => e.into(),
    }
}
