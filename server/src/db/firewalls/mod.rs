//! Firewalls of a project: reading and writing them. What they mean for VPSes is in [`effect`], to whom they are applied
//! in [`targets`].
//!
//! Every change takes the project's row for update first, so that what follows for VPSes is computed by one at a time.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, QueryBuilder};

use super::page::{Listed, Page, Sort};
use crate::app::App;
use crate::domain::firewall::Rule;
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::selector::Selector;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{FirewallId, ProjectId, VpsId};
use crate::wake::Changed;

mod effect;
mod hits;
mod targets;

pub(super) use effect::{at_birth, hold_still, relabelled};
pub(crate) use hits::note as note_hits;
pub use hits::{Counted, Difference, OfVps, Side, hits, try_rules};
pub use targets::{Target, apply, remove, set_private, set_rules};

/// A firewall.
#[derive(Clone, Debug)]
pub struct Firewall {
    /// Which firewall.
    pub id: FirewallId,
    /// Unique in the project.
    pub name: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// Its rules, in the tenant's order.
    pub rules: Vec<Rule>,
    /// Whether they hold in private networks as well.
    pub private: bool,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
    /// The VPSes that it was applied to by name.
    pub vpses: Vec<i64>,
    /// The selectors that it was applied to, each with the VPSes that have such labels.
    pub selectors: Vec<(String, Vec<i64>)>,
}

/// Which firewalls to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only those with these labels.
    pub selector: Selector,
    /// In this order (`id`, `name`, `created_at`).
    pub sort: Vec<Sort>,
}

/// A firewall that holds for a VPS, and whether its host has confirmed that.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// The VPS.
    pub vps_id: i64,
    /// The firewall.
    pub firewall_id: i64,
    /// Whether the host has put it in force.
    pub applied: bool,
}

/// Some firewalls of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<Firewall>> {
    let mut query = QueryBuilder::new("select id from firewalls where project_id = ");
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

/// One firewall.
pub async fn get(db: &PgPool, project: ProjectId, id: FirewallId) -> Result<Firewall> {
    read(db, project, &[id.0]).await?.pop().ok_or(Error::NotFound("firewall"))
}

async fn read(db: &PgPool, project: ProjectId, ids: &[i64]) -> Result<Vec<Firewall>> {
    let rows = sqlx::query!(
        r#"select f.id, name, labels as "labels: Json<Labels>", rules as "rules: Json<Vec<Rule>>", private, created_at
           from unnest($2::bigint[]) with ordinality as wanted(id, n) join firewalls f on f.id = wanted.id
           where project_id = $1 order by wanted.n"#,
        project.0,
        ids
    );
    let rows = rows.fetch_all(db).await?;
    let targets = sqlx::query!(
        "select firewall_id, vps_id, selector from firewall_targets where firewall_id = any($1)
         order by vps_id, selector",
        ids
    );
    let targets = targets.fetch_all(db).await?;
    let members = sqlx::query!(
        r#"select m.firewall_id, m.vps_id, v.labels as "labels: Json<Labels>"
           from vps_firewalls m join vps v on v.id = m.vps_id
           where m.firewall_id = any($1) and v.deleted_at is null order by m.vps_id"#,
        ids
    );
    let members = members.fetch_all(db).await?;
    let mut found = Vec::new();
    for row in rows {
        let mine = || targets.iter().filter(|target| target.firewall_id == row.id);
        let mut selectors = Vec::new();
        for text in mine().filter_map(|target| target.selector.as_ref()) {
            let selector = Selector::parse(text)?;
            let matching = members.iter().filter(|m| m.firewall_id == row.id && selector.matches(&m.labels));
            selectors.push((text.clone(), matching.map(|m| m.vps_id).collect()));
        }
        found.push(Firewall {
            id: row.id.into(),
            name: row.name,
            labels: row.labels.0,
            rules: row.rules.0,
            private: row.private,
            created_at: row.created_at,
            vpses: mine().filter_map(|target| target.vps_id).collect(),
            selectors,
        });
    }
    Ok(found)
}

/// The firewalls that hold for these VPSes.
pub async fn of_vpses(db: &PgPool, vpses: &[i64]) -> Result<BTreeMap<i64, Vec<Holds>>> {
    let rows = sqlx::query_as!(
        Holds,
        r#"select m.vps_id, m.firewall_id, v.observed_generation >= v.generation as "applied!"
           from vps_firewalls m join vps v on v.id = m.vps_id where m.vps_id = any($1) order by m.firewall_id"#,
        vpses
    );
    let mut found = BTreeMap::<i64, Vec<Holds>>::new();
    for holds in rows.fetch_all(db).await? {
        found.entry(holds.vps_id).or_default().push(holds);
    }
    Ok(found)
}

/// Makes a firewall that is applied to nobody yet.
pub async fn create(
    app: &App,
    project: ProjectId,
    name: &Title,
    labels: &Labels,
    rules: &[Rule],
) -> Result<FirewallId> {
    let made = sqlx::query_scalar!(
        "insert into firewalls (project_id, name, labels, rules) values ($1, $2, $3, $4) returning id",
        project.0,
        name.as_str(),
        Json(labels) as _,
        Json(rules) as _
    );
    let id = made.fetch_one(&app.db).await.map_err(unique)?;
    app.wake.changed(Changed::Project(project.0));
    Ok(id.into())
}

/// Changes what is given.
pub async fn update(
    app: &App,
    project: ProjectId,
    id: FirewallId,
    name: Option<&Title>,
    labels: Option<&Labels>,
) -> Result<Firewall> {
    let changed = sqlx::query!(
        "update firewalls set name = coalesce($3, name), labels = coalesce($4, labels)
         where project_id = $1 and id = $2",
        project.0,
        id.0,
        name.map(Title::as_str),
        labels.map(Json) as _
    );
    if changed.execute(&app.db).await.map_err(unique)?.rows_affected() == 0 {
        return Err(Error::NotFound("firewall"));
    }
    app.wake.changed(Changed::Project(project.0));
    get(&app.db, project, id).await
}

/// Deletes a firewall that is applied to nobody.
pub async fn delete(app: &App, project: ProjectId, id: FirewallId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    hold(&mut tx, project).await?;
    exists(&mut tx, project, id).await?;
    let used = sqlx::query_scalar!(
        r#"select exists (select from firewall_targets where firewall_id = $1) as "used!""#,
        id.0
    );
    if used.fetch_one(&mut *tx).await? {
        return Err(Error::InUse("firewall is still applied: remove it from its resources first".into()));
    }
    sqlx::query!("delete from firewalls where id = $1", id.0).execute(&mut *tx).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Project(project.0));
    Ok(())
}

/// Forgets a VPS that is gone. The caller holds its row.
pub(super) async fn forget(tx: &mut PgConnection, vps: VpsId) -> Result<()> {
    sqlx::query!("delete from firewall_targets where vps_id = $1", vps.0).execute(&mut *tx).await?;
    sqlx::query!("delete from vps_firewalls where vps_id = $1", vps.0).execute(&mut *tx).await?;
    Ok(())
}

/// Takes the project's row, so that nobody else changes firewalls, labels or the number of VPSes meanwhile.
async fn hold(tx: &mut PgConnection, project: ProjectId) -> Result<()> {
    sqlx::query!("select id from projects where id = $1 for no key update", project.0).fetch_one(tx).await?;
    Ok(())
}

async fn exists(tx: &mut PgConnection, project: ProjectId, id: FirewallId) -> Result<()> {
    let found =
        sqlx::query_scalar!("select id from firewalls where project_id = $1 and id = $2", project.0, id.0);
    found.fetch_optional(tx).await?.map(drop).ok_or(Error::NotFound("firewall"))
}

fn unique(e: sqlx::Error) -> Error {
    match broken_constraint(&e) {
        Some("firewalls_name_key") => Error::Uniqueness("firewall with the same name already exists".into()),
        _ => e.into(),
    }
}
