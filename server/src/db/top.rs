//! Which VPSes of the fleet use most, by their newest two samples.

use sqlx::PgPool;

use super::page::{Listed, Page};
use crate::error::Result;

/// By what they are ordered; those of which it is not known come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Cores in use.
    #[default]
    Cpu,
    /// Memory in use.
    Memory,
    /// Bytes read from and written to the disk a second.
    Disk,
    /// Bytes in and out a second.
    Network,
    /// How often limits were hit since the guest was started.
    Hits,
    /// The newest first.
    Created,
}

impl By {
    /// All, by their names in requests.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Cpu, "cpu"),
        (Self::Memory, "memory"),
        (Self::Disk, "disk"),
        (Self::Network, "network"),
        (Self::Hits, "hits"),
        (Self::Created, "created"),
    ];

    /// Reads a name; anything else is the first.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::ALL.iter().find(|(_, known)| *known == name).map_or(Self::Cpu, |(by, _)| *by)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(by, _)| *by == self).map_or("cpu", |(_, name)| name)
    }
}

/// What a VPS uses now; none of what is not known, since it does not run or has just been started.
#[derive(Clone, Debug)]
pub struct Use {
    /// Which VPS.
    pub id: i64,
    /// Cores.
    pub cpu: Option<f64>,
    /// Bytes of memory.
    pub memory: Option<i64>,
    /// Bytes from and to the disk a second.
    pub disk: Option<f64>,
    /// Bytes in and out a second.
    pub network: Option<f64>,
    /// How often memory and processes came to their limits since the guest was started, kills for want of memory included.
    pub hits: Option<i64>,
}

/// VPSes of all projects, those that use most first; for operators.
pub async fn list(db: &PgPool, by: By, page: Page) -> Result<Listed<Use>> {
    let items = sqlx::query_as!(
        Use,
        r#"select v.id, u.cpu as "cpu?", u.memory as "memory?", u.disk as "disk?", u.network as "network?", u.hits as "hits?"
           from vps v left join lateral (
             select case when d.dt > 0 and d.cpu >= 0 then (d.cpu / d.dt / 1000000)::float8 end as cpu, d.memory,
                    case when d.dt > 0 and d.disk >= 0 then (d.disk / d.dt)::float8 end as disk,
                    case when d.dt > 0 and d.network >= 0 then (d.network / d.dt)::float8 end as network, d.hits
             from (
               select s.at, extract(epoch from s.at - lead(s.at) over w) as dt, s.cpu - lead(s.cpu) over w as cpu,
                      s.memory, s.disk - lead(s.disk) over w as disk, s.network - lead(s.network) over w as network, s.hits
               from (
                 select at, cpu_usec as cpu, memory_bytes as memory, disk_read_bytes + disk_write_bytes as disk,
                        net_in_bytes + net_out_bytes as network, hit_memory_max + hit_oom_kills + hit_pids_max as hits
                 from vps_samples where vps_id = v.id and at > now() - interval '90 seconds' order by at desc limit 2
               ) s window w as (order by s.at desc)
             ) d order by d.at desc limit 1
           ) u on true
           where v.deleted_at is null
           order by case $1 when 'cpu' then u.cpu when 'memory' then u.memory::float8 when 'disk' then u.disk
                            when 'network' then u.network when 'hits' then u.hits::float8 end desc nulls last, v.id desc
           limit $2 offset $3"#,
        by.name(),
        page.size,
        page.offset()
    );
    let total = sqlx::query_scalar!(r#"select count(*) as "total!" from vps where deleted_at is null"#);
    Ok(Listed { items: items.fetch_all(db).await?, total: total.fetch_one(db).await? })
}
