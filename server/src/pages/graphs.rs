//! Samples as graphs: points of time become evenly spaced values, and a time of which nothing is known stays a gap.

use berth_web::{Graph, Range, Series, Unit};
use chrono::{DateTime, TimeDelta, Utc};

use crate::app::App;
use crate::db::samples::{self, Point};
use crate::db::vps::Vps;
use crate::error::Result;

/// Steps from which an average hides how much memory was in use at times, seconds.
const LONG_STEP: i64 = 600;

/// The graphs of a server.
pub(super) async fn load(app: &App, vps: &Vps, range: Range, now: DateTime<Utc>) -> Result<Vec<Graph>> {
    let step = range.step();
    let to = DateTime::from_timestamp((now.timestamp() / step + 1) * step, 0).unwrap_or(now);
    let from = to - TimeDelta::seconds(range.seconds());
    let points = samples::series(&app.db, vps.id.0, from, to, step).await?;
    Ok(draw(vps, range, from, &points))
}

fn draw(vps: &Vps, range: Range, from: DateTime<Utc>, points: &[Point]) -> Vec<Graph> {
    let cores = vps.cpu_milli.max(1) as f64 / 1000.0;
    let one =
        |label, value: &dyn Fn(&Point) -> f64| Series { label, values: spread(range, from, points, value) };
    let graph = |id, title, unit, limit, series| Graph {
        id,
        title,
        unit,
        range,
        start: from.timestamp(),
        limit,
        series,
    };
    let memory = Some(vps.memory_bytes as f64);
    let per_step = range.step() as f64;
    let mut of_memory = vec![one("memory", &|p| p.memory_bytes)];
    if range.step() >= LONG_STEP {
        of_memory.push(one("most", &|p| p.memory_max_bytes));
    }
    let mut graphs = vec![
        graph("cpu", "CPU", Unit::Percent, None, vec![one("CPU", &|p| p.cpu_percent / cores)]),
        graph("memory", "Memory", Unit::Bytes, memory, of_memory),
        graph(
            "network",
            "Network",
            Unit::BitsPerSecond,
            None,
            vec![one("in", &|p| p.net_in_bytes * 8.0), one("out", &|p| p.net_out_bytes * 8.0)],
        ),
        graph(
            "disk",
            "Disk",
            Unit::BytesPerSecond,
            None,
            vec![one("read", &|p| p.disk_read_bytes), one("write", &|p| p.disk_write_bytes)],
        ),
        graph(
            "waits",
            "Waiting for the CPU limit",
            Unit::Percent,
            None,
            vec![one("waiting", &|p| p.cpu_throttled_percent)],
        ),
        graph(
            "hits",
            "Limits hit",
            Unit::Times,
            None,
            vec![
                one("memory", &|p| p.hit_memory_max * per_step),
                one("OOM kills", &|p| p.hit_oom_kills * per_step),
                one("processes", &|p| p.hit_pids_max * per_step),
            ],
        ),
        graph(
            "space",
            "Disk space",
            Unit::Bytes,
            Some(vps.disk_bytes as f64),
            vec![one("in use", &|p| p.disk_used_bytes)],
        ),
    ];
    if points.iter().any(|p| p.private_in_packets > 0.0 || p.private_out_packets > 0.0) {
        let series =
            vec![one("in", &|p| p.private_in_bytes * 8.0), one("out", &|p| p.private_out_bytes * 8.0)];
        graphs.push(graph("private", "Private networks", Unit::BitsPerSecond, None, series));
    }
    graphs
}

/// One value for each step of the range. Points outside of it are left out.
fn spread(
    range: Range,
    from: DateTime<Utc>,
    points: &[Point],
    value: &dyn Fn(&Point) -> f64,
) -> Vec<Option<f64>> {
    let count = usize::try_from(range.seconds() / range.step()).unwrap_or_default();
    let mut values = vec![None; count];
    for point in points {
        let index = (point.at - from).num_seconds().div_euclid(range.step());
        if let Some(slot) = usize::try_from(index).ok().and_then(|i| values.get_mut(i)) {
            *slot = Some(value(point));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: DateTime<Utc>, cpu_percent: f64) -> Point {
        Point {
            at,
            cpu_percent,
            memory_bytes: 0.0,
            memory_max_bytes: 0.0,
            swap_bytes: 0.0,
            disk_used_bytes: 0.0,
            disk_read_bytes: 0.0,
            disk_write_bytes: 0.0,
            disk_read_ops: 0.0,
            disk_write_ops: 0.0,
            net_in_bytes: 0.0,
            net_out_bytes: 0.0,
            net_in_packets: 0.0,
            net_out_packets: 0.0,
            private_in_bytes: 0.0,
            private_out_bytes: 0.0,
            private_in_packets: 0.0,
            private_out_packets: 0.0,
            hit_memory_max: 0.0,
            hit_oom_kills: 0.0,
            hit_pids_max: 0.0,
            cpu_throttled_percent: 0.0,
        }
    }

    #[test]
    fn points_find_their_step_and_gaps_stay() {
        let from = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let at = |seconds| from + TimeDelta::seconds(seconds);
        let points = [point(at(-30), 9.0), point(at(0), 1.0), point(at(60), 3.0), point(at(3_600), 9.0)];
        let values = spread(Range::Hour, from, &points, &|p| p.cpu_percent);
        assert_eq!(values.len(), 120);
        assert_eq!(values[..4], [Some(1.0), None, Some(3.0), None]);
        assert!(values[4..].iter().all(Option::is_none));
    }
}
