//! Asks what the host should hold, for ever: one blocking query after the other.
//!
//! Every process begins with a full answer (`since=0`), so what was lost between the wire and the disk comes again, and
//! what the control plane does not name shows as an orphan. After an error the same question is asked again, quickly at
//! first; when the control plane refuses this host's certificate, slowly, and the VPSes keep running.
//!
//! Streams that somebody waits for come the same way, and are opened by [`Streams`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::failpoint;
use crate::host::Host;
use crate::link::{Link, trouble::Trouble};
use crate::reconcile::Reconciler;
use crate::streams::Streams;

/// How long the control plane may hold the question when there are no news.
const WAIT: Duration = Duration::from_secs(25);

/// An answer without news that comes sooner than this is not asked for again at once.
const NO_NEWS: Duration = Duration::from_millis(200);

/// The sequence that was taken in last; reports carry it.
pub type Seq = Arc<AtomicI64>;

/// Runs until the agent ends.
pub async fn run<H: Host>(link: Arc<Link>, reconciler: Reconciler<H>, streams: Streams<H>, seq: Seq) {
    let mut trouble = Trouble::new("watch");
    let mut networks = String::new();
    loop {
        let since = seq.load(Ordering::Relaxed);
        let asked = Instant::now();
        match link.watch(since, WAIT, &networks).await {
            Ok(watch) => {
                trouble.over(&link);
                failpoint::hit_async("link.watch.answered").await;
                reconciler.take_in(&watch);
                let news = watch.networks.as_ref().filter(|new| is_version(&new.version));
                if let Some(new) = news {
                    networks.clone_from(&new.version);
                }
                seq.store(watch.seq, Ordering::Release); // only now: see the report
                streams.take_in(&watch.streams);
                if watch.seq == since && news.is_none() && asked.elapsed() < NO_NEWS {
                    tokio::time::sleep(NO_NEWS).await; // it does not hold the question: it is stopping, or wrong
                }
            }
            Err(e) => trouble.wait(&link, &e).await,
        }
    }
}

/// Whether this can be put into a URL as it is.
fn is_version(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}
