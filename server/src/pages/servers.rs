//! The list of a project's servers.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::IntoResponse;
use berth_web::{ProjectLink, Section, ServerList, ServersPage};
use chrono::Utc;

use super::dress::{Failed, Page};
use super::events::{Feed, stream};
use super::session::Member;
use super::views::{self, Beside};
use crate::app::App;
use crate::db::page::{Page as Part, Sort};
use crate::db::vps::{self, Filter, Vps};
use crate::db::{graphs, images};
use crate::error::{Error, Result};
use crate::ids::ProjectId;
use crate::wake::Changed;

/// Servers on the page. Whoever has more finds the rest by the API.
const MOST: i64 = 500;

/// `GET /projects/{project}/servers`.
pub(super) async fn page(member: Member, State(app): State<App>) -> Result<impl IntoResponse, Failed> {
    let list = load(&app, &member.project).await?;
    Ok((member.who.told(&app), Page(ServersPage { shell: member.shell(Section::Servers), list })))
}

/// `GET /projects/{project}/servers/events`.
pub(super) async fn events(member: Member, State(app): State<App>) -> impl IntoResponse {
    let topic = Changed::Project(member.project.id);
    let load = {
        let app = app.clone();
        move || {
            let (app, project) = (app.clone(), member.project.clone());
            async move { load(&app, &project).await?.parts().map_err(|e| Error::Internal(e.into())) }
        }
    };
    stream(Feed { app, cookie: member.who.cookie, topic, load, gone: Vec::new() })
}

async fn load(app: &App, project: &ProjectLink) -> Result<ServerList> {
    let newest = Filter { sort: vec![Sort { column: "id", descending: true }], ..Filter::default() };
    let found = vps::list(&app.db, ProjectId(project.id), &newest, Part::first(MOST)).await?;
    let beside = beside(app, &found.items).await?;
    Ok(ServerList {
        project: project.clone(),
        rows: found.items.iter().map(|vps| views::row(vps, &beside)).collect(),
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
