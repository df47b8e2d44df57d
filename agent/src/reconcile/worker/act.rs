//! How a worker does one step: wait for its turn, write down what is about to happen, let it happen, take the outcome in.

use berth_proto::{Desired, VpsFault, VpsSpec};
use chrono::Utc;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

use super::Worker;
use crate::backoff;
use crate::failpoint;
use crate::host::{Fault, Guest, Host};
use crate::plan::{Effect, Planned, Reason, Step};
use crate::reconcile::Shared;
use crate::reconcile::gate::{Place, Turn};
use crate::record::Disk;

/// A place among those that do the same, kept while an effect runs.
#[expect(dead_code, reason = "places are kept, not looked at")]
enum Ready<'a> {
    /// For what makes or starts.
    Start(Place),
    /// For what ends.
    End(SemaphorePermit<'a>),
    /// What needs no place.
    Free,
}

impl<H: Host> Worker<H> {
    /// Does one step, or finds that it is not its turn yet.
    pub(super) async fn carry_out(&mut self, planned: &Planned) {
        let Planned { step, why } = planned;
        let effect = step.effect();
        let shared = self.shared.clone();
        // News may change the plan while this VPS waits for a template or for its turn.
        let ready = tokio::select! {
            ready = self.is_ready(&shared, effect) => ready,
            () = self.nudge.notified() => return,
            () = shared.tasks.stopped() => return,
        };
        let (done, place) = match ready {
            Ok(place) => (self.effect(step, effect, *why).await, place),
            Err(fault) => (Err(fault), Ready::Free),
        };
        drop(place);
        match done {
            Ok(guest) => {
                let Some(mut found) = self.found.take() else { return };
                let desired = self.wanted().cloned();
                self.record.done(&mut found, step, desired.as_ref(), guest, Utc::now());
                self.found = Some(found);
            }
            Err(fault) => self.failed(effect, fault),
        }
    }

    /// Waits for the template and for a place among those that do the same.
    async fn is_ready<'a>(&self, shared: &'a Shared<H>, effect: Effect) -> Result<Ready<'a>, Fault> {
        match effect {
            Effect::CreateDisk | Effect::Start => {
                let mut order = 0;
                if let Some(Desired::Present(spec)) = &self.desired {
                    order = spec.autostart_order;
                    if !shared.host.has_template(&spec.image.sha256).await {
                        shared.starting.came(self.id); // others need not wait for a transfer
                    }
                    shared.images.ensure(&spec.image).await?;
                }
                Ok(Ready::Start(shared.starting.enter(Turn { order, id: self.id }).await))
            }
            Effect::Stop | Effect::Clear | Effect::Delete => {
                let place = shared.ending.acquire().await;
                place.map(Ready::End).map_err(|_| VpsFault::passing("internal", "the agent is stopping"))
            }
            Effect::Password | Effect::Apply | Effect::Freeze => Ok(Ready::Free),
        }
    }

    /// Writes down what is about to happen, and lets it happen.
    async fn effect(&mut self, step: &Step, effect: Effect, why: Reason) -> Result<Option<Guest>, Fault> {
        tracing::info!(vps = %self.id, generation = self.generation(), ?step, %why, "doing");
        self.record.doing = Some(effect);
        if effect == Effect::CreateDisk {
            self.record.disk = Disk::Making;
        }
        if let Err(e) = self.persist().await {
            // What ends a VPS goes on, since it may be what makes room again; what makes one does not.
            tracing::error!(vps = %self.id, error = %e, "the state of this VPS cannot be stored");
            if matches!(effect, Effect::CreateDisk | Effect::Start) {
                let message = format!("The agent cannot write to its state directory: {e}.");
                return Err(VpsFault::passing("internal", message));
            }
        }
        let (before, after) = failpoint::around(effect);
        failpoint::hit_async(before).await;
        let host = &self.shared.host;
        let done = match step {
            Step::CreateDisk => host.create_disk(self.spec()?).await.map(|()| None),
            Step::Start => host.start(self.spec()?).await.map(Some),
            Step::AskToStop { .. } => host.ask_to_stop(self.id).await.map(|()| None),
            Step::Kill if why == Reason::Tombstone => host.kill_for_deletion(self.id).await.map(|()| None),
            Step::Kill => host.kill(self.id).await.map(|()| None),
            Step::RemoveLeftovers => host.remove_leftovers(self.id).await.map(|()| None),
            Step::DeleteDisk => host.delete_disk(self.id).await.map(|()| None),
            Step::SetPassword => host.set_password(self.spec()?).await.map(|()| None),
            Step::Apply => host.apply(self.spec()?).await.map(|()| None),
            Step::Freeze => host.freeze(self.id).await.map(|()| None),
            Step::Thaw => host.thaw(self.id).await.map(|()| None),
            Step::Wait { .. } | Step::HoldBack { .. } => Ok(None),
        };
        failpoint::hit_async(after).await;
        done
    }

    fn spec(&self) -> Result<&VpsSpec, Fault> {
        match self.wanted() {
            Some(Desired::Present(spec)) => Ok(spec),
            _ => Err(VpsFault::terminal("internal", "There is no spec for what was planned.")),
        }
    }

    fn failed(&mut self, effect: Effect, fault: Fault) {
        let generation = self.generation();
        tracing::warn!(vps = %self.id, generation, ?effect, code = fault.code, error = fault.message, "failed");
        self.record.failed(effect, generation, fault);
        let trouble = self.record.trouble(effect, generation);
        let wait = match trouble {
            Some(t) if t.given_up() => backoff::GIVEN_UP,
            trouble => backoff::effect(trouble.map_or(1, |t| t.attempts), rand::random()),
        };
        self.not_before = Some((effect, Instant::now() + wait.mul_f64(self.shared.pace)));
        self.found = None;
    }
}
