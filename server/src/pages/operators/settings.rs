//! What holds for the whole installation: who may make an account, when months of traffic begin; and where the rest is.

use std::net::IpAddr;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use berth_web::{Form, Input, Notice, Section, SettingsPage};

use super::{blame, done, fill};
use crate::admin::members::{ChangeSettings, change_settings, settings};
use crate::app::App;
use crate::db::reverse::name_servers;
use crate::db::{locations, plans, policies, pools};
use crate::domain::amount;
use crate::domain::guard::port_text;
use crate::error::{Error, Result};
use crate::pages::dress::{Failed, Page};
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn};

const PATH: &str = "/fleet/settings";

/// `GET /fleet/settings`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let (accounts, traffic) = (accounts_form(&app).await?, traffic_form(&app).await?);
    Ok((who.told(&app), show(&app, &who, accounts, traffic).await?).into_response())
}

async fn accounts_form(app: &App) -> Result<Form> {
    let choices = [
        ("open", "anybody, who confirms their address by mail"),
        ("invited", "who was invited to a project"),
        ("off", "nobody; operators make accounts"),
    ];
    let choices = choices.map(|(value, words)| (value.to_owned(), words.to_owned())).to_vec();
    let input =
        Input::choice("sign_up", "Who may make an account", choices).with(settings(app).await?.sign_up);
    Ok(Form::new("accounts", format!("{PATH}/accounts"), "Save", vec![input]))
}

async fn traffic_form(app: &App) -> Result<Form> {
    let day = Input::line("reset_day", "Day on which months of traffic begin")
        .hint("1 to 28, UTC.")
        .with(policies::reset_day(&app.db).await?.to_string());
    Ok(Form::new("traffic", format!("{PATH}/traffic"), "Save", vec![day]))
}

async fn show(app: &App, who: &SignedIn, accounts: Form, traffic: Form) -> Result<Page<SettingsPage>> {
    let terms = plans::terms(&app.db).await?;
    let vat = terms.vat_rate.trim_end_matches('0').trim_end_matches('.');
    let fixed = vec![
        ("Address of this dashboard", app.config.public_url.clone()),
        ("Currency", terms.currency.clone()),
        ("Value-added tax", format!("{vat} %")),
        ("Requests of a project in an hour", app.config.rate_limit.to_string()),
    ];
    Ok(Page(SettingsPage {
        shell: who.shell(Section::Settings, None),
        mail: app.mailer.is_some(),
        accounts,
        traffic,
        fixed,
        name_servers: all_name_servers(app).await?,
        resolvers: all_resolvers(app).await?,
        policies: all_policies(app).await?,
    }))
}

async fn all_name_servers(app: &App) -> Result<Vec<(i64, String, String, Option<String>)>> {
    let mut all = Vec::new();
    for pool in pools::list(&app.db).await? {
        match name_servers::get(&app.db, pool.id).await {
            Ok(found) => all.push((pool.id, pool.name, found.server, found.error)),
            Err(Error::NotFound(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

async fn all_resolvers(app: &App) -> Result<Vec<(i64, String, String)>> {
    let mut all = Vec::new();
    for location in locations::list(&app.db).await? {
        let now = locations::resolvers(&app.db, location.id).await?;
        let now: Vec<String> = now.iter().map(IpAddr::to_string).collect();
        all.push((location.id.0, location.name, now.join(", ")));
    }
    Ok(all)
}

async fn all_policies(app: &App) -> Result<Vec<(i64, String, String, String)>> {
    let mut all = Vec::new();
    for plan in plans::offered(&app.db).await? {
        let policy = policies::get(&app.db, plan.id).await?;
        let words = match policy.over_traffic.as_str() {
            "throttle" => format!("bandwidth is lowered to {} Mbit/s", policy.throttle_mbit),
            "suspend" => "nothing passes until the month ends".to_owned(),
            _ => "its people are told".to_owned(),
        };
        let ports: Vec<String> = policy.blocked_ports.iter().map(port_text).collect();
        all.push((plan.id.0, plan.name, words, ports.join(" ")));
    }
    Ok(all)
}

/// `POST /fleet/settings/accounts`.
pub(in crate::pages) async fn accounts(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let change = ChangeSettings { sign_up: Some(fields.trimmed("sign_up").to_owned()) };
    match change_settings(&app, change).await {
        Ok(_) => Ok(done(&app, PATH, Notice::Saved)),
        Err(e) => {
            let mut form = accounts_form(&app).await?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            let traffic = traffic_form(&app).await?;
            Ok((status, show(&app, &who, form, traffic).await?).into_response())
        }
    }
}

/// `POST /fleet/settings/traffic`.
pub(in crate::pages) async fn traffic(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let set = match amount::parse("reset_day", fields.get("reset_day"), 1) {
        Ok(day) => policies::set_reset_day(&app.db, day).await,
        Err(e) => Err(e),
    };
    match set {
        Ok(()) => Ok(done(&app, PATH, Notice::Saved)),
        Err(e) => {
            let mut form = traffic_form(&app).await?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            let accounts = accounts_form(&app).await?;
            Ok((status, show(&app, &who, accounts, form).await?).into_response())
        }
    }
}
