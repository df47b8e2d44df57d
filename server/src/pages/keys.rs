//! SSH keys of a project.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, KeyForm, KeyRow, KeysPage, Notice, Section, When};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::server::capital;
use super::session::{Changer, Member, ThingId};
use crate::app::App;
use crate::db::ssh_keys::{self, SshKey};
use crate::domain::labels::Labels;
use crate::domain::names::Title;
use crate::domain::ssh::PublicKey;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, SshKeyId};

/// `GET /projects/{project}/keys`.
pub(super) async fn page(member: Member, State(app): State<App>) -> Result<Response, Failed> {
    let told = member.who.told(&app);
    Ok((told, show(&app, &member, KeyForm::default()).await?).into_response())
}

/// `POST /projects/{project}/keys`.
pub(super) async fn add(
    Changer(member): Changer,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let mut form =
        KeyForm { name: Field::new(fields.get("name")), public_key: Field::new(fields.get("public_key")) };
    match create(&app, member.id(), &form.public_key.value, &form.name.value).await {
        Ok(_) => {
            let to = member.project.path("keys");
            Ok((cookies::tell(&app.config, &to, Notice::KeyAdded), Redirect::to(&to)).into_response())
        }
        Err(e) => {
            let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            blame(e, &mut form.public_key, &mut form.name)?;
            Ok((status, show(&app, &member, form).await?).into_response())
        }
    }
}

/// `POST /projects/{project}/keys/{id}/delete`.
pub(super) async fn delete(
    Changer(member): Changer,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    ssh_keys::delete(&app.db, member.id(), SshKeyId(id)).await?;
    let to = member.project.path("keys");
    Ok((cookies::tell(&app.config, &to, Notice::KeyDeleted), Redirect::to(&to)).into_response())
}

/// Adds a key as it was pasted. Without a name it takes the key's comment.
pub(super) async fn create(app: &App, project: ProjectId, pasted: &str, name: &str) -> Result<SshKey> {
    let key = PublicKey::parse(&pasted.split_whitespace().collect::<Vec<_>>().join(" "))?;
    let comment = key.as_str().splitn(3, ' ').nth(2).unwrap_or_default().trim();
    let name = [name.trim(), comment, "key"].into_iter().find(|n| !n.is_empty()).unwrap_or("key");
    let made =
        ssh_keys::create(&app.db, project, &Title::parse("name", name)?, &key, &Labels::default()).await;
    // The same key again has the same comment, so its name is taken as well; the key is what there is to tell about.
    if let Err(Error::Uniqueness(_)) = &made
        && ssh_keys::all(&app.db, project).await?.iter().any(|known| known.fingerprint == key.fingerprint())
    {
        return Err(Error::Uniqueness("SSH key with the same fingerprint already exists".into()));
    }
    made
}

/// Puts an error beside the field that it is about; what is about neither goes on.
pub(super) fn blame(e: Error, key: &mut Field, name: &mut Field) -> Result<()> {
    match e {
        Error::InvalidInput { field, message } if field == "name" => name.error = Some(sentence(&message)),
        Error::InvalidInput { message, .. } => key.error = Some(sentence(&message)),
        Error::Uniqueness(message) if message.contains("fingerprint") => {
            key.error = Some("This key is in the project already, maybe under another name.".into());
        }
        Error::Uniqueness(_) => name.error = Some("Another key of the project has this name.".into()),
        other => return Err(other),
    }
    Ok(())
}

/// A message that continues the field's name, as a sentence.
pub(super) fn sentence(message: &str) -> String {
    if ["must ", "is ", "cannot ", "has "].iter().any(|verb| message.starts_with(verb)) {
        capital(&format!("this {message}"))
    } else {
        capital(message)
    }
}

async fn show(app: &App, member: &Member, form: KeyForm) -> Result<Page<KeysPage>> {
    let now = Utc::now();
    let row = |key: SshKey| KeyRow {
        id: key.id.0,
        kind: key.public_key.split(' ').next().unwrap_or_default().to_owned(),
        name: key.name,
        fingerprint: key.fingerprint,
        created: When::new(key.created_at, now),
    };
    let rows = ssh_keys::all(&app.db, member.id()).await?.into_iter().map(row).collect();
    Ok(Page(KeysPage { shell: member.shell(Section::Keys), project: member.project.clone(), rows, form }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_go_where_they_belong() {
        let blamed = |e| {
            let (mut key, mut name) = (Field::default(), Field::default());
            let rest = blame(e, &mut key, &mut name);
            (key.error.is_some(), name.error.is_some(), rest.is_err())
        };
        assert_eq!(blamed(Error::invalid("public_key", "is too long")), (true, false, false));
        assert_eq!(blamed(Error::invalid("name", "must be one line")), (false, true, false));
        assert_eq!(
            blamed(Error::Uniqueness("SSH key with the same fingerprint".into())),
            (true, false, false)
        );
        assert_eq!(blamed(Error::Uniqueness("SSH key with the same name".into())), (false, true, false));
        assert_eq!(blamed(Error::NotFound("project")), (false, false, true));
    }

    #[test]
    fn messages_are_sentences() {
        assert_eq!(sentence("must be one line"), "This must be one line.");
        assert_eq!(sentence("label key 'a b' is odd"), "Label key 'a b' is odd.");
        assert_eq!(sentence(""), "");
    }
}
