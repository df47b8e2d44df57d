//! All servers of the fleet, those first that use most of something.

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use berth_web::{FleetServersPage, Pager, Section, Unit};
use serde::Deserialize;

use super::PER_PAGE;
use crate::app::App;
use crate::db::page::Page as Part;
use crate::db::top::{self, By, Use};
use crate::db::vps;
use crate::pages::dress::{Failed, Page};
use crate::pages::fleet;
use crate::pages::session::Operator;

const PATH: &str = "/fleet/servers";

#[derive(Debug, Default, Deserialize)]
pub(in crate::pages) struct Sorted {
    #[serde(default)]
    sort: String,
    page: Option<i64>,
}

/// `GET /fleet/servers?sort=…&page=…`.
pub(in crate::pages) async fn list(
    Operator(who): Operator,
    State(app): State<App>,
    Query(asked): Query<Sorted>,
) -> Result<Response, Failed> {
    let by = By::parse(&asked.sort);
    let number = asked.page.unwrap_or(1).clamp(1, 1 << 40);
    let found = top::list(&app.db, by, Part { number, size: PER_PAGE }).await?;
    let ids: Vec<i64> = found.items.iter().map(|u| u.id).collect();
    let uses: HashMap<i64, Use> = found.items.into_iter().map(|u| (u.id, u)).collect();
    let mut rows = fleet::rows(&app, &who, &vps::some(&app.db, &ids).await?).await?;
    for row in &mut rows {
        let Some(now) = uses.get(&row.id) else { continue };
        row.disk = now.disk.map(|rate| Unit::BytesPerSecond.tell(rate));
        row.network = now.network.map(|rate| Unit::BitsPerSecond.tell(rate * 8.0));
        row.hits = now.hits.unwrap_or(0);
    }
    let turn = |to: i64| format!("{PATH}?sort={}&page={to}", by.name());
    let page = FleetServersPage {
        shell: who.shell(Section::FleetServers, None),
        rows,
        sorts: By::ALL.map(|(by, name)| (name, label(by))).to_vec(),
        by: by.name(),
        pager: Pager::at(number, PER_PAGE, found.total, turn),
    };
    Ok((who.told(&app), Page(page)).into_response())
}

fn label(by: By) -> &'static str {
    match by {
        By::Cpu => "CPU",
        By::Memory => "Memory",
        By::Disk => "Disk",
        By::Network => "Network",
        By::Hits => "Limit hits",
        By::Created => "Newest",
    }
}
