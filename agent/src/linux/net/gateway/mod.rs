//! How packets to public addresses come to this host: it answers for them on its uplink ([`proxy`], and [`proxy6`] for
//! IPv6), or announces them to routers ([`bgp`]). What it does with them then, and from whom it takes them, is a matter of the routes alone.
//!
//! An address that comes is routed first and then told; one that goes is first no longer told and then no longer routed.
//! Changes of single guests and of the whole follow each other, so that what is told and what is routed agree.
//!
//! The kernel does part of this by itself: it answers only for what is routed away from the uplink, and bird and what
//! answers for IPv6 read the routes from the kernel. So when a guest dies, and its interface with it, nobody is told of it any more, whether or not
//! there is an agent.

use std::path::Path;
use std::sync::Arc;

use berth_proto::{Gateways, VpsId};
use ipnet::IpNet;
use nix::net::if_::if_nametoindex;
use tokio::sync::{Mutex, MutexGuard};

use super::floating::Routed;
use super::{Net, NetError, Result};

mod arp;
mod bgp;
mod bird;
pub(super) mod neighbours;
mod proxy;
mod proxy6;

/// What is in force.
#[derive(Debug)]
pub(super) struct Gateway {
    now: Mutex<Gateways>,
    answered: Arc<proxy::Answered>,
    bird: Arc<bird::Bird>,
    neighbours: Arc<neighbours::Neighbours>,
}

/// What is in force, while nobody else changes it or routes of guests.
pub(super) type Now<'a> = MutexGuard<'a, Gateways>;

impl Gateway {
    pub(super) fn new(run_dir: &Path) -> Self {
        Self {
            now: Mutex::default(),
            answered: Arc::default(),
            bird: Arc::new(bird::Bird::new(run_dir)),
            neighbours: Arc::new(neighbours::Neighbours::new(run_dir)),
        }
    }

    pub(super) async fn now(&self) -> Now<'_> {
        self.now.lock().await
    }
}

impl Net {
    /// Puts these gateways in force, for guests that run already too.
    ///
    /// # Errors
    /// When the kernel or bird refuses something, or something is lacking; the message says what. The rest is in force.
    pub async fn gateways(&self, wanted: &Gateways) -> Result<()> {
        let mut now = self.gateway.now().await;
        now.clone_from(wanted);
        let answered = self.answer_for_all(&now).await;
        let answered6 = self.answer_neighbours(&now).await;
        let spoken = self.speak_bgp(&now).await;
        answered.and(answered6).and(spoken)
    }

    /// Routes these addresses to a guest that has just been connected, and tells of them. Whether routers have heard it
    /// is not waited for: the guest needs longer to answer.
    pub(super) async fn give(&self, id: VpsId, index: u32, addresses: &Routed) -> Result<()> {
        let now = self.gateway.now().await;
        self.add_routes(id, index, addresses).await?;
        self.tell_neighbours(&now, addresses, true);
        self.answer_for(&now, addresses).await
    }

    /// Tells of no address of a VPS any more, and takes their routes. Does nothing where no address is told of.
    pub(super) async fn take_back(&self, id: VpsId) -> Result<()> {
        let now = self.gateway.now().await;
        if now.proxied.is_empty() && now.announced.is_empty() {
            return Ok(());
        }
        if let Ok(index) = if_nametoindex(self.name(id).as_str()) {
            for net in self.routed(index).await? {
                self.stop_answering(&now, net).await?;
                self.no_route(id, net, index).await?;
            }
        }
        // what a guest left that died with its interface
        self.answer_for_no_more(&now).await
    }

    /// Waits until bird, and what answers neighbours, have taken notice of routes that came and went.
    pub(super) async fn announced(&self, now: &Gateways, gone: &Routed, come: &Routed) -> Result<()> {
        self.answered_neighbours(now, gone, come).await?;
        for (addresses, there) in [(gone, false), (come, true)] {
            for net in addresses.iter().filter(|net| is_in(&now.announced, **net)) {
                self.gateway.bird.has(*net, there).await?;
            }
        }
        Ok(())
    }
}

fn is_in(pools: &[IpNet], net: IpNet) -> bool {
    pools.iter().any(|pool| pool.contains(&net))
}

fn lacking(what: impl Into<String>) -> NetError {
    NetError::Gateway(what.into())
}
