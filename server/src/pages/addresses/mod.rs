//! Primary and floating IPs of a project: both lists with the form that gets one, and the page of one.

mod change;
mod get;
mod held;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_web::{
    AddressForm, AddressForms, AddressPage, AddressRow, AddressView, AddressesPage, Field, Section, When,
    format_labels,
};
use chrono::Utc;
use ipnet::IpNet;

pub(super) use self::change::{assign, delete, protect, reverse_dns, settings, unassign};
pub(super) use self::get::create;
pub(super) use self::held::{Floating, Primary};
use self::held::{Held, Ip, Route};
use super::choose::Servers;
use super::dress::{Failed, Page};
use super::session::{Member, ThingId};
use super::views;
use crate::app::App;
use crate::db::page::{Page as Part, Sort};
use crate::db::reverse::{self, Named};
use crate::db::{actions, locations};
use crate::domain::family::{Family, shown};
use crate::error::Result;
use crate::ids::LocationId;

/// Actions on the page.
const ACTIONS: i64 = 8;

/// `GET /projects/{project}/addresses`.
pub(super) async fn list(member: Member, State(app): State<App>) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show_list(&app, &member, AddressForm::default()).await?).into_response())
}

async fn show_list(app: &App, member: &Member, form: AddressForm) -> Result<Page<AddressesPage>> {
    let primary = held::primary(app, member.id()).await?;
    let floating = held::floating(app, member.id()).await?;
    let addresses: Vec<IpNet> = primary.iter().chain(&floating).map(|held| held.net).collect();
    let names = reverse::names(&app.db, &addresses).await?;
    let locations = locations::list(&app.db).await?;
    let servers = Servers::load(app, member.id()).await?;
    let row = |held: &Held| row(held, member, &names, &locations, &servers);
    Ok(Page(AddressesPage {
        shell: member.shell(Section::Addresses),
        project: member.project.clone(),
        primary: primary.iter().map(row).collect(),
        floating: floating.iter().map(row).collect(),
        known: servers.known(),
        locations: locations.into_iter().map(|location| location.name).collect(),
        form,
    }))
}

fn row(
    held: &Held,
    member: &Member,
    names: &BTreeMap<IpNet, Vec<Named>>,
    locations: &[locations::Location],
    servers: &Servers,
) -> AddressRow {
    AddressRow {
        path: path(member, held.ip),
        name: held.name.clone(),
        ip: shown(held.net),
        location: location(locations, held.location),
        server: held.vps.map(|id| (id, servers.name(id))),
        names: names.get(&held.net).into_iter().flatten().map(|named| named.name.clone()).collect(),
        labels: views::tags(&held.labels),
        auto_delete: held.auto_delete,
        protected: held.protected,
    }
}

fn location(all: &[locations::Location], id: LocationId) -> String {
    all.iter().find(|location| location.id == id).map(|location| location.name.clone()).unwrap_or_default()
}

fn path(member: &Member, ip: Ip) -> String {
    let (id, kind, _) = ip.parts();
    member.project.path(&format!("{kind}/{id}"))
}

/// `GET /projects/{project}/primary-ips/{id}` and `…/floating-ips/{id}`.
pub(super) async fn page<R: Route>(
    member: Member,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show(&app, &member, R::ip(id), AddressForms::default()).await?).into_response())
}

/// The page of one with what was typed on it.
async fn show(app: &App, member: &Member, ip: Ip, mut forms: AddressForms) -> Result<Page<AddressPage>> {
    let held = ip.get(app, member.id()).await?;
    let servers = Servers::load(app, member.id()).await?;
    if forms.name == Field::default() {
        forms.name = Field::new(&held.name);
        forms.description = Field::new(&held.description);
        forms.labels = Field::new(format_labels(held.labels.map()));
    }
    Ok(Page(AddressPage {
        shell: member.shell(Section::Addresses),
        project: member.project.clone(),
        address: view(app, member, held, &servers).await?,
        known: servers.known(),
        forms,
    }))
}

async fn view(app: &App, member: &Member, held: Held, servers: &Servers) -> Result<AddressView> {
    let now = Utc::now();
    let newest = actions::Filter {
        about: Some(held.ip.subject()),
        sort: vec![Sort { column: "id", descending: true }],
        ..actions::Filter::default()
    };
    let activity = actions::list(&app.db, member.id(), &newest, Part::first(ACTIONS)).await?;
    let names = reverse::names(&app.db, &[held.net]).await?;
    let named = names.into_values().flatten().map(|Named { ip, name }| (ip.to_string(), name));
    Ok(AddressView {
        id: held.ip.parts().0,
        floating: matches!(held.ip, Ip::Floating(_)),
        ip: shown(held.net),
        own: own(held.net),
        network: Family::of(held.net) == Family::V6,
        location: location(&locations::list(&app.db).await?, held.location),
        server: held.vps.map(|id| (id, servers.name(id))),
        auto_delete: held.auto_delete,
        protected: held.protected,
        labels: views::tags(&held.labels),
        names: named.collect(),
        created: When::new(held.created_at, now),
        activity: activity.items.iter().map(|action| views::action(action, now)).collect(),
        name: held.name,
        description: held.description,
    })
}

/// The address that a server configures.
fn own(net: IpNet) -> String {
    match net {
        IpNet::V4(net) => net.addr().to_string(),
        IpNet::V6(net) => berth_proto::own_ipv6(net).addr().to_string(),
    }
}
