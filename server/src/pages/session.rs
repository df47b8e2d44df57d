//! Who asks: a session from the cookie, the user's projects, and for paths of a project that the user is in it.

use axum::extract::{FromRef, FromRequestParts, MatchedPath, OptionalFromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use berth_web::{Acting, Banner, Notice, ProjectLink, Rights, Section, Shell, Theme, User, When};
use chrono::Utc;
use serde::Deserialize;

use super::announcements::banner;
use super::cookies::{self, SetCookie};
use super::dress::Failed;
use crate::app::App;
use crate::audit::{self, Actor};
use crate::db::projects::Project;
use crate::db::{announcements, grants, projects, sessions};
use crate::domain::acting::may;
use crate::domain::grants::{Level, OnServer, Standing};
use crate::domain::roles::{Right, Role};
use crate::error::Error;
use crate::ids::{ProjectId, UserId, VpsId};

/// The secret of a session, and whose pages it was for when it was asked: what goes on for longer than a request ends when
/// that is somebody else.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    secret: String,
    seen_by: UserId,
}

impl Visit {
    /// Whose pages it is for.
    pub(super) fn person(&self) -> UserId {
        self.seen_by
    }

    /// Whether it still holds.
    pub(super) async fn holds(&self, app: &App) -> Result<bool, Error> {
        let session = sessions::find(&app.db, &self.secret).await?;
        Ok(session.is_some_and(|session| session.seen_by() == self.seen_by))
    }
}

impl std::ops::Deref for Visit {
    type Target = str;

    fn deref(&self) -> &str {
        &self.secret
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub(super) struct SignedIn {
    /// Who.
    pub(super) user: User,
    /// Where they may work; after these, where single servers are theirs.
    pub(super) projects: Vec<ProjectLink>,
    /// Their id.
    pub(super) id: UserId,
    roles: Vec<(i64, Role)>,
    /// The session, to ask again later whether it still holds.
    pub(super) cookie: Visit,
    /// Who it is really, if an operator in somebody's stead.
    pub(super) acting: Option<Acting>,
    theme: Theme,
    notice: Option<Notice>,
    banners: Vec<Banner>,
    here: String,
}

impl SignedIn {
    /// What stands around a page. `project` is the one that the page is about.
    pub(super) fn shell(&self, section: Section, project: Option<&ProjectLink>) -> Shell {
        Shell {
            user: self.user.clone(),
            project: project.or(self.projects.first()).cloned(),
            projects: self.projects.clone(),
            section,
            theme: self.theme,
            notice: self.notice,
            banners: self.banners.clone(),
            here: self.here.clone(),
            acting: self.acting.clone(),
        }
    }

    /// Forgets the notice when this page has told it.
    pub(super) fn told(&self, app: &App) -> Option<SetCookie> {
        let path = self.here.split('?').next().unwrap_or_default();
        self.notice.map(|_| cookies::told(&app.config, path))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for SignedIn
where
    App: FromRef<S>,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let app = App::from_ref(state);
        let cookie = cookies::session(&app.config, &parts.headers).ok_or(Error::Unauthorized)?;
        let session = sessions::find(&app.db, &cookie).await?.ok_or(Error::Unauthorized)?;
        let cookie = Visit { secret: cookie, seen_by: session.seen_by() };
        let (user, acting) = match session.acting {
            Some((user, until)) => {
                let operator = session.user.email;
                audit::is(Actor::Acting(session.user.id, operator.clone(), user.email.clone()));
                (user, Some(Acting { operator, until: When::new(until, Utc::now()) }))
            }
            None => {
                audit::is(Actor::User(session.user.id, session.user.email.clone()));
                (session.user, None)
            }
        };
        if acting.is_some() && !may(parts.method.is_safe(), &here(parts)) {
            let whose = format!(
                "You are here in the stead of {}. This is theirs alone, or would outlive your visit: go back and leave first.",
                user.email
            );
            return Err(Error::Forbidden(whose).into());
        }
        let projects = projects::of_user(&app.db, user.id).await?;
        let mine: Vec<ProjectId> = projects.iter().map(|(project, _)| project.id).collect();
        let banners = match parts.method.is_safe() {
            true => announcements::current(&app.db, &mine, Some(user.id)).await?,
            false => Vec::new(), // what is refused there shows its form again without them
        };
        let guest = grants::projects_of(&app.db, user.id).await?.into_iter().map(guest_link);
        let roles = projects.iter().map(|(project, role)| (project.id.0, *role)).collect();
        Ok(Self {
            user: User { email: user.email, operator: user.operator },
            projects: projects.into_iter().map(link).chain(guest).collect(),
            id: user.id,
            roles,
            cookie,
            acting,
            theme: cookies::theme(&parts.headers),
            notice: cookies::notice(&parts.headers),
            banners: banners.into_iter().map(banner).collect(),
            here: here(parts),
        })
    }
}

fn link((project, role): (Project, Role)) -> ProjectLink {
    ProjectLink {
        id: project.id.0,
        name: project.name,
        may_change: role.may(Right::Change) && project.suspended_reason.is_none(),
        may_manage: role.may(Right::Manage),
        suspended: project.suspended_reason,
        guest: false,
    }
}

/// A project of which single servers are somebody's.
fn guest_link(project: Project) -> ProjectLink {
    ProjectLink {
        id: project.id.0,
        name: project.name,
        may_change: false,
        may_manage: false,
        suspended: project.suspended_reason,
        guest: true,
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for SignedIn
where
    App: FromRef<S>,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Failed> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(who) => Ok(Some(who)),
            Err(failed) if failed.is_unauthorized() => Ok(None),
            Err(failed) => Err(failed),
        }
    }
}

/// The path of the request, whole: nested routers see only their part of it.
fn here(parts: &Parts) -> String {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    uri.path_and_query().map_or_else(|| "/".into(), |path| path.as_str().to_owned())
}

/// A member of the project that the path names. For others there is no such project.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Who.
    pub(super) who: SignedIn,
    /// The project.
    pub(super) project: ProjectLink,
    /// What they are in it.
    pub(super) role: Role,
}

impl Member {
    /// The project's id.
    pub(super) fn id(&self) -> ProjectId {
        ProjectId(self.project.id)
    }

    /// What stands around a page of this project.
    pub(super) fn shell(&self, section: Section) -> Shell {
        self.who.shell(section, Some(&self.project))
    }
}

#[derive(Deserialize)]
struct ProjectPath {
    project: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Member
where
    App: FromRef<S>,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let who = <SignedIn as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let Path(ProjectPath { project }) =
            <Path<_> as FromRequestParts<S>>::from_request_parts(parts, state)
                .await
                .map_err(|_| Error::NotFound("project"))?;
        let role = who.roles.iter().find(|(id, _)| *id == project).map(|(_, role)| *role);
        let link = who.projects.iter().find(|p| p.id == project).cloned();
        let (project, role) = link.zip(role).ok_or(Error::NotFound("project"))?;
        Ok(Self { who, project, role })
    }
}

macro_rules! may {
    ($(#[$doc:meta])* $name:ident, $right:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name(pub(super) Member);

        impl<S: Send + Sync> FromRequestParts<S> for $name
        where
            App: FromRef<S>,
        {
            type Rejection = Failed;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
                let member = Member::from_request_parts(parts, state).await?;
                if !member.role.may($right) {
                    return Err(Error::Forbidden($why.into()).into());
                }
                match (&member.project.suspended, parts.method.is_safe()) {
                    (Some(why), false) => Err(Error::Forbidden(format!("The project is suspended: {why}")).into()),
                    _ => Ok(Self(member)),
                }
            }
        }
    };
}

may!(
    /// A member who may change what the project has.
    Changer,
    Right::Change,
    "You may only look at this project. One of its admins can give you more."
);
may!(
    /// A member who says who may come in.
    Manager,
    Right::Manage,
    "This is for the admins and owners of the project. Ask one of them."
);

/// Somebody who may do something with the server that the path names, or, where it names none, with some server of the
/// project: by their role there, or by a grant.
#[derive(Clone, Debug)]
pub(super) struct Visitor {
    /// Who.
    pub(super) who: SignedIn,
    /// The project.
    pub(super) project: ProjectLink,
    /// What they are to the server.
    pub(super) standing: Standing,
}

impl Visitor {
    /// The project's id.
    pub(super) fn id(&self) -> ProjectId {
        ProjectId(self.project.id)
    }

    /// What stands around a page of this project.
    pub(super) fn shell(&self, section: Section) -> Shell {
        self.who.shell(section, Some(&self.project))
    }

    /// What they may do, for the page.
    pub(super) fn rights(&self) -> Rights {
        let may = |what| self.standing.may(what) && self.project.suspended.is_none();
        Rights {
            operate: may(OnServer::Operate),
            manage: may(OnServer::Manage),
            delete: may(OnServer::Delete),
            share: may(OnServer::Share),
            granted: self.standing.level.filter(|_| self.project.guest).map(Level::words),
        }
    }

    /// Whether they still may: what goes on for longer than a request asks again. For others there is no such server.
    pub(super) async fn still(&self, app: &App, vps: Option<VpsId>) -> Result<Standing, Error> {
        let standing = grants::standing(&app.db, self.id(), self.who.id, vps).await?;
        match standing.is_somebody() {
            true => Ok(standing),
            false => Err(Error::NotFound("server")),
        }
    }

    /// The one place where it is decided who may do what with a server. It is for paths of servers alone: the number that
    /// another path ends with is no server's.
    async fn find<S>(parts: &mut Parts, state: &S, what: OnServer) -> Result<Self, Failed>
    where
        S: Send + Sync,
        App: FromRef<S>,
    {
        let who = <SignedIn as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let of_servers = |path: &MatchedPath| {
            let rest = path.as_str().strip_prefix("/projects/{project}/servers");
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let found = <Path<ServerPath> as FromRequestParts<S>>::from_request_parts(parts, state).await;
        let (Ok(Path(ServerPath { project, id })), true) =
            (found, parts.extensions.get::<MatchedPath>().is_some_and(of_servers))
        else {
            return Err(Error::NotFound("server").into());
        };
        let link = who.projects.iter().find(|p| p.id == project).cloned();
        let project = link.ok_or(Error::NotFound("project"))?;
        let mut found = Self { who, project, standing: Standing::default() };
        found.standing = found.still(&App::from_ref(state), id.map(VpsId)).await?;
        if !found.standing.may(what) {
            return Err(Error::Forbidden(WHY_NOT.into()).into());
        }
        match (&found.project.suspended, parts.method.is_safe()) {
            (Some(why), false) => Err(Error::Forbidden(format!("The project is suspended: {why}")).into()),
            _ => Ok(found),
        }
    }
}

const WHY_NOT: &str =
    "You may not do this with this server. An admin or owner of its project can give you more.";

#[derive(Deserialize)]
struct ServerPath {
    project: i64,
    #[serde(default)]
    id: Option<i64>,
}

macro_rules! on_server {
    ($(#[$doc:meta])* $name:ident, $what:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub(super) struct $name(pub(super) Visitor);

        impl<S: Send + Sync> FromRequestParts<S> for $name
        where
            App: FromRef<S>,
        {
            type Rejection = Failed;

            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
                Visitor::find(parts, state, $what).await.map(Self)
            }
        }
    };
}

on_server!(
    /// Who may look at it.
    ToSee,
    OnServer::See
);
on_server!(
    /// Who may switch it and be inside.
    ToOperate,
    OnServer::Operate
);
on_server!(
    /// Who may change what it is.
    ToManage,
    OnServer::Manage
);
on_server!(
    /// Who may end it.
    ToDelete,
    OnServer::Delete
);
on_server!(
    /// Who says who else may do something with it.
    ToShare,
    OnServer::Share
);

/// The id of a thing in the path, beside the project's. What is no number does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThingId(pub(super) i64);

#[derive(Deserialize)]
struct ThingPath {
    id: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for ThingId {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let Path(ThingPath { id }) = <Path<_> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound("page"))?;
        Ok(Self(id))
    }
}

/// The id of a grant, or of an invitation, of the server in the path. What is no number does not exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct GrantId(pub(super) i64);

#[derive(Deserialize)]
struct GrantPath {
    grant: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for GrantId {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let Path(GrantPath { grant }) = <Path<_> as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::NotFound("page"))?;
        Ok(Self(grant))
    }
}

/// An operator. For others the fleet's pages do not exist.
#[derive(Clone, Debug)]
pub(super) struct Operator(pub(super) SignedIn);

impl<S: Send + Sync> FromRequestParts<S> for Operator
where
    App: FromRef<S>,
{
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let who = <SignedIn as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        if who.user.operator { Ok(Self(who)) } else { Err(Error::NotFound("page").into()) }
    }
}
