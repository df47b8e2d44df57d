//! The dashboard: sign in, a project's servers, keys and tokens, and the operators' fleet.
//!
//! Handlers are short: who asks ([`session`]), one or two calls of the same functions that the API uses, a view struct,
//! a page of `berth-web`. Plain forms post and are answered with a redirect, so every page works without script; what
//! moves is rendered again from the same templates and pushed over an event stream ([`events`]).
//!
//! What guards it, in the order in which a request meets it:
//! - [`dress`]: security headers on every answer, a correlation id, errors as pages.
//! - `CsrfLayer`: a request that changes something and comes from another site is refused by `Sec-Fetch-Site` and
//!   `Origin`; the cookie is `SameSite=Lax` besides.
//! - The session, and for every path with a project the user's membership in it; the id of a thing is then only looked up
//!   within that project, by the same functions as the API's. Pages of servers ask what the user is to that server
//!   (`session::Visitor`), which may be a grant on it alone; all others ask for a role, and are closed to such people.

mod account;
mod addresses;
mod announcements;
mod assets;
mod audit;
mod blame;
mod choose;
mod closing;
mod console;
mod cookies;
mod create;
mod dress;
mod events;
mod factor;
mod fields;
mod firewalls;
mod fleet;
mod gate;
mod graphs;
mod keys;
mod life;
mod limits;
mod members;
mod names;
mod networks;
mod operators;
mod passkeys;
mod preview;
mod provider;
mod resize;
mod server;
mod server_access;
mod server_network;
mod server_settings;
mod servers;
mod session;
mod sign_in;
mod throttle;
mod tokens;
mod usage;
mod views;
mod webhooks;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use tower_http::csrf::CsrfLayer;

use self::addresses::{Floating, Primary};
use self::dress::{Failed, dress};
use self::session::SignedIn;
use self::throttle::Throttle;
use crate::app::App;
use crate::error::Error;

/// The largest form: user data of 32 KiB, percent-encoded, and everything beside it.
const MAX_FORM: usize = 256 * 1024;

/// What the pages' handlers share.
#[derive(Clone, Debug, FromRef)]
pub(crate) struct Pages {
    app: App,
    throttle: Throttle,
}

/// All routes of the dashboard, and the answer to every path that nobody serves.
pub fn router(app: App) -> Router {
    let pages = Pages { app, throttle: Throttle::default() };
    let project = Router::new()
        .route("/servers", get(servers::page))
        .route("/servers/events", get(servers::events))
        .route("/servers/power", post(servers::power))
        .route("/servers/new", get(create::page).post(create::submit))
        .route("/servers/summary", post(create::summary))
        .route("/servers/{id}", get(server::page))
        .route("/servers/{id}/events", get(server::events))
        .route("/servers/{id}/console", get(console::page))
        .route("/servers/{id}/console/ticket", post(console::ticket))
        .route("/servers/{id}/power", post(server::power))
        .route("/servers/{id}/reset-password", post(server::reset_password))
        .route("/servers/{id}/resize", post(resize::submit))
        .route("/servers/{id}/freeze", post(life::freeze))
        .route("/servers/{id}/restart-policy", post(life::restart_policy))
        .route("/servers/{id}/settings", get(server_settings::page).post(server_settings::change))
        .route("/servers/{id}/protection", post(server_settings::protect))
        .route("/servers/{id}/access", get(server_access::page).post(server_access::give))
        .route("/servers/{id}/access/leave", post(server_access::leave))
        .route("/servers/{id}/access/{grant}/level", post(server_access::set_level))
        .route("/servers/{id}/access/{grant}/revoke", post(server_access::revoke))
        .route("/servers/{id}/access/{grant}/uninvite", post(server_access::uninvite))
        .route("/servers/{id}/delete", post(server::delete))
        .route("/firewalls", get(firewalls::list))
        .route("/firewalls/new", get(firewalls::new).post(firewalls::create))
        .route("/firewalls/{id}", get(firewalls::page))
        .route("/firewalls/{id}/rules", get(firewalls::editor).post(firewalls::set_rules))
        .route("/firewalls/{id}/apply", post(firewalls::apply))
        .route("/firewalls/{id}/remove", post(firewalls::remove))
        .route("/firewalls/{id}/private", post(firewalls::private))
        .route("/firewalls/{id}/name", post(firewalls::name))
        .route("/firewalls/{id}/delete", post(firewalls::delete))
        .route("/networks", get(networks::list).post(networks::create))
        .route("/networks/{id}", get(networks::page))
        .route("/networks/{id}/subnets", post(networks::add_subnet))
        .route("/networks/{id}/subnets/delete", post(networks::delete_subnet))
        .route("/networks/{id}/routes", post(networks::add_route))
        .route("/networks/{id}/routes/delete", post(networks::delete_route))
        .route("/networks/{id}/range", post(networks::extend))
        .route("/networks/{id}/attach", post(networks::attach))
        .route("/networks/{id}/detach", post(networks::detach))
        .route("/networks/{id}/name", post(networks::name))
        .route("/networks/{id}/protection", post(networks::protect))
        .route("/networks/{id}/delete", post(networks::delete))
        .route("/addresses", get(addresses::list).post(addresses::create))
        .route("/primary-ips/{id}", get(addresses::page::<Primary>))
        .route("/primary-ips/{id}/assign", post(addresses::assign::<Primary>))
        .route("/primary-ips/{id}/unassign", post(addresses::unassign::<Primary>))
        .route("/primary-ips/{id}/reverse-dns", post(addresses::reverse_dns::<Primary>))
        .route("/primary-ips/{id}/settings", post(addresses::settings::<Primary>))
        .route("/primary-ips/{id}/protection", post(addresses::protect::<Primary>))
        .route("/primary-ips/{id}/delete", post(addresses::delete::<Primary>))
        .route("/floating-ips/{id}", get(addresses::page::<Floating>))
        .route("/floating-ips/{id}/assign", post(addresses::assign::<Floating>))
        .route("/floating-ips/{id}/unassign", post(addresses::unassign::<Floating>))
        .route("/floating-ips/{id}/reverse-dns", post(addresses::reverse_dns::<Floating>))
        .route("/floating-ips/{id}/settings", post(addresses::settings::<Floating>))
        .route("/floating-ips/{id}/protection", post(addresses::protect::<Floating>))
        .route("/floating-ips/{id}/delete", post(addresses::delete::<Floating>))
        .route("/keys", get(keys::page).post(keys::add))
        .route("/keys/{id}/delete", post(keys::delete))
        .route("/tokens", get(tokens::page).post(tokens::make))
        .route("/tokens/{id}/delete", post(tokens::delete))
        .route("/webhooks", get(webhooks::page).post(webhooks::make))
        .route("/webhooks/{id}", get(webhooks::one).post(webhooks::change))
        .route("/webhooks/{id}/switch", post(webhooks::switch))
        .route("/webhooks/{id}/test", post(webhooks::test))
        .route("/webhooks/{id}/redeliver", post(webhooks::redeliver))
        .route("/webhooks/{id}/delete", post(webhooks::delete))
        .route("/members", get(members::page).post(members::invite))
        .route("/members/{id}/role", post(members::set_role))
        .route("/members/{id}/remove", post(members::remove))
        .route("/invitations/{id}/delete", post(members::uninvite))
        .route("/usage", get(usage::page))
        .route("/audit", get(audit::of_project))
        .route("/audit/export", get(audit::export_project));
    let fleet = Router::new()
        .route("/hosts", get(fleet::hosts).post(fleet::add_host))
        .route("/hosts/events", get(fleet::events))
        .route("/hosts/{id}", get(fleet::host))
        .route("/hosts/{id}/cordon", post(operators::host::cordon))
        .route("/hosts/{id}/uncordon", post(operators::host::uncordon))
        .route("/hosts/{id}/overcommit", post(operators::host::overcommit))
        .route("/hosts/{id}/bgp", post(operators::host::set_bgp))
        .route("/servers", get(operators::top::list))
        .route("/projects", get(operators::projects::list).post(operators::projects::make))
        .route("/projects/{id}", get(operators::projects::page))
        .route("/projects/{id}/suspend", post(operators::projects::suspend))
        .route("/projects/{id}/resume", post(operators::projects::resume))
        .route("/projects/{id}/members", post(operators::projects::admit))
        .route("/people", get(operators::people::list))
        .route("/people/{id}", get(operators::people::page))
        .route("/people/{id}/factor-off", post(operators::people::factor_off))
        .route("/people/{id}/act", post(operators::acting::begin))
        .route("/plans", get(operators::plans::list))
        .route("/plans/new", get(operators::plans::new).post(operators::plans::make))
        .route("/plans/{id}", get(operators::plans::page))
        .route("/plans/{id}/policy", post(operators::plans::policy))
        .route("/plans/{id}/retire", post(operators::plans::retire))
        .route("/locations", get(operators::places::list).post(operators::places::make))
        .route("/datacenters", post(operators::places::make_datacenter))
        .route("/locations/{id}", get(operators::places::page))
        .route("/locations/{id}/resolvers", post(operators::places::resolvers))
        .route("/images", get(operators::images::list))
        .route("/images/{id}", get(operators::images::page))
        .route("/images/{id}/withdraw", post(operators::images::withdraw))
        .route("/pools", get(operators::pools::list).post(operators::pools::make))
        .route("/pools/{id}", get(operators::pools::page))
        .route("/pools/{id}/rest", post(operators::pools::rest))
        .route("/pools/{id}/ports", post(operators::pools::set_ports))
        .route("/pools/{id}/delete", post(operators::pools::delete))
        .route("/pools/{id}/name-server", post(operators::name_server::set))
        .route("/pools/{id}/name-server/forget", post(operators::name_server::forget))
        .route("/addresses", get(operators::pools::who_had))
        .route("/settings", get(operators::settings::page))
        .route("/settings/accounts", post(operators::settings::accounts))
        .route("/settings/traffic", post(operators::settings::traffic))
        .route("/announcements", get(announcements::page).post(announcements::make))
        .route("/announcements/{id}/delete", post(announcements::delete))
        .route("/audit", get(audit::of_everything))
        .route("/audit/export", get(audit::export_everything));
    Router::new()
        .route("/", get(home))
        .route("/sign-in", get(sign_in::page).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/sign-up", get(gate::sign_up_page).post(gate::sign_up))
        .route("/verify", get(gate::verify_page).post(gate::verify))
        .route("/reset", get(gate::forgot_page).post(gate::forgot))
        .route("/reset/new", get(gate::reset_page).post(gate::reset))
        .route("/invitation", get(members::invitation_page).post(members::accept))
        .route("/account", get(account::page))
        .route("/account/name", post(account::name))
        .route("/account/password", post(account::password))
        .route("/account/sessions/end", post(account::end_others))
        .route("/account/sessions/{id}/end", post(account::end_session))
        .route("/sign-in/code", get(factor::code_page).post(factor::code))
        .route("/account/second-factor", get(factor::page).post(factor::begin))
        .route("/account/second-factor/confirm", post(factor::confirm))
        .route("/account/second-factor/off", post(factor::off))
        .route("/sign-in/code/options", post(passkeys::step_options))
        .route("/sign-in/code/passkey", post(passkeys::step))
        .route("/sign-in/passkey", post(passkeys::sign_in))
        .route("/sign-in/passkey/options", post(passkeys::options))
        .route("/sign-in/provider", get(provider::begin))
        .route("/sign-in/provider/back", get(provider::back))
        .route("/account/provider/link", post(provider::link))
        .route("/account/provider/unlink", post(provider::unlink))
        .route("/account/passkeys", get(passkeys::page).post(passkeys::add))
        .route("/account/passkeys/options", post(passkeys::new_options))
        .route("/account/passkeys/{id}/name", post(passkeys::rename))
        .route("/account/passkeys/{id}/remove", post(passkeys::remove))
        .route("/account/projects", post(account::make_project))
        .route("/account/acting/end", post(operators::acting::end))
        .route("/account/export", get(closing::export))
        .route("/account/close", post(closing::close))
        .route("/announcements/{id}/dismiss", post(announcements::dismiss))
        .route("/theme", post(sign_in::theme))
        .nest("/projects/{project}", project)
        .route("/fleet", get(operators::overview::page))
        .nest("/fleet", fleet)
        .fallback(nothing)
        .layer(DefaultBodyLimit::max(MAX_FORM))
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(pages.clone(), dress))
        .merge(Router::new().route("/assets/{file}", get(assets::asset)).layer(from_fn(dress::harden)))
        .with_state(pages)
}

/// The first page of whoever is signed in.
async fn home(who: SignedIn) -> Result<Response, Failed> {
    let to = match who.projects.first() {
        Some(project) => project.path("servers"),
        None if who.user.operator => "/fleet".to_owned(),
        None => "/account".to_owned(), // where a project can be made
    };
    Ok(Redirect::to(&to).into_response())
}

async fn nothing() -> Failed {
    Error::NotFound("page").into()
}
