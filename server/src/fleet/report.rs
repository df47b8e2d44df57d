//! `POST /agent/v1/report`: what an agent sees becomes observed state, and whatever follows from it happens in the same
//! transaction (see [`super::outcome`] for what that can be).
//!
//! What the agent says is checked and cut to size first ([`sane`]); a report that makes no sense is refused whole.

use std::collections::{BTreeSet, HashMap, HashSet};

use axum::Json;
use axum::extract::State;
use berth_proto::{
    FirewallHits, HostMetrics, LimitName, LimitState, Report, ReportAck, TrafficCount, VpsEvent,
    VpsHappening, VpsId, VpsMetrics, VpsObserved, VpsState,
};
use chrono::{DateTime, SubsecRound as _, Utc};

use super::Fleet;
use super::outcome::{Change, Decision, Waiting, decide, missing};
use super::peer::Caller;
use super::text;
use crate::db;
use crate::db::Tx;
use crate::db::report::Row;
use crate::domain::firewall::MAX_EFFECTIVE;
use crate::error::{Error, Result};
use crate::wake::Changed;

/// Numbers beyond this are nonsense, and sums of them still fit.
const LARGEST: i64 = 1 << 53;
const MOST_VPSES: usize = 20_000;
/// Events of one guest that a report may tell.
const MOST_EVENTS: usize = 16;
/// Addresses that a report may say lead to one guest.
const MOST_ROUTED: usize = 1000;
/// Epochs of traffic counters of one guest that a report may tell.
const MOST_EPOCHS: usize = 16;

/// What is to be told after the commit.
#[derive(Default)]
struct News {
    host: bool,
    fleet: bool,
    projects: BTreeSet<i64>,
}

pub(super) async fn report(
    State(fleet): State<Fleet>,
    caller: Caller,
    Json(report): Json<Report>,
) -> Result<Json<ReportAck>> {
    let report = sane(report)?;
    let mut tx = fleet.app.db.begin().await?;
    let mut news = News::default();
    let seq = match db::report::take(&mut tx, caller.id, &report).await? {
        Some(host) => {
            news.fleet = host.changed || host.returned;
            take_in(&mut tx, &caller, host, &report, &mut news).await?
        }
        None => {
            tracing::debug!(host = caller.name, seq = report.seq, "older report dropped");
            db::watch::seq(&fleet.app.db, caller.id).await?
        }
    };
    crate::failpoint::hit("server.report.before_commit").await;
    tx.commit().await?;
    crate::failpoint::hit("server.report.after_commit").await;
    let moves = db::floating_ips::finish_moves(&fleet.app.db, caller.id).await?;
    news.projects.extend(moves.projects);
    db::hosts::wake(&fleet.app, &moves.hosts);
    tell(&fleet, caller.id, news);
    Ok(Json(ReportAck { seq }))
}

fn tell(fleet: &Fleet, host: i64, news: News) {
    let wake = &fleet.app.wake;
    if news.host {
        wake.changed(Changed::Host(host));
    }
    if news.fleet {
        wake.changed(Changed::Fleet);
    }
    news.projects.into_iter().for_each(|id| wake.changed(Changed::Project(id)));
}

/// Takes a report in; returns the host's sequence.
async fn take_in(
    tx: &mut Tx,
    caller: &Caller,
    host: db::report::Host,
    report: &Report,
    news: &mut News,
) -> Result<i64> {
    let named: Vec<i64> = report.vpses.iter().map(|v| v.id.0).collect();
    let rows = db::report::vpses(tx, caller.id, &named).await?;
    let mut waiting: HashMap<i64, Vec<Waiting>> = HashMap::new();
    for (vps, action) in db::report::waiting(tx, caller.id).await? {
        waiting.entry(vps).or_default().push(action);
    }
    let seen: HashMap<VpsId, &VpsObserved> = report.vpses.iter().map(|v| (v.id, v)).collect();
    let ours: HashSet<i64> = rows.iter().map(|r| r.wanted.id).collect();
    let known: Vec<&VpsObserved> = report.vpses.iter().filter(|v| ours.contains(&v.id.0)).collect();
    db::report::observed(tx, caller.id, &known).await?;
    db::networks::settle(tx, caller.id).await?;
    note_events(tx, &known, &rows, news).await?;
    note_traffic(tx, &known, &rows).await?;
    db::firewalls::note_hits(tx, caller.id, &known).await?;
    if host.sample {
        db::samples::insert(tx, caller.id, report.metrics.as_ref(), &known).await?;
    }
    if !report.partial {
        note_orphans(tx, caller, &host, report, &rows, news).await?;
    }
    let mut changes = Changes { host: caller.id, desired: false, lost: Vec::new() };
    for row in &rows {
        if host.returned {
            news.projects.insert(row.project);
        }
        let actions = waiting.get(&row.wanted.id).map_or(&[][..], Vec::as_slice);
        let decision = match seen.get(&VpsId(row.wanted.id)) {
            Some(seen) => {
                if differs(seen, row)? {
                    news.projects.insert(row.project);
                }
                decide(&row.wanted, actions, seen, report.watch_seq)
            }
            None if report.partial => continue,
            None => missing(&row.wanted, report.watch_seq, row.seen_before && row.state != "unknown"),
        };
        changes.carry_out(tx, row, decision, news).await?;
    }
    if !changes.lost.is_empty() {
        tracing::warn!(host = caller.name, vpses = ?changes.lost, "the host does not name VPSes that it should have");
        db::report::lost(tx, caller.id, &changes.lost).await?;
    }
    news.host = changes.desired;
    Ok(if changes.desired { db::watch::seq(&mut **tx, caller.id).await? } else { host.seq })
}

/// Carries decisions out and remembers what is left to do.
struct Changes {
    host: i64,
    desired: bool,
    lost: Vec<i64>,
}

impl Changes {
    async fn carry_out(&mut self, tx: &mut Tx, row: &Row, decision: Decision, news: &mut News) -> Result<()> {
        if decision == Decision::default() {
            return Ok(());
        }
        let id = VpsId(row.wanted.id);
        news.projects.insert(row.project);
        for (action, outcome) in decision.ended {
            match outcome {
                Ok(()) => db::actions::finish(tx, &[action.into()]).await?,
                Err((code, message)) => db::actions::fail(tx, &[action.into()], &code, &message).await?,
            }
        }
        if decision.lost {
            self.lost.push(id.0);
        }
        let Some(change) = decision.change else { return Ok(()) };
        tracing::info!(vps = id.0, ?change, "a report changes desired state");
        match change {
            Change::Gone => {
                db::vps::finish_delete(tx, id).await?;
                return Ok(());
            }
            Change::RollBack { code, message } => db::vps::abandon_create(tx, id, &code, &message).await?,
            Change::Rewrite(wanted) => db::report::rewrite(tx, self.host, &wanted).await?,
        }
        self.desired = true;
        Ok(())
    }
}

/// Whether pages show something else than before.
fn differs(seen: &VpsObserved, row: &Row) -> Result<bool> {
    let limits = db::report::limits_value(seen).map_err(anyhow::Error::from)?;
    Ok(changed(seen, row)? || limits != row.limits)
}

/// Whether a VPS is in another state, frozen or not, or has another guest, than before.
fn changed(seen: &VpsObserved, row: &Row) -> Result<bool> {
    let state = db::report::state_name(seen).map_err(anyhow::Error::from)?;
    Ok(state != row.state || seen.frozen != row.frozen || seen.started_at != row.started_at)
}

/// What happened to guests.
async fn note_events(tx: &mut Tx, known: &[&VpsObserved], rows: &[Row], news: &mut News) -> Result<()> {
    let by_id: HashMap<i64, &Row> = rows.iter().map(|row| (row.wanted.id, row)).collect();
    let mut live = Vec::new();
    let mut other = Vec::new();
    for seen in known {
        let Some(row) = by_id.get(&seen.id.0).filter(|row| !row.wanted.deleted) else { continue };
        live.push(*seen);
        if changed(seen, row)? {
            other.push(*seen);
        }
    }
    for vps in db::events::note(tx, &live, &other).await? {
        news.projects.extend(by_id.get(&vps).map(|row| row.project));
    }
    Ok(())
}

/// What passed to and from VPSes. A VPS that is gone has used what it has used.
async fn note_traffic(tx: &mut Tx, known: &[&VpsObserved], rows: &[Row]) -> Result<()> {
    let live: HashSet<i64> = rows.iter().filter(|r| !r.wanted.deleted).map(|r| r.wanted.id).collect();
    let live: Vec<&VpsObserved> = known.iter().copied().filter(|s| live.contains(&s.id.0)).collect();
    db::traffic::note(tx, &live).await?;
    Ok(())
}

/// VPSes that the host has and that are not ours to run there: unknown ids, another host's, deleted ones.
async fn note_orphans(
    tx: &mut Tx,
    caller: &Caller,
    host: &db::report::Host,
    report: &Report,
    rows: &[Row],
    news: &mut News,
) -> Result<()> {
    let live: HashSet<i64> = rows.iter().filter(|r| !r.wanted.deleted).map(|r| r.wanted.id).collect();
    let here = report.vpses.iter().filter(|v| v.state != VpsState::Absent && !live.contains(&v.id.0));
    let orphans: BTreeSet<i64> = here.map(|v| v.id.0).collect();
    let orphans = serde_json::to_value(&orphans).map_err(anyhow::Error::from)?;
    if orphans != host.orphans {
        if orphans != serde_json::json!([]) {
            tracing::warn!(host = caller.name, %orphans, "the host has VPSes that are not ours to run there");
        }
        db::report::orphans(tx, caller.id, &orphans).await?;
        news.fleet = true;
    }
    Ok(())
}

/// A report that is fit to be kept: counters are cut to what makes sense, text to what can be shown; numbers that
/// decide something must be right.
fn sane(mut report: Report) -> Result<Report> {
    let number = |field: &str, n: i64| match n {
        0..=LARGEST => Ok(()),
        _ => Err(Error::invalid(field, "out of range")),
    };
    number("seq", report.seq)?;
    number("agent_started_us", report.agent_started_us)?;
    number("watch_seq", report.watch_seq)?;
    if report.vpses.len() > MOST_VPSES {
        return Err(Error::invalid("vpses", format!("more than {MOST_VPSES}")));
    }
    let mut ids = HashSet::new();
    for vps in &mut report.vpses {
        if vps.id.0 <= 0 || !ids.insert(vps.id) {
            return Err(Error::invalid("vpses.id", format!("{} is no id, or is named twice", vps.id)));
        }
        number("vpses.id", vps.id.0)?;
        number("vpses.generation", vps.generation)?;
        number("vpses.boot_epoch", vps.boot_epoch)?;
        number("vpses.password_epoch", vps.password_epoch)?;
        vps.started_at = vps.started_at.filter(|at| sane_time(*at)).map(|at| at.trunc_subsecs(6)); // as the database keeps it, or it would differ from itself
        if let Some(fault) = &mut vps.fault {
            fault.code = text::line(&fault.code, 64);
            fault.message = text::line(&fault.message, 2000);
        }
        vps.metrics = vps.metrics.map(sane_vps_metrics);
        sane_limits(&mut vps.limits);
        sane_events(&mut vps.events);
        sane_traffic(&mut vps.traffic);
        sane_traffic(&mut vps.private_traffic);
        if let Some(routed) = &mut vps.routed {
            routed.truncate(MOST_ROUTED);
        }
        vps.hits = vps.hits.take().map(sane_hits);
        vps.private_hits = vps.private_hits.take().map(sane_hits);
    }
    report.agent_version = text::line(&report.agent_version, 64);
    for n in
        [&mut report.capacity.cpu_milli, &mut report.capacity.memory_bytes, &mut report.capacity.disk_bytes]
    {
        *n = (*n).clamp(0, LARGEST);
    }
    report.images.retain(|digest| crate::images::is_digest(digest));
    report.images.truncate(1000);
    report.metrics = report.metrics.map(sane_host_metrics);
    if let Some(facts) = report.facts {
        let clean = text::clean(serde_json::to_value(facts).map_err(anyhow::Error::from)?, 500);
        let mut facts: berth_proto::HostFacts = serde_json::from_value(clean).map_err(anyhow::Error::from)?;
        facts.missing.truncate(100);
        report.facts = Some(facts);
    }
    Ok(report)
}

fn sane_time(at: DateTime<Utc>) -> bool {
    (0..=LARGEST >> 10).contains(&at.timestamp_micros().div_euclid(1 << 10))
}

/// Each limit once, and only what this release knows.
fn sane_limits(limits: &mut Vec<LimitState>) {
    let mut named = HashSet::new();
    limits.retain(|state| state.limit != LimitName::Unknown && named.insert(state.limit));
    for state in limits {
        state.asked = state.asked.clamp(0, LARGEST);
        state.applied = state.applied.map(|figure| figure.clamp(0, LARGEST));
        state.why = state.why.take().map(|why| text::line(&why, 500)).filter(|why| !why.is_empty());
    }
}

/// The newest events, in order; the name of a killed process is the guest's own word.
fn sane_events(events: &mut Vec<VpsEvent>) {
    events.retain(|event| (1..=LARGEST).contains(&event.seq) && sane_time(event.at));
    events.sort_by_key(|event| event.seq);
    events.dedup_by_key(|event| event.seq);
    events.drain(..events.len().saturating_sub(MOST_EVENTS));
    for event in events {
        match &mut event.what {
            VpsHappening::OomKill { victim, pid } => {
                *victim = text::name(victim, 16);
                *pid = pid.filter(|pid| *pid > 0);
            }
            VpsHappening::LimitHit { count, .. } => *count = (*count).clamp(0, LARGEST),
            VpsHappening::Unknown => {}
        }
    }
}

/// Each epoch once; counts that cannot be are none.
fn sane_traffic(counts: &mut Vec<TrafficCount>) {
    let mut named = HashSet::new();
    counts.retain(|c| {
        let figures = [c.in_bytes, c.in_packets, c.out_bytes, c.out_packets];
        figures.iter().all(|n| (0..=LARGEST).contains(n))
            && TrafficCount::is_epoch(&c.epoch)
            && named.insert(c.epoch.clone())
    });
    counts.truncate(MOST_EPOCHS);
}

fn sane_hits(mut hits: FirewallHits) -> FirewallHits {
    let FirewallHits { inbound, outbound, dropped_in, dropped_out } = &mut hits;
    for rules in [&mut *inbound, &mut *outbound] {
        rules.truncate(MAX_EFFECTIVE);
    }
    let rules = inbound.iter_mut().chain(outbound).map(|rule| &mut rule.hits);
    for hits in rules.chain([dropped_in, dropped_out]) {
        hits.packets = hits.packets.clamp(0, LARGEST);
        hits.bytes = hits.bytes.clamp(0, LARGEST);
    }
    hits
}

fn sane_host_metrics(m: HostMetrics) -> HostMetrics {
    let size = |n: i64| n.clamp(0, LARGEST);
    HostMetrics {
        cpu_busy: m.cpu_busy.clamp(0.0, 1.0),
        load1: m.load1.clamp(0.0, 1e6),
        memory_used_bytes: size(m.memory_used_bytes),
        memory_total_bytes: size(m.memory_total_bytes),
        disk_used_bytes: size(m.disk_used_bytes),
        disk_total_bytes: size(m.disk_total_bytes),
    }
}

fn sane_vps_metrics(mut m: VpsMetrics) -> VpsMetrics {
    let all = [
        &mut m.cpu_usec,
        &mut m.memory_bytes,
        &mut m.swap_bytes,
        &mut m.pids,
        &mut m.disk_used_bytes,
        &mut m.disk_total_bytes,
        &mut m.disk_read_bytes,
        &mut m.disk_write_bytes,
        &mut m.disk_read_ops,
        &mut m.disk_write_ops,
        &mut m.net_in_bytes,
        &mut m.net_out_bytes,
        &mut m.net_in_packets,
        &mut m.net_out_packets,
        &mut m.private_in_bytes,
        &mut m.private_out_bytes,
        &mut m.private_in_packets,
        &mut m.private_out_packets,
        &mut m.hits.memory_max,
        &mut m.hits.oom_kills,
        &mut m.hits.pids_max,
        &mut m.hits.cpu_throttled_usec,
    ];
    all.into_iter().for_each(|n| *n = (*n).clamp(0, LARGEST));
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(json: serde_json::Value) -> Report {
        let mut whole = serde_json::json!({
            "agent_version": "1", "seq": 1, "agent_started_us": 1, "watch_seq": 1,
            "capacity": {"cpu_milli": 1, "memory_bytes": 1, "disk_bytes": 1},
        });
        for (key, value) in json.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn nonsense_is_refused() {
        for (field, bad) in [
            ("seq", serde_json::json!({"seq": -1})),
            ("agent_started_us", serde_json::json!({"agent_started_us": i64::MAX})),
            ("vpses.id", serde_json::json!({"vpses": [{"id": 0, "generation": 1, "state": "running"}]})),
            (
                "vpses.generation",
                serde_json::json!({"vpses": [{"id": 1, "generation": i64::MAX, "state": "running"}]}),
            ),
            (
                "vpses.id",
                serde_json::json!({"vpses": [{"id": 1, "generation": 1, "state": "running"},
                                             {"id": 1, "generation": 2, "state": "running"}]}),
            ),
        ] {
            match sane(report(bad)) {
                Err(Error::InvalidInput { field: named, .. }) => assert_eq!(named, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_rest_is_cut_to_size() {
        let sane = sane(report(serde_json::json!({
            "capacity": {"cpu_milli": -5, "memory_bytes": i64::MAX, "disk_bytes": 7},
            "images": ["../../etc", "a".repeat(64)],
            "metrics": {"cpu_busy": 1e300, "load1": -1.0, "memory_used_bytes": -1, "memory_total_bytes": 1,
                        "disk_used_bytes": 1, "disk_total_bytes": 1},
            "vpses": [{"id": 1, "generation": 1, "state": "stopped", "started_at": "-9999-01-01T00:00:00Z",
                       "fault": {"code": "x\u{0}y", "message": "m".repeat(9000), "terminal": true}}],
        })))
        .unwrap();
        assert_eq!((sane.capacity.cpu_milli, sane.capacity.memory_bytes), (0, LARGEST));
        assert_eq!(sane.images, ["a".repeat(64)]);
        assert_eq!(sane.metrics.unwrap().cpu_busy, 1.0);
        let vps = &sane.vpses[0];
        let fault = vps.fault.as_ref().unwrap();
        assert_eq!((fault.code.as_str(), fault.message.len(), vps.started_at), ("x y", 2000, None));
    }

    #[test]
    fn words_of_guests_about_limits_are_cut_to_size() {
        let event = |seq: i64, victim: &str| {
            serde_json::json!({"seq": seq, "at": "2026-01-01T00:00:00Z",
                               "what": {"kind": "oom_kill", "victim": victim, "pid": -4}})
        };
        let mut events: Vec<_> = (0..40).rev().map(|seq| event(seq, "a\u{0}b\n<script>cdefghijk")).collect();
        events.push(event(39, "again"));
        events.push(serde_json::json!({"seq": 38, "at": "-9999-01-01T00:00:00Z", "what": {"kind": "oom_kill", "victim": ""}}));
        events.push(serde_json::json!({"seq": 50, "at": "2026-01-01T00:00:00Z", "what": {"kind": "of_tomorrow", "x": 1}}));
        let sane = sane(report(serde_json::json!({
            "vpses": [{"id": 1, "generation": 1, "state": "running", "events": events,
                       "started_at": "2026-01-01T00:00:00.123456789Z",
                       "limits": [{"limit": "pids", "asked": -1, "applied": i64::MAX, "why": "w\n".repeat(900)},
                                  {"limit": "pids", "asked": 1}, {"limit": "of_tomorrow", "asked": 1},
                                  {"limit": "cpu_milli", "asked": 5, "why": " "}]}],
        })))
        .unwrap();
        let vps = &sane.vpses[0];
        assert_eq!(vps.started_at.unwrap().timestamp_subsec_nanos(), 123_456_000);
        let seqs: Vec<i64> = vps.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (25..40).chain([50]).collect::<Vec<_>>(), "the newest, each once");
        assert_eq!(
            vps.events[0].what,
            VpsHappening::OomKill { victim: "a?b?<script>cdef".into(), pid: None }
        );
        let limits: Vec<_> =
            vps.limits.iter().map(|l| (l.limit, l.asked, l.applied, l.why.is_some())).collect();
        assert_eq!(
            limits,
            [(LimitName::Pids, 0, Some(LARGEST), true), (LimitName::CpuMilli, 5, None, false)]
        );
        assert!(vps.limits[0].why.as_ref().unwrap().len() <= 500);
    }
}
