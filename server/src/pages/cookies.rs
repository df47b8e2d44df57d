//! The dashboard's cookies: the session, the colours, and what is to be shown once on the next page.
//!
//! A secret that is shown once (a root password, a token) travels from the request that made it to the page that shows it
//! in a cookie: it is for that path only, lives for a minute, no script reads it, and the page that shows it removes it.
//! It is the only place between the two, because the server keeps no state and the database keeps no such secret.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponseParts, ResponseParts};
use axum_extra::extract::CookieJar;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use berth_web::{Notice, Theme};

use crate::auth::secret::Secret;
use crate::config::Config;

const THEME: &str = "berth_theme";
const NOTICE: &str = "berth_notice";
const SECRET: &str = "berth_secret";
const STEP: &str = "berth_step";
const PASSKEY: &str = "berth_passkey";
const PROVIDER: &str = "berth_provider";
const YEAR: u32 = 365 * 86_400;
const MINUTE: u32 = 60;

/// A `Set-Cookie` header. Values are ours: hex, base64 or words.
#[derive(Debug)]
pub(super) struct SetCookie(String);

impl SetCookie {
    fn new(
        config: &Config,
        name: &str,
        value: &str,
        path: &str,
        same_site: &str,
        max_age: Option<u32>,
    ) -> Self {
        let mut line = format!("{name}={value}; Path={path}; HttpOnly; SameSite={same_site}");
        if let Some(seconds) = max_age {
            line.push_str(&format!("; Max-Age={seconds}"));
        }
        if https(config) {
            line.push_str("; Secure");
        }
        Self(line)
    }
}

impl IntoResponseParts for SetCookie {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        let value =
            HeaderValue::try_from(self.0).expect("names, values and paths of cookies are ASCII of ours");
        parts.headers_mut().append(header::SET_COOKIE, value);
        Ok(parts)
    }
}

/// Whether browsers reach this Berth by HTTPS.
fn https(config: &Config) -> bool {
    config.public_url.starts_with("https://")
}

/// Name of the session's cookie. With HTTPS its prefix makes browsers refuse one that a neighbouring host has planted.
fn session_name(config: &Config) -> &'static str {
    if https(config) { "__Host-berth" } else { "berth_session" }
}

fn read(headers: &HeaderMap, name: &str) -> Option<String> {
    CookieJar::from_headers(headers).get(name).map(|cookie| cookie.value().to_owned())
}

/// The session that a request carries.
pub(super) fn session(config: &Config, headers: &HeaderMap) -> Option<String> {
    read(headers, session_name(config)).filter(|value| !value.is_empty())
}

/// The cookie of a new session. The browser keeps it until it is closed; the session itself ends by the database's clock.
pub(super) fn keep_session(config: &Config, secret: &Secret) -> SetCookie {
    SetCookie::new(config, session_name(config), secret.expose(), "/", "Lax", None)
}

/// Removes the session's cookie.
pub(super) fn drop_session(config: &Config) -> SetCookie {
    SetCookie::new(config, session_name(config), "", "/", "Lax", Some(0))
}

/// Keeps the step of a sign-in in which a code is asked for.
pub(super) fn keep_step(config: &Config, secret: &Secret) -> SetCookie {
    SetCookie::new(config, STEP, secret.expose(), "/sign-in", "Strict", Some(10 * MINUTE))
}

/// The step that a request carries.
pub(super) fn step(headers: &HeaderMap) -> Option<String> {
    read(headers, STEP).filter(|value| !value.is_empty())
}

/// Removes the step.
pub(super) fn drop_step(config: &Config) -> SetCookie {
    SetCookie::new(config, STEP, "", "/sign-in", "Strict", Some(0))
}

/// Keeps by what this browser is known that was asked for a passkey.
pub(super) fn keep_passkey(config: &Config, secret: &Secret) -> SetCookie {
    SetCookie::new(config, PASSKEY, secret.expose(), "/sign-in", "Strict", Some(5 * MINUTE))
}

/// By what a browser is known that was asked for a passkey.
pub(super) fn passkey(headers: &HeaderMap) -> Option<String> {
    read(headers, PASSKEY).filter(|value| !value.is_empty())
}

/// Removes it.
pub(super) fn drop_passkey(config: &Config) -> SetCookie {
    SetCookie::new(config, PASSKEY, "", "/sign-in", "Strict", Some(0))
}

/// Keeps by what this browser is known that is sent to the provider. It comes back by a link of another site.
pub(super) fn keep_provider(config: &Config, secret: &Secret) -> SetCookie {
    SetCookie::new(config, PROVIDER, secret.expose(), "/sign-in/provider", "Lax", Some(10 * MINUTE))
}

/// By what a browser is known that was sent to the provider.
pub(super) fn provider(headers: &HeaderMap) -> Option<String> {
    read(headers, PROVIDER).filter(|value| !value.is_empty())
}

/// Removes it.
pub(super) fn drop_provider(config: &Config) -> SetCookie {
    SetCookie::new(config, PROVIDER, "", "/sign-in/provider", "Lax", Some(0))
}

/// Light or dark, as chosen in this browser.
pub(super) fn theme(headers: &HeaderMap) -> Theme {
    read(headers, THEME).map_or(Theme::Auto, |name| Theme::parse(&name))
}

/// Keeps the choice of colours.
pub(super) fn keep_theme(config: &Config, theme: Theme) -> SetCookie {
    SetCookie::new(config, THEME, theme.name(), "/", "Lax", Some(YEAR))
}

/// What just happened, to be told on this page.
pub(super) fn notice(headers: &HeaderMap) -> Option<Notice> {
    Notice::parse(&read(headers, NOTICE)?)
}

/// Tells on the page at `path` what just happened.
pub(super) fn tell(config: &Config, path: &str, notice: Notice) -> SetCookie {
    SetCookie::new(config, NOTICE, notice.code(), path, "Lax", Some(MINUTE))
}

/// Removes what the page at `path` has told.
pub(super) fn told(config: &Config, path: &str) -> SetCookie {
    SetCookie::new(config, NOTICE, "", path, "Lax", Some(0))
}

/// The secret that this page is to show.
pub(super) fn secret(headers: &HeaderMap) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(read(headers, SECRET)?).ok()?).ok()?;
    (!text.is_empty() && text.len() <= 2048 && !text.chars().any(|c| c.is_control() && c != '\n'))
        .then_some(text)
}

/// Shows a secret on the page at `path`, once.
pub(super) fn show_secret(config: &Config, path: &str, secret: &str) -> SetCookie {
    SetCookie::new(config, SECRET, &URL_SAFE_NO_PAD.encode(secret), path, "Strict", Some(MINUTE))
}

/// Removes the secret that the page at `path` has shown.
pub(super) fn secret_shown(config: &Config, path: &str) -> SetCookie {
    SetCookie::new(config, SECRET, "", path, "Strict", Some(0))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn config(url: &str) -> Config {
        Cli::try_parse_from(["berth-server", "--public-url", url]).unwrap().config
    }

    fn request(set: &SetCookie) -> HeaderMap {
        let pair = set.0.split(';').next().unwrap();
        [(header::COOKIE, HeaderValue::from_str(pair).unwrap())].into_iter().collect()
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let config = config("http://berth.example");
        assert_eq!(
            session(&config, &request(&keep_session(&config, &Secret::new("abc".into())))),
            Some("abc".into())
        );
        assert_eq!(session(&config, &request(&drop_session(&config))), None);
        assert_eq!(theme(&request(&keep_theme(&config, Theme::Dark))), Theme::Dark);
        let told = tell(&config, "/projects/1/keys", Notice::KeyAdded);
        assert_eq!(notice(&request(&told)), Some(Notice::KeyAdded));
        assert_eq!(secret(&request(&show_secret(&config, "/x", "a;b\nö"))), Some("a;b\nö".into()));
        assert_eq!(secret(&request(&secret_shown(&config, "/x"))), None);
    }

    #[test]
    fn no_script_reads_them_and_https_protects_them() {
        let plain = keep_session(&config("http://berth.example"), &Secret::new("abc".into())).0;
        assert_eq!(plain, "berth_session=abc; Path=/; HttpOnly; SameSite=Lax");
        let safe = keep_session(&config("https://berth.example"), &Secret::new("abc".into())).0;
        assert_eq!(safe, "__Host-berth=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
        let secret = show_secret(&config("https://berth.example"), "/projects/1/tokens", "abc").0;
        assert!(
            secret.contains("Path=/projects/1/tokens; HttpOnly; SameSite=Strict; Max-Age=60; Secure"),
            "{secret}"
        );
    }

    #[test]
    fn planted_secrets_do_not_break_out() {
        for planted in
            ["%%%", "", &URL_SAFE_NO_PAD.encode("a\u{1b}[2J"), &URL_SAFE_NO_PAD.encode("x".repeat(4096))]
        {
            let header = HeaderValue::from_str(&format!("{SECRET}={planted}")).unwrap();
            assert_eq!(secret(&[(header::COOKIE, header)].into_iter().collect()), None, "{planted}");
        }
    }
}
