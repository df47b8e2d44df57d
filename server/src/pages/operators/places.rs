//! Locations, their data centres, and whom servers there ask for names.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_web::{Form, Input, LocationPage, LocationRow, LocationsPage, Notice, Section};

use super::{blame, done, fill};
use crate::admin::policies::{Resolvers, set_resolvers};
use crate::app::App;
use crate::db::hosts::{self, Host};
use crate::db::locations::{self, Datacenter, Location, NewLocation};
use crate::domain::names::Slug;
use crate::error::{Error, Result};
use crate::ids::LocationId;
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn, ThingId};

const PATH: &str = "/fleet/locations";

/// `GET /fleet/locations`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let all = locations::list(&app.db).await?;
    let datacenter = datacenter_form(&all);
    Ok((who.told(&app), show_all(&app, &who, make_form(), datacenter).await?).into_response())
}

fn make_form() -> Form {
    let inputs = vec![
        Input::line("name", "Name").hint("Small letters, digits and hyphens, as fsn1."),
        Input::line("description", "For people").optional(),
        Input::line("city", "City").optional(),
        Input::line("country", "Country").hint("Two letters, as DE.").optional(),
        Input::line("latitude", "Degrees north").with("0"),
        Input::line("longitude", "Degrees east").with("0"),
    ];
    Form::new("make", PATH, "Make location", inputs)
}

/// None while there is no location.
fn datacenter_form(all: &[Location]) -> Option<Form> {
    let choices: Vec<_> = all.iter().map(|l| (l.id.to_string(), l.name.clone())).collect();
    let inputs = vec![
        Input::line("name", "Name").hint("As fsn1-dc1."),
        Input::choice("location", "Location", choices),
        Input::line("description", "For people").optional(),
    ];
    (!all.is_empty()).then(|| Form::new("datacenter", "/fleet/datacenters", "Make data centre", inputs))
}

async fn show_all(
    app: &App,
    who: &SignedIn,
    make: Form,
    datacenter: Option<Form>,
) -> Result<Page<LocationsPage>> {
    let (all, centres) = (locations::list(&app.db).await?, locations::datacenters(&app.db).await?);
    let hosts = hosts::list(&app.db).await?;
    Ok(Page(LocationsPage {
        shell: who.shell(Section::Locations, None),
        rows: all.into_iter().map(|location| row(location, &centres, &hosts)).collect(),
        make,
        datacenter,
    }))
}

fn row(location: Location, centres: &[Datacenter], hosts: &[Host]) -> LocationRow {
    let place = [location.city.as_str(), location.country.as_str()];
    LocationRow {
        id: location.id.0,
        place: place.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        datacenters: centres
            .iter()
            .filter(|d| d.location_id == location.id)
            .map(|d| d.name.clone())
            .collect(),
        hosts: hosts.iter().filter(|host| host.location == location.name).count(),
        name: location.name,
        description: location.description,
    }
}

/// `POST /fleet/locations`.
pub(in crate::pages) async fn make(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match create(&app, &fields).await {
        Ok(()) => Ok(done(&app, PATH, Notice::LocationMade)),
        Err(e) => {
            let mut form = make_form();
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            let datacenter = datacenter_form(&locations::list(&app.db).await?);
            Ok((status, show_all(&app, &who, form, datacenter).await?).into_response())
        }
    }
}

async fn create(app: &App, fields: &Fields) -> Result<()> {
    let name = Slug::parse("name", fields.trimmed("name"))?;
    let text = |field: &str| fields.trimmed(field).replace('\0', "");
    let new = NewLocation {
        description: text("description"),
        country: text("country"),
        city: text("city"),
        latitude: degrees("latitude", fields.trimmed("latitude"))?,
        longitude: degrees("longitude", fields.trimmed("longitude"))?,
    };
    locations::create(&app.db, &name, &new).await.map(|_| ())
}

fn degrees(field: &str, text: &str) -> Result<f64> {
    let degrees = text.parse::<f64>().ok().filter(|degrees| degrees.is_finite());
    degrees.ok_or_else(|| Error::invalid(field, "must be a number of degrees such as 50.48"))
}

/// `POST /fleet/datacenters`.
pub(in crate::pages) async fn make_datacenter(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match create_datacenter(&app, &fields).await {
        Ok(()) => Ok(done(&app, PATH, Notice::DatacenterMade)),
        Err(e) => {
            let all = locations::list(&app.db).await?;
            let mut form = datacenter_form(&all).ok_or(Error::NotFound("location"))?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            Ok((status, show_all(&app, &who, make_form(), Some(form)).await?).into_response())
        }
    }
}

async fn create_datacenter(app: &App, fields: &Fields) -> Result<()> {
    let name = Slug::parse("name", fields.trimmed("name"))?;
    let location = fields.get("location").parse::<i64>();
    let location = location.map_err(|_| Error::invalid("location", "choose one of these"))?;
    let description = fields.trimmed("description").replace('\0', "");
    let made = locations::create_datacenter(&app.db, LocationId(location), &name, &description).await;
    made.map(|_| ())
}

/// `GET /fleet/locations/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let form = resolvers_form(&app, LocationId(id)).await?;
    Ok((who.told(&app), show(&app, &who, id, form).await?).into_response())
}

async fn resolvers_form(app: &App, id: LocationId) -> Result<Form> {
    let now: Vec<String> = locations::resolvers(&app.db, id).await?.iter().map(IpAddr::to_string).collect();
    let input = Input::area("resolvers", "Resolvers")
        .hint("At most three addresses, with spaces or lines between them.")
        .with(now.join(" "));
    Ok(Form::new("names", format!("{PATH}/{id}/resolvers"), "Save", vec![input]))
}

async fn show(app: &App, who: &SignedIn, id: i64, resolvers: Form) -> Result<Page<LocationPage>> {
    let (all, centres) = (locations::list(&app.db).await?, locations::datacenters(&app.db).await?);
    let location = all.into_iter().find(|l| l.id.0 == id).ok_or(Error::NotFound("location"))?;
    Ok(Page(LocationPage {
        shell: who.shell(Section::Locations, None),
        row: row(location, &centres, &hosts::list(&app.db).await?),
        resolvers,
    }))
}

/// `POST /fleet/locations/{id}/resolvers`.
pub(in crate::pages) async fn resolvers(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match change(&app, LocationId(id), &fields).await {
        Ok(()) => Ok(done(&app, &format!("{PATH}/{id}"), Notice::Saved)),
        Err(e) => {
            let mut form = resolvers_form(&app, LocationId(id)).await?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            Ok((status, show(&app, &who, id, form).await?).into_response())
        }
    }
}

async fn change(app: &App, id: LocationId, fields: &Fields) -> Result<()> {
    let typed = fields.get("resolvers").split([' ', ',', '\n']).filter(|text| !text.is_empty());
    let wrong = |text: &str| {
        let shown: String = text.chars().take(60).collect();
        Error::invalid("resolvers", format!("'{shown}' is no address such as 192.0.2.53 or 2001:db8::53"))
    };
    let resolvers = typed.map(|text| text.parse().map_err(|_| wrong(text))).collect::<Result<_>>()?;
    set_resolvers(app, id, &Resolvers { resolvers }).await.map(|_| ())
}
