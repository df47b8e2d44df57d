//! The fleet at a glance: hosts, what is sold and how much more fits, hosts and actions in trouble, agents' versions and
//! certificates.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_proto::HostFacts;
use berth_web::{Bytes, Capacity, Cores, HostTrouble, Load, OverviewPage, Section, TroubleRow, When};
use chrono::{DateTime, Duration, Utc};

use super::plans::fit;
use crate::app::App;
use crate::db::hosts::{self, Host};
use crate::db::page::Page as Part;
use crate::db::trouble::{self, Trouble};
use crate::db::{directory, plans};
use crate::domain::placement::sellable_cpu;
use crate::pages::dress::{Failed, Page};
use crate::pages::session::Operator;

/// Actions in trouble that are shown.
const MOST: i64 = 50;
/// Agents renew a certificate when a third of its 90 days is left; one with less than this was not renewed.
const LATE_DAYS: i64 = 25;

/// `GET /fleet`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let now = Utc::now();
    let hosts = hosts::list(&app.db).await?;
    let enrolled: Vec<&Host> = hosts.iter().filter(|h| matches!(&*h.state, "online" | "offline")).collect();
    let fits = |plan: &plans::Plan| (plan.id.0, plan.name.clone(), fit(plan, &hosts));
    let first = enrolled.iter().filter_map(|h| Some((h.cert_until?, h))).min_by_key(|(until, _)| *until);
    let mut versions = BTreeMap::new();
    for host in &enrolled {
        *versions.entry(host.agent_version.clone()).or_insert(0) += 1;
    }
    let trouble = trouble::actions(&app.db, MOST).await?;
    let page = OverviewPage {
        shell: who.shell(Section::Fleet, None),
        online: (enrolled.iter().filter(|h| h.state == "online").count(), enrolled.len()),
        cordoned: enrolled.iter().filter(|h| h.cordoned).count(),
        servers: hosts.iter().map(|h| h.vps_count).sum(),
        projects: directory::tenants(&app.db, "", Part::first(0)).await?.total,
        capacity: capacity(&enrolled),
        plans: plans::offered(&app.db).await?.iter().map(fits).collect(),
        hosts: hosts.iter().filter_map(|host| matter(host, now)).collect(),
        trouble: trouble.into_iter().map(|t| row(t, now)).collect(),
        versions: versions.into_iter().collect(),
        certificate: first.map(|(until, host)| (host.id, host.name.clone(), When::new(until, now))),
    };
    Ok((who.told(&app), Page(page)).into_response())
}

fn row(trouble: Trouble, now: DateTime<Utc>) -> TroubleRow {
    TroubleRow {
        id: trouble.id,
        command: trouble.command,
        failed: trouble.failed,
        error: trouble.error_code.map(|code| (code, trouble.error_message.unwrap_or_default())),
        project: (trouble.project_id, trouble.project),
        about: trouble.vps,
        host: trouble.host_id.zip(trouble.host),
        started: When::new(trouble.started_at, now),
    }
}

/// What is sold of what there is, by location; only of hosts that take servers.
fn capacity(hosts: &[&Host]) -> Vec<Capacity> {
    let mut places: BTreeMap<&str, [i64; 6]> = BTreeMap::new();
    for host in hosts.iter().filter(|h| h.state == "online" && !h.cordoned) {
        let sums = places.entry(&host.location).or_default();
        let cpu = sellable_cpu(host.capacity_cpu_milli, host.cpu_overcommit);
        let these = [
            (host.allocated_cpu_milli, cpu),
            (host.allocated_memory, host.capacity_memory),
            (host.allocated_disk, host.capacity_disk),
        ];
        for (at, (sold, all)) in these.into_iter().enumerate() {
            sums[2 * at] = sums[2 * at].saturating_add(sold);
            sums[2 * at + 1] = sums[2 * at + 1].saturating_add(all);
        }
    }
    let of = |label, sold: i64, all: i64, text| Load::of(label, sold as f64, all as f64, text);
    let bytes = |label, sold, all| of(label, sold, all, format!("{} of {}", Bytes(sold), Bytes(all)));
    let place = |(location, [cpu, cpus, memory, memories, disk, disks]): (&str, [i64; 6])| Capacity {
        location: location.to_owned(),
        sold: vec![
            of("CPU", cpu, cpus, format!("{} of {}", cpu as f64 / 1000.0, Cores(cpus))),
            bytes("Memory", memory, memories),
            bytes("Disk", disk, disks),
        ],
    };
    places.into_iter().map(place).collect()
}

/// What is the matter with a host, if anything is.
fn matter(host: &Host, now: DateTime<Utc>) -> Option<HostTrouble> {
    let facts = serde_json::from_value::<HostFacts>(host.facts.clone()).unwrap_or_default();
    let mut why = Vec::new();
    if host.state == "offline" {
        let seen = host
            .last_report_at
            .map_or_else(|| "ever".to_owned(), |at| format!("for {}", When::new(at, now).span()));
        why.push(format!("Was not heard of {seen}."));
    }
    if matches!(&*host.state, "online" | "offline") {
        match host.cert_until {
            Some(until) if until < now => why.push("Its certificate has ended: enrol it anew.".to_owned()),
            Some(until) if until < now + Duration::days(LATE_DAYS) => {
                why.push(format!(
                    "Its certificate ends in {} and was not renewed.",
                    When::new(until, now).span()
                ));
            }
            _ => {}
        }
        let fatal = facts.missing.iter().filter(|missing| missing.fatal);
        why.extend(fatal.map(|missing| format!("No server can run there: it lacks {}.", missing.feature)));
        let orphans = host.orphans.as_array().map_or(0, Vec::len);
        if orphans > 0 {
            why.push(format!(
                "It has {orphans} servers that are not ours to run there; they are fenced off."
            ));
        }
    }
    (!why.is_empty()).then(|| HostTrouble { id: host.id, name: host.name.clone(), why })
}
