//! The settings of a server: name and labels, protection, and its end.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Form, Input, Notice, Section, ServerSettingsPage};

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::keys::sentence;
use super::server::{capital, path};
use super::session::{ThingId, ToManage, Visitor};
use crate::app::App;
use crate::db::vps::{self, Update, Vps};
use crate::domain::grants::OnServer;
use crate::domain::labels::Labels;
use crate::domain::names::VpsName;
use crate::error::{Error, Result};
use crate::ids::VpsId;

/// `GET /projects/{project}/servers/{id}/settings`.
pub(super) async fn page(
    ToManage(visitor): ToManage,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    let found = vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    let told = visitor.who.told(&app);
    Ok((told, show(&visitor, &found, rename(&visitor, &found))).into_response())
}

/// `POST /projects/{project}/servers/{id}/settings`: name and labels. Both are looked at before anything is changed.
pub(super) async fn change(
    ToManage(visitor): ToManage,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let found = vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    let mut form = rename(&visitor, &found);
    form.fill(|name| fields.trimmed(name).to_owned());
    let name = VpsName::parse(form.value("name"));
    let labels = berth_web::parse_labels(form.value("labels"));
    let labels = labels.map_err(|e| Error::invalid("labels", e)).and_then(Labels::parse);
    let outcome = match (name, labels) {
        (Ok(name), Ok(labels)) => {
            // A name that stays is not told to the host again.
            let name = Some(name).filter(|name| name.as_str() != found.name);
            vps::update(&app, visitor.id(), found.id, &Update { name, labels: Some(labels) })
                .await
                .map(|_| ())
        }
        (name, labels) => {
            let wrong: Vec<_> = [name.err(), labels.err()].into_iter().flatten().collect();
            for e in wrong {
                blame(&mut form, e)?;
            }
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, show(&visitor, &found, form)).into_response());
        }
    };
    match outcome {
        Ok(()) => Ok(saved(&app, &visitor, id)),
        Err(e) => {
            let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::CONFLICT);
            blame(&mut form, e)?;
            Ok((status, show(&visitor, &found, form)).into_response())
        }
    }
}

/// `POST /projects/{project}/servers/{id}/protection`.
pub(super) async fn protect(
    ToManage(visitor): ToManage,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    vps::protect(&app, visitor.id(), VpsId(id), Some(!fields.get("protected").is_empty())).await?;
    Ok(saved(&app, &visitor, id))
}

fn saved(app: &App, visitor: &Visitor, id: i64) -> Response {
    let to = format!("{}/settings", path(visitor, id));
    (cookies::tell(&app.config, &to, Notice::Saved), Redirect::to(&to)).into_response()
}

fn blame(form: &mut Form, e: Error) -> Result<()> {
    match e {
        Error::InvalidInput { field, message } => form.blame(&field, sentence(&message)),
        Error::Uniqueness(_) => form.blame("name", "Another server of the project has this name."),
        Error::Internal(_) | Error::Unauthorized | Error::NotFound(_) => return Err(e),
        other => form.blame("", capital(&other.to_string())),
    }
    Ok(())
}

fn rename(visitor: &Visitor, vps: &Vps) -> Form {
    let inputs = vec![
        Input::line("name", "Name").hint("The guest's host name too, from its next boot on.").with(&vps.name),
        Input::line("labels", "Labels")
            .optional()
            .hint("As env=prod, team=web. Firewalls that are applied to labels follow them.")
            .with(berth_web::format_labels(vps.labels.map())),
    ];
    Form::new("rename", format!("{}/settings", path(visitor, vps.id.0)), "Save", inputs)
}

fn show(visitor: &Visitor, vps: &Vps, rename: Form) -> Page<ServerSettingsPage> {
    let here = path(visitor, vps.id.0);
    let mut check = Input::check("protected", "Protect it against being deleted");
    if vps.protect_delete {
        check = check.with("yes");
    }
    let end = visitor.standing.may(OnServer::Delete) && !vps.protect_delete;
    let delete = || {
        let inputs = vec![Input::confirm(&vps.name)];
        Form::new("delete", format!("{here}/delete"), "Delete server", inputs).danger()
    };
    Page(ServerSettingsPage {
        shell: visitor.shell(Section::Servers),
        server: here.clone(),
        name: vps.name.clone(),
        rename,
        protection: Form::new("protection", format!("{here}/protection"), "Save", vec![check]),
        protected: vps.protect_delete,
        delete: end.then(delete),
    })
}
