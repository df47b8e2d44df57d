//! Signing in by the operator's provider, and linking an account with it.
//!
//! A browser is sent away with a cookie and comes back by a link from another site, so the cookie is `SameSite=Lax`. Links
//! and not forms lead away, since the content security policy lets forms lead nowhere else.

use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{GatePage, Notice, SignInPage};
use serde::Deserialize;
use serde_json::json;

use super::account::{self, Typed};
use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::{plain, source, start_session};
use super::server::capital;
use super::session::SignedIn;
use super::sign_in::{self, Next, local};
use super::throttle::Throttle;
use crate::app::App;
use crate::auth::provider::{Provider, Trouble};
use crate::db::identities::{self, Found, Step};
use crate::db::{audit, users};
use crate::error::{Error, Result};

const ACCOUNT: &str = "/account";

fn provider(app: &App) -> Result<&Provider> {
    app.provider.as_ref().ok_or(Error::NotFound("page"))
}

/// What the provider sends back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Back {
    code: String,
    state: String,
    error: String,
    iss: Option<String>,
}

/// `GET /sign-in/provider`: off to it.
pub(super) async fn begin(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    Query(query): Query<Next>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let (provider, address) = (provider(&app)?, source(&extensions));
    let next = local(&query.next);
    if let Some(wait) = throttle.wait(address, "", Instant::now()) {
        let seconds = wait.as_secs().max(1);
        let why = format!("There were too many attempts from here. Try again in {seconds} s.");
        let page = refused(&app, &headers, next, StatusCode::TOO_MANY_REQUESTS, why).await?;
        return Ok(([(header::RETRY_AFTER, seconds)], page).into_response());
    }
    match provider.begin().await {
        Ok(begun) => {
            let cookie = identities::begin(&app.db, &begun, None, next, address).await?;
            Ok((cookies::keep_provider(&app.config, &cookie), Redirect::to(&begun.url)).into_response())
        }
        Err(trouble) => {
            let (status, _, why) = told(provider, &trouble);
            refused(&app, &headers, next, status, why).await
        }
    }
}

/// The sign-in page with a reason.
async fn refused(
    app: &App,
    headers: &HeaderMap,
    next: &str,
    status: StatusCode,
    why: String,
) -> Result<Response, Failed> {
    let page = SignInPage { error: Some(why), ..sign_in::form(app, headers, next).await? };
    Ok((status, cookies::drop_provider(&app.config), Page(page)).into_response())
}

/// What people are told of a trouble, and its word in the trail. The log has the rest.
fn told(provider: &Provider, trouble: &Trouble) -> (StatusCode, &'static str, String) {
    let name = &provider.name;
    match trouble {
        Trouble::Down(e) => {
            tracing::warn!(error = format!("{e:#}"), "the OIDC provider does not answer as it should");
            (
                StatusCode::BAD_GATEWAY,
                "down",
                format!("{name} does not answer. Try again later, or sign in another way."),
            )
        }
        Trouble::Code => {
            let why = format!(
                "{name} does not know this sign-in: it was used already, or took too long. Begin again."
            );
            (StatusCode::FORBIDDEN, "code", why)
        }
        Trouble::Nonce => (
            StatusCode::FORBIDDEN,
            "nonce",
            format!("What {name} answered is of another sign-in. Begin again."),
        ),
        Trouble::Token(e) => {
            tracing::warn!(error = format!("{e:#}"), "a token of the OIDC provider is not believed");
            (
                StatusCode::FORBIDDEN,
                "token",
                format!("What {name} answered cannot be believed. Tell an operator."),
            )
        }
    }
}

/// `GET /sign-in/provider/back`.
pub(super) async fn back(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    Query(back): Query<Back>,
    extensions: Extensions,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let (provider, address) = (provider(&app)?, source(&extensions));
    let refuse = async |next: &str, status: StatusCode, code: &str, user: Option<i64>, why: String| {
        throttle.failed(address, "provider", Instant::now());
        audit::note(&app.db, None, "session.refused", &provider.name, user, json!({"provider": code}))
            .await?;
        refused(&app, &headers, next, status, why).await
    };
    let session = cookies::session(&app.config, &headers);
    let cookie = cookies::provider(&headers).unwrap_or_default();
    let Some(step) = identities::take(&app.db, &cookie, &back.state, session.as_deref()).await? else {
        let why =
            "This sign-in was not begun in this browser, was used already, or took too long. Begin again.";
        return refuse("/", StatusCode::FORBIDDEN, "state", None, why.into()).await;
    };
    if back.iss.as_deref().is_some_and(|iss| iss != provider.issuer()) {
        let why = format!("This answer is not of {}. Begin again.", provider.name);
        return refuse(&step.next, StatusCode::FORBIDDEN, "issuer", None, why).await;
    }
    if !back.error.is_empty() || back.code.is_empty() {
        let why = format!("{} did not sign you in. Begin again, or sign in another way.", provider.name);
        return refuse(&step.next, StatusCode::FORBIDDEN, "denied", None, why).await;
    }
    let known = match provider.finish(&back.code, &step.nonce, &step.verifier).await {
        Ok(known) => known,
        Err(trouble) => {
            let (status, code, why) = told(provider, &trouble);
            return refuse(&step.next, status, code, None, why).await;
        }
    };
    if step.user.is_some() {
        return linked(&app, &headers, &step, &known).await;
    }
    let name = &provider.name;
    let (code, user, why) = match identities::enter(&app.db, &app.passwords, &known).await? {
        Found::In(user, _) if user.verified => {
            let cookie = start_session(&app, &user, &extensions, &headers).await?;
            let gone = cookies::drop_provider(&app.config);
            return Ok((cookie, gone, Redirect::to(local(&step.next))).into_response());
        }
        Found::In(user, _) => {
            ("unverified", Some(user.id.0), "The address of this account is not confirmed yet.".into())
        }
        Found::Unverified => (
            "unverified",
            None,
            format!("{name} does not say that your address is yours. Confirm it there, and begin again."),
        ),
        Found::Taken(user) => (
            "taken",
            Some(user.0),
            format!(
                "There is an account with this address. Sign in to it as before, and link it with {name} under Account."
            ),
        ),
        Found::NotLetIn => (
            "not let in",
            None,
            "There is no account for you here. Ask for an invitation to a project, or an operator.".into(),
        ),
    };
    refuse(&step.next, StatusCode::FORBIDDEN, code, user, why).await
}

async fn linked(
    app: &App,
    headers: &HeaderMap,
    step: &Step,
    known: &crate::auth::provider::Known,
) -> Result<Response, Failed> {
    let user = step.user.ok_or(Error::Unauthorized)?;
    if let Some(email) = users::email(&app.db, user).await? {
        crate::audit::is(crate::audit::Actor::User(user, email));
    }
    let gone = cookies::drop_provider(&app.config);
    match identities::link(&app.db, user, known).await {
        Ok(()) => {
            let told = cookies::tell(&app.config, ACCOUNT, Notice::Linked);
            Ok((gone, told, Redirect::to(ACCOUNT)).into_response())
        }
        Err(e @ Error::Uniqueness(_)) => {
            let page = GatePage {
                links: vec![("Back to the account", ACCOUNT.into())],
                ..plain(headers, "Not linked", &capital(&format!("{e}.")))
            };
            Ok((StatusCode::CONFLICT, gone, Page(page)).into_response())
        }
        Err(e) => Err(e.into()),
    }
}

/// Whether this is the password of who is signed in; else the account's page with what to tell them.
async fn knows_password(
    app: &App,
    throttle: &Throttle,
    extensions: &Extensions,
    who: &SignedIn,
    typed: &str,
) -> Result<Option<Response>, Failed> {
    let refused = if identities::has_password(&app.db, who.id).await? {
        account::knows(app, throttle, source(extensions), who, typed).await?
    } else {
        let why =
            "Your account has no password yet. Choose one by \"Forgot your password?\" on the sign-in page.";
        Some((StatusCode::CONFLICT, why.to_owned()))
    };
    let Some((status, why)) = refused else { return Ok(None) };
    again(app, who, status, why).await.map(Some)
}

async fn again(app: &App, who: &SignedIn, status: StatusCode, why: String) -> Result<Response, Failed> {
    let typed = Typed { provider: Some(why), ..Typed::default() };
    Ok((status, account::show(app, who, typed).await?).into_response())
}

/// `POST /account/provider/link`: for whoever knows the password; the page that comes has the link that leads away.
pub(super) async fn link(
    who: SignedIn,
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let provider = provider(&app)?;
    if let Some(page) = knows_password(&app, &throttle, &extensions, &who, fields.get("password")).await? {
        return Ok(page);
    }
    let begun = match provider.begin().await {
        Ok(begun) => begun,
        Err(trouble) => {
            let (status, _, why) = told(provider, &trouble);
            return again(&app, &who, status, why).await;
        }
    };
    let mine = Some((who.id, &*who.cookie));
    let cookie = identities::begin(&app.db, &begun, mine, ACCOUNT, source(&extensions)).await?;
    let lead = format!("Go on to {}, and sign in there as who you are to be here.", provider.name);
    let page = GatePage {
        links: vec![("Go on", begun.url), ("Back to the account", ACCOUNT.into())],
        ..plain(&headers, "Link your account", &lead)
    };
    Ok((cookies::keep_provider(&app.config, &cookie), Page(page)).into_response())
}

/// `POST /account/provider/unlink`: for whoever knows the password, so it is never the last way to sign in.
pub(super) async fn unlink(
    who: SignedIn,
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    fields: Fields,
) -> Result<Response, Failed> {
    let provider = provider(&app)?;
    if let Some(page) = knows_password(&app, &throttle, &extensions, &who, fields.get("password")).await? {
        return Ok(page);
    }
    identities::unlink(&app.db, who.id, provider.issuer()).await?;
    Ok((cookies::tell(&app.config, ACCOUNT, Notice::Unlinked), Redirect::to(ACCOUNT)).into_response())
}
