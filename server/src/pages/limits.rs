//! Limits and events of a server as its page tells them.

use berth_proto::{LimitHits, LimitName};
use berth_web::{EventRow, LimitRow, When, limit_words};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::server::capital;
use crate::db::events::Event;
use crate::db::vps::LimitsReport;
use crate::domain::limits::{self, ALL};

/// The limits, in their order.
pub(super) fn rows(report: &LimitsReport) -> Vec<LimitRow> {
    let row = |known: &limits::Known| {
        let state = report.states.iter().find(|state| state.limit == known.limit);
        let hits = report.hits.as_ref().and_then(|all| limits::hits(known.limit, all));
        LimitRow {
            limit: known.limit,
            asked: known.of(&report.asked),
            plan: known.of(&report.plan),
            applied: state.and_then(|state| state.applied),
            why: state.and_then(|state| state.why.clone()),
            hits: hits.map(|n| how_often(known.limit, n)),
        }
    };
    ALL.iter().map(row).collect()
}

fn how_often(limit: LimitName, n: i64) -> String {
    match (limit, n) {
        (LimitName::CpuMilli, 100_000..) => format!("{} waited", seconds(n)),
        (LimitName::CpuMilli, _) | (_, 0) => "never".to_owned(),
        _ => times(n),
    }
}

fn times(n: i64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

fn seconds(usec: i64) -> String {
    format!("{:.1} s", usec as f64 / 1e6)
}

/// The limits that a guest has hit since it was started, in words.
pub(super) fn hits(hits: &LimitHits) -> Vec<String> {
    let killed = |n: i64| {
        let what = if n == 1 { "1 process".to_owned() } else { format!("{n} processes") };
        format!("{what} killed for want of memory")
    };
    let all = [
        (hits.oom_kills > 0).then(|| killed(hits.oom_kills)),
        (hits.memory_max > 0).then(|| format!("memory full {}", times(hits.memory_max))),
        (hits.pids_max > 0).then(|| format!("process limit hit {}", times(hits.pids_max))),
        (hits.cpu_throttled_usec >= 100_000)
            .then(|| format!("{} waited for CPU", seconds(hits.cpu_throttled_usec))),
    ];
    all.into_iter().flatten().collect()
}

/// An event in a sentence.
pub(super) fn event(event: &Event, now: DateTime<Utc>) -> EventRow {
    let detail = &event.detail;
    let text = match event.kind.as_str() {
        "started" => "Started".to_owned(),
        "stopped" => "Stopped, as asked".to_owned(),
        "halted" => "Halted from inside".to_owned(),
        "rebooted" => "Rebooted from inside".to_owned(),
        "crashed" => crashed(&detail["exit"]),
        "lost" => "Ended, and nobody saw how".to_owned(),
        "oom_kill" => killed(detail),
        "limit_hit" => hit(detail),
        "isolated" => format!("Isolated by the operator: {}", detail["reason"].as_str().unwrap_or_default()),
        "released" => "Not isolated any more".to_owned(),
        "traffic_reached" => format!("{} % of the included traffic of the month are used", detail["percent"]),
        "traffic_throttled" => {
            format!("The included traffic is used up: bandwidth lowered to {} Mbit/s", detail["mbit"])
        }
        "traffic_suspended" => "The included traffic is used up: network suspended".to_owned(),
        "traffic_restored" => "The network is as it was before the included traffic was used up".to_owned(),
        other => capital(&other.replace('_', " ")),
    };
    EventRow { id: event.id, kind: event.kind.clone(), text, at: When::new(event.at, now) }
}

fn crashed(exit: &Value) -> String {
    match (exit["how"].as_str(), exit["value"].as_i64()) {
        (Some("code"), Some(code)) => format!("Its first process ended with code {code}"),
        (Some("signal"), Some(signal)) => format!("Its first process was killed by signal {signal}"),
        _ => "Its first process ended".to_owned(),
    }
}

fn killed(detail: &Value) -> String {
    let name = detail["victim"].as_str().unwrap_or_default();
    let who = match (name, detail["pid"].as_i64()) {
        ("", None) => "A process".to_owned(),
        ("", Some(pid)) => format!("Process {pid}"),
        (name, None) => format!("Process “{name}”"),
        (name, Some(pid)) => format!("Process “{name}” (pid {pid})"),
    };
    format!("{who} was killed for want of memory")
}

fn hit(detail: &Value) -> String {
    let limit: LimitName = serde_json::from_value(detail["limit"].clone()).unwrap_or(LimitName::Unknown);
    let count = detail["count"].as_i64().unwrap_or(1);
    format!("Limit hit: {}, {} since it was started", limit_words(limit), times(count))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_sentences() {
        for (kind, detail, text) in [
            (
                "crashed",
                json!({"exit": {"how": "signal", "value": 11}}),
                "Its first process was killed by signal 11",
            ),
            ("crashed", json!({}), "Its first process ended"),
            ("oom_kill", json!({"victim": "", "pid": null}), "A process was killed for want of memory"),
            (
                "oom_kill",
                json!({"victim": "mysqld", "pid": 7}),
                "Process “mysqld” (pid 7) was killed for want of memory",
            ),
            (
                "limit_hit",
                json!({"limit": "pids", "count": 1}),
                "Limit hit: processes, once since it was started",
            ),
            ("frozen_solid", json!(null), "Frozen solid."),
        ] {
            let at = DateTime::UNIX_EPOCH;
            let row = event(&Event { id: 1, boot: at, at, kind: kind.into(), detail }, at);
            assert_eq!(row.text, text);
        }
    }
}
