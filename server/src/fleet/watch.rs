//! `GET /agent/v1/watch?since=&wait=`: blocks until the host's desired state has changed, or a stream of it is wanted.
//!
//! The waiter subscribes before it reads, so no change is missed between the two; and it reads again every
//! [`REPAIR`] anyway, because a wake-up from another replica can be lost. The sequence is read before the rows: a row
//! that is newer than the sequence is merely sent twice.
//!
//! Private networks are no matter of the sequence: they change with VPSes of other hosts. The agent says which state of
//! them it knows, and is answered when there is another.

use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use berth_proto::Watch;
use tokio::time::Instant;

use super::Fleet;
use super::peer::Caller;
use crate::db;
use crate::error::Result;

const LONGEST_WAIT: u64 = 60;
const REPAIR: Duration = Duration::from_secs(5);

#[derive(Debug, serde::Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    since: i64,
    #[serde(default)]
    wait: u64,
    /// What the agent knows of private networks; none from one that knows no networks.
    networks: Option<String>,
}

/// How the answer to an agent that knows `since` looks when the host's sequence is `seq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// Everything: the agent knows nothing, or more than we do (our database was restored from a backup).
    Full,
    /// What changed.
    Changes,
    /// Nothing yet.
    Wait,
}

fn answer(since: i64, seq: i64) -> Answer {
    if since <= 0 || since > seq {
        Answer::Full
    } else if since < seq {
        Answer::Changes
    } else {
        Answer::Wait
    }
}

pub(super) async fn watch(
    State(fleet): State<Fleet>,
    caller: Caller,
    Query(Since { since, wait, networks: known }): Query<Since>,
) -> Result<Json<Watch>> {
    let db = &fleet.app.db;
    let until = Instant::now() + Duration::from_secs(wait.min(LONGEST_WAIT));
    let mut news = fleet.app.wake.host(caller.id);
    loop {
        news.mark_unchanged();
        let seq = db::watch::seq(db, caller.id).await?;
        let kind = answer(since, seq);
        let over = Instant::now() >= until || fleet.stop.is_cancelled();
        let streams = db::streams::tell(db, caller.id).await?;
        let networks = match &known {
            Some(known) => {
                Some(db::networks::of_host(db, caller.id).await?).filter(|now| now.version != *known)
            }
            None => None,
        };
        if kind != Answer::Wait || over || !streams.is_empty() || networks.is_some() {
            caller.still_welcome(&fleet).await?;
            let vpses = match kind {
                Answer::Full => db::watch::desired(db, caller.id, 0).await?,
                Answer::Changes => db::watch::desired(db, caller.id, since).await?,
                Answer::Wait => Vec::new(),
            };
            let images = db::watch::images(db, caller.id).await?;
            let settings = Some(db::watch::settings(db, caller.id).await?);
            crate::failpoint::hit("server.watch.before_answer").await;
            let full = kind == Answer::Full;
            return Ok(Json(Watch { seq, full, vpses, images, settings, streams, networks }));
        }
        tokio::select! {
            _ = news.changed() => caller.still_welcome(&fleet).await?,
            () = tokio::time::sleep_until(until.min(Instant::now() + REPAIR)) => {}
            () = fleet.stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_knows_nothing_or_too_much_is_told_everything() {
        for (since, seq, expected) in [
            (0, 1, Answer::Full),
            (-3, 1, Answer::Full),
            (9, 8, Answer::Full),
            (7, 8, Answer::Changes),
            (8, 8, Answer::Wait),
        ] {
            assert_eq!(answer(since, seq), expected, "since {since}, seq {seq}");
        }
    }
}
