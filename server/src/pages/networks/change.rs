//! What the buttons of a network's page do: its subnets, routes and range, who is in it, what it is called, and its end.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, NetworkForms, Notice, parse_labels};

use super::show;
use crate::app::App;
use crate::db::networks::{self, Change, Order, Update};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::network::{RawSubnet, Wish, parse_ip};
use crate::error::{Error, Result};
use crate::ids::{NetworkId, VpsId};
use crate::pages::blame::{about, blame, confirmed};
use crate::pages::choose::Servers;
use crate::pages::cookies;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::{Changer, Member, ThingId};

/// `POST /projects/{project}/networks/{id}/subnets`.
pub(in crate::pages) async fn add_subnet(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let field = |name| Field::new(fields.trimmed(name));
    let forms =
        NetworkForms { subnet: field("subnet_range"), zone: field("zone"), ..NetworkForms::default() };
    let range = Some(forms.subnet.value.clone()).filter(|text| !text.is_empty());
    let subnet = RawSubnet { kind: "cloud".to_owned(), range, zone: forms.zone.value.clone() };
    let done = networks::change(&app, member.id(), NetworkId(id), &Change::AddSubnet(subnet)).await;
    let done =
        done.map(drop).map_err(|e| about(about(e, "ip_range", "subnet_range"), "network_zone", "zone"));
    answer(&app, &member, NetworkId(id), forms, done).await
}

/// `POST /projects/{project}/networks/{id}/subnets/delete`.
pub(in crate::pages) async fn delete_subnet(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let change = Change::DeleteSubnet(fields.trimmed("subnet_range").to_owned());
    let done = networks::change(&app, member.id(), NetworkId(id), &change).await.map(drop);
    answer(&app, &member, NetworkId(id), NetworkForms::default(), done).await
}

/// `POST /projects/{project}/networks/{id}/routes`.
pub(in crate::pages) async fn add_route(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let field = |name| Field::new(fields.trimmed(name));
    let forms = NetworkForms {
        destination: field("destination"),
        gateway: field("gateway"),
        ..NetworkForms::default()
    };
    let change = Change::AddRoute(forms.destination.value.clone(), forms.gateway.value.clone());
    let done = networks::change(&app, member.id(), NetworkId(id), &change).await.map(drop);
    answer(&app, &member, NetworkId(id), forms, done).await
}

/// `POST /projects/{project}/networks/{id}/routes/delete`.
pub(in crate::pages) async fn delete_route(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let field = |name| fields.trimmed(name).to_owned();
    let change = Change::DeleteRoute(field("destination"), field("gateway"));
    let done = networks::change(&app, member.id(), NetworkId(id), &change).await.map(drop);
    answer(&app, &member, NetworkId(id), NetworkForms::default(), done).await
}

/// `POST /projects/{project}/networks/{id}/range`.
pub(in crate::pages) async fn extend(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let forms = NetworkForms { range: Field::new(fields.trimmed("new_range")), ..NetworkForms::default() };
    let change = Change::Extend(forms.range.value.clone());
    let done = networks::change(&app, member.id(), NetworkId(id), &change).await;
    let done = done.map(drop).map_err(|e| about(e, "ip_range", "new_range"));
    answer(&app, &member, NetworkId(id), forms, done).await
}

/// `POST /projects/{project}/networks/{id}/attach`: a server by its name, at an address or any that is free.
pub(in crate::pages) async fn attach(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = NetworkId(id);
    networks::get(&app.db, member.id(), id).await?;
    let field = |name| Field::new(fields.trimmed(name));
    let mut forms = NetworkForms { server: field("server"), ip: field("ip"), ..NetworkForms::default() };
    let vps = Servers::load(&app, member.id()).await?.find(&forms.server.value);
    let ip = Some(forms.ip.value.as_str()).filter(|text| !text.is_empty()).map(|ip| parse_ip("ip", ip));
    let done = match (vps, ip.transpose()) {
        (Ok(vps), Ok(ip)) => {
            let order = Order { wish: Wish { ip, subnet: None }, aliases: Vec::new() };
            networks::attach(&app, member.id(), vps, id, &order).await.map(drop)
        }
        (Err(e), Err(other)) => {
            blame(other, &mut [("ip", &mut forms.ip)], &mut forms.refused)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    answer(&app, &member, id, forms, done).await
}

/// `POST /projects/{project}/networks/{id}/detach`: a server by its id.
pub(in crate::pages) async fn detach(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = NetworkId(id);
    networks::get(&app.db, member.id(), id).await?;
    let done = match fields.get("server").parse() {
        Ok(vps) => networks::detach(&app, member.id(), VpsId(vps), id).await.map(drop),
        Err(_) => Err(Error::invalid("detach", "must name a server by its id")),
    };
    answer(&app, &member, id, NetworkForms::default(), done).await
}

/// `POST /projects/{project}/networks/{id}/name`: name and labels.
pub(in crate::pages) async fn name(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = NetworkId(id);
    networks::get(&app.db, member.id(), id).await?;
    let field = |name| Field::new(fields.get(name));
    let mut forms = NetworkForms { name: field("name"), labels: field("labels"), ..NetworkForms::default() };
    let name = Title::parse("name", &forms.name.value);
    let labels =
        parse_labels(&forms.labels.value).map_err(|e| Error::invalid("labels", e)).and_then(Labels::parse);
    let done = match (name, labels) {
        (Ok(name), Ok(labels)) => {
            let change = Update { name: Some(name), labels: Some(labels), expose_routes: None };
            networks::update(&app, member.id(), id, &change).await.map(drop)
        }
        (Err(e), Err(other)) => {
            blame(other, &mut [("labels", &mut forms.labels)], &mut forms.refused)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    answer(&app, &member, id, forms, done).await
}

/// `POST /projects/{project}/networks/{id}/protection`.
pub(in crate::pages) async fn protect(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = NetworkId(id);
    networks::get(&app.db, member.id(), id).await?;
    let done = match fields.get("protect") {
        "yes" => networks::protect(&app, member.id(), id, Some(true)).await.map(drop),
        "no" => networks::protect(&app, member.id(), id, Some(false)).await.map(drop),
        _ => Err(Error::invalid("protect", "must be yes or no")),
    };
    answer(&app, &member, id, NetworkForms::default(), done).await
}

/// `POST /projects/{project}/networks/{id}/delete`. The name must be typed; script or none, it is checked here.
pub(in crate::pages) async fn delete(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = NetworkId(id);
    let network = networks::get(&app.db, member.id(), id).await?;
    let typed = fields.trimmed("confirm");
    let done = match confirmed(typed, &network.name, "network") {
        Ok(()) => networks::delete(&app, member.id(), id).await,
        Err(e) => Err(e),
    };
    if done.is_ok() {
        let to = member.project.path("networks");
        let told = cookies::tell(&app.config, &to, Notice::NetworkDeleted);
        return Ok((told, Redirect::to(&to)).into_response());
    }
    let forms = NetworkForms { delete: Field::new(typed), ..NetworkForms::default() };
    answer(&app, &member, id, forms, done).await
}

/// Back to the network's page, or the page again with what is wrong.
async fn answer(
    app: &App,
    member: &Member,
    id: NetworkId,
    mut forms: NetworkForms,
    done: Result<()>,
) -> Result<Response, Failed> {
    let Err(e) = done else {
        let to = member.project.path(&format!("networks/{id}"));
        let told = cookies::tell(&app.config, &to, Notice::NetworkChanged);
        return Ok((told, Redirect::to(&to)).into_response());
    };
    let mut fields = [
        ("subnet_range", &mut forms.subnet),
        ("zone", &mut forms.zone),
        ("destination", &mut forms.destination),
        ("gateway", &mut forms.gateway),
        ("new_range", &mut forms.range),
        ("server", &mut forms.server),
        ("ip", &mut forms.ip),
        ("name", &mut forms.name),
        ("labels", &mut forms.labels),
        ("confirm", &mut forms.delete),
    ];
    let status = blame(e, &mut fields, &mut forms.refused)?;
    Ok((status, show(app, member, id, forms).await?).into_response())
}
