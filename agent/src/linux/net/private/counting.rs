//! Counting of private traffic, apart from public: a pair of named counters in the router for each member, found by its
//! interface in a map, as the host's own table has them ([`super::super::counting`]).
//!
//! A pair is there from before its interface until after it, whoever ends the interface: the agent, or the kernel when the
//! guest dies. It is looked at for the last time when the interface is gone and nothing can be counted any more, and goes
//! when that is written down ([`super::ledger`]). A member that is started again gets another pair.
//!
//! What comes from a guest is counted once it has turned out not to be forged; what goes to a guest last of all. Where a
//! packet goes from one member here to another, it is counted for both. ARP and its like of IPv6 are not counted.

use std::collections::BTreeMap;

use berth_proto::{TrafficCount, VpsId};

use super::super::{NetError, Result, counting, dump};
use super::ledger::Reading;
use super::netns::Netns;
use super::{Private, failed, router};

/// The chain that counts what goes to guests. Part of a router's table.
pub(super) const TO_GUEST: &str = "counter name oifname map @received";
/// The rule that counts what comes from guests.
pub(super) const FROM_GUEST: &str = counting::FROM_GUEST;

impl Private {
    /// Looks at all counters, and writes down what they stand at. Forgets VPSes that are not `here` any more.
    ///
    /// # Errors
    /// When a router cannot be looked into, or nothing can be written.
    pub async fn count(&self, here: impl Fn(VpsId) -> bool + Send + 'static) -> Result<()> {
        let _one_at_a_time = self.ledger.looking.lock().await;
        let routers: Vec<_> = self.listed().into_iter().map(|id| self.path(id).join("ns")).collect();
        let read = match routers.is_empty() {
            true => Vec::new(),
            false => Netns::in_each(routers, look).await?.into_iter().collect::<Result<Vec<_>>>()?,
        };
        let read = read.into_iter().flatten().map(reading).collect();
        let ledger = self.ledger.clone();
        self.write(move || ledger.take_in_all(read, here)).await
    }

    /// What a VPS has sent and received in private networks on this host, as it was looked at last.
    #[must_use]
    pub fn counted(&self, id: VpsId) -> Option<TrafficCount> {
        self.ledger.of(id)
    }

    /// What begins to count a member's traffic, if that is not done already.
    pub(super) async fn begin_counting(&self, router: &Netns, id: VpsId) -> Result<String> {
        let there = router.run(look).await??;
        if there.keys().any(|(of, _)| *of == id) {
            return Ok(String::new());
        }
        Ok(counting::begin(router::TABLE, id, rand::random(), &self.name(id)))
    }

    /// Carries out what takes a member out of its router, and takes its counters away after a last look. Only when its
    /// interface is gone.
    pub(super) async fn end_counting(&self, router: &Netns, id: VpsId, mut batch: String) -> Result<()> {
        let _one_at_a_time = self.ledger.looking.lock().await;
        let mut mine = router.run(look).await??;
        mine.retain(|(of, _), _| *of == id);
        batch.extend(mine.keys().map(|(_, epoch)| counting::end(router::TABLE, id, *epoch, &self.name(id))));
        let ledger = self.ledger.clone();
        let read: Vec<Reading> = mine.into_iter().map(reading).collect();
        if let Err(error) = self.write(move || ledger.take_in(read)).await {
            tracing::warn!(vps = %id, %error, "private traffic is remembered, but not written down yet");
        }
        router::apply(router, batch).await
    }

    async fn write(&self, f: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<()> {
        let written = tokio::task::spawn_blocking(f).await.map_err(std::io::Error::other);
        written.and_then(|written| written).map_err(|e| failed("writing down private traffic", e))
    }
}

type Pairs = BTreeMap<(VpsId, u64), [counting::Sum; 2]>;

/// The counters of the router that this thread is in.
fn look() -> Result<Pairs> {
    let all = dump::counters(router::TABLE);
    let all =
        all.map_err(|source| NetError::Io { what: "reading a router's counters".to_owned(), source })?;
    Ok(counting::pairs(all))
}

fn reading(((id, epoch), [came, went]): ((VpsId, u64), [counting::Sum; 2])) -> Reading {
    (id, counting::count(epoch, came, went))
}
