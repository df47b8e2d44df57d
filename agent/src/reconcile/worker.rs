//! The task of one VPS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use berth_proto::{Desired, VpsId, VpsSpec};
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Shared;
use crate::failpoint;
use crate::host::{Found, Host};
use crate::plan::{Effect, Planned, Step, plan};
use crate::record::{Disk, Record};
use crate::report::{View, observe};

/// A VPS at rest is looked at this often, in case something happened that nobody noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// One that cannot be judged is looked at this often.
const UNSURE: Duration = Duration::from_secs(2);

mod act;

pub(super) struct Worker<H> {
    shared: Arc<Shared<H>>,
    id: VpsId,
    nudge: Arc<Notify>,
    desired: Option<Desired>,
    desired_stored: bool,
    record: Record,
    stored: Record,
    damaged: Option<String>,
    /// What is there; none when it is to be looked at (again).
    found: Option<Found>,
    not_before: Option<(Effect, Instant)>,
    acknowledged: Option<i64>,
}

impl<H: Host> Worker<H> {
    /// A worker that knows what is stored of the VPS.
    pub(super) fn load(shared: Arc<Shared<H>>, id: VpsId, nudge: Arc<Notify>) -> Self {
        let stored = shared.store.load(id);
        if let Some(what) = &stored.damaged {
            tracing::error!(vps = %id, what, "the state of this VPS is damaged; it is kept as it is");
        }
        let mut record = stored.record.clone();
        if record.disk == Disk::Used {
            record.troubles.clear(); // a new process may have more luck; a failed create stays failed
        }
        // The kernel's rules may be gone with whoever removed them; said again they hold for sure.
        let walled = |spec: &VpsSpec| spec.net.firewall.is_some() || spec.net.private_firewall.is_some();
        if matches!(&stored.desired, Some(Desired::Present(spec)) if walled(spec)) {
            record.applied = None;
        }
        Self {
            shared,
            id,
            nudge,
            desired: stored.desired,
            desired_stored: true,
            record,
            stored: stored.record,
            damaged: stored.damaged,
            found: None,
            not_before: None,
            acknowledged: None,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.shared.tasks.stopping() {
            self.take_news();
            if self.found.is_none() {
                self.look().await;
            }
            let next = self.plan().into_iter().next();
            match (next, self.waits()) {
                (None, _) => {
                    self.settle(None).await;
                    if self.is_over() && self.forget().await {
                        return;
                    }
                    self.rest_until_something_happens().await;
                }
                (Some(Planned { step: step @ (Step::Wait { until } | Step::HoldBack { until }), .. }), _) => {
                    self.settle(Some(&step)).await;
                    let wait = (until - Utc::now()).to_std().unwrap_or_default();
                    self.rest(wait).await;
                }
                (Some(planned), Some((effect, at))) if planned.step.effect() == effect => {
                    self.settle(Some(&planned.step)).await;
                    self.rest(at.saturating_duration_since(Instant::now())).await;
                }
                (Some(planned), _) => {
                    self.tell(Some(&planned.step));
                    self.carry_out(&planned).await;
                }
            }
        }
    }

    fn take_news(&mut self) {
        let inbox = self.shared.board.take(self.id);
        // An end that we brought about, or have seen already, is no news.
        let known = self.found.as_ref().is_some_and(|f| f.guest.is_none() && !f.unsure);
        if inbox.look && !known {
            self.found = None;
        }
        if let Some(desired) = inbox.desired {
            if let Some(what) = self.damaged.take() {
                tracing::warn!(vps = %self.id, what, "going on with the control plane's word");
                if let Err(e) = self.shared.store.put_damaged_aside(self.id) {
                    tracing::error!(vps = %self.id, error = %e, "damaged state cannot be put aside");
                }
                self.desired_stored = false;
            }
            if self.desired.as_ref() != Some(&desired) {
                self.not_before = None;
                self.desired_stored = false;
                self.desired = Some(desired);
            }
            self.record.orphan = false;
        }
        if inbox.orphaned && !self.record.orphan {
            tracing::warn!(vps = %self.id, "the control plane does not name this VPS: kept as an orphan");
            self.record.orphan = true;
        }
        self.acknowledged = inbox.acknowledged.or(self.acknowledged);
    }

    /// What is wanted: nothing of an orphan, unless it is to be deleted.
    fn wanted(&self) -> Option<&Desired> {
        self.desired.as_ref().filter(|d| !self.record.orphan || matches!(d, Desired::Deleted { .. }))
    }

    fn generation(&self) -> i64 {
        self.wanted().map_or(0, Desired::generation)
    }

    async fn look(&mut self) {
        let found = self.shared.host.find(self.id).await;
        let now = Utc::now();
        if let Some(exit) = self.record.absorb(&found, now) {
            self.record.hold_until =
                self.record.hold_until.map(|until| quickened(now, until, self.shared.pace));
            let (early_ends, hold_until) = (self.record.early_ends, self.record.hold_until);
            tracing::info!(vps = %self.id, ?exit, early_ends, ?hold_until, "the guest ended");
        }
        self.found = Some(found);
    }

    fn plan(&self) -> Vec<Planned> {
        match &self.found {
            Some(found) if self.damaged.is_none() => plan(self.wanted(), &self.record, found, Utc::now()),
            _ => Vec::new(),
        }
    }

    fn waits(&self) -> Option<(Effect, Instant)> {
        self.not_before.filter(|(_, at)| *at > Instant::now())
    }

    fn tell(&self, next: Option<&Step>) {
        let desired = self.wanted();
        let view = View {
            id: self.id,
            desired,
            record: &self.record,
            found: self.found.as_ref(),
            next,
            damaged: self.damaged.as_deref(),
        };
        self.shared.board.tell(observe(view));
    }

    /// Nothing is to be done now: converged, given up for now, or waiting. Writes down and says how far it came.
    async fn settle(&mut self, next: Option<&Step>) {
        self.shared.starting.came(self.id);
        let sure = self.damaged.is_none() && self.found.as_ref().is_some_and(|f| !f.unsure);
        let generation = self.generation();
        if sure && next.is_none_or(|step| self.record.given_up(step.effect(), generation)) {
            self.record.answered = self.record.answered.max(generation);
        }
        if self.damaged.is_none()
            && let Err(e) = self.persist().await
        {
            tracing::error!(vps = %self.id, error = %e, "the state of this VPS cannot be stored");
        }
        self.tell(next);
    }

    /// Brings spec and record to disk, if they changed. A VPS of which nothing is known leaves nothing.
    async fn persist(&mut self) -> io::Result<()> {
        let desired = self.desired.clone().filter(|_| !self.desired_stored);
        let record = (self.record != self.stored).then(|| self.record.clone());
        if desired.is_none() && record.is_none() {
            return Ok(());
        }
        let (store, id) = (self.shared.store.clone(), self.id);
        let written = self.shared.tasks.blocking(move || {
            desired.map_or(Ok(()), |d| store.save_desired(&d))?;
            record.map_or(Ok(()), |r| store.save_record(id, &r))
        });
        written.await.map_err(io::Error::other)??;
        self.desired_stored = true;
        self.stored = self.record.clone();
        Ok(())
    }

    async fn rest_until_something_happens(&mut self) {
        let unsure = self.found.as_ref().is_some_and(|f| f.unsure);
        let wait = if unsure { UNSURE } else { LOOK_AGAIN }.mul_f64(self.shared.pace);
        if self.rest(wait.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await {
            self.found = None;
        }
    }

    /// True when the whole time has passed, false when there are news.
    async fn rest(&self, wait: Duration) -> bool {
        tokio::select! {
            () = self.nudge.notified() => false,
            () = self.shared.tasks.stopped() => false,
            () = tokio::time::sleep(wait) => true,
        }
    }

    /// Whether nothing of this VPS is left, and nobody needs to be told.
    fn is_over(&self) -> bool {
        let nothing = self.found.as_ref() == Some(&Found::default())
            && self.record.disk == Disk::None
            && self.damaged.is_none();
        nothing
            && match self.wanted() {
                Some(Desired::Deleted { generation, .. }) => self.acknowledged >= Some(*generation),
                Some(Desired::Present(_)) => false,
                None => true,
            }
    }

    /// Forgets the VPS. False when there are news of it after all.
    async fn forget(&mut self) -> bool {
        failpoint::hit_async("reconcile.forget.before").await;
        let (store, id) = (self.shared.store.clone(), self.id);
        let forgotten = self.shared.tasks.blocking(move || store.forget(id)).await;
        if let Err(e) = forgotten.map_err(io::Error::other).flatten() {
            tracing::error!(vps = %self.id, error = %e, "the state of a deleted VPS cannot be removed");
        }
        (self.desired, self.record, self.stored) = (None, Record::default(), Record::default());
        self.acknowledged = None;
        let over = self.shared.board.remove(self.id);
        if over {
            tracing::info!(vps = %self.id, "nothing is left of it");
        }
        over
    }
}

/// A moment that is as far away as tests can wait.
fn quickened(now: DateTime<Utc>, until: DateTime<Utc>, pace: f64) -> DateTime<Utc> {
    let wait = (until - now).to_std().unwrap_or_default().mul_f64(pace);
    now + TimeDelta::from_std(wait).unwrap_or_default()
}
