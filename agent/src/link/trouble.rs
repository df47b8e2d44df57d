//! What a loop does when a call fails: log once, wait, try again.
//!
//! The loops of one line help each other: as soon as one of them hears from the control plane again, those that wait
//! try at once.

use std::time::Duration;

use super::{Link, LinkError};
use crate::backoff;

/// After a refusal.
const REFUSED: Duration = Duration::from_secs(60);

/// The failures in a row of one loop. Logs when that begins, changes its kind, or ends.
#[derive(Debug)]
pub(super) struct Trouble {
    call: &'static str,
    failures: u32,
    refused: bool,
}

impl Trouble {
    pub(super) fn new(call: &'static str) -> Self {
        Self { call, failures: 0, refused: false }
    }

    /// Waits before the next attempt.
    pub(super) async fn wait(&mut self, link: &Link, error: &LinkError) {
        let answers = link.answers();
        let wait = self.with(error);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = answers, if !self.refused => {}
        }
    }

    fn with(&mut self, error: &LinkError) -> Duration {
        let refused = matches!(error, LinkError::Refused(_));
        let call = self.call;
        if self.failures == 0 || refused != self.refused {
            if refused {
                tracing::error!(call, %error, "this host was revoked or enrolled anew; its VPSes keep running");
            } else {
                tracing::warn!(call, %error, "no good word from the control plane; VPSes keep running");
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

    /// The call succeeded.
    pub(super) fn over(&mut self, link: &Link) {
        if self.failures > 0 {
            tracing::info!(call = self.call, failures = self.failures, "the control plane answers again");
            link.answered_again();
        }
        *self = Self::new(self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_host_asks_slowly() {
        let mut trouble = Trouble::new("watch");
        let gone = LinkError::Unreachable("connection refused".into());
        assert!(trouble.with(&gone) <= Duration::from_millis(100));
        assert!(trouble.with(&LinkError::Refused("revoked".into())) >= Duration::from_secs(30));
        for _ in 0..99 {
            assert!(trouble.with(&gone) <= Duration::from_secs(30));
        }
        trouble.over(&Link::plain("http://nowhere.example".into()));
        assert!(trouble.with(&gone) <= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn one_loop_that_hears_again_wakes_the_others() {
        let link = Link::plain("http://nowhere.example".into());
        let gone = LinkError::Unreachable("connection refused".into());
        let (mut waits, mut hears) = (Trouble::new("report"), Trouble::new("watch"));
        for _ in 0..99 {
            let _ = (waits.with(&gone), hears.with(&gone));
        }
        let hear = async {
            tokio::task::yield_now().await;
            hears.over(&link);
        };
        let before = std::time::Instant::now();
        tokio::join!(waits.wait(&link, &gone), hear);
        assert!(before.elapsed() < Duration::from_millis(500), "{:?}", before.elapsed());
    }
}
