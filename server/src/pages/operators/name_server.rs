//! The name server of a pool: how it does, setting it, forgetting it. Its key is never shown.

use axum::extract::State;
use axum::response::Response;
use berth_web::{Form, Input, NameServerView, Notice, When};
use chrono::Utc;

use super::{done, pools};
use crate::admin::name_servers::{NameServerSettings, set as set_name_server, usual};
use crate::app::App;
use crate::db::pools::Pool;
use crate::db::reverse::name_servers as rows;
use crate::dns::Algorithm;
use crate::domain::amount;
use crate::error::{Error, Result};
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, ThingId};

fn path(pool: i64) -> String {
    format!("/fleet/pools/{pool}")
}

async fn found(app: &App, pool: i64) -> Result<Option<rows::NameServer>> {
    match rows::get(&app.db, pool).await {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// How it does; none where there is none.
pub(super) async fn view(app: &App, pool: i64) -> Result<Option<NameServerView>> {
    let now = Utc::now();
    Ok(found(app, pool).await?.map(|server| NameServerView {
        pending: server.pending,
        refused: server.refused,
        error: server.error.zip(server.error_at.map(|at| When::new(at, now))),
    }))
}

/// Sets it, or changes it.
pub(super) async fn form(app: &App, pool: i64) -> Result<Form> {
    let now = found(app, pool).await?;
    let is = |of: fn(&rows::NameServer) -> String| now.as_ref().map(of).unwrap_or_default();
    let algorithms = [Algorithm::HmacSha256, Algorithm::HmacSha512];
    let algorithms = algorithms.map(|a| (a.as_str().to_owned(), a.as_str().to_owned())).to_vec();
    let ttl = now.as_ref().map_or_else(usual, |server| server.ttl_s);
    let inputs = vec![
        Input::line("server", "Address and port").hint("As 192.0.2.53:53.").with(is(|s| s.server.clone())),
        Input::area("zones", "Zones of reverse names")
            .hint("As 2.0.192.in-addr.arpa, with spaces or lines between them.")
            .with(is(|s| s.zones.join("\n"))),
        Input::line("key_name", "Name of the TSIG key").with(is(|s| s.key_name.clone())),
        Input::choice("key_algorithm", "It signs by", algorithms).with(is(|s| s.key_algorithm.clone())),
        Input::secret("key_secret", "The key")
            .hint("Base64, as tsig-keygen prints it. Empty: the one that is known stays."),
        Input::line("default_name", "Name of addresses that nobody has named")
            .hint("As static.{ip-with-dashes}.example.com; empty: none.")
            .optional()
            .with(is(|s| s.default_name.clone().unwrap_or_default())),
        Input::line("ttl_s", "Seconds that others may keep a name").with(ttl.to_string()),
    ];
    Ok(Form::new("names", format!("{}/name-server", path(pool)), "Save", inputs))
}

/// Forgets it.
pub(super) fn forget_form(pool: &Pool) -> Form {
    let action = format!("{}/name-server/forget", path(pool.id));
    Form::new("forget", action, "Forget name server", vec![Input::confirm(&pool.name)]).danger()
}

/// `POST /fleet/pools/{id}/name-server`.
pub(in crate::pages) async fn set(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match change(&app, id, &fields).await {
        Ok(()) => Ok(done(&app, &path(id), Notice::Saved)),
        Err(e) => pools::again(&app, &who, id, &fields, e, |forms| Some(&mut forms.names)).await,
    }
}

async fn change(app: &App, pool: i64, fields: &Fields) -> Result<()> {
    let some = |name: &str| Some(fields.trimmed(name).to_owned()).filter(|text| !text.is_empty());
    let algorithm = Algorithm::from_name(fields.get("key_algorithm"));
    let zones = fields.get("zones").split([' ', ',', '\n']).filter(|zone| !zone.is_empty());
    let wanted = NameServerSettings {
        server: fields.trimmed("server").to_owned(),
        zones: zones.map(str::to_owned).collect(),
        key_name: fields.trimmed("key_name").to_owned(),
        key_algorithm: algorithm.ok_or_else(|| Error::invalid("key_algorithm", "choose one of these"))?,
        key_secret: some("key_secret"),
        default_name: some("default_name"),
        ttl_s: amount::parse("ttl_s", fields.get("ttl_s"), 1)?,
    };
    set_name_server(app, pool, &wanted).await.map(|_| ())
}

/// `POST /fleet/pools/{id}/name-server/forget`.
pub(in crate::pages) async fn forget(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let pool = pools::find(&app, id).await?;
    let gone = if fields.trimmed("confirm") == pool.name {
        rows::forget(&app, id).await
    } else {
        Err(Error::invalid("confirm", format!("is not the name; type {} to go on", pool.name)))
    };
    match gone {
        Ok(()) => Ok(done(&app, &path(id), Notice::Saved)),
        Err(e) => pools::again(&app, &who, id, &fields, e, |forms| forms.forget.as_mut()).await,
    }
}
