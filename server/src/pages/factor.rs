//! The second factor: turning it on and off, and being asked for it.

use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{FactorPage, FactorState, Field, GateField, GatePage, Notice, PasskeyAsk, Section};
use qrcodegen::{QrCode, QrCodeEcc};

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::{plain, source, start_session};
use super::session::SignedIn;
use super::sign_in::{Next, local};
use super::throttle::Throttle;
use crate::app::App;
use crate::auth::totp;
use crate::db::factors::{self, Factor, Outcome};
use crate::db::{audit, users};
use crate::error::Result;

const PATH: &str = "/account/second-factor";

/// `GET /account/second-factor`.
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
    error: Option<&str>,
    codes: Option<String>,
) -> Result<Page<FactorPage>> {
    let state = match factors::get(&app.db, who.id).await? {
        Factor::None => FactorState::Off,
        Factor::On(left) => FactorState::On { left },
        Factor::Begun(secret) => {
            let (size, path) = picture(&totp::url(&secret, &who.user.email))?;
            FactorState::Begun { secret: totp::base32(&secret), size, path }
        }
    };
    Ok(Page(FactorPage {
        shell: who.shell(Section::Account, None),
        state,
        code: Field { value: String::new(), error: error.map(str::to_owned) },
        codes: codes.map(|all| all.split(' ').map(str::to_owned).collect()).unwrap_or_default(),
    }))
}

/// A QR code as the path of an SVG, a square for each dark module, and how many modules wide it is with its margin.
fn picture(text: &str) -> Result<(i32, String)> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|e| anyhow::anyhow!("a QR code: {e}"))?;
    let margin = 4;
    let mut path = String::new();
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            path.push_str(&format!("M{} {}h1v1h-1z", x + margin, y + margin));
        }
    }
    Ok((code.size() + 2 * margin, path))
}

/// `POST /account/second-factor`: a new secret.
pub(super) async fn begin(who: SignedIn, State(app): State<App>) -> Result<Response, Failed> {
    factors::begin(&app.db, who.id).await?;
    Ok(Redirect::to(PATH).into_response())
}

/// `POST /account/second-factor/confirm`.
pub(super) async fn confirm(
    who: SignedIn,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match factors::confirm(&app.db, who.id, fields.get("code")).await? {
        Some(codes) => {
            Ok((cookies::show_secret(&app.config, PATH, &codes.join(" ")), Redirect::to(PATH))
                .into_response())
        }
        None => {
            let why = "This is not the code of now. See that the clock of your device is right, and type the next one.";
            let page = show(&app, &who, Some(why), None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
    }
}

/// `POST /account/second-factor/off`: for whoever knows the password.
pub(super) async fn off(who: SignedIn, State(app): State<App>, fields: Fields) -> Result<Response, Failed> {
    if users::verify(&app.db, &app.passwords, &who.user.email, fields.get("password")).await?.is_none() {
        let page = show(&app, &who, Some("This is not your password."), None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    factors::off(&app.db, who.id).await?;
    Ok((cookies::tell(&app.config, PATH, Notice::FactorOff), Redirect::to(PATH)).into_response())
}

async fn form(
    app: &App,
    headers: &HeaderMap,
    step: &str,
    next: &str,
    error: Option<String>,
) -> Result<Option<GatePage>> {
    let Some(asked) = factors::asked(&app.db, step).await? else { return Ok(None) };
    let field = GateField {
        name: "code",
        label: if asked.codes { "Code" } else { "Recovery code" },
        kind: "text",
        autocomplete: "one-time-code",
        required: true,
        field: Field::default(),
    };
    let passkey = (asked.passkeys && app.passkeys.is_ok()).then(|| PasskeyAsk {
        action: "/sign-in/code/passkey",
        options: "/sign-in/code/options",
        origin: app.config.base().to_owned(),
        next: next.to_owned(),
        text: "Use a passkey",
    });
    let lead = match (asked.codes, passkey.is_some()) {
        (true, true) => {
            "Use your passkey, or type the code that your authenticator shows, or one of your recovery codes."
        }
        (true, false) => "Type the code that your authenticator shows, or one of your recovery codes.",
        (false, true) => "Use your passkey, or type one of your recovery codes.",
        (false, false) => "Type one of your recovery codes.",
    };
    Ok(Some(GatePage {
        error,
        action: "/sign-in/code",
        hidden: vec![("next", next.to_owned())],
        fields: vec![field],
        button: Some("Go on"),
        links: vec![("Begin again", "/sign-in".into())],
        passkey,
        ..plain(headers, "One more step", lead)
    }))
}

/// `GET /sign-in/code`.
pub(super) async fn code_page(
    State(app): State<App>,
    Query(query): Query<Next>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let step = cookies::step(&headers).unwrap_or_default();
    Ok(match form(&app, &headers, &step, local(&query.next), None).await? {
        Some(page) => Page(page).into_response(),
        None => Redirect::to("/sign-in").into_response(),
    })
}

/// What whoever answered wrongly is told, while tries are left.
pub(super) async fn refuse_step(
    app: &App,
    headers: &HeaderMap,
    step: &str,
    next: &str,
    left: i32,
    why: String,
) -> Result<Response, Failed> {
    let page = if left > 0 { form(app, headers, step, next, Some(why)).await? } else { None };
    Ok(match page {
        Some(page) => (StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response(),
        None => over(app, headers),
    })
}

/// `POST /sign-in/code`.
pub(super) async fn code(
    State(app): State<App>,
    State(throttle): State<Throttle>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let next = local(fields.get("next"));
    let Some(step) = cookies::step(&headers) else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    match factors::answer(&app.db, &step, fields.get("code")).await? {
        Outcome::Right(user) => {
            let cookie = start_session(&app, &user, &extensions, &headers).await?;
            Ok((cookie, cookies::drop_step(&app.config), Redirect::to(next)).into_response())
        }
        Outcome::Wrong(user, left) => {
            throttle.failed(source(&extensions), &user.email, Instant::now());
            let detail = serde_json::json!({"code": "wrong", "left": left});
            audit::note(&app.db, None, "session.refused", &user.email, Some(user.id.0), detail).await?;
            let why = format!("This code is wrong, or was used already. {left} more tries.");
            refuse_step(&app, &headers, &step, next, left, why).await
        }
        Outcome::Over => Ok(over(&app, &headers)),
    }
}

pub(super) fn over(app: &App, headers: &HeaderMap) -> Response {
    let lead = "There were too many wrong answers, or it took too long. Sign in with your password again.";
    let page = plain(headers, "Begin again", lead);
    (StatusCode::FORBIDDEN, cookies::drop_step(&app.config), Page(page)).into_response()
}

/// Whoever gave the right password is asked for a code, if they have a second factor; none: they are in.
pub(super) async fn asked(app: &App, user: &users::User, next: &str) -> Result<Option<Response>> {
    if !factors::wanted(&app.db, user.id).await? {
        return Ok(None);
    }
    let step = factors::ask(&app.db, user.id).await?;
    let to = format!("/sign-in/code?next={}", super::dress::encode(next));
    Ok(Some((cookies::keep_step(&app.config, &step), Redirect::to(&to)).into_response()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_a_margin_and_finders() {
        let (size, path) =
            picture("otpauth://totp/Berth:a%40b.example?secret=GEZDGNBV&issuer=Berth").unwrap();
        assert!(size > 29 && path.starts_with("M4 4h1v1h-1z"), "{size} {path}");
        assert!(path.bytes().all(|b| b.is_ascii_digit() || b"Mhvz- ".contains(&b)));
    }
}
