//! Gives news their numbers and delivers them to webhooks (see [`crate::db::feed`], [`crate::db::webhooks`]).
//!
//! Each webhook's news go one after the other; different webhooks do not wait for each other. A receiver that is slow, for
//! whatever reason, has its place for [`TURN`] and one more answer, and then stands behind those that wait.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Tasks;
use crate::app::App;
use crate::db::webhooks::Webhook;
use crate::db::{feed, webhooks};
use crate::post::message;

/// How long news may wait.
const EVERY: Duration = Duration::from_secs(1);
/// Webhooks that are served at the same time.
const PLACES: usize = 64;
/// How long one is served before others have their turn. With one answer more it is less than the lease.
const TURN: Duration = Duration::from_secs(5);
/// News that are read at a time.
const BATCH: i64 = 50;

pub(super) async fn watch(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut served = JoinSet::new();
    loop {
        timer.tick().await;
        let outcome = round(&app, &mut served).await;
        tasks.ran("webhooks", outcome.map(|n| format!("delivered {n} events")).map_err(|e| e.to_string()));
    }
}

/// Looks for who has something to deliver, and gives what was delivered since the last time.
async fn round(app: &App, served: &mut JoinSet<sqlx::Result<usize>>) -> sqlx::Result<usize> {
    feed::number(&app.db).await?;
    webhooks::pass_over(&app.db).await?;
    let mut delivered = 0;
    while let Some(ended) = served.try_join_next() {
        delivered += ended.unwrap_or(Ok(0))?;
    }
    let free = i64::try_from(PLACES.saturating_sub(served.len())).unwrap_or(0);
    for hook in webhooks::take(&app.db, free).await? {
        served.spawn(serve(app.clone(), hook));
    }
    Ok(delivered)
}

/// Delivers what comes next for one; how much.
async fn serve(app: App, hook: Webhook) -> sqlx::Result<usize> {
    let clock = Instant::now();
    let news = feed::behind(&app.db, hook.project_id, hook.cursor, &hook.kinds, BATCH).await?;
    let mut delivered = 0;
    for one in news {
        let outcome = app.poster.post(&hook, &message(&hook, one.seq), &one).await;
        webhooks::log(&app.db, hook.id, one.seq, &one.kind, &outcome).await?;
        if outcome.error.is_some() {
            webhooks::failed(&app.db, &hook, outcome.status == Some(410)).await?;
            return Ok(delivered);
        }
        if !webhooks::delivered(&app.db, &hook, one.seq).await? {
            break; // changed meanwhile: the next round reads it anew
        }
        delivered += 1;
        if clock.elapsed() > TURN {
            break;
        }
    }
    webhooks::release(&app.db, &hook).await?;
    Ok(delivered)
}
