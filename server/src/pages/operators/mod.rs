//! The operators' pages about everything that is no host: tenants, what is sold, addresses, settings.
//!
//! They do what the operators' API does, by the same functions. A form that does not do is shown again with what was
//! typed and what is wrong beside each field ([`read`], [`blame`]); what is destroyed is named first ([`confirmed`]).

pub(in crate::pages) mod acting;
pub(in crate::pages) mod host;
pub(in crate::pages) mod images;
pub(in crate::pages) mod name_server;
pub(in crate::pages) mod overview;
pub(in crate::pages) mod people;
pub(in crate::pages) mod places;
mod plan_form;
pub(in crate::pages) mod plans;
pub(in crate::pages) mod pools;
pub(in crate::pages) mod projects;
pub(in crate::pages) mod settings;
pub(in crate::pages) mod top;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Form, Notice, Pager};
use serde::Deserialize;

use super::cookies;
use super::dress::encode;
use super::fields::Fields;
use super::keys::sentence;
use super::server::capital;
use crate::app::App;
use crate::db::page::Page as Part;
use crate::error::{Error, Result};

const PER_PAGE: i64 = 50;

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize)]
pub(in crate::pages) struct Asked {
    #[serde(default)]
    q: String,
    page: Option<i64>,
}

impl Asked {
    /// What is looked for. Postgres takes no NUL in text.
    fn text(&self) -> Result<&str> {
        if self.q.contains('\0') {
            return Err(Error::invalid("q", "must not hold NUL characters"));
        }
        Ok(self.q.trim())
    }

    pub(in crate::pages) fn part(&self) -> Part {
        Part { number: self.page.unwrap_or(1).clamp(1, 1 << 40), size: PER_PAGE }
    }

    /// Where the rest of the list is.
    pub(in crate::pages) fn pager(&self, path: &str, total: i64) -> Pager {
        let Part { number, size } = self.part();
        Pager::at(number, size, total, |to| format!("{path}?q={}&page={to}", encode(&self.q)))
    }
}

/// Puts into a form what was posted. Postgres takes no NUL in text.
fn fill(form: &mut Form, fields: &Fields) {
    form.fill(|name| fields.trimmed(name).replace('\0', ""));
}

/// A value of a form; without one the form says what is wrong with it.
fn read<T>(form: &mut Form, outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(e) => blame(form, e).map(|_| None),
    }
}

/// Says in a form why it does not do; gives the status to answer with. What is not about the form goes on.
fn blame(form: &mut Form, e: Error) -> Result<StatusCode> {
    let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    match e {
        Error::InvalidInput { field, message } => form.blame(&field, sentence(&message)),
        Error::Uniqueness(message) => form.blame("name", capital(&message)),
        Error::Internal(_) | Error::Unauthorized | Error::NotFound(_) => return Err(e),
        other => form.blame("", capital(&other.to_string())),
    }
    Ok(status)
}

/// Whether the name of what is destroyed was typed; else the form says so.
fn confirmed(form: &mut Form, fields: &Fields, name: &str) -> bool {
    let right = fields.trimmed("confirm") == name.trim();
    if !right {
        form.blame("confirm", format!("This is not the name. Type {name} to go on."));
    }
    right
}

/// On to a page that tells what was done.
fn done(app: &App, to: &str, notice: Notice) -> Response {
    (cookies::tell(&app.config, to, notice), Redirect::to(to)).into_response()
}

#[cfg(test)]
mod tests {
    use berth_web::Input;

    use super::*;

    #[test]
    fn lists_are_turned_and_searches_stay() {
        let asked = |page| Asked { q: "a&b c".into(), page };
        let pager = asked(Some(2)).pager("/x", 101);
        assert_eq!(pager.back.as_deref(), Some("/x?q=a%26b%20c&page=1"));
        assert_eq!(pager.next.as_deref(), Some("/x?q=a%26b%20c&page=3"));
        let pager = asked(Some(3)).pager("/x", 101);
        assert!(pager.next.is_none() && pager.back.is_some());
        let odd = asked(Some(i64::MAX)).pager("/x", 1);
        assert!(odd.next.is_none());
        assert_eq!(asked(Some(-4)).part().number, 1);
        assert!(Asked { q: "\0".into(), page: None }.text().is_err());
    }

    #[test]
    fn errors_go_to_their_fields_or_on() {
        let mut form = Form::new("x", "/x", "Go", vec![Input::line("name", "Name")]);
        let unique = blame(&mut form, Error::Uniqueness("it exists already".into())).unwrap();
        assert_eq!(unique, StatusCode::CONFLICT);
        assert_eq!(form.inputs[0].field.error.as_deref(), Some("It exists already."));
        assert_eq!(read(&mut form, Err::<(), _>(Error::invalid("name", "must be short"))).unwrap(), None);
        assert_eq!(form.inputs[0].field.error.as_deref(), Some("This must be short."));
        assert_eq!(blame(&mut form, Error::InUse("it is used".into())).unwrap(), 422);
        assert_eq!(form.error.as_deref(), Some("It is used."));
        assert!(blame(&mut form, Error::NotFound("project")).is_err());
    }
}
