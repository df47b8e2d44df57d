//! What is kept about oneself, and the end of one's account.

use std::time::Instant;

use axum::extract::State;
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use berth_web::{Closing, Field};

use super::account::{self, Typed};
use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::{plain, source};
use super::server::capital;
use super::session::SignedIn;
use super::throttle::Throttle;
use crate::api::exported;
use crate::app::App;
use crate::db::{closing, users};
use crate::error::Error;

/// `GET /account/export`.
pub(super) async fn export(who: SignedIn, State(app): State<App>) -> Result<Response, Failed> {
    let name = [
        (header::CONTENT_DISPOSITION, "attachment; filename=\"berth-account.json\""),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((name, exported(&app, who.id).await?).into_response())
}

/// `POST /account/close`: for whoever knows the password and types the address.
pub(super) async fn close(
    who: SignedIn,
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let (email, address) = (&who.user.email, source(&extensions));
    let typed = fields.trimmed("confirm");
    let mut form = Closing { confirm: Field::new(typed), ..Closing::default() };
    if let Some(wait) = throttle.wait(address, email, Instant::now()) {
        form.refused =
            Some(format!("There were too many attempts. Try again in {} s.", wait.as_secs().max(1)));
        return again(&app, &who, StatusCode::TOO_MANY_REQUESTS, form).await;
    }
    if !typed.eq_ignore_ascii_case(email) {
        form.confirm.error = Some("This is not the address of your account.".into());
    }
    if users::verify(&app.db, &app.passwords, email, fields.get("close-password")).await?.is_none() {
        throttle.failed(address, email, Instant::now());
        form.password.error = Some("This is not your password.".into());
    }
    if form.confirm.error.is_some() || form.password.error.is_some() {
        return again(&app, &who, StatusCode::UNPROCESSABLE_ENTITY, form).await;
    }
    match closing::close(&app.db, who.id).await {
        Ok(_) => {
            let page = plain(
                &headers,
                "Your account is closed",
                "What was kept about you is gone, but for the audit trail.",
            );
            Ok((cookies::drop_session(&app.config), Page(page)).into_response())
        }
        Err(e @ Error::Conflict(_)) => {
            form.refused = Some(capital(&e.to_string()));
            again(&app, &who, StatusCode::CONFLICT, form).await
        }
        Err(e) => Err(e.into()),
    }
}

async fn again(app: &App, who: &SignedIn, status: StatusCode, closing: Closing) -> Result<Response, Failed> {
    let typed = Typed { closing, ..Typed::default() };
    Ok((status, account::show(app, who, typed).await?).into_response())
}
