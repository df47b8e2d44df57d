//! Primary IPs of a project: reading and writing them. Who has one is in [`assign`], what becomes of one with its VPS in
//! [`life`].
//!
//! The address's row is the lock: whoever changes or deletes a primary IP in a way that others depend on holds it, after
//! the host's and the VPS's.

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, QueryBuilder};

use super::page::{Listed, Page, Sort};
use super::{actions, addresses};
use crate::app::App;
use crate::db::actions::{Action, Subject};
use crate::domain::ip_names::Kind;
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::selector::Selector;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{LocationId, PrimaryIpId, ProjectId, VpsId};
use crate::wake::Changed;

mod assign;
mod life;

pub use assign::{assign, create, unassign};
pub(super) use life::{at_birth, at_death, elsewhere, mismatch, unknown};

/// A primary IP.
#[derive(Clone, Debug)]
pub struct PrimaryIp {
    /// Which one.
    pub id: PrimaryIpId,
    /// Unique in the project.
    pub name: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// Its address; of IPv6 a /64.
    pub ip: IpNet,
    /// Where VPSes can have it.
    pub location_id: LocationId,
    /// The VPS that has it.
    pub vps_id: Option<i64>,
    /// Whether it goes with the VPS that has it.
    pub auto_delete: bool,
    /// Whether it may not be deleted.
    pub protect_delete: bool,
    /// Since when the project holds it.
    pub created_at: DateTime<Utc>,
}

/// A primary IP that is wanted.
#[derive(Clone, Debug)]
pub struct New {
    /// Its name.
    pub name: Title,
    /// Its labels.
    pub labels: Labels,
    /// Whether it goes with the VPS that has it.
    pub auto_delete: bool,
}

/// Where a new one comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// From this location, for no VPS yet.
    Location(LocationId),
    /// For this VPS; in this location, if one is named.
    Vps(VpsId, Option<LocationId>),
}

/// What to change; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Another name.
    pub name: Option<Title>,
    /// Other labels, all of them.
    pub labels: Option<Labels>,
    /// Whether it goes with the VPS that has it.
    pub auto_delete: Option<bool>,
}

/// Which primary IPs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only the one with this address.
    pub ip: Option<IpNet>,
    /// Only those with these labels.
    pub selector: Selector,
    /// In this order (`id`, `name`, `created_at`).
    pub sort: Vec<Sort>,
}

/// Some primary IPs of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<PrimaryIp>> {
    let mut query = QueryBuilder::new("select id from primary_ips where project_id = ");
    query.push_bind(project.0);
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_bind(name.clone());
    }
    if let Some(ip) = filter.ip {
        query.push(" and id = (select primary_ip_id from addresses where ip = ");
        query.push_bind(ip).push(")");
    }
    super::selector::push(&mut query, "labels", &filter.selector);
    Sort::push(&filter.sort, &mut query);
    let ids = query.build_query_scalar::<i64>().fetch_all(db).await?;
    let Listed { items: ids, total } = page.cut(ids);
    Ok(Listed { items: read(db, project, &ids).await?, total })
}

/// One primary IP.
pub async fn get(db: &PgPool, project: ProjectId, id: PrimaryIpId) -> Result<PrimaryIp> {
    read(db, project, &[id.0]).await?.pop().ok_or(Error::NotFound("primary IP"))
}

async fn read(db: &PgPool, project: ProjectId, ids: &[i64]) -> Result<Vec<PrimaryIp>> {
    let rows = sqlx::query_as!(
        PrimaryIp,
        r#"select i.id, i.name, i.labels as "labels: Json<Labels>", a.ip, p.location_id, a.vps_id, i.auto_delete,
                  i.protect_delete, i.created_at
           from unnest($2::bigint[]) with ordinality as wanted(id, n)
                join primary_ips i on i.id = wanted.id
                join addresses a on a.primary_ip_id = i.id
                join pools p on p.id = a.pool_id
           where i.project_id = $1 order by wanted.n"#,
        project.0,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}

/// Changes what is given.
pub async fn update(app: &App, project: ProjectId, id: PrimaryIpId, change: &Update) -> Result<PrimaryIp> {
    let changed = sqlx::query!(
        "update primary_ips set name = coalesce($3, name), labels = coalesce($4, labels),
                                auto_delete = coalesce($5, auto_delete)
         where project_id = $1 and id = $2",
        project.0,
        id.0,
        change.name.as_ref().map(Title::as_str),
        change.labels.as_ref().map(Json) as _,
        change.auto_delete
    );
    if changed.execute(&app.db).await.map_err(unique)?.rows_affected() == 0 {
        return Err(Error::NotFound("primary IP"));
    }
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}

/// Protects one from deletion, or no longer.
pub async fn protect(app: &App, project: ProjectId, id: PrimaryIpId, delete: bool) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let changed = sqlx::query!(
        "update primary_ips set protect_delete = $3 where project_id = $1 and id = $2",
        project.0,
        id.0,
        delete
    );
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("primary IP"));
    }
    let action = actions::insert_about(&mut tx, project, "change_protection", Subject::PrimaryIp(id)).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// Gives one back that no VPS has. Its address rests for a while, and is anybody's then.
pub async fn delete(app: &App, project: ProjectId, id: PrimaryIpId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let held = hold(&mut tx, project, id).await?;
    if held.protect_delete {
        return Err(Error::Protected("primary IP deletion is protected".into()));
    }
    if let Some(vps) = held.vps {
        return Err(Error::InUse(format!("the primary IP is assigned to server {vps}: unassign it first")));
    }
    erase(&mut tx, id, held.ip).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(())
}

/// One whose address's row this transaction holds.
struct Held {
    ip: IpNet,
    location: LocationId,
    vps: Option<VpsId>,
    protect_delete: bool,
}

async fn hold(tx: &mut PgConnection, project: ProjectId, id: PrimaryIpId) -> Result<Held> {
    let row = sqlx::query!(
        "select a.ip, a.vps_id, p.location_id, i.protect_delete
         from primary_ips i join addresses a on a.primary_ip_id = i.id join pools p on p.id = a.pool_id
         where i.project_id = $1 and i.id = $2 for update of a",
        project.0,
        id.0
    );
    let row = row.fetch_optional(tx).await?.ok_or(Error::NotFound("primary IP"))?;
    Ok(Held {
        ip: row.ip,
        location: row.location_id.into(),
        vps: row.vps_id.map(VpsId),
        protect_delete: row.protect_delete,
    })
}

/// Writes a new one that has no address yet; without `new` one that goes with the VPS that it is made with.
async fn insert(tx: &mut PgConnection, project: ProjectId, new: Option<&New>) -> Result<PrimaryIpId> {
    let id = sqlx::query_scalar!(r#"select nextval(pg_get_serial_sequence('primary_ips', 'id')) as "id!""#);
    let id = PrimaryIpId(id.fetch_one(&mut *tx).await?);
    let name = new.map_or_else(|| Kind::Primary.automatic(id.0), |new| new.name.to_string());
    sqlx::query!(
        "insert into primary_ips (id, project_id, name, labels, auto_delete) overriding system value
         values ($1, $2, $3, $4, $5)",
        id.0,
        project.0,
        name,
        Json(new.map_or_else(Labels::default, |new| new.labels.clone())) as _,
        new.is_none_or(|new| new.auto_delete)
    )
    .execute(tx)
    .await
    .map_err(unique)?;
    Ok(id)
}

/// Frees the address, whose row is held, and forgets the primary IP.
async fn erase(tx: &mut PgConnection, id: PrimaryIpId, ip: IpNet) -> Result<()> {
    addresses::change(tx, ip, None, None).await?;
    sqlx::query!("delete from primary_ips where id = $1", id.0).execute(tx).await?;
    Ok(())
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("primary_ips_name_key") => {
            Error::Uniqueness("primary IP with the same name already exists".into())
        }
        _ => e.into(),
    }
}
