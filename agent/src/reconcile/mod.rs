//! Brings what is there to what is wanted, and the only place that retries.
//!
//! One task per VPS (`worker`) runs the loop *take the news, look, plan, do the first step*. So the steps of one VPS
//! never overlap, and one VPS never waits for another but for a place among those that start (or end) at the same
//! time; the two kinds of places are separate, so deletes are not held up by a burst of creates.
//!
//! An agent that starts takes every VPS that is stored or found, adopts the guests that run and starts those that
//! should run, a few at a time and in their order ([`gate`]), without asking the control plane. What is found without a spec is an orphan: kept and reported,
//! and only debris without a disk is swept.

use std::collections::BTreeSet;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_proto::{HostSettings, VpsId, Watch};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, Semaphore};

use crate::backoff;
use crate::board::Board;
use crate::host::{Event, Host};
use crate::images::Images;
use crate::store::Store;
use crate::tasks::Tasks;

mod gate;
mod networks;
mod worker;

/// VPSes that are stopped, cleared or deleted at the same time.
const ENDING: usize = 8;

/// After this, VPSes are started in their order without those of which nothing is known yet.
const LATEST: Duration = Duration::from_secs(10);

/// How a reconciler goes about its work.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// VPSes that are created or started at the same time.
    pub start_parallelism: usize,
    /// What back-offs are multiplied with: 1, but for tests.
    pub pace: f64,
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared<H> {
    pub(crate) host: Arc<H>,
    pub(crate) store: Store,
    pub(crate) images: Arc<Images<H>>,
    pub(crate) board: Arc<Board>,
    pub(crate) tasks: Tasks,
    starting: gate::Gate,
    ending: Semaphore,
    /// What back-offs are multiplied with: 1, but for tests.
    pace: f64,
    settings: Mutex<Option<HostSettings>>,
    settings_changed: Notify,
    networks: networks::Told,
}

/// The reconciler of one host.
#[derive(Debug)]
pub struct Reconciler<H>(Arc<Shared<H>>);

impl<H> Clone for Reconciler<H> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<H: Host> Reconciler<H> {
    /// Takes over the host: what is stored and what is found. Needs no control plane.
    pub async fn start(
        host: Arc<H>,
        store: Store,
        images: Arc<Images<H>>,
        board: Arc<Board>,
        tasks: Tasks,
        manner: Manner,
    ) -> io::Result<Self> {
        let settings = store.settings().unwrap_or_else(|e| {
            tracing::error!(error = %e, "settings.json cannot be read; waiting for the control plane's");
            None
        });
        let mut ids: BTreeSet<VpsId> = store.list()?.into_iter().collect();
        ids.extend(host.inventory().await);
        let shared = Arc::new(Shared {
            host,
            store,
            images,
            board,
            tasks,
            starting: gate::Gate::new(manner.start_parallelism, ids.clone()),
            ending: Semaphore::new(ENDING),
            pace: manner.pace,
            settings: Mutex::new(settings.clone()),
            settings_changed: Notify::new(),
            networks: networks::Told::default(),
        });
        let this = Self(shared);
        if let Some(settings) = settings {
            this.configure(&settings).await;
        }
        this.0.networks_of_before().await; // before anybody starts who is in one
        for id in ids {
            let stored = this.0.store.load(id);
            let nudge = this.0.board.add(id, stored.desired.as_ref());
            this.spawn(id, nudge);
        }
        let (events, settings, starts) = (this.clone(), this.clone(), this.clone());
        let connected = this.0.clone();
        this.0.tasks.spawn_until_stop(async move { connected.keep_connected().await });
        this.0.tasks.spawn_until_stop(async move { events.pass_on_events().await });
        this.0.tasks.spawn_until_stop(async move { settings.keep_configured().await });
        this.0.tasks.spawn_until_stop(async move { starts.wait_for_late_ones().await });
        Ok(this)
    }

    /// Takes in an answer of the control plane. Returns at once; the workers do the rest.
    pub fn take_in(&self, watch: &Watch) {
        if let Some(settings) = &watch.settings {
            let mut current = self.0.settings.lock().expect("no code panics while holding this lock");
            if current.as_ref() != Some(settings) {
                *current = Some(settings.clone());
                self.0.settings_changed.notify_one();
            }
        }
        if let Some(networks) = &watch.networks {
            self.0.networks.tell(networks);
        }
        self.0.images.want(&watch.images);
        for (id, nudge) in self.0.board.take_in(watch) {
            self.spawn(id, nudge);
        }
    }

    fn spawn(&self, id: VpsId, nudge: Arc<Notify>) {
        let shared = self.0.clone();
        self.0.tasks.spawn(async move {
            loop {
                let worker = worker::Worker::load(shared.clone(), id, nudge.clone());
                if AssertUnwindSafe(worker.run()).catch_unwind().await.is_ok() {
                    return;
                }
                // The panic itself was printed; the worker starts afresh from what is on disk.
                tracing::error!(vps = %id, "the worker of this VPS failed; it starts again");
                tokio::time::sleep(Duration::from_secs(10).mul_f64(shared.pace)).await;
            }
        });
    }

    async fn wait_for_late_ones(&self) {
        tokio::time::sleep(LATEST.mul_f64(self.0.pace)).await;
        let late = self.0.starting.open();
        if !late.is_empty() {
            tracing::warn!(vpses = ?late, "starting the others without waiting any longer for these");
        }
    }

    async fn pass_on_events(&self) {
        loop {
            let Event::Ended(id) = self.0.host.next_event().await;
            self.0.board.look(id);
        }
    }

    /// Applies settings. A failure is logged; without its settings a host still runs VPSes.
    async fn configure(&self, settings: &HostSettings) -> bool {
        let done = self.0.host.configure(settings).await;
        if let Err(fault) = &done {
            tracing::error!(
                code = fault.code,
                error = fault.message,
                "the host's settings cannot be applied"
            );
        }
        done.is_ok()
    }

    async fn keep_configured(&self) {
        let mut failures = 0;
        loop {
            let again = backoff::effect(failures, rand::random());
            tokio::select! {
                () = self.0.settings_changed.notified() => {}
                () = tokio::time::sleep(again), if failures > 0 => {}
            }
            let settings = self.0.settings.lock().expect("no code panics while holding this lock").clone();
            let Some(settings) = settings else { continue };
            if let Err(e) = self.0.store.save_settings(&settings) {
                tracing::error!(error = %e, "the host's settings cannot be stored");
            }
            failures = if self.configure(&settings).await { 0 } else { failures.saturating_add(1) };
        }
    }
}

#[cfg(test)]
mod tests;
