//! Hosts, as operators see them.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use crate::app::App;
use crate::domain::names::{Slug, Title};
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{HostId, LocationId};
use crate::wake::Changed;

/// A host.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = operators::Host)]
pub struct Host {
    /// Which host.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its data centre.
    pub datacenter: String,
    /// Its location.
    pub location: String,
    /// `new` (never enrolled), `online`, `offline` (no report within the last minute) or `revoked`.
    pub state: String,
    /// Whether new VPSes are kept away from it.
    pub cordoned: bool,
    /// Why, if somebody said so.
    pub cordon_reason: Option<String>,
    /// When it was enrolled last.
    pub enrolled_at: Option<DateTime<Utc>>,
    /// Since when its certificate is not accepted.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When it was heard of last.
    pub last_report_at: Option<DateTime<Utc>>,
    /// Until when its certificate is good; null where that is not known until it is renewed.
    pub cert_until: Option<DateTime<Utc>>,
    /// Version of its agent.
    pub agent_version: String,
    /// CPU in all, thousandths of a core, before overcommit.
    pub capacity_cpu_milli: i64,
    /// Memory for VPSes in all, bytes.
    pub capacity_memory: i64,
    /// Disk for VPSes in all, bytes.
    pub capacity_disk: i64,
    /// How many times each core may be sold.
    pub cpu_overcommit: f64,
    /// CPU that is sold, thousandths of a core.
    pub allocated_cpu_milli: i64,
    /// CPU that is guaranteed to VPSes, thousandths of a core; never more than the host has.
    pub allocated_cpu_guarantee_milli: i64,
    /// Memory that is sold, bytes.
    pub allocated_memory: i64,
    /// Disk that is sold, bytes.
    pub allocated_disk: i64,
    /// How many VPSes it has.
    pub vps_count: i64,
    /// What it lacks, in short: features that its agent has not found, and `routers` where its location has pools that
    /// are announced and it has nobody to announce such addresses to.
    pub lacks: Vec<String>,
    /// What it is, and lacks (`HostFacts` of the agents' protocol).
    #[schema(value_type = Object)]
    pub facts: serde_json::Value,
    /// Its load (`HostMetrics` of the agents' protocol).
    #[schema(value_type = Object)]
    pub metrics: serde_json::Value,
    /// Digests of the images that stand ready on it.
    #[schema(value_type = Vec<String>)]
    pub images: serde_json::Value,
    /// Ids of VPSes that it has and that are not ours to run there; they are kept and fenced off.
    #[schema(value_type = Vec<i64>)]
    pub orphans: serde_json::Value,
    /// Since when it is known.
    pub created_at: DateTime<Utc>,
}

macro_rules! select {
    ($rest:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Host,
            r#"select h.id, h.name, d.name as datacenter, l.name as location,
                 case when h.revoked_at is not null then 'revoked' when h.enrolled_at is null then 'new'
                      when h.last_report_at > now() - interval '60 seconds' then 'online' else 'offline' end as "state!",
                 h.cordoned, h.cordon_reason, h.enrolled_at, h.revoked_at, h.last_report_at, h.cert_until, h.agent_version,
                 h.capacity_cpu_milli, h.capacity_memory, h.capacity_disk, h.cpu_overcommit,
                 h.allocated_cpu_milli, h.allocated_cpu_guarantee_milli, h.allocated_memory, h.allocated_disk, h.vps_count,
                 array(select coalesce(m ->> 'feature', '') from jsonb_array_elements(coalesce(h.facts -> 'missing', '[]')) as m
                       union all
                       select 'routers' where exists (
                         select from pools p where p.location_id = l.id
                           and host_lacks(h.facts, h.bgp, p.kind, family(p.cidr)) = 'routers')) as "lacks!: Vec<String>",
                 h.facts, h.metrics, h.images, h.orphans, h.created_at
               from hosts h join datacenters d on d.id = h.datacenter_id join locations l on l.id = d.location_id "#
            + $rest
            $(, $arg)*
        )
    };
}

/// All hosts, by name.
pub async fn list(db: &PgPool) -> Result<Vec<Host>> {
    Ok(select!("order by h.name").fetch_all(db).await?)
}

/// A host by its id.
pub async fn get(db: &PgPool, id: HostId) -> Result<Host> {
    select!("where h.id = $1", id.0).fetch_optional(db).await?.ok_or(Error::NotFound("host"))
}

/// A host by its name.
pub async fn find(db: &PgPool, name: &str) -> Result<Option<Host>> {
    Ok(select!("where h.name = $1", name).fetch_optional(db).await?)
}

/// Makes a host. It can be enrolled with a token then.
pub async fn create(app: &App, name: &Slug, datacenter: i64) -> Result<Host> {
    let made = sqlx::query_scalar!(
        "insert into hosts (name, datacenter_id) values ($1, $2) returning id",
        name.as_str(),
        datacenter
    );
    let id = made.fetch_one(&app.db).await.map_err(|e| match broken_constraint(&e) {
        Some("hosts_name_key") => Error::Uniqueness("a host with this name exists already".into()),
        Some("hosts_datacenter_id_fkey") => Error::NotFound("datacenter"),
        _ => e.into(),
    })?;
    app.wake.changed(Changed::Fleet);
    get(&app.db, HostId(id)).await
}

/// What an operator changes of a host.
#[derive(Clone, Debug, Default, serde::Deserialize, utoipa::ToSchema)]
#[schema(as = operators::HostUpdate)]
pub struct Update {
    /// Keep new VPSes away from it.
    pub cordoned: Option<bool>,
    /// Why, a line of 1 to 128 characters for other operators; forgotten when the host is cordoned anew, or no more.
    pub cordon_reason: Option<String>,
    /// How many times each core may be sold, from 1 on.
    pub cpu_overcommit: Option<f64>,
}

/// Changes a host.
pub async fn update(app: &App, id: HostId, change: Update) -> Result<Host> {
    let reason =
        change.cordon_reason.as_deref().map(|reason| Title::parse("cordon_reason", reason)).transpose()?;
    let changed = sqlx::query!(
        "update hosts set cordoned = coalesce($2, cordoned), cpu_overcommit = coalesce($3, cpu_overcommit),
                cordon_reason = case when $2 is null then coalesce($4, cordon_reason) else $4 end where id = $1",
        id.0,
        change.cordoned,
        change.cpu_overcommit,
        reason.as_ref().map(Title::as_str)
    );
    let changed = changed.execute(&app.db).await.map_err(|e| match broken_constraint(&e) {
        Some("hosts_cordon_reason") => {
            Error::invalid("cordon_reason", "is for a host that is cordoned, and this one is not")
        }
        Some("hosts_cpu_overcommit_check") => Error::invalid("cpu_overcommit", "is at least 1"),
        _ => e.into(),
    })?;
    if changed.rows_affected() == 0 {
        return Err(Error::NotFound("host"));
    }
    app.wake.changed(Changed::Fleet);
    get(&app.db, id).await
}

/// Ends the validity of a host's certificate, and of its enrolment tokens, at once. Its VPSes run on, unseen.
pub async fn revoke(app: &App, id: HostId) -> Result<Host> {
    let mut tx = app.db.begin().await?;
    let revoked = sqlx::query!(
        "update hosts set revoked_at = coalesce(revoked_at, now()), cert_fingerprint = null, next_cert_fingerprint = null
         where id = $1",
        id.0
    );
    if revoked.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("host"));
    }
    sqlx::query!("delete from enrol_tokens where host_id = $1", id.0).execute(&mut *tx).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(id.0)); // its blocked watch is refused now
    app.wake.changed(Changed::Fleet);
    get(&app.db, id).await
}

/// Removes a host that has no VPSes. One that had some stays known, revoked: deleted VPSes point to it.
pub async fn remove(app: &App, id: HostId) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let count = sqlx::query_scalar!("select vps_count from hosts where id = $1 for update", id.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::NotFound("host"))?;
    if count > 0 {
        return Err(Error::InUse(format!(
            "the host has {count} servers; delete them first, or revoke the host"
        )));
    }
    let had = sqlx::query_scalar!(r#"select exists (select from vps where host_id = $1) as "had!""#, id.0)
        .fetch_one(&mut *tx)
        .await?;
    if had {
        tx.rollback().await?;
        revoke(app, id).await?;
        return Ok(());
    }
    sqlx::query!("delete from hosts where id = $1", id.0).execute(&mut *tx).await?;
    tx.commit().await?;
    app.wake.changed(Changed::Host(id.0));
    app.wake.changed(Changed::Fleet);
    Ok(())
}

/// Hosts whose last report has just become too old (60 to 70 seconds), and the projects that have VPSes on them.
pub async fn gone_silent(db: &PgPool) -> Result<(Vec<i64>, Vec<i64>)> {
    let hosts = sqlx::query_scalar!(
        "select id from hosts where revoked_at is null
           and last_report_at between now() - interval '70 seconds' and now() - interval '60 seconds'"
    );
    let hosts = hosts.fetch_all(db).await?;
    let projects = sqlx::query_scalar!(
        "select distinct project_id from vps where host_id = any($1) and deleted_at is null",
        &hosts
    );
    let projects = projects.fetch_all(db).await?;
    Ok((hosts, projects))
}

/// Raises the sequence of all hosts, or of those of a location, because something changed that all of them should hold.
/// Gives them, for [`wake`] after the commit.
pub(crate) async fn touch(tx: &mut PgConnection, location: Option<LocationId>) -> Result<Vec<i64>> {
    let touched = sqlx::query_scalar!(
        "with locked as (
           select h.id from hosts h join datacenters d on d.id = h.datacenter_id
           where $1::bigint is null or d.location_id = $1 order by h.id for update of h
         )
         update hosts h set seq = seq + 1 from locked where h.id = locked.id returning h.id",
        location.map(|l| l.0)
    );
    Ok(touched.fetch_all(tx).await?)
}

/// Wakes these hosts.
pub(crate) fn wake(app: &App, hosts: &[i64]) {
    hosts.iter().for_each(|id| app.wake.changed(Changed::Host(*id)));
}
