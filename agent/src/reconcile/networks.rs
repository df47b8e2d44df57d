//! Private networks: what the control plane told last is kept, and put in force until that has succeeded.

use std::sync::Mutex;

use berth_proto::HostNetworks;
use tokio::sync::Notify;

use super::Shared;
use crate::backoff;
use crate::host::Host;

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Mutex<Option<HostNetworks>>,
    changed: Notify,
}

impl Told {
    /// Takes news in. Returns at once.
    pub(super) fn tell(&self, networks: &HostNetworks) {
        let mut last = self.last.lock().expect("no code panics while holding this lock");
        if last.as_ref() != Some(networks) {
            *last = Some(networks.clone());
            self.changed.notify_one();
        }
    }

    fn last(&self) -> Option<HostNetworks> {
        self.last.lock().expect("no code panics while holding this lock").clone()
    }
}

impl<H: Host> Shared<H> {
    /// Puts what is stored in force: VPSes come back without a control plane, and so do their networks.
    pub(super) async fn networks_of_before(&self) {
        match self.store.networks() {
            Ok(Some(networks)) => {
                self.connect(&networks).await;
            }
            Ok(None) => {}
            Err(e) => {
                tracing::error!(error = %e, "networks.json cannot be read; waiting for the control plane's word");
            }
        }
    }

    /// Puts what is told in force. A failure is logged, and tried again.
    pub(super) async fn keep_connected(&self) {
        let mut failures = 0;
        loop {
            let again = backoff::effect(failures, rand::random());
            tokio::select! {
                () = self.networks.changed.notified() => {}
                () = tokio::time::sleep(again), if failures > 0 => {}
            }
            let Some(networks) = self.networks.last() else { continue };
            if let Err(e) = self.store.save_networks(&networks) {
                tracing::error!(error = %e, "the private networks cannot be stored");
            }
            failures = if self.connect(&networks).await { 0 } else { failures.saturating_add(1) };
        }
    }

    async fn connect(&self, networks: &HostNetworks) -> bool {
        let done = self.host.connect_networks(networks).await;
        if let Err(fault) = &done {
            tracing::error!(
                code = fault.code,
                error = fault.message,
                "private networks cannot be connected to other hosts"
            );
        }
        done.is_ok()
    }
}
