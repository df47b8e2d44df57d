//! API tokens of a project.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice, ScopeChoice, Section, TokenForm, TokenRow, TokensPage, When};
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::keys::sentence;
use super::server::capital;
use super::session::{Manager, Member, ThingId};
use crate::app::App;
use crate::db::tokens::{self, Token};
use crate::domain::names::Title;
use crate::domain::reach::{Reach, future, parse_sources};
use crate::domain::scopes::{Access, Resource, Scopes};
use crate::error::{Error, Result};
use crate::ids::TokenId;

/// `GET /projects/{project}/tokens`.
pub(super) async fn page(
    Manager(member): Manager,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let secret = cookies::secret(&headers);
    let shown = secret.is_some().then(|| cookies::secret_shown(&app.config, &member.project.path("tokens")));
    let told = member.who.told(&app);
    Ok((shown, told, show(&app, &member, empty(), secret).await?).into_response())
}

/// `POST /projects/{project}/tokens`.
pub(super) async fn make(
    Manager(member): Manager,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let (name, reach) = match read(&fields) {
        Ok(wanted) => wanted,
        Err(form) => {
            let page = show(&app, &member, *form, None).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let writable = fields.get("access") == "write";
    let (_, secret) = tokens::create_bounded(&app.db, Some(member.id()), &name, writable, &reach).await?;
    let to = member.project.path("tokens");
    Ok((cookies::show_secret(&app.config, &to, secret.expose()), Redirect::to(&to)).into_response())
}

/// The form as it begins: what the `hcloud` command wants besides is chosen.
fn empty() -> TokenForm {
    let chosen = |name: &str| if ["actions", "catalog"].contains(&name) { "read" } else { "" };
    TokenForm { scopes: choices(chosen), ..TokenForm::default() }
}

/// Reads every field, so that all that is wrong is told at once; the form with what is.
fn read(fields: &Fields) -> Result<(Title, Reach), Box<TokenForm>> {
    let (access, ends, sources) = (fields.get("access"), fields.trimmed("ends"), fields.get("sources"));
    let choices = choices(|name| fields.get(&format!("scope-{name}")));
    let name = Title::parse("name", fields.get("name"));
    let scopes = (access == "scopes").then(|| chosen(&choices)).transpose();
    let expires_at = (!ends.is_empty()).then(|| end_of_day(ends, Utc::now())).transpose();
    let networks: Vec<&str> = sources.split([' ', ',', '\n', '\t']).filter(|part| !part.is_empty()).collect();
    let networks = parse_sources("sources", &networks);
    match (name, scopes, expires_at, networks) {
        (Ok(name), Ok(scopes), Ok(expires_at), Ok(sources)) => {
            Ok((name, Reach { scopes, expires_at, sources }))
        }
        (name, scopes, expires_at, networks) => Err(Box::new(TokenForm {
            name: typed(fields.get("name"), name.err()),
            access: typed(access, scopes.err()),
            scopes: choices,
            ends: typed(ends, expires_at.err()),
            sources: typed(sources, networks.err()),
        })),
    }
}

fn typed(value: &str, wrong: Option<Error>) -> Field {
    let told = |e| match e {
        Error::InvalidInput { message, .. } => sentence(&message),
        other => capital(&other.to_string()),
    };
    Field { value: value.to_owned(), error: wrong.map(told) }
}

/// The parts of the API, each with what was chosen.
fn choices<'a>(chosen: impl Fn(&str) -> &'a str) -> Vec<ScopeChoice> {
    let choice = |resource: Resource| ScopeChoice {
        name: resource.name(),
        words: words(resource),
        accesses: resource.accesses().iter().map(|access| (access.name(), access_words(*access))).collect(),
        chosen: chosen(resource.name()).to_owned(),
    };
    Resource::ALL.map(choice).to_vec()
}

fn chosen(choices: &[ScopeChoice]) -> Result<Scopes> {
    let names: Vec<String> = choices
        .iter()
        .filter(|choice| !choice.chosen.is_empty())
        .map(|choice| format!("{}:{}", choice.name, choice.chosen))
        .collect();
    if names.is_empty() {
        return Err(Error::invalid("access", "choose at least one part of what is below"));
    }
    Scopes::parse("access", &names)
}

fn words(resource: Resource) -> &'static str {
    match resource {
        Resource::Servers => "Servers",
        Resource::Guests => "Inside servers: console, programs, files, root password",
        Resource::Images => "Images",
        Resource::Networks => "Networks",
        Resource::Firewalls => "Firewalls",
        Resource::Addresses => "Primary and floating IPs",
        Resource::Keys => "SSH keys",
        Resource::Actions => "Actions",
        Resource::Catalog => "Catalog: plans, locations, prices",
        Resource::Events => "Events of everything, and webhooks",
        Resource::Audit => "Audit trail",
        Resource::Project => "Quotas and announcements",
    }
}

fn access_words(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "read and write",
    }
}

/// The end of a day, UTC, which is not over.
fn end_of_day(day: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let wrong = || Error::invalid("ends", "must be a day such as 2027-02-09");
    let day: NaiveDate = day.parse().map_err(|_| wrong())?;
    let end = day.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0)).ok_or_else(wrong)?;
    // Postgres has no years beyond.
    let end = Some(end.and_utc()).filter(|end| end.year() < 10_000).ok_or_else(wrong)?;
    future("ends", end, now)
}

/// `POST /projects/{project}/tokens/{id}/delete`.
pub(super) async fn delete(
    Manager(member): Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    tokens::delete(&app.db, Some(member.id()), TokenId(id)).await?;
    let to = member.project.path("tokens");
    Ok((cookies::tell(&app.config, &to, Notice::TokenDeleted), Redirect::to(&to)).into_response())
}

fn may(token: &Token) -> Vec<String> {
    match &token.reach.scopes {
        Some(scopes) => scopes.names().iter().map(|name| name.replace(':', ": ")).collect(),
        None if token.writable => vec!["read and write".into()],
        None => vec!["read".into()],
    }
}

async fn show(
    app: &App,
    member: &Member,
    form: TokenForm,
    secret: Option<String>,
) -> Result<Page<TokensPage>> {
    let now = Utc::now();
    let row = |token: Token| TokenRow {
        id: token.id.0,
        may: may(&token),
        ends: token.reach.expires_at.map(|end| (When::new(end, now), end <= now)),
        sources: token.reach.sources.iter().map(ToString::to_string).collect(),
        name: token.name,
        created: When::new(token.created_at, now),
        used: token.last_used_at.map(|at| When::new(at, now)),
    };
    Ok(Page(TokensPage {
        shell: member.shell(Section::Tokens),
        project: member.project.clone(),
        rows: tokens::list(&app.db, Some(member.id())).await?.into_iter().map(row).collect(),
        form,
        secret,
        endpoint: endpoint(app),
    }))
}

/// Where clients of the API are pointed.
pub(super) fn endpoint(app: &App) -> String {
    format!("{}/v1", app.config.public_url.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_good_until_its_end() {
        let now: DateTime<Utc> = "2026-06-01T12:00:00Z".parse().unwrap();
        let end = |day| end_of_day(day, now).map(|end| end.to_string());
        assert_eq!(end("2026-06-01").unwrap(), "2026-06-02 00:00:00 UTC");
        for bad in ["2026-05-31", "x", "2026-13-01", "01.06.2026", "+262142-12-31", "99999-01-01"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_form_offers_every_scope_and_reads_it() {
        let all = choices(|_| "");
        assert_eq!(all.len(), Resource::ALL.len());
        assert!(chosen(&all).unwrap_err().to_string().contains("at least one"));
        let all = choices(|name| if name == "servers" { "write" } else { "" });
        assert_eq!(chosen(&all).unwrap().names(), ["servers:write"]);
        assert!(chosen(&choices(|_| "write")).is_err(), "nobody writes the audit trail");
        assert_eq!(chosen(&empty().scopes).unwrap().names(), ["actions:read", "catalog:read"]);
    }
}
