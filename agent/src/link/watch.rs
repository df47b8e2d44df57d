//! Asks what the host should hold, for ever: one blocking query after the other.
//!
//! Every process begins with a full answer (`since=0`), so what was lost between the wire and the disk comes again, and
//! what the control plane does not name shows as an orphan. After an error the same question is asked again, quickly at
//! first; when the control plane refuses this host's certificate, slowly, and the VPSes keep running.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::backoff;
use crate::failpoint;
use crate::host::Host;
use crate::link::{Link, LinkError};
use crate::reconcile::Reconciler;

/// How long the control plane may hold the question when there are no news.
const WAIT: Duration = Duration::from_secs(25);
/// After a refusal.
const REFUSED: Duration = Duration::from_secs(60);

/// The sequence that was taken in last; reports carry it.
pub type Seq = Arc<AtomicI64>;

/// Runs until the agent ends.
pub async fn run<H: Host>(link: Arc<Link>, reconciler: Reconciler<H>, seq: Seq) {
    let mut trouble = Trouble::default();
    loop {
        match link.watch(seq.load(Ordering::Relaxed), WAIT).await {
            Ok(watch) => {
                trouble.over();
                failpoint::hit_async("link.watch.answered").await;
                reconciler.take_in(&watch);
                seq.store(watch.seq, Ordering::Release); // only now: see the report
            }
            Err(e) => tokio::time::sleep(trouble.with(&e)).await,
        }
    }
}

/// Counts failures in a row and logs when that begins, changes its kind, or ends.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    failures: u32,
    refused: bool,
}

impl Trouble {
    /// The wait before the next attempt.
    pub(super) fn with(&mut self, error: &LinkError) -> Duration {
        let refused = matches!(error, LinkError::Refused(_));
        if self.failures == 0 || refused != self.refused {
            if refused {
                tracing::error!(%error, "this host was revoked or enrolled anew; its VPSes keep running");
            } else {
                tracing::warn!(%error, "no word from the control plane; VPSes keep running");
            }
        }
        self.refused = refused;
        self.failures = self.failures.saturating_add(1);
        if refused {
            REFUSED.mul_f64(0.5 + rand::random::<f64>())
        } else {
            backoff::link(self.failures, rand::random())
        }
    }

    pub(super) fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "the control plane answers again");
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_host_asks_slowly() {
        let mut trouble = Trouble::default();
        let gone = LinkError::Unreachable("connection refused".into());
        assert!(trouble.with(&gone) <= Duration::from_millis(100));
        assert!(trouble.with(&LinkError::Refused("revoked".into())) >= Duration::from_secs(30));
        for _ in 0..99 {
            assert!(trouble.with(&gone) <= Duration::from_secs(30));
        }
        trouble.over();
        assert!(trouble.with(&gone) <= Duration::from_millis(100));
    }
}
