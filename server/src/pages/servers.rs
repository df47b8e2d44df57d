//! The list of a project's servers: some at a time, those that somebody looks for, and power for many at once.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use berth_web::{Field, Notice, Pager, Section, ServerFilter, ServerList, ServersPage};
use chrono::Utc;
use serde::Deserialize;

use super::blame::blame;
use super::cookies;
use super::dress::{Failed, Page, encode};
use super::events::{Feed, stream};
use super::fields::Fields;
use super::server::command;
use super::session::{ToOperate, ToSee, Visitor};
use super::views::{self, Beside};
use crate::app::App;
use crate::db::page::{Listed, Page as Part, Sort};
use crate::db::vps::{self, Filter, Vps};
use crate::db::{grants, graphs, images, locations};
use crate::domain::grants::OnServer;
use crate::domain::selector::Selector;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::ids::VpsId;
use crate::wake::Changed;

/// Servers on the page.
const PER_PAGE: i64 = 50;

/// What somebody looks for. Empty fields of the form are as none.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    name: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    page: String,
    /// Whether servers are to be chosen: then nothing moves.
    #[serde(default)]
    choose: String,
}

impl Asked {
    fn number(&self) -> i64 {
        self.page.parse().unwrap_or(1).clamp(1, 1 << 40)
    }

    /// Whether only some are looked for.
    fn searches(&self) -> bool {
        let status = Status::ALL.into_iter().any(|s| s.as_str() == self.status);
        status || [&self.name, &self.label, &self.location].iter().any(|text| !text.trim().is_empty())
    }

    fn choosing(&self) -> bool {
        !self.choose.is_empty()
    }

    /// The same question as a query string, at another page.
    fn query(&self, page: i64, choosing: bool) -> String {
        let pairs = [
            ("name", self.name.clone()),
            ("label", self.label.clone()),
            ("status", self.status.clone()),
            ("location", self.location.clone()),
            ("page", if page > 1 { page.to_string() } else { String::new() }),
            ("choose", if choosing { "yes".to_owned() } else { String::new() }),
        ];
        let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| format!("{name}={}", encode(&value))).collect::<Vec<_>>().join("&")
    }

    fn selector(&self) -> Result<Selector> {
        Selector::parse(self.label.trim())
    }

    /// What the database is asked.
    fn filter(&self, selector: Selector) -> Filter {
        // Postgres takes no NUL in text, and no name has one.
        let given = |text: &str| Some(text.trim().replace('\0', "\u{fffd}")).filter(|text| !text.is_empty());
        Filter {
            named_like: given(&self.name),
            location: given(&self.location),
            status: Status::ALL.into_iter().find(|s| s.as_str() == self.status).map(|s| vec![s]),
            selector,
            sort: vec![Sort { column: "id", descending: true }],
            ..Filter::default()
        }
    }
}

/// `GET /projects/{project}/servers`.
pub(super) async fn page(
    ToSee(visitor): ToSee,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Failed> {
    let mut filter = ServerFilter {
        name: Field::new(&asked.name),
        label: Field::new(&asked.label),
        status: asked.status.clone(),
        location: asked.location.clone(),
        statuses: Status::ALL.map(Status::as_str).to_vec(),
        locations: locations::list(&app.db).await?.into_iter().map(|l| l.name).collect(),
    };
    if let Err(e) = asked.selector() {
        blame(e, &mut [("label_selector", &mut filter.label)], &mut None)?;
    }
    let list = load(&app, &visitor, &asked).await?;
    let stream = format!("{}?{}", visitor.project.path("servers/events"), asked.query(asked.number(), false));
    let turn =
        |choosing| format!("{}?{}", visitor.project.path("servers"), asked.query(asked.number(), choosing));
    let page = ServersPage {
        shell: visitor.shell(Section::Servers),
        stream: (!list.choosing).then_some(stream),
        choose: turn(!list.choosing),
        may_choose: visitor.standing.may(OnServer::Operate),
        list,
        filter,
    };
    Ok((visitor.who.told(&app), Page(page)))
}

/// `GET /projects/{project}/servers/events`.
pub(super) async fn events(
    ToSee(visitor): ToSee,
    State(app): State<App>,
    Query(asked): Query<Asked>,
) -> Result<impl IntoResponse, Failed> {
    let (topic, cookie) = (Changed::Project(visitor.project.id), visitor.who.cookie.clone());
    let load = {
        let app = app.clone();
        move || {
            let (app, mut visitor, asked) = (app.clone(), visitor.clone(), asked.clone());
            async move {
                visitor.standing = visitor.still(&app, None).await?;
                load(&app, &visitor, &asked).await?.parts().map_err(|e| Error::Internal(e.into()))
            }
        }
    };
    Ok(stream(Feed { app, cookie, topic, load, gone: Vec::new() })?)
}

/// `POST /projects/{project}/servers/power`: the same command for each that was chosen. What cannot be done for one is
/// done for the others, and told.
pub(super) async fn power(
    ToOperate(visitor): ToOperate,
    State(app): State<App>,
    fields: Fields,
) -> Result<Response, Failed> {
    let command = command(&fields)?;
    let ids = fields.all("id").filter_map(|id| id.parse().ok()).map(VpsId);
    let (mut done, mut refused) = (0, 0);
    for id in ids.take(usize::try_from(PER_PAGE).unwrap_or(0)) {
        let standing = grants::standing(&app.db, visitor.id(), visitor.who.id, Some(id)).await?;
        if !standing.may(OnServer::Operate) {
            refused += 1;
            continue;
        }
        match vps::power(&app, visitor.id(), id, command).await {
            Ok(_) => done += 1,
            Err(Error::Internal(e)) => return Err(Error::Internal(e).into()),
            Err(_) => refused += 1,
        }
    }
    let notice = match (done, refused) {
        (0, 0) => Notice::NothingChosen,
        (0, _) => Notice::PowerRefused,
        (_, 0) => Notice::PowerAccepted,
        _ => Notice::PowerPartly,
    };
    let to = visitor.project.path("servers");
    Ok((cookies::tell(&app.config, &to, notice), Redirect::to(&to)).into_response())
}

async fn load(app: &App, visitor: &Visitor, asked: &Asked) -> Result<ServerList> {
    let project = &visitor.project;
    let number = asked.number();
    // For a selector that is wrong there is nothing; the form says why.
    let found = match asked.selector() {
        Ok(selector) => {
            let part = Part { number, size: PER_PAGE };
            let mut filter = asked.filter(selector);
            filter.granted_to = visitor.standing.role.is_none().then_some(visitor.who.id);
            vps::list(&app.db, visitor.id(), &filter, part).await?
        }
        Err(_) => Listed { items: Vec::new(), total: 0 },
    };
    let beside = beside(app, &found.items).await?;
    let turn = |to| format!("{}?{}", project.path("servers"), asked.query(to, asked.choosing()));
    Ok(ServerList {
        project: project.clone(),
        rows: found.items.iter().map(|vps| views::row(vps, &beside)).collect(),
        searched: asked.searches(),
        choosing: asked.choosing() && visitor.standing.may(OnServer::Operate),
        pager: Pager::at(number, PER_PAGE, found.total, turn),
    })
}

/// What pages show of these VPSes besides their rows.
pub(super) async fn beside(app: &App, vpses: &[Vps]) -> Result<Beside> {
    let ids: Vec<i64> = vpses.iter().map(|vps| vps.id.0).collect();
    let mut image_ids: Vec<i64> = vpses.iter().map(|vps| vps.image_id.0).collect();
    image_ids.sort_unstable();
    image_ids.dedup();
    let images = images::by_ids(&app.db, &image_ids).await?;
    let images: HashMap<i64, String> = images.iter().map(|i| (i.id.0, views::image_title(i))).collect();
    Ok(Beside { now: Utc::now(), images, cpu: graphs::cpu_now(&app.db, &ids).await? })
}
