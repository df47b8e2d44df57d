//! The network of VPSes, as seen from the host: routed, without a bridge. Private networks are in [`private`].
//!
//! Each VPS has a veth pair. Its host side `<prefix><id>` carries the gateway address 172.31.1.1, a host route leads to
//! the guest's /32, and one nftables table ([`rules`]) lets each interface send only from what is routed to it. ARP is
//! answered for the gateway only. IPv6 is in [`six`]. Forwarding is switched on for our interfaces and the uplink, never for the whole machine.
//!
//! Everything is named by the VPS's id and made or removed any number of times with the same outcome; what a dead agent
//! left is found by name. All netlink work happens in the network namespace that the agent was started in.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicU16;

use berth_proto::{Firewall, Gateways, Guard, NetSpec, VpsId};
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec};

mod counters;
mod counting;
mod dump;
mod firewall;
mod floating;
mod forward6;
mod gateway;
mod guard;
mod hits;
mod metadata;
mod pools;
mod ports;
mod private;
mod rules;
mod shape;
mod six;
mod sysctl;
mod underlay;
mod uplink;

pub use counters::Counters;
pub use gateway::neighbours::serve as answer_neighbours;
pub use private::{Netns, Private};
pub use six::{GATEWAY as GATEWAY6, is_known as knows_ipv6};

/// The guest's gateway; on-link, the same for every VPS.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);
/// The note of whether the uplink forwarded before.
const FORWARDING: &str = "uplink-forwarding";

/// Why the network could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Netlink {
        /// What was tried.
        what: String,
        /// The kernel's answer.
        source: rtnetlink::Error,
    },
    /// A file could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// nft refused a change.
    #[error("nft refused a rule: {0}")]
    Nft(String),
    /// tc refused a limit.
    #[error("tc refused a limit: {0}")]
    Shape(String),
    /// Addresses cannot be led to this host; the text says what to do.
    #[error("{0}")]
    Gateway(String),
    /// A MAC address or pool that makes no sense.
    #[error("{0:?} is no MAC address or IPv4 network")]
    Malformed(String),
}

type Result<T, E = NetError> = std::result::Result<T, E>;

/// The host's side of the network.
#[derive(Debug)]
pub struct Net {
    handle: Handle,
    prefix: String,
    table: String,
    run_dir: PathBuf,
    uplink: Option<String>,
    mtu: u32,
    epochs: Mutex<counting::Epochs>,
    /// 0 while guests are not answered.
    metadata_port: AtomicU16,
    gateway: gateway::Gateway,
    ports: ports::Ports,
    /// Private networks.
    pub private: Private,
}

impl Net {
    /// Opens netlink and finds the uplink (that of the default route unless `uplink` names one). Changes nothing.
    ///
    /// # Errors
    /// When no netlink socket can be had.
    pub fn open(prefix: &str, table: &str, run_dir: &Path, uplink: Option<&str>) -> Result<Self> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|source| NetError::Io { what: "opening netlink".into(), source })?;
        tokio::spawn(connection);
        let uplink = uplink.map(str::to_owned).or_else(uplink::of_default_route);
        let mtu = uplink.as_deref().and_then(uplink::mtu).unwrap_or(1500);
        let private = Private::new(handle.clone(), prefix, table, run_dir, mtu);
        Ok(Self {
            handle,
            private,
            prefix: prefix.to_owned(),
            table: table.to_owned(),
            run_dir: run_dir.to_owned(),
            uplink,
            mtu,
            epochs: Mutex::default(),
            metadata_port: AtomicU16::new(0),
            gateway: gateway::Gateway::new(run_dir),
            ports: ports::Ports::default(),
        })
    }

    /// Remembers in `state_dir` what private traffic was counted, so that it is known when the machine was booted.
    #[must_use]
    pub fn remembering(mut self, state_dir: &Path) -> Self {
        self.private.remember_in(state_dir);
        self
    }

    /// Makes the table, so that no guest runs without it. What stands in it of an earlier agent stays, but for chains
    /// that a release has changed.
    ///
    /// # Errors
    /// When nft cannot be run or refuses it.
    pub async fn ensure(&self) -> Result<()> {
        rules::apply(&(rules::table(&self.table, &self.prefix) + &self.fence6())).await?;
        self.ensure_counters().await?;
        self.private.ensure().await
    }

    /// Puts these NAT pools in force in one step, and lets the uplink forward. Guests do not notice.
    ///
    /// # Errors
    /// When a pool is no IPv4 network or the kernel refuses something.
    pub async fn configure(&self, nat_pools: &[String]) -> Result<()> {
        self.end_pools(nat_pools).await?;
        let pools = rules::pools(&self.table, nat_pools);
        let table = rules::table(&self.table, &self.prefix) + &self.fence6();
        rules::apply(&(table + &pools + &self.metadata_way())).await?;
        self.ensure_counters().await?;
        if let Some(uplink) = &self.uplink {
            let forwarding = format!("ipv4/conf/{uplink}/forwarding");
            sysctl::change_and_remember(&self.run_dir.join(FORWARDING), &[(forwarding, "1")])?;
        }
        Ok(())
    }

    /// Connects a VPS: makes the veth with its guest side, named `eth0` and down, in the network namespace of `pid`, and
    /// the routes to its addresses. Replaces what an earlier attempt left.
    ///
    /// # Errors
    /// When the kernel refuses something; what was made stays, for [`Net::detach`].
    pub async fn attach(&self, id: VpsId, pid: u32, net: &NetSpec) -> Result<()> {
        self.remove_link(id).await?;
        // before there is anything to reach
        let (walled, guarded, led) = tokio::join!(
            self.firewall(id, net.firewall.as_ref()),
            self.guard(id, &net.guard),
            self.ports(id, net)
        );
        walled.and(guarded).and(led)?;
        let (counted, connected) = tokio::join!(self.count(id), self.connect(id, pid, &net.mac));
        counted?;
        let index = connected?;
        self.connect6(id, index, pid, net).await?;
        self.give(id, index, &floating::addresses(net)).await?;
        if net.private.is_empty() {
            return Ok(());
        }
        self.private.apply(id, &Netns::of_process(pid)?, net).await
    }

    /// Puts the rules of a VPS in force, or takes them away. Connections that were let through stay.
    ///
    /// # Errors
    /// When nft refuses them; then those that were in force still are.
    pub async fn firewall(&self, id: VpsId, firewall: Option<&Firewall>) -> Result<()> {
        if firewall.is_none() && !rules::has_chain(&self.table, &format!("in_{id}")).await {
            return Ok(());
        }
        rules::apply(&firewall::batch(&self.table, id, &self.name(id), firewall)).await
    }

    /// Removes everything of a VPS from the host's network but what was counted ([`Net::stop_counting`]).
    ///
    /// # Errors
    /// When the kernel refuses something; call again.
    pub async fn detach(&self, id: VpsId) -> Result<()> {
        self.remove_link(id).await?;
        self.lead_ports(id, None).await?;
        self.firewall(id, None).await?;
        self.guard(id, &Guard::default()).await
    }

    /// Every VPS that has an interface here.
    #[must_use]
    pub fn list(&self) -> Vec<VpsId> {
        let mut all: Vec<VpsId> = counters::interfaces().filter_map(|(name, _)| self.id_of(&name)).collect();
        all.extend(self.private.list());
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether a VPS has an interface here.
    #[must_use]
    pub fn has(&self, id: VpsId) -> bool {
        if_nametoindex(self.name(id).as_str()).is_ok() || self.private.has(id)
    }

    /// Traffic of a VPS since its interface was made.
    #[must_use]
    pub fn counters(&self, id: VpsId) -> Option<Counters> {
        let wanted = self.name(id);
        counters::interfaces().find(|(name, _)| *name == wanted).map(|(_, c)| c)
    }

    /// Removes the table and the pools' routes, and lets the uplink be as it was. Only when no VPS is attached.
    ///
    /// # Errors
    /// When the kernel refuses something.
    pub async fn remove_support(&self) -> Result<()> {
        self.gateways(&Gateways::default()).await?;
        rules::apply(&rules::no_table(&self.table)).await?;
        self.forget_ports().await;
        self.private.remove_support().await?;
        self.end_pools(&[]).await?;
        self.stop_forwarding6()?;
        sysctl::set_back(&self.run_dir.join(FORWARDING))
    }

    async fn connect(&self, id: VpsId, pid: u32, mac: &str) -> Result<u32> {
        let name = self.name(id);
        let failed = |what: &str| {
            let what = format!("{what} {name}");
            move |source| NetError::Netlink { what, source }
        };
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name("eth0")
            .mtu(self.mtu)
            .address(parse_mac(mac)?)
            .append_extra_attribute(LinkAttribute::NetNsPid(pid))
            .build();
        let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .name(name.clone())
            .mtu(self.mtu)
            .build();
        self.handle.link().add(link).execute().await.map_err(failed("making"))?;
        sysctl::harden(&name)?;
        let index = if_nametoindex(name.as_str())
            .map_err(|e| NetError::Io { what: format!("looking up {name}"), source: e.into() })?;
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle.link().set(up).execute().await.map_err(failed("switching on"))?;
        let gateway = self.handle.address().add(index, GATEWAY.into(), 32).execute().await;
        gateway.map_err(failed("addressing"))?;
        Ok(index)
    }

    async fn remove_link(&self, id: VpsId) -> Result<()> {
        self.private.detach(id).await?;
        // first, because what is left is found by the other's name
        self.unshape(id).await?;
        self.take_back(id).await?;
        self.remove_by_name(&self.name(id)).await
    }

    async fn remove_by_name(&self, name: &str) -> Result<()> {
        let Ok(index) = if_nametoindex(name) else { return Ok(()) };
        match self.handle.link().del(index).execute().await {
            Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(()),
            other => other.map_err(|source| NetError::Netlink { what: format!("removing {name}"), source }),
        }
    }

    fn name(&self, id: VpsId) -> String {
        format!("{}{id}", self.prefix)
    }

    fn id_of(&self, interface: &str) -> Option<VpsId> {
        vps_of(&self.prefix, interface)
    }
}

/// Whose interface this is, when such names begin with `prefix`; none for one that is no VPS's.
fn vps_of(prefix: &str, interface: &str) -> Option<VpsId> {
    let number = interface.strip_prefix(prefix)?;
    let id = VpsId(number.parse().ok()?);
    (id.to_string() == number).then_some(id)
}

fn parse_mac(mac: &str) -> Result<Vec<u8>> {
    let bytes: Option<Vec<u8>> =
        mac.split(':').map(|b| (b.len() == 2).then(|| u8::from_str_radix(b, 16).ok())?).collect();
    bytes.filter(|b| b.len() == 6).ok_or_else(|| NetError::Malformed(mac.to_owned()))
}

/// Reads `10.0.0.0/16`, strictly: what goes into a ruleset must not be anything else.
fn parse_pool(pool: &str) -> Result<(Ipv4Addr, u8)> {
    let parsed = pool.split_once('/').and_then(|(a, l)| Some((a.parse().ok()?, l.parse().ok()?)));
    parsed.filter(|(_, length)| *length <= 32).ok_or_else(|| NetError::Malformed(pool.to_owned()))
}

#[cfg(test)]
mod tests;
