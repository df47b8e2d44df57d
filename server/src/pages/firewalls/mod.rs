//! Firewalls of a project: the list, and the page of one with what its rules have met.

mod change;
mod editor;
mod templates;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_proto::{FirewallProtocol, Hits};
use berth_web::{
    Field, FirewallForms, FirewallPage, FirewallRow, FirewallView, FirewallsPage, HeldServer, Met, RuleView,
    Section, SelectorRow, When, format_labels,
};
use chrono::{DateTime, Utc};

pub(super) use self::change::{apply, delete, name, private, remove};
pub(super) use self::editor::{create, editor, new, set_rules};
use super::choose::Servers;
use super::dress::{Failed, Page};
use super::session::{Member, ThingId};
use super::views;
use crate::app::App;
use crate::db::firewalls::{self, Counted, Filter, Firewall, OfVps};
use crate::db::page::{Page as Part, Sort};
use crate::domain::firewall::Rule;
use crate::error::Result;
use crate::ids::{FirewallId, ProjectId};

/// Firewalls on the page. Whoever has more finds the rest by the API.
const MOST: i64 = 500;

/// `GET /projects/{project}/firewalls`.
pub(super) async fn list(member: Member, State(app): State<App>) -> Result<Response, Failed> {
    let now = Utc::now();
    let by_name = Filter { sort: vec![Sort { column: "name", descending: false }], ..Filter::default() };
    let found = firewalls::list(&app.db, member.id(), &by_name, Part::first(MOST)).await?;
    let rows = found.items.iter().map(|firewall| row(firewall, now)).collect();
    let told = member.who.told(&app);
    let shell = member.shell(Section::Firewalls);
    Ok((told, Page(FirewallsPage { shell, project: member.project, rows })).into_response())
}

fn row(firewall: &Firewall, now: DateTime<Utc>) -> FirewallRow {
    let by_labels = firewall.selectors.iter().flat_map(|(_, vpses)| vpses);
    let mut servers: Vec<i64> = firewall.vpses.iter().chain(by_labels).copied().collect();
    servers.sort_unstable();
    servers.dedup();
    let inbound = firewall.rules.iter().filter(|rule| rule.inbound).count();
    FirewallRow {
        id: firewall.id.0,
        name: firewall.name.clone(),
        labels: views::tags(&firewall.labels),
        inbound,
        outbound: firewall.rules.len() - inbound,
        servers: servers.len(),
        private: firewall.private,
        created: When::new(firewall.created_at, now),
    }
}

/// `GET /projects/{project}/firewalls/{id}`.
pub(super) async fn page(
    member: Member,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show(&app, &member, FirewallId(id), FirewallForms::default()).await?).into_response())
}

/// The page of one firewall with what was typed on it.
async fn show(
    app: &App,
    member: &Member,
    id: FirewallId,
    mut forms: FirewallForms,
) -> Result<Page<FirewallPage>> {
    let firewall = firewalls::get(&app.db, member.id(), id).await?;
    let servers = Servers::load(app, member.id()).await?;
    if forms.name == Field::default() {
        forms.name = Field::new(&firewall.name);
        forms.labels = Field::new(format_labels(firewall.labels.map()));
    }
    Ok(Page(FirewallPage {
        shell: member.shell(Section::Firewalls),
        project: member.project.clone(),
        firewall: view(app, member.id(), firewall, &servers).await?,
        known: servers.known(),
        forms,
    }))
}

async fn view(app: &App, project: ProjectId, firewall: Firewall, servers: &Servers) -> Result<FirewallView> {
    let hits = firewalls::hits(&app.db, project, firewall.id).await?;
    let ids: Vec<i64> = hits.iter().map(|of| of.vps.0).collect();
    let holds = firewalls::of_vpses(&app.db, &ids).await?;
    let held = |of: &OfVps| HeldServer {
        id: of.vps.0,
        name: servers.name(of.vps.0),
        by_name: firewall.vpses.contains(&of.vps.0),
        applied: holds
            .get(&of.vps.0)
            .is_some_and(|all| all.iter().any(|holds| holds.firewall_id == firewall.id.0 && holds.applied)),
        dropped: of.public.as_ref().map(|counted| (met(counted.dropped_in), met(counted.dropped_out))),
    };
    let selector = |(selector, vpses): &(String, Vec<i64>)| SelectorRow {
        selector: selector.clone(),
        servers: vpses.len(),
    };
    Ok(FirewallView {
        id: firewall.id.0,
        labels: views::tags(&firewall.labels),
        private: firewall.private,
        created: When::new(firewall.created_at, Utc::now()),
        rules: firewall.rules.iter().enumerate().map(|(n, rule)| rule_view(n, rule, &hits)).collect(),
        servers: hits.iter().map(held).collect(),
        selectors: firewall.selectors.iter().map(selector).collect(),
        name: firewall.name,
    })
}

/// A rule, and how often it was met at all servers together.
fn rule_view(n: usize, rule: &Rule, hits: &[OfVps]) -> RuleView {
    let sum = |side: fn(&OfVps) -> Option<&Counted>| {
        let told = hits.iter().filter_map(side).filter_map(|counted| counted.rules.get(n).copied()).map(met);
        told.reduce(|a, b| Met {
            packets: a.packets.saturating_add(b.packets),
            bytes: a.bytes.saturating_add(b.bytes),
        })
    };
    RuleView {
        inbound: rule.inbound,
        protocol: protocol(rule.protocol),
        port: rule.ports.map(ports),
        nets: rule.nets.iter().map(ToString::to_string).collect(),
        description: rule.description.clone(),
        met: sum(|of| of.public.as_ref()),
        met_privately: sum(|of| of.private.as_ref()),
    }
}

fn met(hits: Hits) -> Met {
    Met { packets: hits.packets, bytes: hits.bytes }
}

/// `TCP`.
fn protocol(protocol: FirewallProtocol) -> String {
    format!("{protocol:?}").to_uppercase()
}

/// Ports as people type them.
fn ports((first, last): (u16, u16)) -> String {
    match (first, last) {
        (1, u16::MAX) => "any".to_owned(),
        _ if first == last => first.to_string(),
        _ => format!("{first}-{last}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::VpsId;

    #[test]
    fn what_rules_have_met_is_added_up_over_servers() {
        let hits = |packets| Hits { packets, bytes: 60 };
        let counted = |rules: &[i64]| Counted {
            rules: rules.iter().copied().map(hits).collect(),
            dropped_in: hits(0),
            dropped_out: hits(0),
        };
        let rule = Rule {
            inbound: true,
            protocol: FirewallProtocol::Tcp,
            ports: Some((1, u16::MAX)),
            nets: vec!["0.0.0.0/0".parse().unwrap()],
            description: None,
        };
        let of = |vps, public| OfVps { vps: VpsId(vps), public, private: None };
        let all = [of(1, Some(counted(&[3, 4]))), of(2, None), of(3, Some(counted(&[i64::MAX, 5])))];
        let seen = |n| rule_view(n, &rule, &all).met.map(|met| met.packets);
        assert_eq!((seen(0), seen(1), seen(2)), (Some(i64::MAX), Some(9), None));
        assert_eq!(rule_view(0, &rule, &all[1..2]).met, None, "nobody has told yet");
        assert_eq!(rule_view(0, &rule, &[]).port.as_deref(), Some("any"));
        assert_eq!((ports((22, 22)), ports((80, 85))), ("22".to_owned(), "80-85".to_owned()));
        assert_eq!(protocol(FirewallProtocol::Icmp), "ICMP");
    }
}
