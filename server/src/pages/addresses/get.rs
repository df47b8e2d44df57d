//! The form that takes an address out of a location's pools, for a server or for later.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{AddressForm, Field, Notice};

use super::held::Ip;
use super::{path, show_list};
use crate::app::App;
use crate::db::{floating_ips, locations, primary_ips};
use crate::domain::family::Family;
use crate::domain::ip_names::Kind;
use crate::domain::labels::Labels;
use crate::error::{Error, Result};
use crate::ids::{LocationId, ProjectId, VpsId};
use crate::pages::blame::{about, blame};
use crate::pages::choose::Servers;
use crate::pages::cookies;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::Changer;

/// `POST /projects/{project}/addresses`.
pub(in crate::pages) async fn create(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let field = |name| Field::new(fields.trimmed(name));
    let mut form = AddressForm {
        kind: field("kind"),
        family: field("type"),
        name: field("name"),
        location: field("location"),
        server: field("server"),
        auto_delete: !fields.get("auto_delete").is_empty(),
        error: None,
    };
    match make(&app, member.id(), &form).await {
        Ok(ip) => {
            let to = path(&member, ip);
            Ok((cookies::tell(&app.config, &to, Notice::AddressHeld), Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let mut fields = [
                ("kind", &mut form.kind),
                ("type", &mut form.family),
                ("name", &mut form.name),
                ("location", &mut form.location),
                ("server", &mut form.server),
            ];
            let status = blame(about(e, "assignee_id", "server"), &mut fields, &mut form.error)?;
            Ok((status, show_list(&app, &member, form).await?).into_response())
        }
    }
}

/// Where an address comes from.
enum From {
    Location(LocationId),
    Vps(VpsId),
}

async fn make(app: &App, project: ProjectId, form: &AddressForm) -> Result<Ip> {
    let family = Family::parse(&form.family.value)?;
    let from = match form.server.value.as_str() {
        "" => From::Location(location(app, &form.location.value).await?),
        name => From::Vps(Servers::load(app, project).await?.find(name)?),
    };
    match form.kind.value.as_str() {
        "primary" => {
            let new = primary_ips::New {
                name: Kind::Primary.chosen(&form.name.value, None)?,
                labels: Labels::default(),
                auto_delete: form.auto_delete,
            };
            let origin = match from {
                From::Location(id) => primary_ips::Origin::Location(id),
                From::Vps(id) => primary_ips::Origin::Vps(id, None),
            };
            let (id, _) = primary_ips::create(app, project, &new, family, origin).await?;
            Ok(Ip::Primary(id))
        }
        "floating" => {
            let name = Some(form.name.value.as_str()).filter(|name| !name.is_empty());
            let new = floating_ips::New {
                name: name.map(|name| Kind::Floating.chosen(name, None)).transpose()?,
                description: String::new(),
                labels: Labels::default(),
            };
            let origin = match from {
                From::Location(id) => floating_ips::Origin::Location(id),
                From::Vps(id) => floating_ips::Origin::Vps(id, None),
            };
            let (id, _) = floating_ips::create(app, project, &new, family, origin).await?;
            Ok(Ip::Floating(id))
        }
        _ => Err(Error::invalid("kind", "must be primary or floating")),
    }
}

async fn location(app: &App, name: &str) -> Result<LocationId> {
    let all = locations::list(&app.db).await?;
    let found = all.iter().find(|location| location.name == name).map(|location| location.id);
    found.ok_or_else(|| Error::invalid("location", "choose a location"))
}
