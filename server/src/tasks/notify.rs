//! News between replicas.
//!
//! NOTIFY takes a lock that serialises commits, so it is sent apart from any request, coalesced: whatever changed
//! within [`GATHER`] becomes one notification. Hearing wakes local waiters. While the connection was lost news may
//! have been missed; that is repaired by the waiters themselves, who look at the database again now and then.

use std::collections::HashSet;
use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::broadcast::{self, error::RecvError};

use super::Tasks;
use crate::app::App;
use crate::wake::Changed;

const CHANNEL: &str = "berth_changed";

/// How long news is gathered before it is sent.
const GATHER: Duration = Duration::from_millis(25);

/// Items in one notification; far below Postgres's 8,000 bytes.
const MOST: usize = 150;

/// What goes over the wire: who says it (a replica ignores its own) and what changed.
#[derive(serde::Serialize, serde::Deserialize)]
struct News {
    from: uuid::Uuid,
    changed: Vec<Changed>,
}

/// Tells the other replicas what changed here.
pub(super) async fn tell(app: App, tasks: Tasks) {
    let mut outbox = app.wake.outbox();
    while let Some(changed) = gather(&mut outbox).await {
        let sent = send(&app, &changed).await;
        tasks.ran("tell", sent.map(|()| format!("{} changes", changed.len())).map_err(|e| e.to_string()));
    }
}

/// Tells the replicas what a process that is about to leave has changed. Failing to is no fault: they look by themselves.
pub(crate) async fn tell_once(app: &App, mut outbox: broadcast::Receiver<Changed>) {
    let mut changed = HashSet::new();
    while let Ok(more) = outbox.try_recv() {
        changed.insert(more);
    }
    if let Err(e) = send(app, &changed.into_iter().collect::<Vec<_>>()).await {
        tracing::warn!(error = %e, "running servers were not told; they notice within seconds");
    }
}

async fn send(app: &App, changed: &[Changed]) -> sqlx::Result<()> {
    for part in changed.chunks(MOST) {
        let news = News { from: app.wake.replica(), changed: part.to_vec() };
        let text = serde_json::to_string(&news).expect("a list of plain enums is always JSON");
        sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(text).execute(&app.db).await?;
    }
    Ok(())
}

async fn gather(outbox: &mut broadcast::Receiver<Changed>) -> Option<Vec<Changed>> {
    let mut changed = HashSet::new();
    match outbox.recv().await {
        Ok(first) => changed.insert(first),
        Err(RecvError::Lagged(_)) => changed.insert(Changed::Fleet),
        Err(RecvError::Closed) => return None,
    };
    tokio::time::sleep(GATHER).await;
    while let Ok(more) = outbox.try_recv() {
        changed.insert(more);
    }
    Some(changed.into_iter().collect())
}

/// Hears what changed at other replicas and wakes the waiters here.
pub(super) async fn hear(app: App, tasks: Tasks) {
    loop {
        let ended = listen(&app, &tasks).await;
        tasks.ran("hear", ended.map(|()| "connection ended".to_owned()).map_err(|e| e.to_string()));
        tokio::time::sleep(Duration::from_secs(1)).await; // between attempts to connect
    }
}

async fn listen(app: &App, tasks: &Tasks) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(&app.db).await?;
    listener.listen(CHANNEL).await?;
    tasks.ran("hear", Ok("listening".to_owned()));
    while let Some(notification) = listener.try_recv().await? {
        // a replica of another version may say things we do not know
        let Ok(news) = serde_json::from_str::<News>(notification.payload()) else { continue };
        if news.from != app.wake.replica() {
            news.changed.into_iter().for_each(|what| app.wake.local(what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::Wake;

    #[tokio::test]
    async fn what_changes_at_the_same_time_is_told_once() {
        let wake = Wake::default();
        let mut outbox = wake.outbox();
        for _ in 0..50 {
            wake.changed(Changed::Host(7));
        }
        wake.changed(Changed::Project(7));
        let told = gather(&mut outbox).await.unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
    }

    #[test]
    fn the_largest_notification_fits() {
        let changed = vec![Changed::Project(i64::MAX); MOST];
        let news = News { from: uuid::Uuid::max(), changed };
        assert!(serde_json::to_string(&news).unwrap().len() < 8000);
    }
}
