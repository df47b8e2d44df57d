//! The page of one server, and what its buttons do.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice, ProjectLink, Range, ResizeChoice, Rights, Section, ServerLive, ServerPage};
use serde::Deserialize;

use super::dress::{Failed, Page};
use super::events::{Feed, stream};
use super::fields::Fields;
use super::session::{ThingId, ToDelete, ToOperate, ToSee, Visitor};
use super::{cookies, graphs, limits, resize, server_network, servers, views};
use crate::app::App;
use crate::db::events as happenings;
use crate::db::page::{Page as Part, Sort};
use crate::db::{actions, vps};
use crate::domain::power::Command;
use crate::error::{Error, Result};
use crate::ids::{ProjectId, VpsId};
use crate::wake::Changed;

/// Actions on the page.
const ACTIONS: i64 = 12;

/// Events on the page.
const EVENTS: i64 = 12;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Span {
    #[serde(default)]
    range: String,
}

/// `GET /projects/{project}/servers/{id}`.
pub(super) async fn page(
    ToSee(visitor): ToSee,
    ThingId(id): ThingId,
    State(app): State<App>,
    Query(span): Query<Span>,
    headers: HeaderMap,
) -> Result<Response, Failed> {
    let view = View::new(&visitor, id);
    let (live, plans) = view.load_page(&app, Range::parse(&span.range)).await?;
    let password = cookies::secret(&headers);
    let shown = password.is_some().then(|| cookies::secret_shown(&app.config, &path(&visitor, id)));
    let told = visitor.who.told(&app);
    let shell = visitor.shell(Section::Servers);
    let page = ServerPage { shell, live, plans, password, delete: Field::default(), refused: None };
    Ok((shown, told, Page(page)).into_response())
}

/// `GET /projects/{project}/servers/{id}/events`.
pub(super) async fn events(
    ToSee(visitor): ToSee,
    ThingId(id): ThingId,
    State(app): State<App>,
    Query(span): Query<Span>,
) -> Result<impl IntoResponse, Failed> {
    let topic = Changed::Project(visitor.project.id);
    let range = Range::parse(&span.range);
    let gone = visitor.project.clone();
    let cookie = visitor.who.cookie.clone();
    let load = {
        let app = app.clone();
        move || {
            let (app, mut visitor) = (app.clone(), visitor.clone());
            async move {
                visitor.standing = visitor.still(&app, Some(VpsId(id))).await?;
                let live = View::new(&visitor, id).load(&app, range).await?;
                live.parts().map_err(|e| Error::Internal(e.into()))
            }
        }
    };
    let gone = vec![berth_web::server_gone(&gone).map_err(|e| Error::Internal(e.into()))?];
    Ok(stream(Feed { app, cookie, topic, load, gone })?)
}

/// The power command that a button stands for.
pub(super) fn command(fields: &Fields) -> Result<Command> {
    match fields.get("command") {
        "poweron" => Ok(Command::PowerOn),
        "poweroff" => Ok(Command::PowerOff),
        "shutdown" => Ok(Command::Shutdown),
        "reboot" => Ok(Command::Reboot),
        "reset" => Ok(Command::Reset),
        _ => Err(Error::invalid("command", "is none of the power commands")),
    }
}

/// `POST /projects/{project}/servers/{id}/power`.
pub(super) async fn power(
    ToOperate(visitor): ToOperate,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let command = command(&fields)?;
    match vps::power(&app, visitor.id(), VpsId(id), command).await {
        Ok(_) => {
            let to = path(&visitor, id);
            Ok((cookies::tell(&app.config, &to, Notice::PowerAccepted), Redirect::to(&to)).into_response())
        }
        Err(e) => refused(&app, &visitor, id, Field::default(), e).await,
    }
}

/// `POST /projects/{project}/servers/{id}/reset-password`.
pub(super) async fn reset_password(
    ToOperate(visitor): ToOperate,
    ThingId(id): ThingId,
    State(app): State<App>,
) -> Result<Response, Failed> {
    match vps::reset_password(&app, visitor.id(), VpsId(id)).await {
        Ok((_, secret)) => {
            let to = path(&visitor, id);
            Ok((cookies::show_secret(&app.config, &to, secret.expose()), Redirect::to(&to)).into_response())
        }
        Err(e) => refused(&app, &visitor, id, Field::default(), e).await,
    }
}

/// `POST /projects/{project}/servers/{id}/delete`. The name must be typed; script or none, it is checked here.
pub(super) async fn delete(
    ToDelete(visitor): ToDelete,
    ThingId(id): ThingId,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let typed = fields.trimmed("confirm");
    let found = vps::get(&app.db, visitor.id(), VpsId(id)).await?;
    if typed != found.name {
        let error = Some(format!("This is not the name of the server. Type {} to delete it.", found.name));
        let field = Field { value: typed.to_owned(), error };
        return answer(&app, &visitor, id, StatusCode::UNPROCESSABLE_ENTITY, field, None).await;
    }
    match vps::delete(&app, visitor.id(), VpsId(id)).await {
        Ok(_) => {
            let to = visitor.project.path("servers");
            Ok((cookies::tell(&app.config, &to, Notice::ServerDeleting), Redirect::to(&to)).into_response())
        }
        Err(e) => refused(&app, &visitor, id, Field::new(typed), e).await,
    }
}

pub(super) fn path(visitor: &Visitor, id: i64) -> String {
    visitor.project.path(&format!("servers/{id}"))
}

/// Shows the page again with why the domain refused. What is not there and what is our fault are pages of their own.
pub(super) async fn refused(
    app: &App,
    visitor: &Visitor,
    id: i64,
    delete: Field,
    e: Error,
) -> Result<Response, Failed> {
    if matches!(e, Error::NotFound(_) | Error::Internal(_) | Error::Unauthorized) {
        return Err(e.into());
    }
    let status = StatusCode::from_u16(e.status()).unwrap_or(StatusCode::CONFLICT);
    answer(app, visitor, id, status, delete, Some(capital(&e.to_string()))).await
}

async fn answer(
    app: &App,
    visitor: &Visitor,
    id: i64,
    status: StatusCode,
    delete: Field,
    refused: Option<String>,
) -> Result<Response, Failed> {
    let view = View::new(visitor, id);
    let (live, plans) = view.load_page(app, Range::default()).await?;
    let shell = visitor.shell(Section::Servers);
    let page = ServerPage { shell, live, plans, password: None, delete, refused };
    Ok((status, Page(page)).into_response())
}

/// A sentence of the domain as a sentence of a page.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}

struct View {
    project: ProjectLink,
    rights: Rights,
    id: VpsId,
    operator: bool,
}

impl View {
    fn new(visitor: &Visitor, id: i64) -> Self {
        Self {
            project: visitor.project.clone(),
            rights: visitor.rights(),
            id: VpsId(id),
            operator: visitor.who.user.operator,
        }
    }

    /// What moves, and what does not.
    async fn load_page(&self, app: &App, range: Range) -> Result<(ServerLive, Vec<ResizeChoice>)> {
        let found = vps::get(&app.db, ProjectId(self.project.id), self.id).await?;
        Ok((self.live(app, &found, range).await?, resize::choices(app, &found).await?))
    }

    async fn load(&self, app: &App, range: Range) -> Result<ServerLive> {
        let found = vps::get(&app.db, ProjectId(self.project.id), self.id).await?;
        self.live(app, &found, range).await
    }

    async fn live(&self, app: &App, found: &vps::Vps, range: Range) -> Result<ServerLive> {
        let project = ProjectId(self.project.id);
        let newest = actions::Filter {
            about: Some(actions::Subject::Vps(self.id)),
            sort: vec![Sort { column: "id", descending: true }],
            ..actions::Filter::default()
        };
        let activity = actions::list(&app.db, project, &newest, Part::first(ACTIONS)).await?;
        let beside = servers::beside(app, std::slice::from_ref(found)).await?;
        let graphs = graphs::load(app, found, range, beside.now).await?;
        let report = vps::limits(&app.db, project, self.id).await?;
        let events = happenings::list(&app.db, project, self.id, Part::first(EVENTS)).await?;
        Ok(ServerLive {
            project: self.project.clone(),
            rights: self.rights,
            server: views::server(found, &beside, self.operator),
            network: server_network::load(app, &self.project, found).await?,
            activity: activity.items.iter().map(|action| views::action(action, beside.now)).collect(),
            limits: limits::rows(&report),
            limits_current: report.current,
            events: events.items.iter().map(|event| limits::event(event, beside.now)).collect(),
            graphs,
            range,
        })
    }
}
