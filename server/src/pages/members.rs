//! Members of a project, and invitations to it.

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use berth_web::{Field, GatePage, InvitationRow, MemberRow, MembersPage, Notice, Section, When};
use chrono::Utc;

use super::cookies;
use super::dress::{Failed, Page};
use super::fields::Fields;
use super::gate::{self, Link, checked, password, plain, spent, start_session, text};
use super::session::{Manager, Member, SignedIn, ThingId};
use crate::app::App;
use crate::db::members::{self, Invitation, Offer};
use crate::db::{accounts, users};
use crate::domain::names::{Email, Password};
use crate::domain::roles::Role;
use crate::error::{Error, Result};
use crate::ids::UserId;

const NO_ACCOUNTS: &str = "No accounts are made here by invitation. Ask an operator for one.";

/// `GET /projects/{project}/members`.
pub(super) async fn page(
    member: Member,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let link = cookies::secret(&headers);
    let shown = link.is_some().then(|| cookies::secret_shown(&app.config, &member.project.path("members")));
    let told = member.who.told(&app);
    Ok((shown, told, show(&app, &member, Field::default(), Role::Member, link).await?).into_response())
}

async fn show(
    app: &App,
    member: &Member,
    email: Field,
    role: Role,
    link: Option<String>,
) -> Result<Page<MembersPage>> {
    let now = Utc::now();
    let row = |m: members::Member| MemberRow {
        id: m.user.0,
        me: m.user == member.who.id,
        mine_to_change: member.role.may_give(m.role),
        role: m.role.name().to_owned(),
        words: m.role.words().to_owned(),
        email: m.email,
        name: m.name,
        since: When::new(m.since, now),
    };
    let invited = |i: Invitation| InvitationRow {
        id: i.id,
        email: i.email,
        words: i.offer.words(),
        until: When::new(i.expires_at, now),
    };
    let may_give = |role: &Role| member.role.may_give(*role);
    Ok(Page(MembersPage {
        shell: member.shell(Section::Members),
        project: member.project.clone(),
        rows: members::list(&app.db, member.id()).await?.into_iter().map(row).collect(),
        invitations: match member.project.may_manage {
            true => members::invitations(&app.db, member.id()).await?.into_iter().map(invited).collect(),
            false => vec![],
        },
        roles: Role::ALL.into_iter().filter(may_give).map(|role| (role.name(), role.words())).collect(),
        email,
        role: role.name().to_owned(),
        link,
        mails: app.mailer.is_some(),
    }))
}

/// `POST /projects/{project}/members`: asks somebody to come.
pub(super) async fn invite(
    Manager(member): Manager,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let typed = fields.trimmed("email");
    let role = Role::parse(fields.get("role"))?;
    let email = Email::parse(typed).and_then(|e| if app.mailer.is_some() { e.mailable() } else { Ok(e) });
    let field = checked(typed, &email)?;
    let Ok(email) = email else {
        let page = show(&app, &member, field, role, None).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    };
    let by = (member.who.id, member.role);
    let link = match members::invite(&app, by, member.id(), &email, role).await {
        Err(Error::Uniqueness(why)) => {
            let field = Field { value: typed.to_owned(), error: Some(super::keys::sentence(&why)) };
            let page = show(&app, &member, field, role, None).await?;
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
        other => other?,
    };
    let to = member.project.path("members");
    Ok((cookies::show_secret(&app.config, &to, &link), Redirect::to(&to)).into_response())
}

/// `POST /projects/{project}/members/{id}/role`.
pub(super) async fn set_role(
    Manager(member): Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let role = Role::parse(fields.get("role"))?;
    members::set_role(&app.db, member.role, member.id(), UserId(id), role).await?;
    Ok(told(&app, &member, Notice::RoleChanged))
}

/// `POST /projects/{project}/members/{id}/remove`. Everybody may go themselves.
pub(super) async fn remove(
    member: Member,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    members::remove(&app.db, (member.who.id, member.role), member.id(), UserId(id)).await?;
    if member.who.id == UserId(id) {
        return Ok(Redirect::to("/account").into_response());
    }
    Ok(told(&app, &member, Notice::MemberRemoved))
}

/// `POST /projects/{project}/invitations/{id}/delete`.
pub(super) async fn uninvite(
    Manager(member): Manager,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    members::uninvite(&app.db, member.id(), id).await?;
    Ok(told(&app, &member, Notice::InvitationDeleted))
}

fn told(app: &App, member: &Member, notice: Notice) -> Response {
    let to = member.project.path("members");
    (cookies::tell(&app.config, &to, notice), Redirect::to(&to)).into_response()
}

/// `GET /invitation?token=…`: for whoever was asked, signed in or not.
pub(super) async fn invitation_page(
    who: Option<SignedIn>,
    State(app): State<App>,
    Query(link): Query<Link>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let Some(invitation) = members::invitation(&app.db, &link.token).await? else {
        return Ok((StatusCode::NOT_FOUND, Page(spent(&headers))).into_response());
    };
    let page = invited(&app, who.as_ref(), &headers, &link.token, &invitation).await?;
    Ok(Page(page).into_response())
}

async fn invited(
    app: &App,
    who: Option<&SignedIn>,
    headers: &HeaderMap,
    token: &str,
    invitation: &Invitation,
) -> Result<GatePage> {
    let title = format!("Join {}", invitation.offer.place(&invitation.project_name));
    let asked = match &invitation.offer {
        Offer::Role(role) => format!("to come as {}", role.words()),
        Offer::Server { level, .. } => {
            format!("to share a server of {}, to {}", invitation.project_name, level.words())
        }
    };
    let lead = format!("{} was asked {asked}.", invitation.email);
    let here = format!("/invitation?token={token}");
    let base = GatePage {
        action: "/invitation",
        hidden: vec![("token", token.to_owned())],
        button: Some("Join"),
        links: vec![],
        ..plain(headers, &title, &lead)
    };
    let sign_in = ("Sign in", format!("/sign-in?next={}", super::dress::encode(&here)));
    Ok(match who {
        Some(who) if who.user.email.eq_ignore_ascii_case(&invitation.email) => base,
        Some(who) => GatePage {
            error: Some(format!(
                "You are signed in as {}. This invitation is for another address.",
                who.user.email
            )),
            button: None,
            links: vec![("To the dashboard", "/".into())],
            ..base
        },
        None if users::find(&app.db, &invitation.email).await?.is_some() => {
            GatePage { button: None, links: vec![sign_in], ..base }
        }
        None if !gate::takes_invited(app).await? => {
            GatePage { error: Some(NO_ACCOUNTS.into()), button: None, ..base }
        }
        None => GatePage {
            button: Some("Make account and join"),
            fields: vec![text("name", "Your name", Field::default()), password("password", "Password", None)],
            ..base
        },
    })
}

/// `POST /invitation`: takes it up; whoever has no account yet gets one, with the address that was asked.
pub(super) async fn accept(
    who: Option<SignedIn>,
    State(app): State<App>,
    extensions: Extensions,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, Failed> {
    let token = fields.get("token");
    let Some(invitation) = members::invitation(&app.db, token).await? else {
        return Ok((StatusCode::FORBIDDEN, Page(spent(&headers))).into_response());
    };
    if let Some(who) = who {
        let user = users::find(&app.db, &who.user.email).await?.ok_or(Error::Unauthorized)?;
        let project = members::accept(&app.db, &user, token).await?;
        return Ok(joined(&app, project).into_response());
    }
    if users::find(&app.db, &invitation.email).await?.is_some() {
        return Err(Error::Unauthorized.into());
    }
    if !gate::takes_invited(&app).await? {
        return Err(Error::Forbidden(NO_ACCOUNTS.into()).into());
    }
    let new = Password::parse(fields.get("password"));
    let mut page = invited(&app, None, &headers, token, &invitation).await?;
    page.fields = vec![
        text("name", "Your name", Field::new(fields.trimmed("name"))),
        password("password", "Password", checked("", &new)?.error),
    ];
    let Ok(new) = new else {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Page(page)).into_response());
    };
    let name = fields.own_name();
    let (user, project) = accounts::join_new(&app.db, &app.passwords, token, &name, &new).await?;
    let cookie = start_session(&app, &user, &extensions, &headers).await?;
    Ok((cookie, joined(&app, project)).into_response())
}

fn joined(app: &App, project: crate::ids::ProjectId) -> Response {
    let to = format!("/projects/{project}/servers");
    (cookies::tell(&app.config, &to, Notice::Joined), Redirect::to(&to)).into_response()
}
