//! What is before the dashboard, beside signing in: making an account, confirming its address, a new password.
//!
//! A link of a mail is only used up by a press of its page's button, since programs that look at mail follow links. Who asks
//! for a mail gets the same answer whether or not there is such an account, and not often ([`Throttle`]).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, GateField, GatePage, Notice};
use serde::Deserialize;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::keys::sentence;
use super::throttle::Throttle;
use crate::app::App;
use crate::audit::{Actor, is};
use crate::db::accounts::{self, Purpose};
use crate::db::users::User;
use crate::db::{audit, sessions, settings};
use crate::domain::names::{Email, Password};
use crate::error::{Error, Result};

/// The secret of a link.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    pub(super) token: String,
}

/// Whether strangers may make accounts: the operator lets them, and mail leaves to confirm their addresses.
pub(super) async fn is_open(app: &App) -> Result<bool> {
    let policy: Option<String> = settings::get(&app.db, settings::SIGN_UP).await?;
    Ok(app.mailer.is_some() && policy.as_deref() == Some("open"))
}

/// Whether whoever was invited may make an account.
pub(super) async fn takes_invited(app: &App) -> Result<bool> {
    let policy: Option<String> = settings::get(&app.db, settings::SIGN_UP).await?;
    Ok(policy.as_deref() != Some("off"))
}

pub(super) fn source(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip())
}

/// A page without fields and button.
pub(super) fn plain(headers: &HeaderMap, title: &str, lead: &str) -> GatePage {
    GatePage {
        theme: cookies::theme(headers),
        title: title.into(),
        lead: lead.into(),
        error: None,
        action: "",
        hidden: vec![],
        fields: vec![],
        button: None,
        links: vec![("Sign in", "/sign-in".into())],
        passkey: None,
    }
}

pub(super) fn password(name: &'static str, label: &'static str, error: Option<String>) -> GateField {
    let field = Field { value: String::new(), error };
    GateField { name, label, kind: "password", autocomplete: "new-password", required: true, field }
}

pub(super) fn text(name: &'static str, label: &'static str, field: Field) -> GateField {
    let (kind, autocomplete) = if name == "email" { ("email", "username") } else { ("text", "name") };
    GateField { name, label, kind, autocomplete, required: name == "email", field }
}

/// A value that was typed, and what is wrong with it.
pub(super) fn checked<T>(value: &str, outcome: &Result<T>) -> Result<Field> {
    match outcome {
        Ok(_) => Ok(Field::new(value)),
        Err(Error::InvalidInput { message, .. }) => {
            Ok(Field { value: value.to_owned(), error: Some(sentence(message)) })
        }
        Err(_) => Err(Error::invalid("form", "cannot be read")),
    }
}

fn wait(throttle: &Throttle, address: IpAddr, key: &str) -> Option<u64> {
    let wait = throttle.wait(address, key, Instant::now());
    throttle.failed(address, key, Instant::now()); // each asks for a mail
    wait.map(|wait| wait.as_secs().max(1))
}

fn too_often(mut page: GatePage, seconds: u64) -> Response {
    page.error = Some(format!("There were too many requests from here. Try again in {seconds} s."));
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds)], Page(page)).into_response()
}

fn sign_up_form(headers: &HeaderMap, name: Field, email: Field, wrong: Option<String>) -> GatePage {
    GatePage {
        action: "/sign-up",
        fields: vec![
            text("name", "Your name", name),
            text("email", "E-mail address", email),
            password("password", "Password", wrong),
        ],
        button: Some("Make account"),
        ..plain(headers, "Make an account", "A link to confirm your address comes by mail.")
    }
}

/// `GET /sign-up`.
pub(super) async fn sign_up_page(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failed> {
    if !is_open(&app).await? {
        return Err(Error::NotFound("page").into());
    }
    Ok(Page(sign_up_form(&headers, Field::default(), Field::default(), None)).into_response())
}

/// `POST /sign-up`.
pub(super) async fn sign_up(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    if !is_open(&app).await? {
        return Err(Error::NotFound("page").into());
    }
    let (name, typed) = (fields.trimmed("name"), fields.trimmed("email"));
    let email = Email::parse(typed).and_then(|e| e.mailable());
    let new = Password::parse(fields.get("password"));
    let wrong = checked("", &new)?.error;
    let page = sign_up_form(&headers, Field::new(name), checked(typed, &email)?, wrong);
    let (Ok(email), Ok(new)) = (email, new) else {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response());
    };
    if let Some(seconds) = wait(&throttle, source(&extensions), "sign-up") {
        return Ok(too_often(page, seconds));
    }
    let name = fields.own_name();
    accounts::sign_up(&app.db, &app.passwords, app.config.base(), &email, &name, &new).await?;
    let lead = format!(
        "A mail is on its way to {email}. Open the link in it to go on. If none comes, look among the unwanted ones, or make the account again."
    );
    Ok(Page(plain(&headers, "Look into your mail", &lead)).into_response())
}

/// `GET /verify?token=…`.
pub(super) async fn verify_page(
    State(app): State<App>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let Some(email) = accounts::peek(&app.db, &link.token, Purpose::Verify).await? else {
        return Ok((StatusCode::NOT_FOUND, Page(spent(&headers))).into_response());
    };
    let page = GatePage {
        action: "/verify",
        hidden: vec![("token", link.token)],
        button: Some("Confirm"),
        links: vec![],
        ..plain(&headers, "Confirm your address", &email)
    };
    Ok(Page(page).into_response())
}

/// What a link that is not good any more leads to.
pub(super) fn spent(headers: &HeaderMap) -> GatePage {
    plain(
        headers,
        "This link is not good any more",
        "It was used already, or it is too old. Ask for another one.",
    )
}

/// `POST /verify`: whoever holds the link of a new account is signed in.
pub(super) async fn verify(
    State(app): State<App>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let user = match accounts::verify(&app.db, fields.get("token")).await {
        Err(Error::Forbidden(_)) => return Ok((StatusCode::FORBIDDEN, Page(spent(&headers))).into_response()),
        other => other?,
    };
    let cookie = start_session(&app, &user, &extensions, &headers).await?;
    Ok((cookie, cookies::tell(&app.config, "/", Notice::AddressConfirmed), Redirect::to("/")).into_response())
}

/// A session of its own for whoever just showed who they are; the one before it is ended.
pub(super) async fn start_session(
    app: &App,
    user: &User,
    extensions: &Extensions,
    headers: &HeaderMap,
) -> Result<cookies::SetCookie> {
    if let Some(old) = cookies::session(&app.config, headers) {
        sessions::delete(&app.db, &old).await?;
    }
    is(Actor::User(user.id, user.email.clone()));
    audit::note(&app.db, None, "session.started", &user.email, Some(user.id.0), serde_json::json!({}))
        .await?;
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let secret = sessions::create(&app.db, user.id, agent, Some(source(extensions))).await?;
    Ok(cookies::keep_session(&app.config, &secret))
}

fn forgot_form(headers: &HeaderMap, email: Field) -> GatePage {
    GatePage {
        action: "/reset",
        fields: vec![text("email", "E-mail address", email)],
        button: Some("Send a link"),
        ..plain(headers, "A new password", "A link to choose one comes by mail.")
    }
}

/// `GET /reset`.
pub(super) async fn forgot_page(State(app): State<App>, headers: HeaderMap) -> Response {
    match app.mailer {
        Some(_) => Page(forgot_form(&headers, Field::default())).into_response(),
        None => Page(plain(
            &headers,
            "A new password",
            "No mail leaves here. Ask an operator for a new password.",
        ))
        .into_response(),
    }
}

/// `POST /reset`.
pub(super) async fn forgot(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    if app.mailer.is_none() {
        return Err(Error::NotFound("page").into());
    }
    let typed = fields.trimmed("email");
    if let Some(seconds) = wait(&throttle, source(&extensions), "reset") {
        return Ok(too_often(forgot_form(&headers, Field::new(typed)), seconds));
    }
    accounts::forgot(&app.db, app.config.base(), typed).await?;
    let lead = "If there is an account with this address, a mail is on its way to it.";
    Ok(Page(plain(&headers, "Look into your mail", lead)).into_response())
}

fn reset_form(headers: &HeaderMap, token: &str, email: &str, wrong: Option<String>) -> GatePage {
    GatePage {
        action: "/reset/new",
        hidden: vec![("token", token.to_owned())],
        fields: vec![password("password", "New password", wrong)],
        button: Some("Set password"),
        links: vec![],
        ..plain(headers, "Choose a new password", email)
    }
}

/// `GET /reset/new?token=…`.
pub(super) async fn reset_page(
    State(app): State<App>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    match accounts::peek(&app.db, &link.token, Purpose::Reset).await? {
        Some(email) => Ok(Page(reset_form(&headers, &link.token, &email, None)).into_response()),
        None => Ok((StatusCode::NOT_FOUND, Page(spent(&headers))).into_response()),
    }
}

/// `POST /reset/new`. Signs nobody in: a second factor, if there is one, is asked for as ever.
pub(super) async fn reset(
    State(app): State<App>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let token = fields.get("token");
    let Some(email) = accounts::peek(&app.db, token, Purpose::Reset).await? else {
        return Ok((StatusCode::FORBIDDEN, Page(spent(&headers))).into_response());
    };
    let new = Password::parse(fields.get("password"));
    let wrong = checked("", &new)?.error;
    let Ok(new) = new else {
        let page = reset_form(&headers, token, &email, wrong);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response());
    };
    accounts::reset(&app.db, &app.passwords, token, &new).await?;
    Ok(Page(plain(&headers, "Your password is set", "Sign in with it. All sessions of before were ended."))
        .into_response())
}
