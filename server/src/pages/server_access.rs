//! Who may do something with one server alone.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, GrantRow, InvitationRow, Notice, Section, ServerAccessPage, When};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::checked;
use super::keys::sentence;
use super::server::path;
use super::session::{GrantId, ThingId, ToSee, ToShare, Visitor};
use crate::app::App;
use crate::db::grants::{self, Grant};
use crate::db::members::Invitation;
use crate::db::vps;
use crate::domain::grants::Level;
use crate::domain::names::Email;
use crate::error::{Error, Result};
use crate::ids::VpsId;

/// `GET /projects/{project}/servers/{id}/access`.
pub(super) async fn page(
    ToShare(visitor): ToShare,
    ThingId(id): ThingId,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    // A password that the server's page has not shown yet would come as well.
    let link = cookies::secret(&headers).filter(|text| text.contains("/invitation?token="));
    let shown = link.is_some().then(|| cookies::secret_shown(&app.config, &here(&visitor, id)));
    let told = visitor.who.told(&app);
    let page = show(&app, &visitor, id, Field::default(), Level::View, link).await?;
    Ok((shown, told, page).into_response())
}

async fn show(
    app: &App,
    visitor: &Visitor,
    id: i64,
    email: Field,
    level: Level,
    link: Option<String>,
) -> Result<Page<ServerAccessPage>> {
    let now = Utc::now();
    let found = vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    let row = |grant: Grant| GrantRow {
        id: grant.id,
        email: grant.email,
        name: grant.name,
        level: grant.level.name(),
        since: When::new(grant.since, now),
    };
    let invited = |i: Invitation| InvitationRow {
        id: i.id,
        words: i.offer.words(),
        email: i.email,
        until: When::new(i.expires_at, now),
    };
    let rows = grants::list(&app.db, visitor.id(), found.id).await?;
    let invitations = grants::invitations(&app.db, visitor.id(), found.id).await?;
    Ok(Page(ServerAccessPage {
        shell: visitor.shell(Section::Servers),
        server: path(visitor, id),
        name: found.name,
        rows: rows.into_iter().map(row).collect(),
        invitations: invitations.into_iter().map(invited).collect(),
        levels: Level::ALL.map(|level| (level.name(), level.words())).to_vec(),
        email,
        level: level.name(),
        link,
        mails: app.mailer.is_some(),
    }))
}

/// `POST /projects/{project}/servers/{id}/access`: gives a right, or asks somebody to come.
pub(super) async fn give(
    ToShare(visitor): ToShare,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    vps::get(&app.db, visitor.id(), VpsId(id)).await?; // what is not there is not told what its form lacks
    let typed = fields.trimmed("email");
    let email = Email::parse(typed).and_then(|e| if app.mailer.is_some() { e.mailable() } else { Ok(e) });
    let field = checked(typed, &email)?;
    let level = Level::parse(fields.get("level"))?;
    let Ok(email) = email else {
        let page = show(&app, &visitor, id, field, level, None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    match grants::give(&app, visitor.id(), VpsId(id), &email, level, visitor.who.id).await {
        Ok(None) => Ok(told(&app, &visitor, id, Notice::AccessGiven)),
        Ok(Some(link)) => {
            let to = here(&visitor, id);
            Ok((cookies::show_secret(&app.config, &to, &link), Redirect::to(&to)).into_response())
        }
        Err(Error::Uniqueness(why)) => {
            let field = Field { value: typed.to_owned(), error: Some(sentence(&why)) };
            let page = show(&app, &visitor, id, field, level, None).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
        }
        Err(e) => Err(e.into()),
    }
}

/// `POST /projects/{project}/servers/{id}/access/{grant}/level`.
pub(super) async fn set_level(
    ToShare(visitor): ToShare,
    ThingId(id): ThingId,
    GrantId(grant): GrantId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    let level = Level::parse(fields.get("level"))?;
    grants::set_level(&app.db, visitor.id(), VpsId(id), grant, level).await?;
    Ok(told(&app, &visitor, id, Notice::AccessChanged))
}

/// `POST /projects/{project}/servers/{id}/access/{grant}/revoke`.
pub(super) async fn revoke(
    ToShare(visitor): ToShare,
    ThingId(id): ThingId,
    GrantId(grant): GrantId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    grants::revoke(&app.db, visitor.id(), VpsId(id), grant).await?;
    Ok(told(&app, &visitor, id, Notice::AccessRevoked))
}

/// `POST /projects/{project}/servers/{id}/access/{grant}/uninvite`.
pub(super) async fn uninvite(
    ToShare(visitor): ToShare,
    ThingId(id): ThingId,
    GrantId(grant): GrantId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    grants::uninvite(&app.db, visitor.id(), VpsId(id), grant).await?;
    Ok(told(&app, &visitor, id, Notice::InvitationDeleted))
}

/// `POST /projects/{project}/servers/{id}/access/leave`: everybody may give up what they were given.
pub(super) async fn leave(
    ToSee(visitor): ToSee,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    grants::leave(&app.db, visitor.id(), VpsId(id), visitor.who.id).await?;
    Ok(Redirect::to("/account").into_response())
}

fn here(visitor: &Visitor, id: i64) -> String {
    format!("{}/access", path(visitor, id))
}

fn told(app: &App, visitor: &Visitor, id: i64, notice: Notice) -> Response {
    let to = here(visitor, id);
    (cookies::tell(&app.config, &to, notice), Redirect::to(&to)).into_response()
}
