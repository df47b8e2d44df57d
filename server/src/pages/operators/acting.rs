//! Looking at a tenant's pages in their stead: begin, and end.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Form, Input, Notice};

use super::people::{self, PATH};
use super::{blame, done, fill};
use crate::app::App;
use crate::db::acting::{self, MINUTES};
use crate::db::directory::{self, Person};
use crate::db::projects;
use crate::domain::names::Title;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::{Operator, SignedIn, ThingId};

/// None for other operators, and for those who have not confirmed their address.
pub(super) fn form(person: &Person) -> Option<Form> {
    let action = format!("{PATH}/{}/act", person.id);
    let reason = Input::line("reason", "Reason")
        .hint(format!("It is written to the trail. It ends by itself after {MINUTES} minutes."));
    (!person.operator && person.verified)
        .then(|| Form::new("act", action, "Look in their stead", vec![reason]))
}

/// `POST /fleet/people/{id}/act`.
pub(in crate::pages) async fn begin(
    Operator(who): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let person = directory::person(&app.db, UserId(id)).await?;
    match start(&app, &who, &person, &fields).await {
        Ok(()) => Ok(Redirect::to("/").into_response()),
        Err(e) => {
            let mut form = form(&person).ok_or(Error::NotFound("page"))?;
            fill(&mut form, &fields);
            let status = blame(&mut form, e)?;
            Ok((status, people::show(&app, &who, person, Some(form)).await?).into_response())
        }
    }
}

async fn start(app: &App, who: &SignedIn, person: &Person, fields: &Fields) -> Result<()> {
    let reason = Title::parse("reason", fields.trimmed("reason"))?;
    let person = UserId(person.id);
    if projects::of_user(&app.db, person).await?.is_empty() {
        return Err(Error::Conflict("they work in no project, so there is nothing to look at".into()));
    }
    acting::begin(&app.db, &who.cookie, person, reason.as_str()).await
}

/// `POST /account/acting/end`.
pub(in crate::pages) async fn end(who: SignedIn, State(app): State<App>) -> Result<Response, Failed> {
    acting::end(&app.db, &who.cookie).await?;
    match who.acting {
        Some(_) => Ok(done(&app, &format!("{PATH}/{}", who.id), Notice::ActingEnded)),
        None => Ok(Redirect::to("/").into_response()),
    }
}
