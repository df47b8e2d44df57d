//! Sums up the samples of VPSes (see [`crate::db::sums`]): what was missed, the time before there were sums included, in
//! steps of an hour at most, each with a transaction of its own; then five minutes every five minutes.

use std::time::Duration;

use super::Tasks;
use crate::app::App;
use crate::db::sums;

const EVERY: Duration = Duration::from_secs(30);

/// Steps of one run, so that it says how far it is while it catches up.
const STEPS: usize = 24;

pub(super) async fn watch(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut behind = false;
    loop {
        if !behind {
            timer.tick().await;
        }
        let outcome = catch_up(&app).await;
        behind = matches!(outcome, Ok((STEPS, _)));
        tasks.ran("sums", outcome.map(|(_, told)| told).map_err(|e| e.to_string()));
    }
}

/// Some steps; returns how many there were to do, and what was done.
async fn catch_up(app: &App) -> sqlx::Result<(usize, String)> {
    let mut told = "nothing to sum up".to_owned();
    for step in 0..STEPS {
        match sums::advance(&app.db).await? {
            Some(upto) => told = format!("samples are summed up to {upto}"),
            None => return Ok((step, told)),
        }
    }
    Ok((STEPS, told))
}
