//! Passkeys: one's own, and signing in by one, alone or after a password.
//!
//! A browser first asks what its device is to do (JSON), and then posts the device's answer as a form, which is answered
//! as every form is. What was asked is kept in the database for who asked ([`crate::db::passkeys`]).

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Notice, PasskeyRow, PasskeysPage, Section, SignInPage, When};
use chrono::Utc;
use serde_json::{Value, json};

use super::dress::{Failed, Page};
use super::factor::{self, refuse_step};
use super::fields::Fields;
use super::gate::{source, start_session};
use super::server::capital;
use super::session::{SignedIn, ThingId};
use super::sign_in::{self, local};
use super::throttle::Throttle;
use super::{account, cookies};
use crate::app::App;
use crate::auth::passkey::{Answer, RelyingParty, Why};
use crate::auth::secret::Secret;
use crate::db::passkeys::{self, Outcome, Purpose};
use crate::db::{audit, factors, users};
use crate::error::{Error, Result};

const PATH: &str = "/account/passkeys";

/// This Berth as passkeys know it; where there are none, such requests lead nowhere.
fn here(app: &App) -> Result<&RelyingParty> {
    app.passkeys
        .as_ref()
        .as_ref()
        .map_err(|why| Error::Forbidden(format!("There are no passkeys here: {why}.")))
}

/// `GET /account/passkeys`.
pub(super) async fn page(
    who: SignedIn,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let codes = cookies::secret(&headers);
    let shown = codes.is_some().then(|| cookies::secret_shown(&app.config, PATH));
    let told = who.told(&app);
    Ok((shown, told, show(&app, &who, None, codes).await?).into_response())
}

async fn show(
    app: &App,
    who: &SignedIn,
    error: Option<String>,
    codes: Option<String>,
) -> Result<Page<PasskeysPage>> {
    let now = Utc::now();
    let row = |passkey: passkeys::Passkey| PasskeyRow {
        id: passkey.id,
        name: passkey.name,
        created: When::new(passkey.created_at, now),
        used: passkey.last_used_at.map(|at| When::new(at, now)),
    };
    let (_, left) = passkeys::count(&app.db, who.id).await?;
    Ok(Page(PasskeysPage {
        shell: who.shell(Section::Account, None),
        unavailable: app.passkeys.as_ref().as_ref().err().cloned(),
        origin: app.config.base().to_owned(),
        rows: passkeys::list(&app.db, who.id).await?.into_iter().map(row).collect(),
        left,
        error,
        codes: codes.map(|all| all.split(' ').map(str::to_owned).collect()).unwrap_or_default(),
    }))
}

async fn again(app: &App, who: &SignedIn, status: StatusCode, error: String) -> Result<Response, Failed> {
    Ok((status, show(app, who, Some(error), None).await?).into_response())
}

fn told((status, message): (StatusCode, String)) -> Response {
    (status, Json(json!({"message": message}))).into_response()
}

/// `POST /account/passkeys/options`: for whoever knows the password.
pub(super) async fn new_options(
    who: SignedIn,
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    fields: Fields,
) -> Result<Response, Failed> {
    let here = here(&app)?;
    let typed = fields.get("password");
    if let Some(refused) = account::knows(&app, &throttle, source(&extensions), &who, typed).await? {
        return Ok(told(refused));
    }
    match passkeys::ask_for_new(&app.db, here, who.id, &who.cookie).await {
        Ok(options) => Ok(Json(options).into_response()),
        Err(e @ Error::LimitExceeded(_)) => Ok(told((StatusCode::FORBIDDEN, capital(&e.to_string())))),
        Err(e) => Err(e.into()),
    }
}

/// What a passkey is called: one line.
fn name(fields: &Fields) -> String {
    let name: String = fields.own_name().chars().take(64).collect();
    if name.is_empty() { "Passkey".into() } else { name }
}

/// `POST /account/passkeys`.
pub(super) async fn add(who: SignedIn, State(app): State<App>, fields: Fields) -> Result<Response, Failed> {
    let here = here(&app)?;
    let shown = fields.get("credential");
    match passkeys::add(&app.db, here, who.id, &who.cookie, &name(&fields), shown).await {
        Ok(Ok(codes)) => {
            let codes = codes.map(|codes| cookies::show_secret(&app.config, PATH, &codes.join(" ")));
            let told = cookies::tell(&app.config, PATH, Notice::PasskeyAdded);
            Ok((codes, told, Redirect::to(PATH)).into_response())
        }
        Ok(Err(why)) => {
            let detail = json!({"passkey": why.code()});
            audit::note(&app.db, None, "passkey.refused", &who.user.email, Some(who.id.0), detail).await?;
            again(&app, &who, StatusCode::UNPROCESSABLE_ENTITY, why.text().into()).await
        }
        Err(e @ (Error::Uniqueness(_) | Error::LimitExceeded(_))) => {
            again(&app, &who, StatusCode::CONFLICT, capital(&format!("{e}."))).await
        }
        Err(e) => Err(e.into()),
    }
}

/// `POST /account/passkeys/{id}/name`.
pub(super) async fn rename(
    who: SignedIn,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    passkeys::rename(&app.db, who.id, id, &name(&fields)).await?;
    Ok((cookies::tell(&app.config, PATH, Notice::Saved), Redirect::to(PATH)).into_response())
}

/// `POST /account/passkeys/{id}/remove`: for whoever knows the password.
pub(super) async fn remove(
    who: SignedIn,
    ThingId(id): ThingId,
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    fields: Fields,
) -> Result<Response, Failed> {
    let typed = fields.get("password");
    if let Some((status, why)) = account::knows(&app, &throttle, source(&extensions), &who, typed).await? {
        return again(&app, &who, status, why).await;
    }
    passkeys::remove(&app.db, who.id, id).await?;
    Ok((cookies::tell(&app.config, PATH, Notice::PasskeyRemoved), Redirect::to(PATH)).into_response())
}

/// By what failures with a passkey are counted.
fn counted_by(shown: &str) -> String {
    Answer::parse(shown).map_or_else(|_| "passkey".into(), |answer| hex::encode(answer.credential_id()))
}

fn too_many(seconds: u64) -> (StatusCode, String) {
    let why = format!("There were too many attempts from here. Try again in {seconds} s.");
    (StatusCode::TOO_MANY_REQUESTS, why)
}

/// `POST /sign-in/passkey/options`.
pub(super) async fn options(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
) -> Result<Response, Failed> {
    let (here, address) = (here(&app)?, source(&extensions));
    if let Some(wait) = throttle.wait(address, "", Instant::now()) {
        return Ok(told(too_many(wait.as_secs().max(1))));
    }
    let browser = Secret::session();
    let options = passkeys::ask(&app.db, here, browser.expose(), address).await?;
    Ok((cookies::keep_passkey(&app.config, &browser), Json(options)).into_response())
}

/// `POST /sign-in/passkey`: signs in whoever it belongs to. The device has verified them, so nothing else is asked for.
pub(super) async fn sign_in(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let (here, address) = (here(&app)?, source(&extensions));
    let (next, shown) = (local(fields.get("next")), fields.get("credential"));
    let refuse = async |(status, error): (StatusCode, String)| {
        let page = SignInPage { error: Some(error), ..sign_in::form(&app, &headers, next).await? };
        Ok::<_, Failed>((status, cookies::drop_passkey(&app.config), Page(page)).into_response())
    };
    let credential = counted_by(shown);
    if let Some(wait) = throttle.wait(address, &credential, Instant::now()) {
        return refuse(too_many(wait.as_secs().max(1))).await;
    }
    let browser = cookies::passkey(&headers).unwrap_or_default();
    match passkeys::answer(&app.db, here, &browser, Purpose::SignIn, shown).await? {
        Outcome::Right(user) if user.verified => {
            throttle.succeeded(address, &credential);
            let cookie = start_session(&app, &user, &extensions, &headers).await?;
            Ok((cookie, cookies::drop_passkey(&app.config), Redirect::to(next)).into_response())
        }
        Outcome::Right(_) => {
            refuse((StatusCode::FORBIDDEN, "The address of this account is not confirmed yet.".into())).await
        }
        Outcome::Refused(user, why) => {
            throttle.failed(address, &credential, Instant::now());
            note(&app, user.as_ref(), why).await?;
            refuse((StatusCode::UNPROCESSABLE_ENTITY, why.text().into())).await
        }
    }
}

async fn note(app: &App, user: Option<&users::User>, why: Why) -> Result<()> {
    let (email, id) = user.map_or(("a passkey", None), |user| (user.email.as_str(), Some(user.id.0)));
    audit::note(&app.db, None, "session.refused", email, id, json!({"passkey": why.code()})).await
}

/// `POST /sign-in/code/options`: what the device of somebody who gave their password is asked.
pub(super) async fn step_options(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failed> {
    let here = here(&app)?;
    let asked: Option<Value> = match cookies::step(&headers) {
        Some(step) => passkeys::ask_step(&app.db, here, &step).await?,
        None => None,
    };
    let over = "It took too long. Sign in with your password again.";
    Ok(match asked {
        Some(options) => Json(options).into_response(),
        None => told((StatusCode::FORBIDDEN, over.into())),
    })
}

/// `POST /sign-in/code/passkey`: a passkey instead of a code.
pub(super) async fn step(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let here = here(&app)?;
    let next = local(fields.get("next"));
    let Some(step) = cookies::step(&headers) else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let (outcome, why) = factors::answer_by_passkey(&app.db, here, &step, fields.get("credential")).await?;
    match outcome {
        factors::Outcome::Right(user) => {
            let cookie = start_session(&app, &user, &extensions, &headers).await?;
            Ok((cookie, cookies::drop_step(&app.config), Redirect::to(next)).into_response())
        }
        factors::Outcome::Wrong(user, left) => {
            throttle.failed(source(&extensions), &user.email, Instant::now());
            let why = why.unwrap_or(Why::Wrong);
            let detail = json!({"passkey": why.code(), "left": left});
            audit::note(&app.db, None, "session.refused", &user.email, Some(user.id.0), detail).await?;
            let text = format!("{} {left} more tries.", why.text());
            refuse_step(&app, &headers, &step, next, left, text).await
        }
        factors::Outcome::Over => Ok(factor::over(&app, &headers)),
    }
}
