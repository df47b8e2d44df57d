//! Hosts that fall silent: nothing is written, because whether a host is heard of is computed wherever it is shown. But
//! pages that are open have to look again, and a host that says nothing wakes nobody; this does.

use std::time::Duration;

use super::Tasks;
use crate::app::App;
use crate::db::hosts::gone_silent;
use crate::error::Result;
use crate::wake::Changed;

/// Shorter than the window of [`gone_silent`], so that no host slips through between two looks.
const EVERY: Duration = Duration::from_secs(5);

pub(super) async fn watch(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        tasks.ran("liveness", look(&app).await.map_err(|e| format!("{e:#}")));
    }
}

async fn look(app: &App) -> Result<String> {
    let (hosts, projects) = gone_silent(&app.db).await?;
    if !hosts.is_empty() {
        tracing::warn!(?hosts, "hosts have not reported for a minute");
        app.wake.local(Changed::Fleet); // every replica looks by itself
        projects.into_iter().for_each(|id| app.wake.local(Changed::Project(id)));
    }
    Ok(format!("{} hosts fell silent", hosts.len()))
}
