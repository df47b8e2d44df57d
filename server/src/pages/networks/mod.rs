//! Private networks of a project: the list with the form that makes one, and the page of one.

mod change;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{
    Attached, Field, NetworkForm, NetworkForms, NetworkPage, NetworkRow, NetworkView, NetworksPage, Notice,
    RouteRow, Section, SubnetRow, When, format_labels,
};
use chrono::Utc;
use ipnet::{IpNet, Ipv4Net};

pub(super) use self::change::{
    add_route, add_subnet, attach, delete, delete_route, delete_subnet, detach, extend, name, protect,
};
use super::blame::blame;
use super::choose::Servers;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::session::{Changer, Member, ThingId};
use super::{cookies, views};
use crate::app::App;
use crate::db::locations;
use crate::db::networks::{self, Filter, NewNetwork};
use crate::db::page::{Page as Part, Sort};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::network::{Layout, RawSubnet, overlap};
use crate::error::{Error, Result};
use crate::ids::{NetworkId, ProjectId};

/// Networks on the page: more than a project can have.
const MOST: i64 = 500;

/// `GET /projects/{project}/networks`.
pub(super) async fn list(member: Member, State(app): State<App>) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show_list(&app, &member, None).await?).into_response())
}

/// `POST /projects/{project}/networks`.
pub(super) async fn create(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form = NetworkForm {
        name: Field::new(fields.get("name")),
        range: Field::new(fields.trimmed("ip_range")),
        zone: Field::new(fields.trimmed("zone")),
        error: None,
    };
    let name = Title::parse("name", &form.name.value);
    let layout = layout(&form.range.value, &form.zone.value);
    let made = match (name, layout) {
        (Ok(name), Ok(layout)) => make(&app, member.id(), name, layout).await,
        (Err(e), Err(other)) => {
            told(other, &mut form)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    match made {
        Ok(id) => {
            let to = member.project.path(&format!("networks/{id}"));
            Ok((cookies::tell(&app.config, &to, Notice::NetworkMade), Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let status = told(e, &mut form)?;
            Ok((status, show_list(&app, &member, Some(form)).await?).into_response())
        }
    }
}

fn layout(range: &str, zone: &str) -> Result<Layout> {
    let mut layout = Layout::new(range)?;
    if !zone.is_empty() {
        let subnet = RawSubnet { kind: "cloud".to_owned(), range: None, zone: zone.to_owned() };
        layout.add_subnet("subnets.", &subnet)?;
    }
    Ok(layout)
}

async fn make(app: &App, project: ProjectId, name: Title, layout: Layout) -> Result<NetworkId> {
    let new = NewNetwork { name, labels: Labels::default(), layout, expose_routes: false };
    networks::create(app, project, &new).await
}

fn told(e: Error, form: &mut NetworkForm) -> Result<StatusCode> {
    let fields = &mut [("name", &mut form.name), ("ip_range", &mut form.range), ("subnets", &mut form.zone)];
    blame(e, fields, &mut form.error)
}

async fn show_list(app: &App, member: &Member, form: Option<NetworkForm>) -> Result<Page<NetworksPage>> {
    let now = Utc::now();
    let by_name = Filter { sort: vec![Sort { column: "name", descending: false }], ..Filter::default() };
    let found = networks::list(&app.db, member.id(), &by_name, Part::first(MOST)).await?.items;
    let zones = zones(app).await?;
    let ranges: Vec<IpNet> = found.iter().map(|network| network.layout.range).collect();
    let form = form.unwrap_or_else(|| NetworkForm {
        range: Field::new(suggest(&ranges)),
        zone: Field::new(zones.first().cloned().unwrap_or_default()),
        ..NetworkForm::default()
    });
    let row = |network: &networks::Network| NetworkRow {
        id: network.id.0,
        name: network.name.clone(),
        labels: views::tags(&network.labels),
        range: network.layout.range.to_string(),
        subnets: network.layout.subnets.len(),
        servers: network.vpses.len(),
        created: When::new(network.created_at, now),
    };
    Ok(Page(NetworksPage {
        shell: member.shell(Section::Networks),
        project: member.project.clone(),
        rows: found.iter().map(row).collect(),
        zones,
        form,
    }))
}

/// A range that none of the project's networks has: one server can be in several of them then.
fn suggest(taken: &[IpNet]) -> String {
    let all = (0..=255).map(|n| IpNet::V4(Ipv4Net::new_assert([10, n, 0, 0].into(), 16)));
    let free = all.into_iter().find(|range| !taken.iter().any(|other| overlap(*other, *range)));
    free.map(|range| range.to_string()).unwrap_or_default()
}

/// The zones that locations are in.
async fn zones(app: &App) -> Result<Vec<String>> {
    let mut zones: Vec<_> = locations::list(&app.db).await?.into_iter().map(|l| l.network_zone).collect();
    zones.sort_unstable();
    zones.dedup();
    Ok(zones)
}

/// `GET /projects/{project}/networks/{id}`.
pub(super) async fn page(
    member: Member,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show(&app, &member, NetworkId(id), NetworkForms::default()).await?).into_response())
}

/// The page of one network with what was typed on it.
async fn show(
    app: &App,
    member: &Member,
    id: NetworkId,
    mut forms: NetworkForms,
) -> Result<Page<NetworkPage>> {
    let network = networks::get(&app.db, member.id(), id).await?;
    let servers = Servers::load(app, member.id()).await?;
    if forms.name == Field::default() {
        forms.name = Field::new(&network.name);
        forms.labels = Field::new(format_labels(network.labels.map()));
    }
    if forms.range == Field::default() {
        forms.range = Field::new(network.layout.range.to_string());
    }
    Ok(Page(NetworkPage {
        shell: member.shell(Section::Networks),
        project: member.project.clone(),
        network: view(app, network, &servers).await?,
        zones: zones(app).await?,
        known: servers.known(),
        forms,
    }))
}

async fn view(app: &App, network: networks::Network, servers: &Servers) -> Result<NetworkView> {
    let members = networks::of_vpses(&app.db, &network.vpses).await?;
    let members: Vec<_> = members
        .iter()
        .flat_map(|(vps, all)| all.iter().map(move |member| (*vps, member)))
        .filter(|(_, member)| member.network_id == network.id.0)
        .collect();
    let addresses =
        || members.iter().flat_map(|(vps, m)| m.aliases.iter().chain([&m.ip]).map(|ip| (*vps, *ip)));
    let subnets = network.layout.subnets.iter().map(|subnet| SubnetRow {
        range: subnet.range.to_string(),
        zone: subnet.zone.clone(),
        used: addresses().filter(|(_, ip)| subnet.range.contains(ip)).count(),
    });
    let routes = network.layout.routes.iter().map(|route| RouteRow {
        destination: route.destination.to_string(),
        gateway: route.gateway.to_string(),
        via: addresses().find(|(_, ip)| *ip == route.gateway).map(|(vps, _)| servers.name(vps)),
    });
    let attached = members.iter().map(|(vps, member)| Attached {
        id: *vps,
        name: servers.name(*vps),
        ip: member.ip.to_string(),
        aliases: member.aliases.iter().map(ToString::to_string).collect(),
        mac: member.mac.clone(),
    });
    Ok(NetworkView {
        id: network.id.0,
        labels: views::tags(&network.labels),
        range: network.layout.range.to_string(),
        gateway: network.layout.gateway().to_string(),
        protected: network.protect_delete,
        created: When::new(network.created_at, Utc::now()),
        subnets: subnets.collect(),
        routes: routes.collect(),
        servers: attached.collect(),
        name: network.name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_range_is_suggested() {
        let nets = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpNet>>();
        assert_eq!(suggest(&[]), "10.0.0.0/16");
        assert_eq!(suggest(&nets(&["10.0.0.0/15", "10.2.7.0/24", "fd00::/64"])), "10.3.0.0/16");
        assert_eq!(suggest(&nets(&["10.0.0.0/8"])), "");
    }
}
