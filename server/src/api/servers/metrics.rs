//! `/servers/{id}/metrics`: use of resources over time.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Id, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::samples::{self, Point};
use crate::db::{sums, vps};
use crate::error::{Error, Result};
use crate::ids::VpsId;

/// Most points of one series.
const MAX_POINTS: i64 = 500;

/// Shortest step, seconds: hosts report no more often.
const MIN_STEP: i64 = 10;

/// A series: its name, and what it takes from a point.
type Series = (&'static str, fn(&Point) -> f64);

/// The series of each type. `private_network`, `memory` and `limits` are ours: the last tells how often limits were hit, a
/// second. What passes by private networks is no part of `network`.
const TYPES: [(&str, &[Series]); 6] = [
    ("cpu", &[("cpu", |p| p.cpu_percent)]),
    (
        "disk",
        &[
            ("disk.0.iops.read", |p| p.disk_read_ops),
            ("disk.0.iops.write", |p| p.disk_write_ops),
            ("disk.0.bandwidth.read", |p| p.disk_read_bytes),
            ("disk.0.bandwidth.write", |p| p.disk_write_bytes),
        ],
    ),
    (
        "network",
        &[
            ("network.0.pps.in", |p| p.net_in_packets),
            ("network.0.pps.out", |p| p.net_out_packets),
            ("network.0.bandwidth.in", |p| p.net_in_bytes),
            ("network.0.bandwidth.out", |p| p.net_out_bytes),
        ],
    ),
    (
        "private_network",
        &[
            ("private_network.pps.in", |p| p.private_in_packets),
            ("private_network.pps.out", |p| p.private_out_packets),
            ("private_network.bandwidth.in", |p| p.private_in_bytes),
            ("private_network.bandwidth.out", |p| p.private_out_bytes),
        ],
    ),
    (
        "memory",
        &[("memory", |p| p.memory_bytes), ("memory.max", |p| p.memory_max_bytes), ("swap", |p| p.swap_bytes)],
    ),
    (
        "limits",
        &[
            ("limits.memory_max", |p| p.hit_memory_max),
            ("limits.oom_kills", |p| p.hit_oom_kills),
            ("limits.pids_max", |p| p.hit_pids_max),
            ("limits.cpu_throttled", |p| p.cpu_throttled_percent),
        ],
    ),
];

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get))
}

#[derive(Serialize, ToSchema)]
struct MetricsResponse {
    metrics: Metrics,
}

/// Use of resources over time.
#[derive(Serialize, ToSchema)]
struct Metrics {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// Seconds between points.
    step: i64,
    time_series: BTreeMap<&'static str, Values>,
}

/// One series.
#[derive(Serialize, ToSchema)]
struct Values {
    /// Seconds since the epoch, and the value as a decimal.
    #[schema(value_type = Vec<Vec<serde_json::Value>>)]
    values: Vec<(i64, String)>,
}

/// What is asked for.
#[derive(Debug)]
struct Wanted {
    series: Vec<Series>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    step: i64,
}

impl Wanted {
    fn parse(query: &Query) -> Result<Self> {
        let names = query.all("type").flat_map(|list| list.split(','));
        let mut series = Vec::new();
        for name in names {
            let (_, of_type) = TYPES
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or_else(|| Error::invalid("type", format!("'{name}' is not possible")))?;
            series.extend_from_slice(of_type);
        }
        if series.is_empty() {
            return Err(Error::invalid(
                "type",
                "is required: cpu, disk, network, private_network, memory or limits",
            ));
        }
        let time = |name: &str| {
            let text = query.one(name).ok_or_else(|| Error::invalid(name, "is required"))?;
            // A '+' in a query string that was not encoded arrives as a space.
            let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
            time.map(|t| t.to_utc()).map_err(|_| Error::invalid(name, "must be a time by ISO 8601"))
        };
        let (start, end) = (time("start")?, time("end")?);
        let seconds = (end - start).num_seconds();
        if seconds <= 0 {
            return Err(Error::invalid("end", "must be after start"));
        }
        if end - start > TimeDelta::days(31) {
            return Err(Error::invalid("start", "is more than 31 days before end"));
        }
        let step = match query.one("step") {
            None => MIN_STEP,
            Some(text) => text.parse().ok().filter(|s| (1..=31 * 86_400).contains(s)).ok_or_else(|| {
                Error::invalid("step", "must be a number of seconds from 1 to those of 31 days")
            })?,
        };
        let step = sums::fitting(step.max(MIN_STEP).max((seconds + MAX_POINTS - 1) / MAX_POINTS));
        let start = sums::aligned(start, step);
        Ok(Self { series, start, end, step })
    }
}

/// Shows the use of resources over time.
#[utoipa::path(get, path = "/servers/{id}/metrics", tag = "servers", security(("token" = [])),
    params(
        ("id" = i64, Path),
        ("type" = Vec<String>, Query, description = "cpu, disk, network, private_network, memory, limits"),
        ("start" = String, Query, description = "ISO 8601; of steps from five minutes on it is moved back to whole ones"),
        ("end" = String, Query, description = "ISO 8601"),
        ("step" = Option<String>, Query, description = "Seconds; made longer when there would be over 500 points, and, from 300 and 3600 on, to a multiple of these"),
    ),
    responses((status = 200, body = MetricsResponse), Problems))]
async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    query: Query,
) -> Result<Json<MetricsResponse>> {
    let vps = vps::get(&app.db, tenant.project_id, id).await?;
    let Wanted { series, start, end, step } = Wanted::parse(&query)?;
    let points = samples::series(&app.db, vps.id.0, start, end, step).await?;
    let values = |value: fn(&Point) -> f64| Values {
        values: points.iter().map(|p| (p.at.timestamp(), format!("{:.6}", value(p)))).collect(),
    };
    let time_series = series.into_iter().map(|(name, value)| (name, values(value))).collect();
    Ok(Json(MetricsResponse { metrics: Metrics { start, end, step, time_series } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(query: &str) -> Result<Wanted> {
        Wanted::parse(&Query::of(&format!("/v1/servers/1/metrics?{query}")))
    }

    const HOUR: &str = "start=2026-01-01T00:00:00Z&end=2026-01-01T01:00:00%2B00:00";

    #[test]
    fn types_and_steps() {
        let hour = wanted(&format!("type=cpu,disk&type=network&{HOUR}")).unwrap();
        assert_eq!((hour.series.len(), hour.step), (9, MIN_STEP));
        assert_eq!(wanted(&format!("type=cpu&step=60&{HOUR}")).unwrap().step, 60);
        assert_eq!(wanted(&format!("type=cpu&step=1&{HOUR}")).unwrap().step, 10, "no finer than reports");
        let days = "type=cpu&start=2026-01-01T00:00:00Z&end=2026-01-31T00:00:00+00:00";
        let month = wanted(days).unwrap();
        assert_eq!(month.step, 7_200, "whole hours");
        assert!(30 * 86_400 / month.step <= MAX_POINTS);
        let odd = "type=cpu&step=301&start=2026-01-01T00:07:09Z&end=2026-01-01T01:00:00Z";
        let odd = wanted(odd).unwrap();
        assert_eq!((odd.step, odd.start.to_rfc3339()), (600, "2026-01-01T00:05:00+00:00".to_owned()));
    }

    #[test]
    fn what_makes_no_sense_names_its_field() {
        for (query, field) in [
            (HOUR.to_owned(), "type"),
            (format!("type=gpu&{HOUR}"), "type"),
            ("type=cpu".to_owned(), "start"),
            ("type=cpu&start=yesterday&end=2026-01-01T00:00:00Z".to_owned(), "start"),
            ("type=cpu&start=2026-01-01T00:00:00Z&end=2026-01-01T00:00:00Z".to_owned(), "end"),
            ("type=cpu&start=2025-01-01T00:00:00Z&end=2026-01-01T00:00:00Z".to_owned(), "start"),
            (format!("type=cpu&step=0&{HOUR}"), "step"),
        ] {
            let error = wanted(&query).unwrap_err().to_string();
            assert!(error.contains(&format!("'{field}'")), "{query}: {error}");
        }
    }
}
