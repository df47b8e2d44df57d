//! Samples of resource use: kept for a bounded window in daily partitions, read as rates for graphs.
//!
//! Counters rise from the start of a guest, so a counter that fell means a restart: what it shows then was used since.
//! Longer spans are read from sums (see [`sums`]). Between two samples that are further apart than [`GAP_S`] nothing is known, and graphs show a gap.

use std::time::Duration;

use berth_proto::{HostMetrics, VpsMetrics, VpsObserved};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

use super::sums;

pub(super) const GAP_S: f64 = 60.0;

/// Use of resources of one VPS in one bucket of time.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Point {
    /// Begin of the bucket.
    pub at: DateTime<Utc>,
    /// 100 is one core.
    pub cpu_percent: f64,
    /// Memory, average.
    pub memory_bytes: f64,
    /// Memory, the most that a sample showed.
    pub memory_max_bytes: f64,
    /// Swap, average.
    pub swap_bytes: f64,
    /// Disk in use, average.
    pub disk_used_bytes: f64,
    /// Bytes read a second.
    pub disk_read_bytes: f64,
    /// Bytes written a second.
    pub disk_write_bytes: f64,
    /// Reads a second.
    pub disk_read_ops: f64,
    /// Writes a second.
    pub disk_write_ops: f64,
    /// Bytes in a second.
    pub net_in_bytes: f64,
    /// Bytes out a second.
    pub net_out_bytes: f64,
    /// Packets in a second.
    pub net_in_packets: f64,
    /// Packets out a second.
    pub net_out_packets: f64,
    /// Bytes in a second, by private networks.
    pub private_in_bytes: f64,
    /// Bytes out a second, by private networks.
    pub private_out_bytes: f64,
    /// Packets in a second, by private networks.
    pub private_in_packets: f64,
    /// Packets out a second, by private networks.
    pub private_out_packets: f64,
    /// Times a second that memory was wanted above the limit.
    pub hit_memory_max: f64,
    /// Processes a second that were killed for want of memory.
    pub hit_oom_kills: f64,
    /// Forks a second that were refused.
    pub hit_pids_max: f64,
    /// Time that runnable processes waited for the CPU limit; 100 is one process all the time.
    pub cpu_throttled_percent: f64,
}

/// Load of a host in one bucket of time.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct HostPoint {
    /// Begin of the bucket.
    pub at: DateTime<Utc>,
    /// Part of all CPUs that was busy, 0 to 1.
    pub cpu_busy: f64,
    /// One-minute load average.
    pub load1: f64,
    /// Memory in use.
    pub memory_used_bytes: f64,
    /// Disk pool in use.
    pub disk_used_bytes: f64,
}

/// Keeps the figures of one report.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut PgConnection,
    host: i64,
    metrics: Option<&HostMetrics>,
    seen: &[&VpsObserved],
) -> sqlx::Result<()> {
    if let Some(m) = metrics {
        sqlx::query!(
            "insert into host_samples (host_id, at, cpu_busy, load1, memory_used_bytes, disk_used_bytes)
             values ($1, now(), $2, $3, $4, $5) on conflict do nothing",
            host,
            m.cpu_busy,
            m.load1,
            m.memory_used_bytes,
            m.disk_used_bytes
        )
        .execute(&mut *tx)
        .await?;
    }
    let running: Vec<(i64, VpsMetrics)> = seen.iter().filter_map(|s| Some((s.id.0, s.metrics?))).collect();
    if running.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = running.iter().map(|(id, _)| *id).collect();
    let column = |f: fn(&VpsMetrics) -> i64| running.iter().map(|(_, m)| f(m)).collect::<Vec<i64>>();
    sqlx::query!(
        "insert into vps_samples (vps_id, at, cpu_usec, memory_bytes, swap_bytes, pids, disk_used_bytes,
             disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops,
             net_in_bytes, net_out_bytes, net_in_packets, net_out_packets,
             hit_memory_max, hit_oom_kills, hit_pids_max, hit_cpu_throttled_usec,
             private_in_bytes, private_out_bytes, private_in_packets, private_out_packets)
         select u.id, now(), u.a, u.b, u.c, u.d, u.e, u.f, u.g, u.h, u.i, u.j, u.k, u.l, u.m, u.n, u.o, u.p, u.q,
                u.r, u.s, u.t, u.u
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
                     $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[],
                     $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[])
                as u(id, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u)
         on conflict do nothing",
        &ids,
        &column(|m| m.cpu_usec),
        &column(|m| m.memory_bytes),
        &column(|m| m.swap_bytes),
        &column(|m| m.pids),
        &column(|m| m.disk_used_bytes),
        &column(|m| m.disk_read_bytes),
        &column(|m| m.disk_write_bytes),
        &column(|m| m.disk_read_ops),
        &column(|m| m.disk_write_ops),
        &column(|m| m.net_in_bytes),
        &column(|m| m.net_out_bytes),
        &column(|m| m.net_in_packets),
        &column(|m| m.net_out_packets),
        &column(|m| m.hits.memory_max),
        &column(|m| m.hits.oom_kills),
        &column(|m| m.hits.pids_max),
        &column(|m| m.hits.cpu_throttled_usec),
        &column(|m| m.private_in_bytes),
        &column(|m| m.private_out_bytes),
        &column(|m| m.private_in_packets),
        &column(|m| m.private_out_packets),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Use of resources of a VPS in buckets of `step` seconds, oldest first; the first begins at `from`, and both are what
/// [`sums::fitting`] and [`sums::aligned`] make of them. Buckets of which nothing is known are left out. Whether the caller may
/// see this VPS is decided before.
///
/// # Errors
/// When the database fails.
pub async fn series(
    db: &PgPool,
    vps: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: i64,
) -> sqlx::Result<Vec<Point>> {
    let step = sums::fitting(step);
    let parts = sums::parts(sums::aligned(from, step), to, step, sums::done(db).await?);
    sqlx::query_as!(
        Point,
        r#"select date_bin(make_interval(secs => $6), at, $2) as "at!",
             (sum(cpu_usec) / sum(seconds) / 10000)::float8 as "cpu_percent!",
             (sum(memory_sum) / sum(samples))::float8 as "memory_bytes!",
             max(memory_max)::float8 as "memory_max_bytes!",
             (sum(swap_sum) / sum(samples))::float8 as "swap_bytes!",
             (sum(disk_used_sum) / sum(samples))::float8 as "disk_used_bytes!",
             (sum(disk_read_bytes) / sum(seconds))::float8 as "disk_read_bytes!",
             (sum(disk_write_bytes) / sum(seconds))::float8 as "disk_write_bytes!",
             (sum(disk_read_ops) / sum(seconds))::float8 as "disk_read_ops!",
             (sum(disk_write_ops) / sum(seconds))::float8 as "disk_write_ops!",
             (sum(net_in_bytes) / sum(seconds))::float8 as "net_in_bytes!",
             (sum(net_out_bytes) / sum(seconds))::float8 as "net_out_bytes!",
             (sum(net_in_packets) / sum(seconds))::float8 as "net_in_packets!",
             (sum(net_out_packets) / sum(seconds))::float8 as "net_out_packets!",
             (sum(hit_memory_max) / sum(seconds))::float8 as "hit_memory_max!",
             (sum(hit_oom_kills) / sum(seconds))::float8 as "hit_oom_kills!",
             (sum(hit_pids_max) / sum(seconds))::float8 as "hit_pids_max!",
             (sum(hit_cpu_throttled_usec) / sum(seconds) / 10000)::float8 as "cpu_throttled_percent!",
             (sum(private_in_bytes) / sum(seconds))::float8 as "private_in_bytes!",
             (sum(private_out_bytes) / sum(seconds))::float8 as "private_out_bytes!",
             (sum(private_in_packets) / sum(seconds))::float8 as "private_in_packets!",
             (sum(private_out_packets) / sum(seconds))::float8 as "private_out_packets!"
           from (
             select at, seconds, samples, memory_sum, memory_max, swap_sum, disk_used_sum,
               cpu_usec, disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes,
               net_out_bytes, net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max,
               hit_cpu_throttled_usec, private_in_bytes, private_out_bytes, private_in_packets,
               private_out_packets
             from vps_sums_1h where vps_id = $1 and at >= $2 and at < $3
             union all
             select at, seconds, samples, memory_sum, memory_max, swap_sum, disk_used_sum,
               cpu_usec, disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes,
               net_out_bytes, net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max,
               hit_cpu_throttled_usec, private_in_bytes, private_out_bytes, private_in_packets,
               private_out_packets
             from vps_sums_5m where vps_id = $1 and at >= $3 and at < $4
             union all
             select at, seconds, samples, memory_sum, memory_max, swap_sum, disk_used_sum,
               cpu_usec, disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes,
               net_out_bytes, net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max,
               hit_cpu_throttled_usec, private_in_bytes, private_out_bytes, private_in_packets,
               private_out_packets
             from sample_sums($1, $4, $5, least($6::float8, $7::float8), $8::float8)
           ) parts group by 1 order by 1"#,
        vps,
        parts.from,
        parts.fine,
        parts.raw,
        parts.to,
        step as f64,
        sums::FINE_S as f64,
        GAP_S
    )
    .fetch_all(db)
    .await
}

/// Load of a host in buckets of `step`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn host_series(
    db: &PgPool,
    host: i64,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    step: Duration,
) -> sqlx::Result<Vec<HostPoint>> {
    sqlx::query_as!(
        HostPoint,
        r#"select date_bin(make_interval(secs => $4), at, $2) as "at!", avg(cpu_busy) as "cpu_busy!",
             avg(load1) as "load1!", avg(memory_used_bytes)::float8 as "memory_used_bytes!",
             avg(disk_used_bytes)::float8 as "disk_used_bytes!"
           from host_samples where host_id = $1 and at >= $2 and at < $3 group by 1 order by 1"#,
        host,
        from,
        to,
        step.as_secs_f64().max(1.0)
    )
    .fetch_all(db)
    .await
}
