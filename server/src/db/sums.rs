//! Sums of samples: rows of five minutes and of an hour, so that a month can be shown without reading a sample every ten
//! seconds of it.
//!
//! One mark, `vps_sums_done`, tells up to when all sums are there. It moves with the rows in one transaction, and whoever
//! moves it holds its row, so each span is summed up once, whatever replicas do and whenever one of them dies. Sums only
//! add up what the samples tell, by the one function that graphs use too (`sample_sums`); what is after the mark is read from
//! the samples themselves, so a graph is right and fresh also while sums lag behind: it is only slower.
//!
//! The span is closed [`GRACE_S`] after its end. A report that took longer than that to be committed is not in the sums.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use super::samples::GAP_S;

/// The shorter span of sums, seconds.
pub const FINE_S: i64 = 300;
/// The longer span of sums, seconds.
pub const COARSE_S: i64 = 3_600;
/// How long after its end a span may still get samples, seconds.
const GRACE_S: i64 = 30;

/// A step at which a graph can be drawn, at least `step`: longer ones are whole spans of sums. Seconds.
#[must_use]
pub fn fitting(step: i64) -> i64 {
    let step = step.max(1);
    let span = span(step);
    (step + span - 1) / span * span
}

/// The begin of a graph of this (fitting) step that holds `from`.
#[must_use]
pub fn aligned(from: DateTime<Utc>, step: i64) -> DateTime<Utc> {
    if step < FINE_S { from } else { floor(from, span(step)) }
}

fn span(step: i64) -> i64 {
    match step {
        ..FINE_S => 1,
        FINE_S..COARSE_S => FINE_S,
        _ => COARSE_S,
    }
}

fn floor(at: DateTime<Utc>, span: i64) -> DateTime<Utc> {
    let seconds = at.timestamp();
    DateTime::from_timestamp(seconds - seconds.rem_euclid(span), 0).unwrap_or(at)
}

/// From where what is read: hours from `from`, five minutes from `fine`, samples from `raw` until before `to`. Each part
/// ends where the next begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) from: DateTime<Utc>,
    pub(super) fine: DateTime<Utc>,
    pub(super) raw: DateTime<Utc>,
    pub(super) to: DateTime<Utc>,
}

/// Parts of a graph whose step is fitting and whose begin is aligned.
pub(super) fn parts(from: DateTime<Utc>, to: DateTime<Utc>, step: i64, done: DateTime<Utc>) -> Parts {
    let until = |least: i64| if step < least { from } else { from.max(floor(done.min(to), least)) };
    let fine = until(COARSE_S);
    Parts { from, fine, raw: until(FINE_S).max(fine), to: to.max(from) }
}

/// Up to when there are sums.
pub(super) async fn done(db: &PgPool) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar!("select upto from vps_sums_done").fetch_one(db).await
}

/// The end of what is summed up next: at most to the end of the hour, and only what is over. None while nothing is.
fn next(done: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let over = floor(now - TimeDelta::seconds(GRACE_S), FINE_S);
    let hour = floor(done, COARSE_S) + TimeDelta::seconds(COARSE_S);
    Some(over.min(hour)).filter(|end| *end > done)
}

/// Sums up the next span, an hour at most; tells up to when there are sums now, or none when there was nothing to do.
///
/// # Errors
/// When the database fails; nothing is changed then.
pub async fn advance(db: &PgPool) -> sqlx::Result<Option<DateTime<Utc>>> {
    let mut tx = db.begin().await?;
    let at = sqlx::query!(r#"select upto, now() as "now!" from vps_sums_done for update"#);
    let at = at.fetch_one(&mut *tx).await?;
    let Some(end) = next(at.upto, at.now) else { return Ok(None) };
    // What it costs to compile the query is more than what it saves.
    sqlx::query("set local jit = off").execute(&mut *tx).await?;
    // By VPS, since the samples' key begins with it. Those that went before the span have no samples in it.
    sqlx::query!(
        "insert into vps_sums_5m
                (vps_id, at, seconds, samples, memory_sum, memory_max, swap_sum, disk_used_sum,
                 cpu_usec, disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes,
                 net_out_bytes, net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max,
                 hit_cpu_throttled_usec, private_in_bytes, private_out_bytes, private_in_packets,
                 private_out_packets)
         select v.id, b.at, b.seconds, b.samples, b.memory_sum, b.memory_max, b.swap_sum, b.disk_used_sum,
                b.cpu_usec, b.disk_read_bytes, b.disk_write_bytes, b.disk_read_ops, b.disk_write_ops,
                b.net_in_bytes, b.net_out_bytes, b.net_in_packets, b.net_out_packets, b.hit_memory_max,
                b.hit_oom_kills, b.hit_pids_max, b.hit_cpu_throttled_usec, b.private_in_bytes,
                b.private_out_bytes, b.private_in_packets, b.private_out_packets
         from vps v cross join lateral sample_sums(v.id, $1::timestamptz, $2::timestamptz, $3::float8, $4::float8) b
         where v.deleted_at is null or v.deleted_at > $1::timestamptz - interval '1 hour'
         on conflict do nothing",
        at.upto,
        end,
        FINE_S as f64,
        GAP_S
    )
    .execute(&mut *tx)
    .await?;
    if end == floor(end, COARSE_S) {
        sqlx::query!(
            "insert into vps_sums_1h
                (vps_id, at, seconds, samples, memory_sum, memory_max, swap_sum, disk_used_sum,
                 cpu_usec, disk_read_bytes, disk_write_bytes, disk_read_ops, disk_write_ops, net_in_bytes,
                 net_out_bytes, net_in_packets, net_out_packets, hit_memory_max, hit_oom_kills, hit_pids_max,
                 hit_cpu_throttled_usec, private_in_bytes, private_out_bytes, private_in_packets,
                 private_out_packets)
         select vps_id, $1::timestamptz, sum(seconds), sum(samples)::bigint, sum(memory_sum), max(memory_max), sum(swap_sum), sum(disk_used_sum),
                sum(cpu_usec), sum(disk_read_bytes), sum(disk_write_bytes), sum(disk_read_ops),
                sum(disk_write_ops), sum(net_in_bytes), sum(net_out_bytes), sum(net_in_packets),
                sum(net_out_packets), sum(hit_memory_max), sum(hit_oom_kills), sum(hit_pids_max),
                sum(hit_cpu_throttled_usec), sum(private_in_bytes), sum(private_out_bytes),
                sum(private_in_packets), sum(private_out_packets)
         from vps_sums_5m where at >= $1 and at < $2 group by vps_id
         on conflict do nothing",
            end - TimeDelta::seconds(COARSE_S),
            end
        )
        .execute(&mut *tx)
        .await?;
    }
    sqlx::query!("update vps_sums_done set upto = $1", end).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(Some(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn steps_fit_whole_spans() {
        let cases = [
            (0, 1),
            (10, 10),
            (299, 299),
            (300, 300),
            (301, 600),
            (3_599, 3_600),
            (3_601, 7_200),
            (5_184, 7_200),
        ];
        for (asked, given) in cases {
            assert_eq!((fitting(asked), fitting(given)), (given, given), "{asked}");
        }
        assert_eq!(aligned(at(17), 10), at(17));
        assert_eq!(aligned(at(317), 600), at(300));
        assert_eq!(aligned(at(3_917), 3_600), at(3_600));
    }

    #[test]
    fn each_moment_is_read_from_one_place() {
        for step in [10, 300, 600, 3_600, 7_200] {
            for done in [-9_000, 0, 300, 3_900, 7_200, 90_000, 900_000] {
                for to in [1, 310, 3_600, 4_000, 86_411] {
                    let p = parts(at(0), at(to), step, at(done));
                    assert!(p.from <= p.fine && p.fine <= p.raw && p.raw <= p.to, "{p:?}");
                    assert_eq!((p.from, p.to), (at(0), at(to)));
                    assert!(p.raw == at(0) || p.raw <= at(done), "no sums are there yet: {p:?}");
                    assert!(
                        p.fine == at(0) || step >= COARSE_S && p.fine == floor(p.fine, COARSE_S),
                        "{p:?}"
                    );
                    assert!(p.raw == at(0) || step >= FINE_S && p.raw == floor(p.raw, FINE_S), "{p:?}");
                }
            }
        }
        let month = parts(at(0), at(2_592_000), 7_200, at(2_592_000 - 500));
        let s = |t: DateTime<Utc>| (t - at(0)).num_seconds();
        assert_eq!((s(month.fine), s(month.raw)), (2_588_400, 2_591_400), "all but the end comes from hours");
    }

    #[test]
    fn spans_are_closed_when_they_are_over_and_never_cross_an_hour() {
        assert_eq!(next(at(0), at(329)), None);
        assert_eq!(next(at(0), at(330)), Some(at(300)));
        assert_eq!(next(at(300), at(1_000)), Some(at(900)));
        assert_eq!(next(at(0), at(900_000)), Some(at(3_600)));
        assert_eq!(next(at(3_300), at(900_000)), Some(at(3_600)));
        assert_eq!(next(at(900), at(300)), None, "a clock that went back");
    }
}
