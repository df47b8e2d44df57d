//! What the buttons of a firewall's page do: to whom it is applied, where it holds, what it is called, and its end.

use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, FirewallForms, Notice, parse_labels};

use super::show;
use crate::app::App;
use crate::db::firewalls::{self, Target};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::selector::Selector;
use crate::error::{Error, Result};
use crate::ids::{FirewallId, VpsId};
use crate::pages::blame::{blame, confirmed};
use crate::pages::choose::Servers;
use crate::pages::cookies;
use crate::pages::dress::Failed;
use crate::pages::fields::Fields;
use crate::pages::session::{Changer, Member, ThingId};

/// `POST /projects/{project}/firewalls/{id}/apply`: to a server by its name, or to labels.
pub(in crate::pages) async fn apply(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    firewalls::get(&app.db, member.id(), id).await?;
    let field = |name| Field::new(fields.trimmed(name));
    let forms =
        FirewallForms { server: field("server"), selector: field("selector"), ..FirewallForms::default() };
    let target = if fields.has("selector") {
        labelled(&forms.selector.value)
    } else {
        Servers::load(&app, member.id()).await?.find(&forms.server.value).map(Target::Vps)
    };
    let done = match target {
        Ok(target) => firewalls::apply(&app, member.id(), id, &[target]).await.map(drop),
        Err(e) => Err(e),
    };
    answer(&app, &member, id, forms, done).await
}

/// `POST /projects/{project}/firewalls/{id}/remove`: from a server by its id, or from labels.
pub(in crate::pages) async fn remove(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    firewalls::get(&app.db, member.id(), id).await?;
    let target = if fields.has("selector") {
        labelled(fields.get("selector"))
    } else {
        let vps = fields.get("server").parse().map(VpsId);
        vps.map(Target::Vps).map_err(|_| Error::invalid("server", "must be the id of a server"))
    };
    let done = match target {
        Ok(target) => firewalls::remove(&app, member.id(), id, &[target]).await.map(drop),
        Err(e) => Err(e),
    };
    answer(&app, &member, id, FirewallForms::default(), done).await
}

fn labelled(text: &str) -> Result<Target> {
    let selector = Selector::parse(text)?;
    if selector.0.is_empty() {
        return Err(Error::invalid("label_selector", "must not be empty"));
    }
    Ok(Target::Selector(selector))
}

/// `POST /projects/{project}/firewalls/{id}/private`.
pub(in crate::pages) async fn private(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    firewalls::get(&app.db, member.id(), id).await?;
    let done = match fields.get("private") {
        "yes" => firewalls::set_private(&app, member.id(), id, true).await.map(drop),
        "no" => firewalls::set_private(&app, member.id(), id, false).await.map(drop),
        _ => Err(Error::invalid("private", "must be yes or no")),
    };
    answer(&app, &member, id, FirewallForms::default(), done).await
}

/// `POST /projects/{project}/firewalls/{id}/name`: name and labels.
pub(in crate::pages) async fn name(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    firewalls::get(&app.db, member.id(), id).await?;
    let mut forms = FirewallForms {
        name: Field::new(fields.get("name")),
        labels: Field::new(fields.get("labels")),
        ..FirewallForms::default()
    };
    let name = Title::parse("name", &forms.name.value);
    let labels =
        parse_labels(&forms.labels.value).map_err(|e| Error::invalid("labels", e)).and_then(Labels::parse);
    let done = match (name, labels) {
        (Ok(name), Ok(labels)) => {
            firewalls::update(&app, member.id(), id, Some(&name), Some(&labels)).await.map(drop)
        }
        (Err(e), Err(other)) => {
            blame(other, &mut [("labels", &mut forms.labels)], &mut forms.refused)?;
            Err(e)
        }
        (Err(e), _) | (_, Err(e)) => Err(e),
    };
    answer(&app, &member, id, forms, done).await
}

/// `POST /projects/{project}/firewalls/{id}/delete`. The name must be typed; script or none, it is checked here.
pub(in crate::pages) async fn delete(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let id = FirewallId(id);
    let firewall = firewalls::get(&app.db, member.id(), id).await?;
    let typed = fields.trimmed("confirm");
    let done = match confirmed(typed, &firewall.name, "firewall") {
        Ok(()) => firewalls::delete(&app, member.id(), id).await,
        Err(e) => Err(e),
    };
    if done.is_ok() {
        let to = member.project.path("firewalls");
        let told = cookies::tell(&app.config, &to, Notice::FirewallDeleted);
        return Ok((told, Redirect::to(&to)).into_response());
    }
    let forms = FirewallForms { delete: Field::new(typed), ..FirewallForms::default() };
    answer(&app, &member, id, forms, done).await
}

/// Back to the firewall's page, or the page again with what is wrong.
async fn answer(
    app: &App,
    member: &Member,
    id: FirewallId,
    mut forms: FirewallForms,
    done: Result<()>,
) -> Result<Response, Failed> {
    let Err(e) = done else {
        let to = member.project.path(&format!("firewalls/{id}"));
        let told = cookies::tell(&app.config, &to, Notice::FirewallChanged);
        return Ok((told, Redirect::to(&to)).into_response());
    };
    let mut fields = [
        ("server", &mut forms.server),
        ("label_selector", &mut forms.selector),
        ("name", &mut forms.name),
        ("labels", &mut forms.labels),
        ("confirm", &mut forms.delete),
    ];
    let status = blame(e, &mut fields, &mut forms.refused)?;
    Ok((status, show(app, member, id, forms).await?).into_response())
}
