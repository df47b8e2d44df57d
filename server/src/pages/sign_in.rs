//! Signing in and out, and the choice of colours.

use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, PasskeyAsk, SignInPage, Theme};
use serde::Deserialize;
use serde_json::json;

use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::{is_open, source, start_session};
use super::throttle::Throttle;
use super::{cookies, factor};
use crate::app::App;
use crate::audit::{Actor, is};
use crate::db::{audit, sessions, users};
use crate::error::Result;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    pub(super) next: String,
}

/// `GET /sign-in`. Whoever is signed in already is sent on.
pub(super) async fn page(
    State(app): State<App>,
    Query(query): Query<Next>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let next = local(&query.next);
    if let Some(cookie) = cookies::session(&app.config, &headers)
        && sessions::find(&app.db, &cookie).await?.is_some()
    {
        return Ok(Redirect::to(next).into_response());
    }
    Ok(Page(form(&app, &headers, next).await?).into_response())
}

/// The page as it is before anything was typed.
pub(super) async fn form(app: &App, headers: &HeaderMap, next: &str) -> Result<SignInPage> {
    let passkey = app.passkeys.is_ok().then(|| PasskeyAsk {
        action: "/sign-in/passkey",
        options: "/sign-in/passkey/options",
        origin: app.config.base().to_owned(),
        next: next.to_owned(),
        text: "Sign in with a passkey",
    });
    Ok(SignInPage {
        theme: cookies::theme(headers),
        email: Field::default(),
        error: None,
        next: next.to_owned(),
        open: is_open(app).await?,
        mails: app.mailer.is_some(),
        passkey,
        provider: app.provider.as_ref().map(|provider| {
            let to = format!("/sign-in/provider?next={}", super::dress::encode(next));
            (provider.name.clone(), to)
        }),
    })
}

/// `POST /sign-in`. A new session each time, so that a planted cookie gains nothing; the one before it is ended.
pub(super) async fn sign_in(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let (email, password) = (fields.trimmed("email"), fields.get("password"));
    let next = local(fields.get("next"));
    let address = source(&extensions);
    let blank = form(&app, &headers, next).await?;
    let refuse = |status: StatusCode, error: String| {
        let page = SignInPage { email: Field::new(email), error: Some(error), ..blank };
        Ok((status, Page(page)).into_response())
    };
    if let Some(wait) = throttle.wait(address, email, Instant::now()) {
        let seconds = wait.as_secs().max(1);
        let mut response = refuse(
            StatusCode::TOO_MANY_REQUESTS,
            format!("There were too many attempts from here. Try again in {seconds} s."),
        )?;
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        return Ok(response);
    }
    let Some(user) = users::verify(&app.db, &app.passwords, email, password).await? else {
        throttle.failed(address, email, Instant::now());
        tracing::info!(%address, "a sign-in failed");
        audit::note(&app.db, None, "session.refused", email, None, json!({})).await?;
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "The address or the password is wrong.".into());
    };
    throttle.succeeded(address, email);
    if !user.verified {
        let why = "This address is not confirmed yet. Open the link in the mail that was sent to it; make the account again for another mail.";
        return refuse(StatusCode::FORBIDDEN, why.into());
    }
    if let Some(step) = factor::asked(&app, &user, next).await? {
        return Ok(step);
    }
    let cookie = start_session(&app, &user, &extensions, &headers).await?;
    Ok((cookie, Redirect::to(next)).into_response())
}

/// `POST /sign-out`.
pub(super) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failed> {
    if let Some(cookie) = cookies::session(&app.config, &headers)
        && let Some(session) = sessions::find(&app.db, &cookie).await?
    {
        let user = session.user;
        is(Actor::User(user.id, user.email.clone()));
        audit::note(&app.db, None, "session.ended", &user.email, Some(user.id.0), json!({})).await?;
        sessions::delete(&app.db, &cookie).await?;
    }
    Ok((cookies::drop_session(&app.config), Redirect::to("/sign-in")).into_response())
}

/// `POST /theme`.
pub(super) async fn theme(State(app): State<App>, fields: Fields) -> Response {
    let theme = Theme::parse(fields.get("theme"));
    (cookies::keep_theme(&app.config, theme), Redirect::to(local(fields.get("next")))).into_response()
}

/// A path of this site to go on to, or the start. Anything that a browser could read as another site's address is not
/// taken: `//host`, `/\host`, schemes, control characters (which browsers drop before they read).
pub(super) fn local(next: &str) -> &str {
    let bytes = next.as_bytes();
    let fine = bytes.first() == Some(&b'/')
        && !matches!(bytes.get(1), Some(b'/' | b'\\'))
        && bytes.iter().all(|b| b.is_ascii_graphic() && *b != b'\\')
        && !next.starts_with("/sign-in");
    if fine { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::local;

    #[test]
    fn only_paths_of_this_site() {
        for good in ["/", "/projects/1/servers?range=6h", "/fleet/hosts#enrol"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "evil",
            "/a\r\nSet-Cookie: x=y",
            "/a\\b",
            "/sign-in?next=/sign-in",
            "/ä",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
    }
}
