//! Brings name servers to the names that are wanted. A name server that does not answer is left alone for a while and holds
//! up no other one; nobody's request waits for any.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};

use super::Tasks;
use crate::app::App;
use crate::db::reverse::work::{self, Claim};
use crate::dns::Fault;
use crate::error::Result;
use crate::wake::Changed;

/// Looks again after this time at the latest: names change at other replicas, and with addresses that are given back.
const EVERY: Duration = Duration::from_secs(5);

/// Name servers that are told names at the same time; each takes a connection to the database.
const AT_ONCE: usize = 4;

/// Names of one pool before others have their turn.
const MOST: i64 = 200;

/// After this time a pool is let go, too: well before the database ends a transaction that does nothing.
const LONGEST: Duration = Duration::from_secs(20);

pub(super) async fn watch(app: App, tasks: Tasks) {
    loop {
        let looked = look(&app).await;
        let more = matches!(&looked, Ok(Done { written: 1.., .. }));
        tasks.ran("reverse_dns", looked.map(|done| done.text()).map_err(|e| format!("{e:#}")));
        if !more {
            let _ = tokio::time::timeout(EVERY, app.names.notified()).await;
        }
    }
}

/// What came of one look.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    written: u64,
    refused: u64,
    unanswered: u64,
}

impl Done {
    fn text(self) -> String {
        let Self { written, refused, unanswered } = self;
        format!("{written} names written, {refused} refused, {unanswered} name servers did not answer")
    }
}

/// One look.
async fn look(app: &App) -> Result<Done> {
    let pools = work::pools(&app.db).await?;
    let mut each = stream::iter(pools).map(|pool| serve(app, pool)).buffer_unordered(AT_ONCE);
    let mut sum = Done::default();
    while let Some(done) = each.next().await {
        let done = done?;
        sum.written += done.written;
        sum.refused += done.refused;
        sum.unanswered += done.unanswered;
    }
    Ok(sum)
}

async fn serve(app: &App, pool: i64) -> Result<Done> {
    let Some(claim) = work::claim(&app.db, pool, MOST).await? else { return Ok(Done::default()) };
    let done = tell(app, &claim).await?;
    claim.end().await?;
    Ok(done)
}

/// Tells a name server what is due, until it does not answer.
async fn tell(app: &App, claim: &Claim) -> Result<Done> {
    let (since, mut done) = (Instant::now(), Done::default());
    for due in &claim.due {
        if since.elapsed() > LONGEST {
            break;
        }
        let ended = match claim.server.write(due.ip, due.name.as_deref()).await {
            Ok(()) => {
                done.written += 1;
                work::taken(&app.db, claim.pool, due).await?
            }
            Err(Fault::Refused(why)) => {
                tracing::warn!(ip = %due.ip, server = %claim.server.server, why, "a reverse name was refused");
                done.refused += 1;
                work::refused(&app.db, claim.pool, due, &why).await?
            }
            Err(Fault::Unanswered(why)) => {
                tracing::warn!(server = %claim.server.server, why, "a name server cannot be used");
                done.unanswered += 1;
                work::unanswered(&app.db, claim.pool, &why).await?;
                break;
            }
        };
        ended.into_iter().for_each(|project| app.wake.changed(Changed::Project(project)));
    }
    Ok(done)
}
