//! Private networks: a router for each network of which a VPS is here ([`router`]), the guests' interfaces into it
//! ([`nic`]), and what it knows of other hosts ([`peers`]).
//!
//! ```text
//! <run>/networks/<network>/ns            the router, while it is there
//! <run>/networks/<network>/written.json  what was written into it of other hosts
//! <run>/networks/<network>/rules         the rules that it has
//! <run>/networks/<network>/walls/<id>    noted while it has rules of that VPS
//! <run>/networks/<network>/vps/<id>      the interface of a VPS; noted before it is made, removed when it is gone
//! ```
//!
//! So what a dead agent left is found by name, and what a restarted one finds goes on. One change at a time: they are
//! short, and most VPSes have no such interface. The mounts must be there for the next agent as well, so an agent shares
//! the machine's mount namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_proto::{HostNetworks, NetSpec, NetworkId, NetworkSpec, PrivateNic, VpsId};
use rtnetlink::Handle;
use tokio::sync::Mutex;

use super::{NetError, Result, parse_mac, rules};

mod counting;
mod guard;
mod ledger;
mod netns;
mod nic;
mod ops;
mod peers;
mod router;
mod tunnel;
mod walls;
mod wg;

use self::ledger::Ledger;
pub use self::netns::Netns;
pub(super) use self::ops::Ops;
use self::router::Underlay;
use self::tunnel::Tunnel;

/// What VXLAN adds to each packet: Ethernet, UDP and its own headers, and the outer IP header.
const OVERHEAD: u32 = 30;

/// The private networks of this host.
#[derive(Debug)]
pub struct Private {
    handle: Handle,
    prefix: String,
    table: String,
    dir: PathBuf,
    underlay: Option<Underlay>,
    /// The largest packet among hosts.
    mtu: u32,
    ledger: Arc<Ledger>,
    tunnel: Option<Tunnel>,
    /// What the control plane said last. Held while anything is changed.
    networks: Mutex<HostNetworks>,
}

impl Private {
    pub(super) fn new(handle: Handle, prefix: &str, table: &str, run_dir: &Path, mtu: u32) -> Self {
        Self {
            handle,
            prefix: prefix.to_owned(),
            table: format!("{table}_vxlan"),
            dir: run_dir.join("networks"),
            underlay: None,
            mtu,
            ledger: Arc::new(Ledger::open(run_dir)),
            tunnel: None,
            networks: Mutex::default(),
        }
    }

    /// Remembers in `state_dir`, which the machine keeps, what was counted; else it is the run directory.
    pub(super) fn remember_in(&mut self, state_dir: &Path) {
        self.ledger = Arc::new(Ledger::open(state_dir));
    }

    /// Sets how this host is reached by others: at this address, where packets may have `mtu` bytes.
    pub(super) fn over(&mut self, address: IpAddr, port: u16, mtu: u32) {
        self.underlay = Some(Underlay { address, port });
        self.mtu = mtu;
    }

    /// Lets this host speak WireGuard with others, by this port and a key that is kept here.
    pub(super) fn encrypting(&mut self, state_dir: &Path, port: u16) {
        self.tunnel = Some(Tunnel::new(&self.prefix, state_dir, port));
    }

    /// The public key by which others speak with this host; none where the kernel has no WireGuard.
    #[must_use]
    pub fn key(&self) -> Option<String> {
        self.tunnel.as_ref()?.public()
    }

    /// The largest packet in a network.
    fn inner_mtu(&self, networks: &HostNetworks) -> u32 {
        let Some(Underlay { address, .. }) = self.underlay else { return self.mtu };
        let outer = if address.is_ipv4() { 20 } else { 40 };
        let encrypts = networks.encrypt && self.key().is_some();
        let between = if encrypts { Tunnel::mtu(address, self.mtu) } else { self.mtu };
        between.saturating_sub(OVERHEAD + outer).max(576)
    }

    /// This host's address among hosts, if it has one.
    #[must_use]
    pub fn underlay(&self) -> Option<IpAddr> {
        self.underlay.map(|underlay| underlay.address)
    }

    /// Forgets what the machine's last life has left, gives routers the rules of this release, and lets nobody in but
    /// known hosts.
    pub(super) async fn ensure(&self) -> Result<()> {
        let networks = self.networks.lock().await;
        if let Some(tunnel) = &self.tunnel
            && let Err(error) = tunnel.prepare(&Ops::of(self.handle.clone())).await
        {
            tracing::error!(%error, "this host has no keys for WireGuard: private networks that are encrypted end here");
        }
        for network in self.listed() {
            match Netns::kept_at(&self.path(network).join("ns")) {
                None => self.remove_files(network)?,
                Some(router) => {
                    if let Err(error) = self.renew(network, &router).await {
                        tracing::warn!(%network, %error, "a router keeps the rules that it has");
                    }
                }
            }
        }
        self.guard(&networks).await
    }

    /// Takes in where members of networks are.
    ///
    /// # Errors
    /// When the kernel refuses something; call again.
    pub async fn set(&self, new: &HostNetworks) -> Result<()> {
        let mut networks = self.networks.lock().await;
        *networks = new.clone();
        let encrypted = self.encrypt(&networks).await;
        self.guard(&networks).await?; // whatever became of that: nothing goes in clear
        for network in self.listed() {
            let Some(mut router) = Netns::kept_at(&self.path(network).join("ns")) else { continue };
            if let Some(spec) = networks.networks.iter().find(|spec| spec.id == network) {
                router = self.router(&networks, network, spec.vni, false).await?; // this host may have another address now
            }
            self.sync(&networks, network, &router).await?;
        }
        encrypted
    }

    /// Whether the interfaces of a VPS are other ones than these.
    #[must_use]
    pub fn differs(&self, id: VpsId, wanted: &[PrivateNic]) -> bool {
        let mut wanted: Vec<&PrivateNic> = wanted.iter().collect();
        wanted.sort_by_key(|nic| nic.network);
        self.noted_of(id).iter().collect::<Vec<_>>() != wanted
    }

    /// Gives a VPS, whose guest's namespace is `inside`, exactly these interfaces, behind its firewall, and cut off if it
    /// is isolated.
    ///
    /// # Errors
    /// When the kernel refuses something; what was made stays, for [`Private::detach`].
    pub async fn apply(&self, id: VpsId, inside: &Netns, net: &NetSpec) -> Result<()> {
        let wanted = &net.private;
        let networks = self.networks.lock().await;
        for old in self.noted_of(id) {
            if !wanted.iter().any(|nic| nic.network == old.network) {
                self.leave(&networks, id, old.network).await?;
            }
        }
        for nic in wanted {
            let router = self.router(&networks, nic.network, nic.vni, nic.ip.is_ipv6()).await?;
            self.join(&networks, id, inside, nic, &router, net).await?;
        }
        Ok(())
    }

    /// Cuts all interfaces of a VPS off their networks, or lets them in again.
    ///
    /// # Errors
    /// When nft refuses it; call again.
    pub async fn isolate(&self, id: VpsId, wanted: bool) -> Result<()> {
        let _still = self.networks.lock().await;
        for nic in self.noted_of(id) {
            if let Some(router) = Netns::kept_at(&self.path(nic.network).join("ns")) {
                router::apply(&router, router::isolation(&self.name(id), wanted)).await?;
            }
        }
        Ok(())
    }

    /// Takes away all interfaces of a VPS.
    ///
    /// # Errors
    /// When the kernel refuses something; call again.
    pub async fn detach(&self, id: VpsId) -> Result<()> {
        if !self.has(id) {
            return Ok(());
        }
        let networks = self.networks.lock().await;
        for network in self.listed().into_iter().filter(|network| self.note(*network, id).exists()) {
            self.leave(&networks, id, network).await?;
        }
        Ok(())
    }

    /// Every VPS that has such an interface.
    pub(super) fn list(&self) -> Vec<VpsId> {
        self.listed()
            .into_iter()
            .flat_map(|network| numbers(&self.path(network).join("vps")))
            .map(VpsId)
            .collect()
    }

    /// Whether a VPS has one.
    pub(super) fn has(&self, id: VpsId) -> bool {
        self.listed().into_iter().any(|network| self.note(network, id).exists())
    }

    /// Removes all routers. Only when no VPS is attached.
    pub(super) async fn remove_support(&self) -> Result<()> {
        let _still = self.networks.lock().await;
        for network in self.listed() {
            self.remove_router(network).await?;
        }
        if let (Some(tunnel), Some(underlay)) = (&self.tunnel, self.underlay) {
            tunnel.remove(&Ops::of(self.handle.clone()), underlay).await?;
        }
        rules::apply(&rules::no_table(&self.table)).await
    }

    async fn join(
        &self,
        networks: &HostNetworks,
        id: VpsId,
        inside: &Netns,
        nic: &PrivateNic,
        router: &Netns,
        net: &NetSpec,
    ) -> Result<()> {
        let name = self.name(id);
        parse_mac(&nic.mac)?;
        let old = self.noted(nic.network, id);
        let same = |old: &PrivateNic| {
            (&old.mac, old.ip, old.gateway, old.vni) == (&nic.mac, nic.ip, nic.gateway, nic.vni)
        };
        self.write_note(id, nic)?;
        // before there is anybody who could send
        let mut admission =
            router::isolation(&name, net.guard.isolated) + &router::pin(&name, &nic.mac, true);
        admission += &self.wall(nic.network, id, net.private_firewall.as_ref())?;
        admission += &self.begin_counting(router, id).await?;
        router::apply(router, admission).await?;
        self.walled(nic.network, id, net.private_firewall.as_ref())?;
        let changed = match old.filter(same) {
            Some(old) => nic::change(router, &name, &old, nic, inside).await?,
            None => false,
        };
        if !changed {
            nic::connect(router, &name, nic, inside, self.inner_mtu(networks)).await?;
        }
        self.sync(networks, nic.network, router).await
    }

    async fn leave(&self, networks: &HostNetworks, id: VpsId, network: NetworkId) -> Result<()> {
        let router = Netns::kept_at(&self.path(network).join("ns"));
        if let Some(router) = &router {
            let name = self.name(id);
            Ops::inside(router).await?.remove(&name).await?;
            let mac = self.noted(network, id).map(|nic| nic.mac).filter(|mac| parse_mac(mac).is_ok());
            let unpinned = mac.map(|mac| router::pin(&name, &mac, false));
            let mut batch = router::isolation(&name, false) + &unpinned.unwrap_or_default();
            batch += &self.wall(network, id, None)?;
            self.end_counting(router, id, batch).await?;
            self.walled(network, id, None)?;
        }
        gone(std::fs::remove_file(self.note(network, id)))?;
        if numbers(&self.path(network).join("vps")).is_empty() {
            return self.remove_router(network).await;
        }
        match router {
            Some(router) => self.sync(networks, network, &router).await,
            None => Ok(()),
        }
    }

    /// The router of a network, made if need be.
    async fn router(&self, networks: &HostNetworks, network: NetworkId, vni: u32, v6: bool) -> Result<Netns> {
        let mtu = self.inner_mtu(networks);
        let dir = self.path(network);
        std::fs::create_dir_all(dir.join("vps")).map_err(|e| failed("making a network's directory", e))?;
        let path = dir.join("ns");
        let router = match Netns::kept_at(&path) {
            Some(router) => router,
            None => {
                let router = router::make(&path, v6).await?;
                self.note_rules(network, &router::rules())?;
                router
            }
        };
        // Noted when it is done, so that an interface for another address, or half of one, is made anew.
        let (note, now) = (dir.join("vxlan"), format!("{vni} {:?} {mtu}", self.underlay));
        if let Some(underlay) = self.underlay
            && std::fs::read_to_string(&note).ok().as_deref() != Some(&now)
        {
            match router::connect(&self.handle, &router, vni, underlay, mtu).await {
                Ok(()) => {
                    std::fs::write(&note, now).map_err(|e| failed("noting a VXLAN interface", e))?;
                }
                Err(e) if lacks_kind(&e) => {
                    tracing::warn!(%network, "this kernel has no VXLAN: members on other hosts cannot be reached");
                }
                Err(e) => return Err(e),
            }
        }
        Ok(router)
    }

    /// Gives a router that an older release has made the rules and counters of this one. Nobody in it notices.
    async fn renew(&self, network: NetworkId, router: &Netns) -> Result<()> {
        let rules = router::rules();
        if std::fs::read_to_string(self.path(network).join("rules")).ok().as_ref() != Some(&rules) {
            router::apply(router, rules.clone()).await?;
            self.note_rules(network, &rules)?;
        }
        let mut missing = String::new();
        for id in numbers(&self.path(network).join("vps")).into_iter().map(VpsId) {
            missing += &self.begin_counting(router, id).await?;
        }
        if missing.is_empty() { Ok(()) } else { router::apply(router, missing).await }
    }

    fn note_rules(&self, network: NetworkId, rules: &str) -> Result<()> {
        let noted = std::fs::write(self.path(network).join("rules"), rules);
        noted.map_err(|e| failed("noting a router's rules", e))
    }

    async fn sync(&self, networks: &HostNetworks, network: NetworkId, router: &Netns) -> Result<()> {
        let nothing = NetworkSpec { id: network, vni: 0, routes: Vec::new(), peers: Vec::new() };
        let spec = networks.networks.iter().find(|spec| spec.id == network).unwrap_or(&nothing);
        let mut local = BTreeMap::new();
        for id in numbers(&self.path(network).join("vps")).into_iter().map(VpsId) {
            if let Some(nic) = self.noted(network, id) {
                local.extend(nic::addresses(&nic).map(|ip| (ip, self.name(id))));
            }
        }
        peers::sync(&self.path(network).join("written.json"), router, spec, &local, self.underlay()).await
    }

    async fn guard(&self, networks: &HostNetworks) -> Result<()> {
        let Some(Underlay { address, port }) = self.underlay else { return Ok(()) };
        let hosts: BTreeSet<IpAddr> =
            networks.networks.iter().flat_map(|network| network.peers.iter().map(|peer| peer.host)).collect();
        let encrypted = self.encrypted(networks);
        let tunnel = self.tunnel.as_ref().map(|tunnel| tunnel.name.as_str());
        let others = guard::Others { hosts: &hosts, tunnel, encrypted: &encrypted };
        rules::apply(&guard::table(&self.table, &self.prefix, address, port, &others)).await
    }

    /// Lets packets to hosts whose keys are known go encrypted.
    async fn encrypt(&self, networks: &HostNetworks) -> Result<()> {
        let (Some(tunnel), Some(underlay)) = (&self.tunnel, self.underlay) else { return Ok(()) };
        let ops = Ops::of(self.handle.clone());
        let hosts = self.encrypted(networks);
        if hosts.is_empty() {
            return tunnel.remove(&ops, underlay).await;
        }
        tunnel.apply(&ops, underlay, self.mtu, &hosts).await
    }

    /// Hosts that are spoken with by WireGuard, and their keys.
    fn encrypted(&self, networks: &HostNetworks) -> BTreeMap<IpAddr, wg::Key> {
        let Some(Underlay { address, .. }) = self.underlay else { return BTreeMap::new() };
        let peers = networks.networks.iter().flat_map(|network| &network.peers);
        let reached = peers.filter(|peer| peer.host.is_ipv4() == address.is_ipv4() && peer.host != address);
        reached.filter_map(|peer| Some((peer.host, tunnel::parse_key(peer.key.as_deref()?)?))).collect()
    }

    /// What is to go at once goes at once: the kernel takes its time with a namespace, and the network's number must be
    /// free.
    async fn remove_router(&self, network: NetworkId) -> Result<()> {
        if let Some(router) = Netns::kept_at(&self.path(network).join("ns")) {
            Ops::inside(&router).await?.remove(router::VXLAN).await?;
        }
        self.remove_files(network)
    }

    fn remove_files(&self, network: NetworkId) -> Result<()> {
        Netns::release(&self.path(network).join("ns"))?;
        gone(std::fs::remove_dir_all(self.path(network)))?;
        let _ = std::fs::remove_dir(&self.dir); // not empty while there are others
        Ok(())
    }

    /// Networks of which anything is here.
    fn listed(&self) -> Vec<NetworkId> {
        numbers(&self.dir).into_iter().map(NetworkId).collect()
    }

    /// The interfaces of a VPS, by network.
    fn noted_of(&self, id: VpsId) -> Vec<PrivateNic> {
        self.listed().into_iter().filter_map(|network| self.noted(network, id)).collect()
    }

    fn noted(&self, network: NetworkId, id: VpsId) -> Option<PrivateNic> {
        serde_json::from_slice(&std::fs::read(self.note(network, id)).ok()?).ok()
    }

    fn write_note(&self, id: VpsId, nic: &PrivateNic) -> Result<()> {
        let note = self.note(nic.network, id);
        let json = serde_json::to_vec(nic).map_err(|e| failed("noting an interface", io::Error::other(e)))?;
        let fresh = note.with_extension("new");
        let written = std::fs::write(&fresh, json).and_then(|()| std::fs::rename(&fresh, &note));
        written.map_err(|e| failed("noting an interface", e))
    }

    fn path(&self, network: NetworkId) -> PathBuf {
        self.dir.join(network.to_string())
    }

    fn note(&self, network: NetworkId, id: VpsId) -> PathBuf {
        self.path(network).join("vps").join(id.to_string())
    }

    fn name(&self, id: VpsId) -> String {
        format!("{}{id}", self.prefix)
    }
}

/// Names in a directory that are numbers, in their order; what has another name is something else.
fn numbers(dir: &Path) -> Vec<i64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut all: Vec<i64> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    all.sort_unstable();
    all
}

/// Whether the kernel knows no such interfaces.
fn lacks_kind(error: &NetError) -> bool {
    let NetError::Netlink { source: rtnetlink::Error::NetlinkError(answer), .. } = error else {
        return false;
    };
    answer.raw_code() == -libc::EOPNOTSUPP
}

fn gone(removed: io::Result<()>) -> Result<()> {
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("removing what is left of a network", e)),
        _ => Ok(()),
    }
}

fn failed(what: &str, source: io::Error) -> NetError {
    NetError::Io { what: what.to_owned(), source }
}

#[cfg(test)]
pub(super) mod tests;
