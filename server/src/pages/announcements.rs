//! What operators tell: their page, and the banner that everybody can put away.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{AnnouncementForm, AnnouncementRow, AnnouncementsPage, Banner, Notice, Section, When};
use chrono::{DateTime, NaiveDateTime, Utc};

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::checked;
use super::session::{Operator, SignedIn, ThingId};
use super::sign_in::local;
use crate::app::App;
use crate::db::announcements::{self, Announcement};
use crate::db::locations;
use crate::domain::announcement::{Kind, New, Span, Text};
use crate::domain::names::Title;
use crate::error::{Error, Result};
use crate::ids::LocationId;

const PATH: &str = "/fleet/announcements";

/// What somebody is to see on every page.
pub(super) fn banner(announcement: Announcement) -> Banner {
    let Announcement { id, title, text, kind, location, .. } = announcement;
    Banner { id, title, text, kind: kind.name(), location }
}

/// `POST /announcements/{id}/dismiss`.
pub(super) async fn dismiss(
    who: SignedIn,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Redirect, Failed> {
    announcements::dismiss(&app.db, id, who.id).await?;
    Ok(Redirect::to(local(fields.get("next"))))
}

/// `GET /fleet/announcements`.
pub(super) async fn page(Operator(who): Operator, State(app): State<App>) -> Result<Response, Failed> {
    let told = who.told(&app);
    Ok((told, show(&app, &who, AnnouncementForm::default()).await?).into_response())
}

/// `POST /fleet/announcements`.
pub(super) async fn make(
    Operator(who): Operator,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    match read(&app, &fields).await? {
        Ok((new, location)) => {
            announcements::create(&app.db, &new, location).await?;
            Ok(told(&app, Notice::AnnouncementMade))
        }
        Err(form) => Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&app, &who, *form).await?).into_response()),
    }
}

/// `POST /fleet/announcements/{id}/delete`.
pub(super) async fn delete(
    Operator(_): Operator,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    announcements::delete(&app.db, id).await?;
    Ok(told(&app, Notice::AnnouncementDeleted))
}

/// Reads every field, so that all that is wrong is told at once; else the form with what is.
async fn read(
    app: &App,
    fields: &Fields,
) -> Result<Result<(New, Option<LocationId>), Box<AnnouncementForm>>> {
    let now = Utc::now();
    let typed = |name: &str| fields.trimmed(name).to_owned();
    let (title, text) = (Title::parse("title", fields.get("title")), Text::parse(fields.get("text")));
    let kind = Kind::parse(fields.get("kind"));
    let from = Some(typed("from")).filter(|from| !from.is_empty()).map(|from| minute(&from)).transpose();
    let until = minute(&typed("until"));
    let span = match (&from, until) {
        (Ok(from), Ok(until)) => Span::new(*from, until, now),
        (Err(_), Ok(until)) => Span::new(None, until, now),
        (_, Err(e)) => Err(e),
    };
    let location = match fields.get("location") {
        "" => Ok(None),
        name => {
            let all = locations::list(&app.db).await?;
            let found = all.iter().find(|location| location.name == name).map(|location| Some(location.id));
            found.ok_or_else(|| Error::invalid("location", "is not there any more"))
        }
    };
    let form = AnnouncementForm {
        title: checked(&typed("title"), &title)?,
        text: checked(fields.get("text"), &text)?,
        kind: checked(fields.get("kind"), &kind)?,
        from: checked(&typed("from"), &from)?,
        until: checked(&typed("until"), &span)?,
        location: checked(fields.get("location"), &location)?,
    };
    Ok(match (title, text, kind, from, span, location) {
        (Ok(title), Ok(text), Ok(kind), Ok(_), Ok(span), Ok(location)) => {
            Ok((New { title, text, kind, span }, location))
        }
        _ => Err(Box::new(form)),
    })
}

/// What browsers send of a date and a time, which is taken for UTC.
fn minute(text: &str) -> Result<DateTime<Utc>> {
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let time = time.filter(|time| ("1970-01-01 00:00"..="9999").contains(&&*time.to_string()));
    time.map(|time| time.and_utc())
        .ok_or_else(|| Error::invalid("time", "must be a time such as 2027-02-09T12:00, UTC"))
}

fn told(app: &App, notice: Notice) -> Response {
    (cookies::tell(&app.config, PATH, notice), Redirect::to(PATH)).into_response()
}

async fn show(app: &App, who: &SignedIn, form: AnnouncementForm) -> Result<Page<AnnouncementsPage>> {
    let now = Utc::now();
    let row = |a: Announcement| AnnouncementRow {
        id: a.id,
        title: a.title,
        text: a.text,
        kind: a.kind.name(),
        location: a.location,
        state: match () {
            () if a.until <= now => "over",
            () if a.from > now => "to come",
            () => "shown now",
        },
        from: When::new(a.from, now),
        until: When::new(a.until, now),
    };
    Ok(Page(AnnouncementsPage {
        shell: who.shell(Section::Announcements, None),
        rows: announcements::list(&app.db).await?.into_iter().map(row).collect(),
        kinds: Kind::ALL.map(Kind::name).to_vec(),
        locations: locations::list(&app.db).await?.into_iter().map(|location| location.name).collect(),
        form,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_browsers() {
        assert_eq!(minute("2027-02-09T12:00").unwrap().to_string(), "2027-02-09 12:00:00 UTC");
        assert!(minute("2027-02-09T12:00:30").is_ok() && minute("2027-02-09 12:00").is_ok());
        for bad in ["", "x", "2027-02-30T12:00", "12:00", "+99999-01-01T00:00", "0001-01-01T00:00"] {
            assert!(minute(bad).is_err(), "{bad}");
        }
    }
}
