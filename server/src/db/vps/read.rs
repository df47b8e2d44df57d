//! Reading VPSes.
//!
//! The dynamic part of a list (filters, order, page) only finds ids; the rows come from one checked query. The status is
//! a function of desired and observed state that lives in one place, `domain::status`, so a list that filters by status
//! reads the project's rows and filters them here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use berth_proto::{Exit, Power, RestartPolicy, VpsFault, VpsMetrics, VpsState};
use chrono::{DateTime, Utc};
use ipnet::{IpNet, Ipv6Net};
use sqlx::types::Json;
use sqlx::{PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use crate::db::page::{Listed, Page, Sort};
use crate::domain::labels::Labels;
use crate::domain::life::parse_policy;
use crate::domain::selector::Selector;
use crate::domain::status::{Seen, Status, state_from_name, status};
use crate::error::{Error, Result};
use crate::ids::{DatacenterId, HostId, ImageId, LocationId, PlanId, ProjectId, UserId, VpsId};

/// A VPS with the names of what it refers to.
#[derive(Clone, Debug)]
pub struct Vps {
    /// Which VPS.
    pub id: VpsId,
    /// Identity inside the guest.
    pub uuid: Uuid,
    /// Whose it is.
    pub project_id: ProjectId,
    /// Name of the project; for operators' pages.
    pub project_name: String,
    /// Its name.
    pub name: String,
    /// The tenant's labels.
    pub labels: Labels,
    /// The host that it is on.
    pub host_id: HostId,
    /// Name of that host; for operators' pages.
    pub host_name: String,
    /// Whether the host reported within the last minute.
    pub host_fresh: bool,
    /// Where it is.
    pub datacenter_id: DatacenterId,
    /// Name of the data centre.
    pub datacenter_name: String,
    /// Where it is.
    pub location_id: LocationId,
    /// Name of the location.
    pub location_name: String,
    /// What it costs.
    pub plan_id: PlanId,
    /// Name of the plan.
    pub plan_name: String,
    /// Traffic a month that the plan includes, in bytes.
    pub included_traffic: i64,
    /// Bytes that came in this month.
    pub traffic_in: i64,
    /// Bytes that went out this month.
    pub traffic_out: i64,
    /// Bytes that came in this month by private networks.
    pub private_in: i64,
    /// Bytes that went out this month by private networks.
    pub private_out: i64,
    /// What it was made from.
    pub image_id: ImageId,
    /// Name of the image.
    pub image_name: String,
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Disk in bytes.
    pub disk_bytes: i64,
    /// Its IPv4 address.
    pub ip: Option<IpNet>,
    /// The first port of its host that leads to it, where it has a private address that comes with ports.
    pub first_port: Option<i32>,
    /// The last one.
    pub last_port: Option<i32>,
    /// IPv4 address by which its host is reached from outside.
    pub host_ipv4: Option<String>,
    /// The primary IP that the address belongs to.
    pub primary_ip_id: Option<i64>,
    /// Its /64.
    pub prefix: Option<IpNet>,
    /// The primary IP that the /64 belongs to.
    pub prefix_ip_id: Option<i64>,
    /// Generation of the desired state.
    pub generation: i64,
    power: String,
    /// Desired boot epoch.
    pub boot_epoch: i64,
    /// Whether it should stand still.
    pub frozen: bool,
    restart_policy: String,
    /// Its place among those that its host starts when it has booted.
    pub autostart_order: i32,
    /// Whether it may not be deleted.
    pub protect_delete: bool,
    /// Since when it is being deleted.
    pub deleting_at: Option<DateTime<Utc>>,
    /// Whether an action on it has not ended.
    pub locked: bool,
    /// Generation that was observed last.
    pub observed_generation: i64,
    observed_state: String,
    /// Epoch of the guest that runs or ran last.
    pub observed_boot_epoch: i64,
    /// When the running guest was started.
    pub observed_started_at: Option<DateTime<Utc>>,
    /// Whether it was seen to stand still.
    pub observed_frozen: bool,
    /// How the guest ended last, as the host reported it.
    pub observed_exit: Option<serde_json::Value>,
    /// Why the desired state could not be reached, as the host reported it.
    pub observed_fault: Option<serde_json::Value>,
    /// Use of resources, as the host reported it last.
    pub observed_metrics: Option<serde_json::Value>,
    /// Why an operator has isolated it.
    pub isolated_reason: Option<String>,
    /// Mbit/s to which its bandwidth is lowered because of its traffic; 0 for not.
    pub traffic_throttle_mbit: i64,
    /// Whether nothing passes because of its traffic.
    pub traffic_suspended: bool,
    /// When the host reported it last.
    pub observed_at: Option<DateTime<Utc>>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

impl Vps {
    /// Desired power.
    #[must_use]
    pub fn power(&self) -> Power {
        power_from_name(&self.power)
    }

    /// What its host said last.
    #[must_use]
    pub fn observed_state(&self) -> VpsState {
        state_from_name(&self.observed_state)
    }

    /// What it uses, as its host said last; none while it does not run.
    #[must_use]
    pub fn metrics(&self) -> Option<VpsMetrics> {
        self.observed_metrics.clone().and_then(|metrics| serde_json::from_value(metrics).ok())
    }

    /// What happens when it ends by itself.
    #[must_use]
    pub fn restart_policy(&self) -> RestartPolicy {
        parse_policy("restart_policy", &self.restart_policy).unwrap_or_default() // a check of the table allows no other
    }

    /// How its guest ended last, as its host said.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.observed_exit.clone().and_then(|exit| serde_json::from_value(exit).ok())
    }

    /// What stands in the way of its desired state, as its host said.
    #[must_use]
    pub fn fault(&self) -> Option<VpsFault> {
        self.observed_fault.clone().and_then(|fault| serde_json::from_value(fault).ok())
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.ip?.addr() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        }
    }

    /// Its /64 of IPv6.
    #[must_use]
    pub fn ipv6(&self) -> Option<Ipv6Net> {
        match self.prefix? {
            IpNet::V6(net) => Some(net),
            IpNet::V4(_) => None,
        }
    }

    /// What it is called at this moment.
    #[must_use]
    pub fn status(&self) -> Status {
        let terminal = |fault: &serde_json::Value| fault["terminal"] == serde_json::Value::Bool(true);
        status(&Seen {
            deleting: self.deleting_at.is_some(),
            power: self.power(),
            boot_epoch: self.boot_epoch,
            host_fresh: self.host_fresh,
            observed: self.observed_at.is_some(),
            state: self.observed_state(),
            observed_boot_epoch: self.observed_boot_epoch,
            failed: self.observed_fault.as_ref().is_some_and(terminal),
        })
    }
}

/// Reads desired power as the database spells it.
pub(super) fn power_from_name(name: &str) -> Power {
    if name == "running" { Power::Running } else { Power::Stopped } // a check of the table allows no other
}

/// Which VPSes to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Only those whose names hold this, in whatever case.
    pub named_like: Option<String>,
    /// Only those in the location of this name.
    pub location: Option<String>,
    /// Only those with these labels.
    pub selector: Selector,
    /// Only those that are called by one of these; none of them when there are none.
    pub status: Option<Vec<Status>>,
    /// Only those on which this person was given something.
    pub granted_to: Option<UserId>,
    /// In this order (`id`, `name`, `created_at`).
    pub sort: Vec<Sort>,
}

/// One VPS of a project.
pub async fn get(db: &PgPool, project: ProjectId, id: VpsId) -> Result<Vps> {
    let found = rows(db, &[id.0]).await?;
    found.into_iter().find(|v| v.project_id == project).ok_or(Error::NotFound("server"))
}

/// The names of a project's VPSes by their ids, for whoever speaks of many and shows nothing else of them.
pub async fn names(db: &PgPool, project: ProjectId) -> Result<BTreeMap<i64, String>> {
    let rows =
        sqlx::query!("select id, name from vps where project_id = $1 and deleted_at is null", project.0);
    Ok(rows.fetch_all(db).await?.into_iter().map(|row| (row.id, row.name)).collect())
}

/// Whether the project has, or had, this VPS; its actions stay readable.
pub async fn ever_existed(db: &PgPool, project: ProjectId, id: VpsId) -> Result<bool> {
    let any = sqlx::query_scalar!(
        r#"select exists (select 1 from vps where id = $1 and project_id = $2) as "any!""#,
        id.0,
        project.0
    );
    Ok(any.fetch_one(db).await?)
}

/// Some VPSes of a project.
pub async fn list(db: &PgPool, project: ProjectId, filter: &Filter, page: Page) -> Result<Listed<Vps>> {
    find(db, Some(project), filter, page).await
}

/// Some VPSes of all projects; for operators.
pub async fn list_everywhere(db: &PgPool, filter: &Filter, page: Page) -> Result<Listed<Vps>> {
    find(db, None, filter, page).await
}

/// These VPSes, in this order; for operators.
pub async fn some(db: &PgPool, ids: &[i64]) -> Result<Vec<Vps>> {
    rows(db, ids).await
}

/// VPSes of a host, by id; for operators.
pub async fn on_host(db: &PgPool, host: HostId, page: Page) -> Result<Listed<Vps>> {
    let ids = sqlx::query_scalar!(
        "select id from vps where host_id = $1 and deleted_at is null order by id",
        host.0
    );
    let Listed { items: ids, total } = page.cut(ids.fetch_all(db).await?);
    Ok(Listed { items: rows(db, &ids).await?, total })
}

async fn find(db: &PgPool, project: Option<ProjectId>, filter: &Filter, page: Page) -> Result<Listed<Vps>> {
    let mut query = QueryBuilder::<Postgres>::new("select id from vps where deleted_at is null");
    if let Some(project) = project {
        query.push(" and project_id = ").push_bind(project.0);
    }
    if let Some(name) = &filter.name {
        query.push(" and name = ").push_bind(name.clone());
    }
    if let Some(part) = &filter.named_like {
        query.push(" and position(lower(").push_bind(part.clone()).push(") in lower(name)) > 0");
    }
    if let Some(location) = &filter.location {
        query.push(
            " and host_id in (select h.id from hosts h join datacenters d on d.id = h.datacenter_id
                              join locations l on l.id = d.location_id where l.name = ",
        );
        query.push_bind(location.clone()).push(")");
    }
    if let Some(user) = filter.granted_to {
        query.push(" and id in (select vps_id from grants where user_id = ").push_bind(user.0).push(")");
    }
    crate::db::selector::push(&mut query, "labels", &filter.selector);
    Sort::push(&filter.sort, &mut query);
    let ids = query.build_query_scalar::<i64>().fetch_all(db).await?;
    let Some(status) = &filter.status else {
        let Listed { items: ids, total } = page.cut(ids);
        return Ok(Listed { items: rows(db, &ids).await?, total });
    };
    let mut all = rows(db, &ids).await?;
    all.retain(|v| status.contains(&v.status()));
    Ok(page.cut(all))
}

/// Rows by id, in the order of the ids.
async fn rows(db: &PgPool, ids: &[i64]) -> Result<Vec<Vps>> {
    let rows = sqlx::query_as!(
        Vps,
        r#"select v.id, v.uuid, v.project_id, j.name as project_name, v.name, v.labels as "labels: Json<Labels>",
                  v.host_id, h.name as host_name,
                  coalesce(h.last_report_at > now() - interval '60 seconds', false) as "host_fresh!",
                  d.id as datacenter_id, d.name as datacenter_name, l.id as location_id, l.name as location_name,
                  v.plan_id, p.name as plan_name, p.included_traffic, coalesce(t.in_bytes, 0) as "traffic_in!",
                  coalesce(t.out_bytes, 0) as "traffic_out!", coalesce(t.private_in_bytes, 0) as "private_in!",
                  coalesce(t.private_out_bytes, 0) as "private_out!", v.image_id, i.name as image_name,
                  v.cpu_milli, v.memory_bytes, v.disk_bytes, a.ip as "ip?", a.primary_ip_id,
                  r.first_port as "first_port?", r.last_port as "last_port?",
                  coalesce(host(h.public_ipv4), h.facts ->> 'address') as host_ipv4,
                  a6.ip as "prefix?", a6.primary_ip_id as prefix_ip_id,
                  v.generation, case when v.suspended then 'stopped' else v.power end as "power!", v.boot_epoch, v.frozen, v.restart_policy, v.autostart_order,
                  v.protect_delete, v.deleting_at,
                  exists (select 1 from actions x where x.vps_id = v.id and x.status = 'running'
                                                        and x.command <> 'change_dns_ptr') as "locked!",
                  v.observed_generation, v.observed_state, v.observed_boot_epoch, v.observed_started_at,
                  v.observed_frozen, v.isolated_reason, v.traffic_throttle_mbit, v.traffic_suspended,
                  v.observed_exit, v.observed_fault, v.observed_metrics, v.observed_at, v.created_at
           from unnest($1::bigint[]) with ordinality as wanted(id, n)
                join vps v on v.id = wanted.id
                join projects j on j.id = v.project_id
                join hosts h on h.id = v.host_id
                join datacenters d on d.id = h.datacenter_id
                join locations l on l.id = d.location_id
                join plans p on p.id = v.plan_id
                join images i on i.id = v.image_id
                left join addresses a on a.vps_id = v.id and a.primary_ip_id is not null and family(a.ip) = 4
                left join addresses a6 on a6.vps_id = v.id and a6.primary_ip_id is not null and family(a6.ip) = 6
                left join port_ranges r on r.vps_id = v.id and r.pool_id = a.pool_id
                left join traffic t on t.vps_id = v.id and t.period = traffic_period(now())
           where v.deleted_at is null
           order by wanted.n"#,
        ids
    );
    Ok(rows.fetch_all(db).await?)
}
