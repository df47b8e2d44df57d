//! Firewalls on interfaces in private networks: the same chains and verdict maps as on public ones
//! ([`super::super::firewall`]), in the table of the router.
//!
//! Rules know connections, and routers follow none; so a router begins to with the first firewall of a member here, and goes
//! on until it goes itself. What began before that is judged by the rules like something new; from then on, as everywhere,
//! what was let through stays let through when rules change.
//!
//! That a member has rules is noted before they are there, so that none are left behind.

use std::collections::BTreeMap;
use std::path::PathBuf;

use berth_proto::{Firewall, FirewallHits, NetworkId, VpsId};

use super::super::{Result, firewall, hits};
use super::netns::Netns;
use super::{Private, failed, gone, numbers, router};

/// The maps, and the chain that leads to members' own. Part of a router's table.
const FRAME: &str = "table inet router {
    map inbound { type ifname : verdict; }
    map outbound { type ifname : verdict; }
    chain firewall { type filter hook forward priority filter + 10; policy accept; }
}
flush chain inet router firewall
table inet router {
    chain firewall {
        ct state established,related accept
        iifname vmap @outbound
        oifname vmap @inbound
    }
}
";

impl Private {
    /// Puts the rules of a VPS in force in all its networks, or takes them away. Connections that were let through stay.
    ///
    /// # Errors
    /// When nft refuses them; then those that were in force still are.
    pub async fn firewall(&self, id: VpsId, firewall: Option<&Firewall>) -> Result<()> {
        if !self.has(id) {
            return Ok(());
        }
        let _still = self.networks.lock().await;
        for nic in self.noted_of(id) {
            let batch = self.wall(nic.network, id, firewall)?;
            let router = Netns::kept_at(&self.path(nic.network).join("ns"));
            if let Some(router) = router.filter(|_| !batch.is_empty()) {
                router::apply(&router, batch).await?;
            }
            self.walled(nic.network, id, firewall)?;
        }
        Ok(())
    }

    /// How often the rules of each VPS were met, all its networks together.
    ///
    /// # Errors
    /// When a router cannot be looked into.
    pub async fn hits(&self) -> Result<BTreeMap<VpsId, FirewallHits>> {
        let walled =
            self.listed().into_iter().filter(|id| !numbers(&self.path(*id).join("walls")).is_empty());
        let routers: Vec<_> = walled.map(|id| self.path(id).join("ns")).collect();
        let mut all = BTreeMap::<VpsId, FirewallHits>::new();
        if routers.is_empty() {
            return Ok(all);
        }
        for listed in Netns::in_each(routers, || router::list(router::TABLE)).await? {
            for (id, more) in hits::parse(&listed?) {
                hits::sum(all.entry(id).or_default(), &more);
            }
        }
        Ok(all)
    }

    /// What puts these rules in force at a member's interface, or takes away what was there. [`Self::walled`] comes after.
    pub(super) fn wall(&self, network: NetworkId, id: VpsId, firewall: Option<&Firewall>) -> Result<String> {
        let note = self.wall_note(network, id);
        if firewall.is_none() && !note.exists() {
            return Ok(String::new());
        }
        let dir = self.path(network).join("walls");
        let noted = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(note, ""));
        noted.map_err(|e| failed("noting a firewall", e))?;
        Ok(FRAME.to_owned() + &firewall::batch(router::TABLE, id, &self.name(id), firewall))
    }

    /// That was done.
    pub(super) fn walled(&self, network: NetworkId, id: VpsId, firewall: Option<&Firewall>) -> Result<()> {
        if firewall.is_some() { Ok(()) } else { gone(std::fs::remove_file(self.wall_note(network, id))) }
    }

    fn wall_note(&self, network: NetworkId, id: VpsId) -> PathBuf {
        self.path(network).join("walls").join(id.to_string())
    }
}
