//! What must be true of the inventory at any time, and what must be true once nothing is on its way any more.

use std::time::Duration;

use sqlx::PgPool;

use crate::wait;

/// Questions whose answer must be empty: each finds what would be a catastrophe, or a slow leak.
const NEVER: [(&str, &str); 13] = [
    (
        "a host's sums differ from its VPSes",
        "select h.name || ': ' || h.allocated_cpu_milli || ' of cpu, ' || h.allocated_memory || ' of memory, '
             || h.allocated_disk || ' of disk, ' || h.allocated_cpu_guarantee_milli || ' of cpu guaranteed, '
             || h.vps_count || ' VPSes; really '
             || coalesce(sum(greatest(v.cpu_milli, p.cpu_milli)), 0) || ', '
             || coalesce(sum(greatest(v.memory_bytes, p.memory_bytes)), 0) || ', '
             || coalesce(sum(v.disk_bytes), 0) || ', '
             || coalesce(sum(greatest(v.cpu_guarantee_milli, p.cpu_guarantee_milli)), 0) || ', ' || count(v.id)
         from hosts h left join vps v on v.host_id = h.id and v.deleted_at is null left join plans p on p.id = v.plan_id
         group by h.id
         having h.allocated_cpu_milli <> coalesce(sum(greatest(v.cpu_milli, p.cpu_milli)), 0)
             or h.allocated_memory <> coalesce(sum(greatest(v.memory_bytes, p.memory_bytes)), 0)
             or h.allocated_cpu_guarantee_milli
                <> coalesce(sum(greatest(v.cpu_guarantee_milli, p.cpu_guarantee_milli)), 0)
             or h.allocated_disk <> coalesce(sum(v.disk_bytes), 0)
             or h.vps_count <> count(v.id)",
    ),
    (
        "a host is oversold",
        "select name || ': ' || allocated_memory || ' of ' || capacity_memory || ' bytes of memory, ' || allocated_disk
             || ' of ' || capacity_disk || ' bytes of disk' from hosts
         where enrolled_at is not null and last_report_at is not null
           and (allocated_memory > capacity_memory or allocated_disk > capacity_disk
             or allocated_cpu_milli > capacity_cpu_milli * cpu_overcommit)",
    ),
    (
        "a host guarantees more than it has",
        "select h.name || ': ' || sum(v.cpu_guarantee_milli) || ' of ' || h.capacity_cpu_milli || ' of cpu, '
             || sum(v.memory_guarantee_bytes) || ' of ' || h.capacity_memory || ' of memory'
         from hosts h join vps v on v.host_id = h.id and v.deleted_at is null
         where h.enrolled_at is not null and h.last_report_at is not null
         group by h.id
         having sum(v.cpu_guarantee_milli) > h.capacity_cpu_milli
             or sum(v.memory_guarantee_bytes) > h.capacity_memory",
    ),
    (
        "an address belongs to a VPS that is gone",
        "select host(a.ip) || ' of VPS ' || v.id from addresses a join vps v on v.id = a.vps_id
         where v.deleted_at is not null",
    ),
    (
        "a primary IP has no address",
        "select 'primary IP ' || id from primary_ips i
         where not exists (select from addresses a where a.primary_ip_id = i.id)",
    ),
    (
        "a floating IP has no address",
        "select 'floating IP ' || id from floating_ips i
         where not exists (select from addresses a where a.floating_ip_id = i.id)",
    ),
    (
        "the history of an address does not end with who has it",
        "select host(coalesce(a.ip, h.ip)) from (select * from addresses where held) a
         full join (select * from address_history where until_at is null) h on h.ip = a.ip
         where (a.primary_ip_id, a.floating_ip_id, a.vps_id)
               is distinct from (h.primary_ip_id, h.floating_ip_id, h.vps_id)",
    ),
    (
        "a VPS that is gone is in a network",
        "select 'VPS ' || v.id || ' in network ' || m.network_id from vps_networks m join vps v on v.id = m.vps_id
         where v.deleted_at is not null",
    ),
    (
        "a VPS has not exactly one address in a network, or an outer one",
        "select 'VPS ' || m.vps_id || ' in network ' || m.network_id from vps_networks m
                join networks n on n.id = m.network_id
                left join network_addresses a on a.vps_id = m.vps_id and a.network_id = m.network_id and not a.alias
         group by m.vps_id, m.network_id, n.ip_range having count(a.ip) <> 1 or not bool_and(a.ip << n.ip_range)",
    ),
    (
        "a VPS has ports of another host, or none where its address comes with some",
        "select 'VPS ' || v.id from vps v
                left join addresses a on a.vps_id = v.id and a.primary_ip_id is not null and family(a.ip) = 4
                left join pools p on p.id = a.pool_id left join port_ranges r on r.vps_id = v.id
         where r.host_id <> v.host_id or (r.id is not null and v.deleted_at is not null)
            or (p.ports_first is not null and r.pool_id is distinct from p.id and v.deleting_at is null)",
    ),
    (
        "two VPSes of a project have one name",
        "select project_id || '/' || lower(name) from vps where deleted_at is null
         group by project_id, lower(name) having count(*) > 1",
    ),
    (
        "a VPS's sequence is ahead of its host's",
        "select 'VPS ' || v.id from vps v join hosts h on h.id = v.host_id where v.host_seq > h.seq",
    ),
    (
        "an action has ended without an end, or the other way round",
        "select 'action ' || id from actions where (status = 'running') <> (finished_at is null)
             or (status = 'error') <> (error_code is not null)",
    ),
];

/// Checks what must be true at any time, also while things are on their way.
///
/// # Panics
/// When it is not.
pub async fn consistent(db: &PgPool) {
    for (what, sql) in NEVER {
        let found: Vec<String> =
            sqlx::query_scalar(sql).fetch_all(db).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(found.is_empty(), "{what}: {found:#?}");
    }
}

/// Waits until no action runs and no tombstone is left, and checks everything.
///
/// # Panics
/// When something stays on its way, or is wrong.
pub async fn settled(db: &PgPool) {
    settled_within(db, Duration::from_secs(30)).await;
}

/// As [`settled`], where guests may take their time.
///
/// # Panics
/// When something stays on its way, or is wrong.
pub async fn settled_within(db: &PgPool, deadline: Duration) {
    wait::until("all actions and tombstones to be done", deadline, async || {
        let open: Vec<String> = sqlx::query_scalar(
            "select 'action ' || id || ' ' || command || ' of VPS ' || coalesce(vps_id, 0) from actions
             where status = 'running'
             union all
             select 'tombstone of VPS ' || id from vps where deleting_at is not null and deleted_at is null",
        )
        .fetch_all(db)
        .await
        .map_err(|e| e.to_string())?;
        if open.is_empty() { Ok(()) } else { Err(open.join(", ")) }
    })
    .await;
    consistent(db).await;
}

/// Waits until exactly this many VPSes exist and hold exactly as many addresses.
///
/// # Panics
/// When it does not come to that.
pub async fn holds(db: &PgPool, vpses: i64) {
    wait::until(&format!("{vpses} VPSes to be held"), Duration::from_secs(30), async || {
        let found: (i64, i64) = sqlx::query_as(
            "select (select count(*) from vps where deleted_at is null),
                    (select count(*) from addresses where vps_id is not null and family(ip) = 4)",
        )
        .fetch_one(db)
        .await
        .map_err(|e| e.to_string())?;
        if found == (vpses, vpses) {
            Ok(())
        } else {
            Err(format!("{} VPSes, {} addresses", found.0, found.1))
        }
    })
    .await;
}

/// The host that a VPS was placed on.
///
/// # Panics
/// When there is no such VPS.
pub async fn host_of(db: &PgPool, vps: i64) -> i64 {
    let host = sqlx::query_scalar("select host_id from vps where id = $1").bind(vps).fetch_one(db).await;
    host.unwrap_or_else(|e| panic!("VPS {vps}: {e}"))
}
