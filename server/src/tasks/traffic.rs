//! Looks who has used up the traffic of the month, and who has not any more, and does what their plans say. What the look
//! finds depends on nothing but the database, so several replicas may do it at once: who comes second changes nothing.

use std::time::Duration;

use super::Tasks;
use crate::app::App;
use crate::db::ladder::{climb, climbers};
use crate::error::Result;

const EVERY: Duration = Duration::from_secs(15);

pub(super) async fn watch(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        tasks.ran("traffic", look(&app).await.map_err(|e| format!("{e:#}")));
    }
}

/// One look; says what it did.
pub(crate) async fn look(app: &App) -> Result<String> {
    let all = climbers(&app.db).await?;
    let mut changed = 0;
    for climber in &all {
        if climb(app, climber).await? {
            tracing::info!(vps = climber.id.0, before = ?climber.now, now = ?climber.should, "traffic of the month");
            changed += 1;
        }
    }
    Ok(format!("{changed} of {} servers changed", all.len()))
}
