//! Plans: what is offered, how many more of each fit, what follows on traffic; making one and retiring one.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_proto::{HostFacts, Limits};
use berth_web::{
    Bytes, Cores, Form, Input, Money, NewPlanPage, Notice, PlanPage, PlanRow, PlansPage, Section, When,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::plan_form::{self, UNITS};
use super::{blame, confirmed, done, fill};
use crate::app::App;
use crate::db::hosts::{self, Host};
use crate::db::plans::{self, Plan};
use crate::db::{directory, policies};
use crate::domain::amount;
use crate::domain::guard::{parse_ports, port_text};
use crate::domain::headroom::{Room, more};
use crate::domain::limits::booked;
use crate::domain::placement::Resources;
use crate::domain::traffic::{Over, POLICIES};
use crate::error::{Error, Result};
use crate::ids::PlanId;
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn, ThingId};

const PATH: &str = "/fleet/plans";

/// `GET /fleet/plans`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let mut all = rows(&app).await?;
    all.sort_by_key(|row| row.retired.is_some()); // within that by id, as they came
    Ok((who.told(&app), Page(PlansPage { shell: who.shell(Section::Plans, None), rows: all }))
        .into_response())
}

async fn rows(app: &App) -> Result<Vec<PlanRow>> {
    let servers = directory::servers_by_plan(&app.db).await?;
    let currency = plans::terms(&app.db).await?.currency;
    let (all, hosts) = (plans::list(&app.db).await?, hosts::list(&app.db).await?);
    let now = Utc::now();
    let row = |plan: &Plan| row(plan, &hosts, &currency, servers.get(&plan.id.0).copied().unwrap_or(0), now);
    Ok(all.iter().map(row).collect())
}

fn row(plan: &Plan, hosts: &[Host], currency: &str, servers: i64, now: DateTime<Utc>) -> PlanRow {
    let money = |amount: &str| Money { amount: amount.to_owned(), currency: currency.to_owned() };
    PlanRow {
        id: plan.id.0,
        name: plan.name.clone(),
        description: plan.description.clone(),
        specs: format!(
            "{} · {} · {}",
            Cores(plan.cpu_milli),
            Bytes(plan.memory_bytes),
            Bytes(plan.disk_bytes)
        ),
        monthly: money(&plan.price_monthly),
        hourly: money(&plan.price_hourly),
        servers,
        fits: plan.retired_at.is_none().then(|| fit(plan, hosts)),
        retired: plan.retired_at.map(|at| When::new(at, now)),
    }
}

/// How many more of a plan fit on these hosts.
pub(super) fn fit(plan: &Plan, hosts: &[Host]) -> i64 {
    let rooms: Vec<Room> = hosts.iter().map(|host| room(host, &plan.architecture)).collect();
    more(&rooms, &booked(&plan.limits(), &plan.limits()))
}

fn room(host: &Host, architecture: &str) -> Room {
    let facts = serde_json::from_value::<HostFacts>(host.facts.clone()).unwrap_or_default();
    let here = if facts.arch == "aarch64" { "arm" } else { "x86" };
    Room {
        ready: host.state == "online" && !host.cordoned && here == architecture,
        capacity: Resources {
            cpu_milli: host.capacity_cpu_milli,
            cpu_guarantee_milli: 0,
            memory_bytes: host.capacity_memory,
            disk_bytes: host.capacity_disk,
        },
        allocated: Resources {
            cpu_milli: host.allocated_cpu_milli,
            cpu_guarantee_milli: host.allocated_cpu_guarantee_milli,
            memory_bytes: host.allocated_memory,
            disk_bytes: host.allocated_disk,
        },
        cpu_overcommit: host.cpu_overcommit,
    }
}

/// Why a host takes no more of anything.
fn why_none(host: &Host) -> &'static str {
    match (host.state.as_str(), host.cordoned) {
        ("online", true) => "It is cordoned.",
        ("online", false) => "",
        ("new", _) => "It is not enrolled.",
        ("revoked", _) => "Its certificate is revoked.",
        _ => "It is silent.",
    }
}

#[derive(Debug, Default, Deserialize)]
pub(in crate::pages) struct Like {
    like: Option<i64>,
}

/// `GET /fleet/plans/new`, with `?like=` as another one is.
pub(in crate::pages) async fn new(
    Operator(who): Operator,
    State(app): State<App>,
    Query(Like { like }): Query<Like>,
) -> Result<Response, Failed> {
    let mut form = plan_form::form();
    if let Some(id) = like {
        plan_form::copy(&mut form, &find(&app, id).await?);
    }
    Ok(new_page(&who, form).into_response())
}

fn new_page(who: &SignedIn, make: Form) -> Page<NewPlanPage> {
    Page(NewPlanPage { shell: who.shell(Section::Plans, None), make })
}

/// `POST /fleet/plans/new`.
pub(in crate::pages) async fn make(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form = plan_form::form();
    fill(&mut form, &fields);
    let Some(plan) = plan_form::read(&mut form)? else {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, new_page(&who, form)).into_response());
    };
    match plans::create(&app.db, &plan).await {
        Ok(made) => Ok(done(&app, &format!("{PATH}/{}", made.id), Notice::PlanMade)),
        Err(e) => Ok((blame(&mut form, e)?, new_page(&who, form)).into_response()),
    }
}

async fn find(app: &App, id: i64) -> Result<Plan> {
    let all = plans::list(&app.db).await?;
    all.into_iter().find(|plan| plan.id.0 == id).ok_or(Error::NotFound("plan"))
}

/// `GET /fleet/plans/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let plan = find(&app, id).await?;
    let (policy, retire) = (policy_form(&app, id).await?, retire_form(&plan));
    Ok((who.told(&app), show(&app, &who, &plan, policy, retire).await?).into_response())
}

async fn policy_form(app: &App, id: i64) -> Result<Form> {
    let policy = policies::get(&app.db, PlanId(id)).await?;
    let words = |name: &str| match name {
        "throttle" => "lower its bandwidth".to_owned(),
        "suspend" => "let nothing pass until the month ends".to_owned(),
        _ => "only tell its people".to_owned(),
    };
    let over = POLICIES.iter().map(|(_, name)| ((*name).to_owned(), words(name))).collect();
    let ports: Vec<String> = policy.blocked_ports.iter().map(port_text).collect();
    let inputs = vec![
        Input::choice("over_traffic", "When the included traffic is used up", over).with(policy.over_traffic),
        Input::line("throttle_mbit", "Lower the bandwidth to, Mbit/s").with(policy.throttle_mbit.to_string()),
        Input::area("blocked_ports", "Ports that nobody outside is reached at")
            .hint("As tcp/25, with spaces or lines between them.")
            .with(ports.join(" ")),
    ];
    Ok(Form::new("policy", format!("{PATH}/{id}/policy"), "Save", inputs))
}

fn retire_form(plan: &Plan) -> Option<Form> {
    let action = format!("{PATH}/{}/retire", plan.id);
    let form = || Form::new("retire", action, "Retire plan", vec![Input::confirm(&plan.name)]).danger();
    plan.retired_at.is_none().then(form)
}

async fn show(
    app: &App,
    who: &SignedIn,
    plan: &Plan,
    policy: Form,
    retire: Option<Form>,
) -> Result<Page<PlanPage>> {
    let hosts = hosts::list(&app.db).await?;
    let servers = directory::servers_by_plan(&app.db).await?;
    let currency = plans::terms(&app.db).await?.currency;
    let wanted = booked(&plan.limits(), &plan.limits());
    let each = |host: &Host| {
        let fits = room(host, &plan.architecture).fits(&wanted);
        (host.id, host.name.clone(), fits, why_none(host))
    };
    Ok(Page(PlanPage {
        shell: who.shell(Section::Plans, None),
        row: row(plan, &hosts, &currency, servers.get(&plan.id.0).copied().unwrap_or(0), Utc::now()),
        limits: told(plan),
        hosts: hosts.iter().map(each).collect(),
        policy,
        retire,
    }))
}

/// All that a server of the plan may use, in words.
fn told(plan: &Plan) -> Vec<(&'static str, String)> {
    let limits: Limits = plan.limits();
    let mut all: Vec<_> = UNITS
        .iter()
        .map(|unit| {
            let value = (unit.of)(&limits);
            let text = match value {
                0 if !unit.none.is_empty() => unit.none.to_owned(),
                _ => format!("{} {}", amount::tell(value, unit.size), unit.name).trim().to_owned(),
            };
            (unit.label, text)
        })
        .collect();
    let included = if plan.included_traffic == 0 {
        "no end to it".to_owned()
    } else {
        Bytes(plan.included_traffic).to_string()
    };
    all.push(("Traffic a month", included));
    all
}

/// `POST /fleet/plans/{id}/policy`.
pub(in crate::pages) async fn policy(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let plan = find(&app, id).await?;
    match change(&app, PlanId(id), &fields).await {
        Ok(()) => Ok(done(&app, &format!("{PATH}/{id}"), Notice::Saved)),
        Err(e) => {
            let mut form = policy_form(&app, id).await?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            let retire = retire_form(&plan);
            Ok((status, show(&app, &who, &plan, form, retire).await?).into_response())
        }
    }
}

async fn change(app: &App, plan: PlanId, fields: &Fields) -> Result<()> {
    let ports: Vec<String> = fields
        .get("blocked_ports")
        .split([' ', ',', '\n'])
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect();
    let change = policies::Change {
        over_traffic: Some(Over::parse("over_traffic", fields.get("over_traffic"))?),
        throttle_mbit: Some(amount::parse("throttle_mbit", fields.get("throttle_mbit"), 1)?),
        blocked_ports: Some(parse_ports("blocked_ports", &ports)?),
    };
    policies::set(app, plan, &change).await.map(|_| ())
}

/// `POST /fleet/plans/{id}/retire`.
pub(in crate::pages) async fn retire(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let plan = find(&app, id).await?;
    let mut form = retire_form(&plan).ok_or(Error::NotFound("plan"))?;
    fill(&mut form, &fields);
    if !confirmed(&mut form, &fields, &plan.name) {
        let policy = policy_form(&app, id).await?;
        let page = show(&app, &who, &plan, policy, Some(form)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    plans::retire(&app.db, PlanId(id)).await?;
    Ok(done(&app, &format!("{PATH}/{id}"), Notice::PlanRetired))
}
