//! Address pools: how full they are, how their addresses reach the world, ports, rest; and who had an address.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_web::{
    Field, Form, HolderRow, HoldersPage, Input, Load, Notice, PoolPage, PoolRow, PoolsPage, Section, When,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, from_value};

use super::name_server;
use super::{blame, confirmed, done, fill};
use crate::admin::addresses::{Question, holders};
use crate::admin::pools::{NewPool, create};
use crate::admin::ports::{self, PoolPorts};
use crate::app::App;
use crate::db::addresses::Holder;
use crate::db::locations;
use crate::db::pools::{self, Kind, Pool, QUARANTINE_S};
use crate::domain::amount;
use crate::domain::ports::PER_VPS;
use crate::error::{Error, Result};
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::keys::sentence;
use crate::pages::session::{Operator, SignedIn, ThingId};

const PATH: &str = "/fleet/pools";

/// `GET /fleet/pools`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let form = make_form(&app).await?;
    Ok((who.told(&app), show_all(&app, &who, form).await?).into_response())
}

/// None while there is no location.
async fn make_form(app: &App) -> Result<Option<Form>> {
    let all = locations::list(&app.db).await?;
    if all.is_empty() {
        return Ok(None);
    }
    let places = all.into_iter().map(|l| (l.name.clone(), l.name)).collect();
    let kinds = [
        ("", "NAT for IPv4, routed for IPv6"),
        ("nat", "NAT: private addresses, which leave by their host's"),
        ("routed", "routed: the network around routes them to the hosts"),
        ("proxy_arp", "proxy ARP or NDP: the host that has one answers for it"),
        ("bgp", "BGP: the host that has one announces it"),
    ];
    let kinds = kinds.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec();
    let inputs = vec![
        Input::line("name", "Name").hint("Small letters, digits and hyphens."),
        Input::line("cidr", "Network").hint("Of IPv4 a /16 to /30, of IPv6 a /32 to /64, as 192.0.2.0/24."),
        Input::choice("kind", "Reached by", kinds),
        Input::choice("location", "Location", places),
        Input::line("quarantine_s", "Seconds that an address rests").with(QUARANTINE_S.to_string()),
        Input::line("ports", "Ports of hosts that lead to its servers")
            .hint("Only with NAT, as 10000-29999.")
            .optional(),
        Input::line("ports_per_vps", "Ports for each server").with(PER_VPS.to_string()),
        Input::check("force_ports", "Take these ports, whatever else may use them")
            .hint("Ports that connections of hosts come from, or that the control plane listens on."),
    ];
    Ok(Some(Form::new("make", PATH, "Make pool", inputs)))
}

async fn show_all(app: &App, who: &SignedIn, make: Option<Form>) -> Result<Page<PoolsPage>> {
    let now = Utc::now();
    let rows = pools::list(&app.db).await?.into_iter().map(|pool| row(pool, now)).collect();
    Ok(Page(PoolsPage { shell: who.shell(Section::Pools, None), rows, make }))
}

fn row(pool: Pool, now: DateTime<Utc>) -> PoolRow {
    let text = format!("{} of {}", pool.used, pool.addresses);
    PoolRow {
        id: pool.id,
        kind: match pool.kind.as_str() {
            "nat" => "NAT",
            "proxy_arp" => "proxy ARP or NDP",
            "bgp" => "BGP",
            _ => "routes",
        },
        held: Load::of("Held", pool.used as f64, pool.addresses as f64, text),
        resting: pool.resting,
        created: When::new(pool.created_at, now),
        name: pool.name,
        location: pool.location,
        cidr: pool.cidr,
        ports: pool.ports,
    }
}

/// `POST /fleet/pools`.
pub(in crate::pages) async fn make(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let made = match wanted(&fields) {
        Ok(new) => create(&app, new).await,
        Err(e) => Err(e),
    };
    match made {
        Ok(pool) => Ok(done(&app, &format!("{PATH}/{}", pool.id), Notice::PoolMade)),
        Err(e) => {
            let mut form = make_form(&app).await?.ok_or(Error::NotFound("location"))?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            Ok((status, show_all(&app, &who, Some(form)).await?).into_response())
        }
    }
}

fn wanted(fields: &Fields) -> Result<NewPool> {
    let some = |name: &str| Some(fields.trimmed(name)).filter(|text| !text.is_empty());
    let kind = |text: &str| {
        let known = from_value::<Kind>(Value::String(text.to_owned()));
        known.map_err(|_| Error::invalid("kind", "choose one of these"))
    };
    Ok(NewPool {
        name: fields.trimmed("name").to_owned(),
        cidr: fields.trimmed("cidr").to_owned(),
        kind: some("kind").map(kind).transpose()?,
        location: some("location").map(|name| name.parse().unwrap_or_else(|never| match never {})),
        quarantine_s: amount::parse("quarantine_s", fields.get("quarantine_s"), 1)?,
        ports: some("ports").map(str::to_owned),
        ports_per_vps: per_vps(fields)?,
        force_ports: fields.get("force_ports") == "yes",
    })
}

fn per_vps(fields: &Fields) -> Result<u16> {
    let typed = fields.trimmed("ports_per_vps").parse();
    typed.map_err(|_| Error::invalid("ports_per_vps", "must be a number of ports such as 20"))
}

pub(super) async fn find(app: &App, id: i64) -> Result<Pool> {
    pools::list(&app.db).await?.into_iter().find(|pool| pool.id == id).ok_or(Error::NotFound("pool"))
}

/// The forms of a pool's page; one of them may be as it was typed.
pub(super) struct Forms {
    rest: Form,
    ports: Option<Form>,
    pub(super) names: Form,
    /// None where there is no name server.
    pub(super) forget: Option<Form>,
    delete: Form,
}

impl Forms {
    pub(super) async fn of(app: &App, pool: &Pool) -> Result<Self> {
        let path = format!("{PATH}/{}", pool.id);
        let rest = Input::line("quarantine_s", "Seconds").with(pool.quarantine_s.to_string());
        let per = pool.ports_per_vps.map_or_else(|| PER_VPS.to_string(), |n| n.to_string());
        let ports = || {
            let inputs = vec![
                Input::line("ports", "Ports")
                    .hint("As 10000-29999; empty takes them away from all servers.")
                    .optional()
                    .with(pool.ports.clone().unwrap_or_default()),
                Input::line("ports_per_vps", "For each server").with(per),
                Input::check("force", "Take these ports, whatever else may use them"),
            ];
            Form::new("ports", format!("{path}/ports"), "Save", inputs)
        };
        Ok(Self {
            rest: Form::new("rest", format!("{path}/rest"), "Save", vec![rest]),
            ports: (pool.kind == "nat").then(ports),
            names: name_server::form(app, pool.id).await?,
            forget: name_server::view(app, pool.id).await?.map(|_| name_server::forget_form(pool)),
            delete: Form::new(
                "delete",
                format!("{path}/delete"),
                "Delete pool",
                vec![Input::confirm(&pool.name)],
            )
            .danger(),
        })
    }
}

/// `GET /fleet/pools/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let pool = find(&app, id).await?;
    let forms = Forms::of(&app, &pool).await?;
    Ok((who.told(&app), show(&app, &who, pool, forms).await?).into_response())
}

async fn show(app: &App, who: &SignedIn, pool: Pool, forms: Forms) -> Result<Page<PoolPage>> {
    Ok(Page(PoolPage {
        shell: who.shell(Section::Pools, None),
        name_server: name_server::view(app, pool.id).await?,
        forget: forms.forget,
        row: row(pool, Utc::now()),
        rest: forms.rest,
        ports: forms.ports,
        names: forms.names,
        delete: forms.delete,
    }))
}

/// Shows a pool's page again, with a form as it was typed and what is wrong with it.
pub(super) async fn again(
    app: &App,
    who: &SignedIn,
    id: i64,
    fields: &Fields,
    e: Error,
    which: impl FnOnce(&mut Forms) -> Option<&mut Form>,
) -> Result<Response, Failed> {
    let pool = find(app, id).await?;
    let mut forms = Forms::of(app, &pool).await?;
    let form = which(&mut forms).ok_or(Error::NotFound("page"))?;
    fill(form, fields);
    let status = blame(form, e)?;
    Ok((status, show(app, who, pool, forms).await?).into_response())
}

/// `POST /fleet/pools/{id}/rest`.
pub(in crate::pages) async fn rest(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let changed = match amount::parse("quarantine_s", fields.get("quarantine_s"), 1) {
        Ok(seconds) => pools::set_quarantine(&app.db, id, seconds).await,
        Err(e) => Err(e),
    };
    match changed {
        Ok(_) => Ok(done(&app, &format!("{PATH}/{id}"), Notice::Saved)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| Some(&mut forms.rest)).await,
    }
}

/// `POST /fleet/pools/{id}/ports`.
pub(in crate::pages) async fn set_ports(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match change_ports(&app, id, &fields).await {
        Ok(_) => Ok(done(&app, &format!("{PATH}/{id}"), Notice::Saved)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| forms.ports.as_mut()).await,
    }
}

async fn change_ports(app: &App, id: i64, fields: &Fields) -> Result<Pool> {
    let ports = fields.trimmed("ports").to_owned();
    if ports.is_empty() {
        return crate::db::ports::set(app, id, None).await;
    }
    let force = fields.get("force") == "yes";
    ports::set(app, id, &PoolPorts { ports, ports_per_vps: per_vps(fields)?, force }).await
}

/// `POST /fleet/pools/{id}/delete`.
pub(in crate::pages) async fn delete(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let pool = find(&app, id).await?;
    let mut forms = Forms::of(&app, &pool).await?;
    fill(&mut forms.delete, &fields);
    if !confirmed(&mut forms.delete, &fields, &pool.name) {
        let page = show(&app, &who, pool, forms).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    match pools::delete(&app, id).await {
        Ok(()) => Ok(done(&app, PATH, Notice::PoolDeleted)),
        Err(e) => again(&app, &who, id, &fields, e, |forms| Some(&mut forms.delete)).await,
    }
}

/// Which address, and when; nothing before anybody asked.
#[derive(Debug, Default, Deserialize)]
pub(in crate::pages) struct Looked {
    #[serde(default)]
    ip: String,
    #[serde(default)]
    at: String,
}

/// `GET /fleet/addresses?ip=…&at=…`: who had an address.
pub(in crate::pages) async fn who_had(
    Operator(who): Operator,
    State(app): State<App>,
    Query(looked): Query<Looked>,
) -> Result<Response, Failed> {
    let (mut ip, mut at) = (Field::new(looked.ip.trim()), Field::new(looked.at.trim()));
    let question = Question { ip: ip.value.clone(), at: Some(at.value.clone()).filter(|at| !at.is_empty()) };
    let mut status = StatusCode::OK;
    let mut rows = None;
    if !question.ip.is_empty() || question.at.is_some() {
        match holders(&app, &question).await {
            Ok(found) => rows = Some(found.into_iter().map(|holder| held(holder, Utc::now())).collect()),
            Err(Error::InvalidInput { field, message }) => {
                status = StatusCode::UNPROCESSABLE_ENTITY;
                let wrong = if field == "at" { &mut at } else { &mut ip };
                wrong.error = Some(sentence(&message));
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok((status, Page(HoldersPage { shell: who.shell(Section::Pools, None), ip, at, rows })).into_response())
}

fn held(holder: Holder, now: DateTime<Utc>) -> HolderRow {
    let by = match (holder.primary_ip_id, holder.floating_ip_id) {
        (Some(id), _) => format!("primary IP {id}"),
        (_, Some(id)) => format!("floating IP {id}"),
        _ => String::new(),
    };
    HolderRow {
        ip: holder.ip,
        project: (holder.project_id.0, holder.project),
        by,
        server: holder.vps_id.map(|id| (id, holder.vps.unwrap_or_default())),
        from: When::new(holder.from_at, now),
        until: holder.until_at.map(|at| When::new(at, now)),
    }
}
