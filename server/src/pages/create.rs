//! The form that makes a server. What is wrong is shown beside its field, with everything as it was typed.
//!
//! What is posted to the domain is the body of `POST /v1/servers` (`berth_web::ServerRequest`), read by the API's own parser:
//! the commands that the page shows are made of the same request.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{CreatePage, Field, Section, ServerForm, SummaryPart};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::keys::{self, sentence};
use super::preview::Choices;
use super::server::capital;
use super::session::{Changer, Member};
use crate::api::new_server;
use crate::app::App;
use crate::db::ssh_keys;
use crate::db::vps::{self, Created, IdempotencyKey};
use crate::domain::labels::Labels;
use crate::domain::names::{UserData, VpsName};
use crate::domain::ssh::PublicKey;
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// `GET /projects/{project}/servers/new`.
pub(super) async fn page(Changer(member): Changer, State(app): State<App>) -> Result<Response, Failed> {
    let mut choices = Choices::load(&app, member.id()).await?;
    let form = choices.first_form(&app, member.id()).await?;
    Ok(show(&app, &member, choices, form).into_response())
}

/// `POST /projects/{project}/servers/summary`: price and commands of the form as it is now.
pub(super) async fn summary(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<impl IntoResponse, Failed> {
    let mut choices = Choices::load(&app, member.id()).await?;
    let form = choices.posted(&fields);
    Ok(Page(SummaryPart { summary: choices.summary(&app, &form) }))
}

/// `POST /projects/{project}/servers/new`.
pub(super) async fn submit(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut choices = Choices::load(&app, member.id()).await?;
    let mut form = choices.posted(&fields);
    if !fields.get("preview").is_empty() {
        return Ok(show(&app, &member, choices, form).into_response());
    }
    match create(&app, member.id(), &mut choices, &mut form).await {
        Ok(made) => {
            let to = member.project.path(&format!("servers/{}", made.vps.id));
            let secret = made.root_password.map(|p| cookies::show_secret(&app.config, &to, p.expose()));
            Ok((secret, Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            blame(e, &mut form)?;
            Ok((status, show(&app, &member, choices, form)).into_response())
        }
    }
}

/// Reads every field before anything is done, so that all that is wrong is told at once; then adds the pasted key, then
/// makes the server. A key that was added stays, chosen, when the server could not be made.
async fn create(
    app: &App,
    project: ProjectId,
    choices: &mut Choices,
    form: &mut ServerForm,
) -> Result<Created> {
    let name = VpsName::parse(&form.name.value);
    let labels = berth_web::parse_labels(&form.labels.value)
        .map_err(|e| Error::invalid("labels", e))
        .and_then(Labels::parse);
    let user_data = UserData::parse(&form.user_data.value);
    for (field, chosen, what) in
        [(&mut form.image, choices.images.len(), "an image"), (&mut form.plan, choices.plans.len(), "a plan")]
    {
        if field.value.is_empty() && chosen > 0 {
            field.error = Some(format!("Choose {what}."));
        }
    }
    for e in [name.err(), labels.err(), user_data.err()].into_iter().flatten() {
        blame(e, form)?;
    }
    let fields = [
        &form.name,
        &form.image,
        &form.plan,
        &form.labels,
        &form.user_data,
        &form.ipv4,
        &form.ipv6,
        &form.networks,
        &form.firewalls,
    ];
    if fields.iter().any(|field| field.error.is_some()) {
        return Err(Error::invalid("form", ""));
    }
    if !form.new_key.value.is_empty() {
        add_key(app, project, choices, form).await?;
    }
    let body = choices.request(form).body().to_string();
    let mut new = new_server(body.as_bytes())?;
    new.idempotency = once(&form.once, body.as_bytes());
    vps::create(app, project, &new).await
}

/// What makes a form that is sent twice one request: the number that its page came with, and what was chosen, since
/// somebody who goes back and chooses something else wants something else.
fn once(number: &str, body: &[u8]) -> Option<IdempotencyKey> {
    let number = Uuid::parse_str(number).ok()?;
    let hash: String = Sha256::digest(body).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    IdempotencyKey::parse(&format!("page-{number}-{hash}"), body).ok()
}

/// Adds the pasted key and chooses it. One that the project has already is chosen, not refused.
async fn add_key(app: &App, project: ProjectId, choices: &mut Choices, form: &mut ServerForm) -> Result<()> {
    let pasted = form.new_key.value.split_whitespace().collect::<Vec<_>>().join(" ");
    let blamed = |e: Error, form: &mut ServerForm| {
        let status = Error::invalid("form", "");
        keys::blame(e, &mut form.new_key, &mut form.new_key_name).and(Err(status))
    };
    let key = match PublicKey::parse(&pasted) {
        Ok(key) => key,
        Err(e) => return blamed(e, form),
    };
    if let Some(known) = choices.keys.iter_mut().find(|k| k.fingerprint == key.fingerprint()) {
        known.chosen = true;
    } else {
        match keys::create(app, project, &pasted, &form.new_key_name.value).await {
            Ok(added) => choose(choices, added),
            Err(e) => return blamed(e, form),
        }
    }
    form.new_key = Field::default();
    form.new_key_name = Field::default();
    Ok(())
}

fn choose(choices: &mut Choices, added: ssh_keys::SshKey) {
    let (id, name, fingerprint) = (added.id.0, added.name, added.fingerprint);
    choices.keys.push(berth_web::KeyChoice { id, name, fingerprint, chosen: true });
}

/// Puts an error beside the field that it is about, or above the form. What is our fault goes on.
fn blame(e: Error, form: &mut ServerForm) -> Result<()> {
    match e {
        Error::InvalidInput { field, message } => {
            let target = match field.as_str() {
                "name" => &mut form.name,
                "server_type" => &mut form.plan,
                "image" => &mut form.image,
                "location" | "datacenter" => &mut form.location,
                "labels" => &mut form.labels,
                "user_data" => &mut form.user_data,
                "ssh_keys" => &mut form.keys,
                "networks" => &mut form.networks,
                "firewalls" => &mut form.firewalls,
                "public_net.ipv4" => &mut form.ipv4,
                "public_net.ipv6" => &mut form.ipv6,
                "form" => return Ok(()), // the fields say it themselves
                _ => {
                    form.error = Some(sentence(&message));
                    return Ok(());
                }
            };
            target.error = Some(sentence(&message));
        }
        Error::Uniqueness(_) => form.name.error = Some("Another server of the project has this name.".into()),
        Error::Internal(_) | Error::Unauthorized => return Err(e),
        other => form.error = Some(capital(&other.to_string())),
    }
    Ok(())
}

fn show(app: &App, member: &Member, choices: Choices, form: ServerForm) -> Page<CreatePage> {
    let summary = choices.summary(app, &form);
    let Choices { images, plans, locations, keys, ipv4, ipv6, networks, firewalls, .. } = choices;
    Page(CreatePage {
        shell: member.shell(Section::Servers),
        project: member.project.clone(),
        images,
        plans,
        locations,
        keys,
        ipv4,
        ipv6,
        networks,
        firewalls,
        form,
        summary,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_makes_the_same_once() {
        let number = Uuid::new_v4().to_string();
        assert!(once(&number, b"{}").is_some());
        for bad in ["", "x", "../..", "1"] {
            assert!(once(bad, b"{}").is_none(), "{bad}");
        }
    }

    #[test]
    fn every_error_is_shown_somewhere() {
        let blamed = |e| {
            let mut form = ServerForm::default();
            blame(e, &mut form).map(|()| form)
        };
        for (field, pick) in [
            ("name", (|f| f.name) as fn(ServerForm) -> Field),
            ("server_type", |f| f.plan),
            ("image", |f| f.image),
            ("location", |f| f.location),
            ("labels", |f| f.labels),
            ("user_data", |f| f.user_data),
            ("ssh_keys", |f| f.keys),
            ("networks", |f| f.networks),
            ("firewalls", |f| f.firewalls),
            ("public_net.ipv4", |f| f.ipv4),
            ("public_net.ipv6", |f| f.ipv6),
        ] {
            let form = blamed(Error::invalid(field, "is wrong")).unwrap();
            assert_eq!(pick(form).error.as_deref(), Some("This is wrong."), "{field}");
        }
        let none = Error::ResourceUnavailable("no host in any location has 4 GiB of memory free".into());
        assert_eq!(
            blamed(none).unwrap().error.as_deref(),
            Some("No host in any location has 4 GiB of memory free.")
        );
        assert!(blamed(Error::invalid("other", "is odd")).unwrap().error.is_some());
        assert!(blamed(Error::Internal(anyhow::anyhow!("x"))).is_err());
    }
}
