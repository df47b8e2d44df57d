//! Says what the host has: at once when something lasting changed, and everything every ten seconds.
//!
//! Reports go one after the other, since a report that overtakes an older one makes the older one void. Whatever
//! changes while one is under way goes into the next, so a slow control plane gets fewer reports, not a queue of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use berth_proto::{HostFacts, Report, VpsObserved, VpsState};
use chrono::Utc;
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until};

use super::Link;
use super::trouble::Trouble;
use super::watch::Seq;
use crate::board::Board;
use crate::failpoint;
use crate::host::Host;

/// A full report is due this often.
const FULL: Duration = Duration::from_secs(10);
/// A passing state is told after this time, if it still lasts.
const PASSING: Duration = Duration::from_millis(250);
/// The host's facts are looked at again with every so many full reports.
const FACTS_EVERY: u32 = 30;
/// How long the first report waits for every VPS to be looked at.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Guests whose figures are read at the same time.
const READERS: usize = 16;

/// Makes the reports of one agent process.
pub(crate) struct Reporter<H> {
    pub(crate) link: Arc<Link>,
    pub(crate) host: Arc<H>,
    pub(crate) board: Arc<Board>,
    pub(crate) seq: Seq,
    started_us: i64,
    number: i64,
    facts_told: Option<HostFacts>,
    fulls: u32,
}

impl<H: Host> Reporter<H> {
    pub(crate) fn new(link: Arc<Link>, host: Arc<H>, board: Arc<Board>, seq: Seq) -> Self {
        let started_us = Utc::now().timestamp_micros();
        Self { link, host, board, seq, started_us, number: 0, facts_told: None, fulls: 0 }
    }

    /// Runs until the agent ends.
    pub(crate) async fn run(mut self) {
        let _ = tokio::time::timeout(FIRST_LOOK, self.board.all_looked()).await; // the rest is told as unknown
        let mut full_at = Instant::now();
        let mut trouble = Trouble::new("report");
        let mut lost = false;
        loop {
            let full = lost || Instant::now() >= full_at;
            if full {
                full_at = Instant::now() + FULL;
            }
            let report = self.report(full).await;
            failpoint::hit_async("link.report.before").await;
            match self.link.report(&report).await {
                Ok(_) => {
                    trouble.over(&self.link);
                    lost = false;
                    self.board.sent(&report.vpses);
                    self.facts_told = report.facts.or(self.facts_told);
                    self.something_to_say(full_at).await;
                }
                Err(e) => {
                    lost = true;
                    self.board.not_sent(&report.vpses);
                    trouble.wait(&self.link, &e).await;
                }
            }
        }
    }

    async fn something_to_say(&self, full_at: Instant) {
        tokio::select! {
            () = self.board.soon() => {}
            () = sleep_until(full_at) => {}
            () = self.board.sometime() => {
                let lasting = async { tokio::time::timeout(PASSING, self.board.soon()).await.unwrap_or(()) };
                tokio::select! { () = lasting => {}, () = sleep_until(full_at) => {} }
            }
        }
    }

    async fn report(&mut self, full: bool) -> Report {
        self.number += 1;
        let (facts, metrics) = if full {
            self.host.count_traffic().await;
            let facts = if self.facts_told.is_none() || self.fulls.is_multiple_of(FACTS_EVERY) {
                Some(self.host.facts().await).filter(|f| self.facts_told.as_ref() != Some(f))
            } else {
                None
            };
            self.fulls = self.fulls.wrapping_add(1);
            (facts, Some(self.host.metrics().await))
        } else {
            (None, None)
        };
        // In this order: what the sequence brought must be on the board, or its absence would pass for an answer.
        let watch_seq = self.seq.load(Ordering::Acquire);
        let vpses = self.board.collect(full);
        Report {
            agent_version: crate::VERSION.into(),
            seq: self.number,
            agent_started_us: self.started_us,
            watch_seq,
            capacity: self.host.capacity().await,
            facts,
            metrics,
            images: self.host.templates().await,
            vpses: self.with_figures(vpses, full).await,
            partial: !full,
        }
    }

    /// Adds what is read from the kernel; use of resources only to full reports, which are for that.
    async fn with_figures(&self, vpses: Vec<VpsObserved>, full: bool) -> Vec<VpsObserved> {
        let read = |mut vps: VpsObserved| async {
            vps.traffic = self.host.vps_traffic(vps.id).await;
            vps.private_traffic = self.host.vps_private_traffic(vps.id).await;
            if vps.fault.is_some() {
                vps.routed = self.host.vps_routed(vps.id).await;
            }
            if vps.state == VpsState::Running {
                if full {
                    vps.metrics = self.host.vps_metrics(vps.id).await;
                }
                vps.limits = self.host.vps_limits(vps.id).await;
                vps.events = self.host.vps_events(vps.id).await;
                vps.hits = self.host.vps_hits(vps.id).await;
                vps.private_hits = self.host.vps_private_hits(vps.id).await;
            }
            vps
        };
        stream::iter(vpses).map(read).buffered(READERS).collect().await
    }
}
