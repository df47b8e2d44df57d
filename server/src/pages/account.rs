//! One's own account: name, password, where one is signed in, projects of one's own.

use std::net::IpAddr;
use std::time::Instant;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{AccountPage, AccountProvider, Closing, Field, Notice, Section, SessionRow, When};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::checked;
use super::session::{SignedIn, ThingId};
use super::throttle::Throttle;
use crate::app::App;
use crate::db::factors::{self, Factor};
use crate::db::{identities, passkeys, projects, sessions, users};
use crate::domain::names::{Password, Title};
use crate::error::{Error, Result};

/// What was typed, where it did not do.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) current: Field,
    pub(super) new: Field,
    pub(super) project: Field,
    pub(super) closing: Closing,
    pub(super) provider: Option<String>,
}

/// `GET /account`.
pub(super) async fn page(who: SignedIn, State(app): State<App>) -> Result<Response, Failed> {
    let told = who.told(&app);
    Ok((told, show(&app, &who, Typed::default()).await?).into_response())
}

pub(super) async fn show(app: &App, who: &SignedIn, typed: Typed) -> Result<Page<AccountPage>> {
    let now = Utc::now();
    let row = |s: sessions::Seen| SessionRow {
        id: s.id,
        agent: if s.user_agent.is_empty() { "a program".into() } else { s.user_agent },
        source: s.source,
        created: When::new(s.created_at, now),
        seen: When::new(s.seen_at, now),
        this: s.this,
    };
    let user = users::find(&app.db, &who.user.email).await?.ok_or(Error::Unauthorized)?;
    let (passkeys, _) = passkeys::count(&app.db, who.id).await?;
    let provider = match &app.provider {
        Some(provider) => Some(AccountProvider {
            name: provider.name.clone(),
            linked: identities::get(&app.db, who.id, provider.issuer())
                .await?
                .map(|i| (i.email, When::new(i.created_at, now))),
            password: identities::has_password(&app.db, who.id).await?,
            error: typed.provider,
        }),
        None => None,
    };
    Ok(Page(AccountPage {
        shell: who.shell(Section::Account, None),
        name: Field::new(&user.name),
        current: typed.current,
        new: typed.new,
        sessions: sessions::list(&app.db, who.id, &who.cookie).await?.into_iter().map(row).collect(),
        project: typed.project,
        closing: typed.closing,
        factor: matches!(factors::get(&app.db, who.id).await?, Factor::On(_)),
        passkeys,
        provider,
    }))
}

/// Whether this is the password of who is signed in; else what to tell them. Guesses are counted.
pub(super) async fn knows(
    app: &App,
    throttle: &Throttle,
    address: IpAddr,
    who: &SignedIn,
    typed: &str,
) -> Result<Option<(StatusCode, String)>> {
    let email = &who.user.email;
    if let Some(wait) = throttle.wait(address, email, Instant::now()) {
        let why = format!("There were too many attempts. Try again in {} s.", wait.as_secs().max(1));
        return Ok(Some((StatusCode::TOO_MANY_REQUESTS, why)));
    }
    if users::verify(&app.db, &app.passwords, email, typed).await?.is_none() {
        throttle.failed(address, email, Instant::now());
        return Ok(Some((StatusCode::UNPROCESSABLE_ENTITY, "This is not your password.".into())));
    }
    throttle.succeeded(address, email);
    Ok(None)
}

/// `POST /account/name`.
pub(super) async fn name(who: SignedIn, State(app): State<App>, fields: Fields) -> Result<Response, Failed> {
    let name = fields.own_name();
    users::rename(&app.db, who.id, &name).await?;
    Ok(told(&app, Notice::NameChanged))
}

/// `POST /account/password`.
pub(super) async fn password(
    who: SignedIn,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let new = Password::parse(fields.get("new"));
    let field = checked("", &new)?;
    let Ok(new) = new else {
        let typed = Typed { new: field, ..Typed::default() };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&app, &who, typed).await?).into_response());
    };
    let user = users::find(&app.db, &who.user.email).await?.ok_or(Error::Unauthorized)?;
    let current = fields.get("current");
    if !users::change_password(&app.db, &app.passwords, &user, &who.cookie, current, &new).await? {
        let error = Some("This is not your present password.".to_owned());
        let typed = Typed { current: Field { value: String::new(), error }, ..Typed::default() };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&app, &who, typed).await?).into_response());
    }
    Ok(told(&app, Notice::PasswordChanged))
}

/// `POST /account/sessions/{id}/end`.
pub(super) async fn end_session(
    who: SignedIn,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    sessions::end(&app.db, who.id, &who.cookie, Some(id)).await?;
    Ok(told(&app, Notice::SessionsEnded))
}

/// `POST /account/sessions/end`: all but this one.
pub(super) async fn end_others(who: SignedIn, State(app): State<App>) -> Result<Response, Failed> {
    sessions::end(&app.db, who.id, &who.cookie, None).await?;
    Ok(told(&app, Notice::SessionsEnded))
}

/// `POST /account/projects`.
pub(super) async fn make_project(
    who: SignedIn,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let typed = fields.get("project");
    let name = Title::parse("name", typed);
    let project = checked(typed, &name)?;
    let Ok(name) = name else {
        let typed = Typed { project, ..Typed::default() };
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&app, &who, typed).await?).into_response());
    };
    let id = projects::create_for(&app.db, &name, who.id).await?;
    Ok(Redirect::to(&format!("/projects/{id}/servers")).into_response())
}

fn told(app: &App, notice: Notice) -> Response {
    (cookies::tell(&app.config, "/account", notice), Redirect::to("/account")).into_response()
}
