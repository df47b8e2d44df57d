//! Seals the audit trail, some rows at a time (see [`crate::db::audit`]).

use std::time::Duration;

use super::Tasks;
use crate::app::App;
use crate::db::audit;

/// How long a row may be unsealed.
const EVERY: Duration = Duration::from_secs(1);

pub(super) async fn watch(app: App, tasks: Tasks) {
    let mut timer = tokio::time::interval(EVERY);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        timer.tick().await;
        let sealed = audit::seal(&app.db).await;
        tasks.ran("seal", sealed.map(|n| format!("sealed {n} rows")).map_err(|e| e.to_string()));
    }
}
