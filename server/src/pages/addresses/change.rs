//! What the buttons of an address's page do: who has it, what it leads back to, its settings, and its end.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{AddressForms, Field, Notice, parse_labels};

use super::held::{Ip, Route, Settings};
use super::{path, show};
use crate::app::App;
use crate::db::reverse;
use crate::domain::labels::Labels;
use crate::domain::reverse::HostName;
use crate::error::{Error, Result};
use crate::pages::blame::{about, blame, confirmed};
use crate::pages::choose::Servers;
use crate::pages::cookies;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::{Changer, Member, ThingId};

/// `POST …/assign`: to a server by its name.
pub(in crate::pages) async fn assign<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let ip = R::ip(id);
    ip.get(&app, member.id()).await?;
    let forms = AddressForms { server: Field::new(fields.trimmed("server")), ..AddressForms::default() };
    let done = match Servers::load(&app, member.id()).await?.find(&forms.server.value) {
        Ok(vps) => ip.assign(&app, member.id(), vps).await,
        Err(e) => Err(e),
    };
    answer(&app, &member, ip, forms, done.map_err(|e| about(e, "assignee_id", "server"))).await
}

/// `POST …/unassign`.
pub(in crate::pages) async fn unassign<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let done = R::ip(id).unassign(&app, member.id()).await;
    answer(&app, &member, R::ip(id), AddressForms::default(), done).await
}

/// `POST …/reverse-dns`: names an address, or with an empty name leaves it to the default.
pub(in crate::pages) async fn reverse_dns<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let ip = R::ip(id);
    ip.get(&app, member.id()).await?;
    let field = |name| Field::new(fields.trimmed(name));
    let mut forms = AddressForms { ip: field("ip"), dns: field("dns_ptr"), ..AddressForms::default() };
    let address = forms.ip.value.parse::<IpAddr>();
    let address = address.map_err(|_| Error::invalid("ip", "must be an address such as 2001:db8::25"));
    let name = Some(forms.dns.value.as_str()).filter(|name| !name.is_empty());
    let done = match (address, name.map(|name| HostName::parse("dns_ptr", name)).transpose()) {
        (Ok(address), Ok(name)) => {
            reverse::change(&app, member.id(), ip.named(), address, name.as_ref()).await.map(drop)
        }
        (Err(e), Err(other)) => {
            blame(other, &mut [("dns_ptr", &mut forms.dns)], &mut forms.refused)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    answer(&app, &member, ip, forms, done).await
}

/// `POST …/settings`: name, labels, and what else the kind has.
pub(in crate::pages) async fn settings<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let ip = R::ip(id);
    ip.get(&app, member.id()).await?;
    let field = |name| Field::new(fields.get(name));
    let forms = AddressForms {
        name: field("name"),
        description: field("description"),
        labels: field("labels"),
        ..AddressForms::default()
    };
    let labels =
        parse_labels(&forms.labels.value).map_err(|e| Error::invalid("labels", e)).and_then(Labels::parse);
    let done = match labels {
        Ok(labels) => {
            let new = Settings {
                name: &forms.name.value,
                description: &forms.description.value,
                labels,
                auto_delete: !fields.get("auto_delete").is_empty(),
            };
            ip.set(&app, member.id(), new).await
        }
        Err(e) => Err(e),
    };
    answer(&app, &member, ip, forms, done).await
}

/// `POST …/protection`.
pub(in crate::pages) async fn protect<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let ip = R::ip(id);
    ip.get(&app, member.id()).await?;
    let done = match fields.get("protect") {
        "yes" => ip.protect(&app, member.id(), true).await,
        "no" => ip.protect(&app, member.id(), false).await,
        _ => Err(Error::invalid("protect", "must be yes or no")),
    };
    answer(&app, &member, ip, AddressForms::default(), done).await
}

/// `POST …/delete`. The name must be typed; script or none, it is checked here.
pub(in crate::pages) async fn delete<R: Route>(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let ip = R::ip(id);
    let held = ip.get(&app, member.id()).await?;
    let typed = fields.trimmed("confirm");
    let done = match confirmed(typed, &held.name, ip.parts().2) {
        Ok(()) => ip.delete(&app, member.id()).await,
        Err(e) => Err(e),
    };
    if done.is_ok() {
        let to = member.project.path("addresses");
        let told = cookies::tell(&app.config, &to, Notice::AddressDeleted);
        return Ok((told, Redirect::to(&to)).into_response());
    }
    let forms = AddressForms { delete: Field::new(typed), ..AddressForms::default() };
    answer(&app, &member, ip, forms, done).await
}

/// Back to the address's page, or the page again with what is wrong.
async fn answer(
    app: &App,
    member: &Member,
    ip: Ip,
    mut forms: AddressForms,
    done: Result<()>,
) -> Result<Response, Failed> {
    let Err(e) = done else {
        let to = path(member, ip);
        let told = cookies::tell(&app.config, &to, Notice::AddressChanged);
        return Ok((told, Redirect::to(&to)).into_response());
    };
    let mut fields = [
        ("server", &mut forms.server),
        ("ip", &mut forms.ip),
        ("dns_ptr", &mut forms.dns),
        ("name", &mut forms.name),
        ("description", &mut forms.description),
        ("labels", &mut forms.labels),
        ("confirm", &mut forms.delete),
    ];
    let status = blame(e, &mut fields, &mut forms.refused)?;
    Ok((status, show(app, member, ip, forms).await?).into_response())
}
