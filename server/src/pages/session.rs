//! Who asks: a session from the cookie, the user's projects, and for paths of a project that the user is in it.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts, OriginalUri, Path};
use axum::http::request::Parts;
use berth_web::{Acting, Banner, Notice, ProjectLink, Section, Shell, Theme, User, When};
use chrono::Utc;
use serde::Deserialize;

use super::announcements::banner;
use super::cookies::{self, SetCookie};
use super::dress::Failed;
use crate::app::App;
use crate::audit::{self, Actor};
use crate::db::projects::Project;
use crate::db::{announcements, projects, sessions};
use crate::domain::acting::may;
use crate::domain::roles::{Right, Role};
use crate::error::Error;
use crate::ids::{ProjectId, UserId};

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
    /// Where they may work.
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
        let roles = projects.iter().map(|(project, role)| (project.id.0, *role)).collect();
        Ok(Self {
            user: User { email: user.email, operator: user.operator },
            projects: projects.into_iter().map(link).collect(),
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
