//! Proxy NDP, as far as the agent does it: it says for which pools neighbours are answered, and tells them of what comes.
//! Who answers is [`super::neighbours`].

use std::sync::Arc;

use berth_proto::Gateways;
use ipnet::{IpNet, Ipv6Net};

use super::super::floating::Routed;
use super::super::{Net, Result, six};
use super::is_in;
use super::neighbours::Task;
use super::proxy::AGAIN;

impl Net {
    /// Has neighbours answered for the pools of IPv6 that are to be answered for, or for none.
    pub(super) async fn answer_neighbours(&self, now: &Gateways) -> Result<()> {
        let pools: Vec<Ipv6Net> = now.proxied.iter().filter_map(six_of).collect();
        if pools.is_empty() || !six::is_known() {
            return self.gateway.neighbours.set(None).await;
        }
        let uplink = self.uplink_name()?.to_owned();
        let task = Task { uplink, prefix: self.prefix.clone(), pools };
        self.gateway.neighbours.set(Some(task)).await
    }

    /// Waits until nobody is answered any more for what has gone, and neighbours are told of what has come.
    pub(super) async fn answered_neighbours(
        &self,
        now: &Gateways,
        gone: &Routed,
        come: &Routed,
    ) -> Result<()> {
        if !proxied(now, gone).is_empty() {
            self.gateway.neighbours.settle().await?;
        }
        for net in proxied(now, come) {
            self.gateway.neighbours.tell(net).await?;
        }
        self.tell_neighbours(now, come, false);
        Ok(())
    }

    /// Tells neighbours of these a little later, and again, because nobody confirms having heard it; before that `at_once`.
    pub(super) fn tell_neighbours(&self, now: &Gateways, routed: &Routed, at_once: bool) {
        let ours = proxied(now, routed);
        if ours.is_empty() {
            return;
        }
        let neighbours = Arc::clone(&self.gateway.neighbours);
        let first = at_once.then_some(std::time::Duration::ZERO);
        tokio::spawn(async move {
            for wait in first.into_iter().chain(AGAIN) {
                tokio::time::sleep(wait).await;
                for net in &ours {
                    if let Err(error) = neighbours.tell(*net).await {
                        tracing::warn!(%net, %error, "neighbours cannot be told who has this prefix; they will ask");
                    }
                }
            }
        });
    }
}

/// Those of these that neighbours are answered for.
fn proxied(now: &Gateways, routed: &Routed) -> Vec<Ipv6Net> {
    routed.iter().filter(|net| is_in(&now.proxied, **net)).filter_map(six_of).collect()
}

fn six_of(net: &IpNet) -> Option<Ipv6Net> {
    if let IpNet::V6(net) = net { Some(*net) } else { None }
}
