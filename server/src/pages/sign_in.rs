//! Signing in and out, and the choice of colours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, SignInPage, Theme};
use serde::Deserialize;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::throttle::Throttle;
use crate::app::App;
use crate::db::{sessions, users};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
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
    let form = SignInPage {
        theme: cookies::theme(&headers),
        email: Field::default(),
        error: None,
        next: next.to_owned(),
    };
    Ok(Page(form).into_response())
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
    let address = extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    let refuse = |status: StatusCode, error: String| {
        let page = SignInPage {
            theme: cookies::theme(&headers),
            email: Field::new(email),
            error: Some(error),
            next: next.to_owned(),
        };
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
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "The address or the password is wrong.".into());
    };
    throttle.succeeded(address, email);
    if let Some(old) = cookies::session(&app.config, &headers) {
        sessions::delete(&app.db, &old).await?;
    }
    let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let secret = sessions::create(&app.db, user.id, agent).await?;
    Ok((cookies::keep_session(&app.config, &secret), Redirect::to(next)).into_response())
}

/// `POST /sign-out`.
pub(super) async fn sign_out(State(app): State<App>, headers: HeaderMap) -> Result<Response, Failed> {
    if let Some(cookie) = cookies::session(&app.config, &headers) {
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
fn local(next: &str) -> &str {
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
