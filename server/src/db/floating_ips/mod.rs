//! Floating IPs of a project: addresses that move between running VPSes. Reading and writing them is here, which VPS has
//! one is in [`assign`].
//!
//! The address's row is the lock, as for primary IPs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, QueryBuilder};

use super::addresses::{self, Owner};
use super::page::{Listed, Page, Sort};
use crate::app::App;
use crate::db::actions::{self, Action, Subject};
use crate::domain::ip_names::Kind;
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::selector::Selector;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{FloatingIpId, LocationId, ProjectId, VpsId};
use crate::wake::Changed;

mod assign;
mod release;

pub use assign::{Origin, assign, create, unassign};
pub(crate) use release::finish_moves;

/// A floating IP.
#[derive(Clone, Debug)]
pub struct FloatingIp {
    /// Which one.
    pub id: FloatingIpId,
    /// Unique in the project.
    pub name: String,
    /// The tenant's words; may be empty.
    pub description: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// Its address; of IPv6 a /64.
    pub ip: IpNet,
    /// Where VPSes can have it.
    pub location_id: LocationId,
    /// The VPS that has it.
    pub vps_id: Option<i64>,
    /// Whether it may not be deleted.
    pub protect_delete: bool,
    /// Since when the project holds it.
    pub created_at: DateTime<Utc>,
}

/// A floating IP that is wanted.
#[derive(Clone, Debug)]
pub struct New {
    /// Its name; one is made when there is none.
    pub name: Option<Title>,
    /// The tenant's words.
    pub description: String,
    /// Its labels.
    pub labels: Labels,
}

/// What to change; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct Update {
    /// Another name.
    pub name: Option<Title>,
    /// Other words.
    pub description: Option<String>,
    /// Other labels, all of them.
    pub labels: Option<Labels>,
}

/// Which floating IPs to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only those with these labels.
    pub selector: Selector,
    /// In this order (`id`, `name`, `created_at`).
    pub sort: Vec<Sort>,
}

/// Some floating IPs of a project.
pub async fn list(
    db: &PgPool,
    project: ProjectId,
    filter: &Filter,
    page: Page,
) -> Result<Listed<FloatingIp>> {
    let mut query = QueryBuilder::new("select id from floating_ips where project_id = ");
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

/// One floating IP.
pub async fn get(db: &PgPool, project: ProjectId, id: FloatingIpId) -> Result<FloatingIp> {
    read(db, project, &[id.0]).await?.pop().ok_or(Error::NotFound("floating IP"))
}

async fn read(db: &PgPool, project: ProjectId, ids: &[i64]) -> Result<Vec<FloatingIp>> {
    let rows = sqlx::query_as!(
        FloatingIp,
        r#"select i.id, i.name, i.description, i.labels as "labels: Json<Labels>", a.ip, p.location_id, a.vps_id,
                  i.protect_delete, i.created_at
           from unnest($2::bigint[]) with ordinality as wanted(id, n)
                join floating_ips i on i.id = wanted.id
                join addresses a on a.floating_ip_id = i.id
                join pools p on p.id = a.pool_id
           where i.project_id = $1 order by wanted.n"#,
        project.0,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}

/// The floating IPs that these VPSes have.
pub async fn of_vpses(db: &PgPool, vpses: &[i64]) -> Result<BTreeMap<i64, Vec<i64>>> {
    let rows = sqlx::query!(
        r#"select vps_id as "vps!", floating_ip_id as "id!" from addresses
           where vps_id = any($1) and floating_ip_id is not null order by floating_ip_id"#,
        vpses
    );
    let mut found = BTreeMap::<i64, Vec<i64>>::new();
    for row in rows.fetch_all(db).await? {
        found.entry(row.vps).or_default().push(row.id);
    }
    Ok(found)
}

/// Changes what is given.
pub async fn update(app: &App, project: ProjectId, id: FloatingIpId, change: &Update) -> Result<FloatingIp> {
    let changed = sqlx::query!(
        "update floating_ips set name = coalesce($3, name), description = coalesce($4, description),
                                 labels = coalesce($5, labels)
         where project_id = $1 and id = $2",
        project.0,
        id.0,
        change.name.as_ref().map(Title::as_str),
        change.description,
        change.labels.as_ref().map(Json) as _
    );
    if changed.execute(&app.db).await.map_err(unique)?.rows_affected() == 0 {
        return Err(Error::NotFound("floating IP"));
    }
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}

/// Protects one from deletion, or no longer.
pub async fn protect(app: &App, project: ProjectId, id: FloatingIpId, delete: bool) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let changed = sqlx::query!(
        "update floating_ips set protect_delete = $3 where project_id = $1 and id = $2",
        project.0,
        id.0,
        delete
    );
    if changed.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("floating IP"));
    }
    let action =
        actions::insert_about(&mut tx, project, "change_protection", Subject::FloatingIp(id)).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// Gives one back that no VPS has. Its address rests for a while, at least until nobody answers to it any more, and is
/// anybody's then.
pub async fn delete(app: &App, project: ProjectId, id: FloatingIpId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let held = hold(&mut tx, project, id).await?;
    if held.protect_delete {
        return Err(Error::Protected("floating IP deletion is protected".into()));
    }
    if let Some(vps) = held.vps {
        return Err(Error::InUse(format!("the floating IP is assigned to server {vps}: unassign it first")));
    }
    let busy = sqlx::query_scalar!(
        r#"select exists (select from actions where floating_ip_id = $1 and status = 'running'
                                                and command <> 'change_dns_ptr') as "busy!""#,
        id.0
    );
    if busy.fetch_one(&mut *tx).await? {
        return Err(Error::Locked("an action on the floating IP is not done".into()));
    }
    addresses::change(&mut tx, held.ip, None, None).await?;
    sqlx::query!("delete from floating_ips where id = $1", id.0).execute(&mut *tx).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(())
}

/// Takes the floating IPs of a VPS that is gone; they stay with the project. The caller holds the VPS's row.
pub(super) async fn at_death(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    let rows = sqlx::query!(
        r#"select ip, floating_ip_id as "id!" from addresses
           where vps_id = $1 and floating_ip_id is not null order by ip for update"#,
        vps.0
    );
    for row in rows.fetch_all(&mut *tx).await? {
        addresses::change(tx, row.ip, Some(Owner::Floating(row.id.into())), None).await?;
    }
    Ok(())
}

/// One whose address's row this transaction holds.
struct Held {
    ip: IpNet,
    location: LocationId,
    vps: Option<VpsId>,
    protect_delete: bool,
}

async fn hold(tx: &mut PgConnection, project: ProjectId, id: FloatingIpId) -> Result<Held> {
    let row = sqlx::query!(
        "select a.ip, a.vps_id, p.location_id, i.protect_delete
         from floating_ips i join addresses a on a.floating_ip_id = i.id join pools p on p.id = a.pool_id
         where i.project_id = $1 and i.id = $2 for update of a",
        project.0,
        id.0
    );
    let row = row.fetch_optional(tx).await?.ok_or(Error::NotFound("floating IP"))?;
    Ok(Held {
        ip: row.ip,
        location: row.location_id.into(),
        vps: row.vps_id.map(VpsId),
        protect_delete: row.protect_delete,
    })
}

/// Writes a new one that has no address yet.
async fn insert(tx: &mut PgConnection, project: ProjectId, new: &New) -> Result<FloatingIpId> {
    let id = sqlx::query_scalar!(r#"select nextval(pg_get_serial_sequence('floating_ips', 'id')) as "id!""#);
    let id = FloatingIpId(id.fetch_one(&mut *tx).await?);
    let name = new.name.as_ref().map_or_else(|| Kind::Floating.automatic(id.0), Title::to_string);
    sqlx::query!(
        "insert into floating_ips (id, project_id, name, description, labels) overriding system value
         values ($1, $2, $3, $4, $5)",
        id.0,
        project.0,
        name,
        new.description,
        Json(&new.labels) as _
    )
    .execute(tx)
    .await
    .map_err(unique)?;
    Ok(id)
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("floating_ips_name_key") => {
            Error::Uniqueness("floating IP with the same name already exists".into())
        }
        _ => e.into(),
    }
}
