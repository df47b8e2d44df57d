//! People: everybody who has an account, one of them, and their second factor when they lost it.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use berth_web::{Field, Form, Input, Notice, PeoplePage, PersonPage, PersonRow, Section, When};
use chrono::{DateTime, Utc};

use super::{Asked, acting, confirmed, done, fill};
use crate::admin;
use crate::app::App;
use crate::db::directory::{self, Person};
use crate::db::projects;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::pages::dress::{Failed, Page, encode};
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn, ThingId};

pub(super) const PATH: &str = "/fleet/people";

/// `GET /fleet/people`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failed> {
    let now = Utc::now();
    let found = directory::people(&app.db, asked.text()?, asked.part()).await?;
    let page = PeoplePage {
        shell: who.shell(Section::People, None),
        rows: found.items.into_iter().map(|person| row(person, now)).collect(),
        q: Field::new(&asked.q),
        pager: asked.pager(PATH, found.total),
    };
    Ok((who.told(&app), Page(page)).into_response())
}

fn row(person: Person, now: DateTime<Utc>) -> PersonRow {
    PersonRow {
        id: person.id,
        email: person.email,
        name: person.name,
        operator: person.operator,
        verified: person.verified,
        factor: person.factor,
        projects: person.projects,
        sessions: person.sessions,
        signed_in: person.signed_in_at.map(|at| When::new(at, now)),
        created: When::new(person.created_at, now),
    }
}

/// `GET /fleet/people/{id}`.
pub(in crate::pages) async fn page(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let person = directory::person(&app.db, UserId(id)).await?;
    Ok((who.told(&app), show(&app, &who, person, None).await?).into_response())
}

/// Whoever is signed in turns their own off by their password, on the page of their account.
fn factor_form(who: &SignedIn, person: &Person) -> Option<Form> {
    let action = format!("{PATH}/{}/factor-off", person.id);
    let form = || Form::new("factor", action, "Turn off", vec![Input::confirm(&person.email)]).danger();
    (person.factor && who.id.0 != person.id).then(form)
}

/// The page, with the form that was typed where one was.
pub(super) async fn show(
    app: &App,
    who: &SignedIn,
    person: Person,
    typed: Option<Form>,
) -> Result<Page<PersonPage>> {
    let (mut factor_off, mut act) = (factor_form(who, &person), acting::form(&person));
    for form in [&mut factor_off, &mut act].into_iter().flatten() {
        if let Some(typed) = typed.as_ref().filter(|typed| typed.action == form.action) {
            *form = typed.clone();
        }
    }
    let all = projects::of_user(&app.db, UserId(person.id)).await?;
    Ok(Page(PersonPage {
        shell: who.shell(Section::People, None),
        trail: format!("/fleet/audit?actor={}", encode(&person.email)),
        projects: all.into_iter().map(|(p, role)| (p.id.0, p.name, role.words().to_owned())).collect(),
        row: row(person, Utc::now()),
        factor_off,
        act,
    }))
}

/// `POST /fleet/people/{id}/factor-off`.
pub(in crate::pages) async fn factor_off(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let person = directory::person(&app.db, UserId(id)).await?;
    let mut form = factor_form(&who, &person).ok_or(Error::NotFound("second factor"))?;
    fill(&mut form, &fields);
    if !confirmed(&mut form, &fields, &person.email) {
        let page = show(&app, &who, person, Some(form)).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    admin::members::lose_factor(&app, UserId(id)).await?;
    Ok(done(&app, &format!("{PATH}/{id}"), Notice::FactorLost))
}
