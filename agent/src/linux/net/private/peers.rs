//! What a router knows of other hosts: for each of their members a route and a neighbour, for each host a forwarding entry.
//!
//! What was written last is noted beside the router, before it is written, so that whoever comes next finds what has to
//! go. Everything else is written again, whether or not it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use berth_proto::{NetworkRoute, NetworkSpec, router_mac};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::super::{NetError, Result};
use super::netns::Netns;
use super::ops::Ops;
use super::router::VXLAN;

/// What was written into a router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    /// Members elsewhere, and their hosts.
    members: BTreeMap<IpAddr, IpAddr>,
    /// Hosts to which something is forwarded.
    hosts: BTreeSet<IpAddr>,
    /// What lies behind members.
    routes: BTreeSet<NetworkRoute>,
}

impl Written {
    /// What a network wants, where `local` are the addresses of members here. Only hosts of the underlay's own family
    /// can be reached.
    fn wanted(network: &NetworkSpec, local: &BTreeMap<IpAddr, String>, underlay: Option<IpAddr>) -> Self {
        let reached =
            |host: IpAddr| underlay.is_some_and(|own| own.is_ipv4() == host.is_ipv4() && own != host);
        let mut wanted = Self { routes: network.routes.iter().copied().collect(), ..Self::default() };
        for peer in network.peers.iter().filter(|peer| reached(peer.host)) {
            let elsewhere = peer.addresses.iter().filter(|ip| !local.contains_key(ip));
            wanted.members.extend(elsewhere.map(|ip| (*ip, peer.host)));
        }
        wanted.hosts = wanted.members.values().copied().collect();
        wanted
    }

    /// Both together.
    fn with(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.members.extend(other.members.iter());
        both.hosts.extend(&other.hosts);
        both.routes.extend(&other.routes);
        both
    }
}

/// Brings a router to what is wanted. `local` are the addresses of members here, each with its interface.
pub(super) async fn sync(
    note: &Path,
    router: &Netns,
    network: &NetworkSpec,
    local: &BTreeMap<IpAddr, String>,
    underlay: Option<IpAddr>,
) -> Result<()> {
    let wanted = Written::wanted(network, local, underlay);
    let before = load(note);
    save(note, &before.with(&wanted))?;
    let ops = Ops::inside(router).await?;
    let vxlan = ops.index(VXLAN).await?;
    if let Some(dev) = vxlan {
        for ip in before.members.keys().filter(|ip| !wanted.members.contains_key(ip)) {
            ops.no_route(IpNet::from(*ip), None, dev).await?;
            ops.no_neighbour(*ip, dev).await?;
        }
        for host in &wanted.hosts {
            ops.forward(&router_mac(*host), *host, dev).await?;
        }
        for (ip, host) in &wanted.members {
            ops.neighbour(*ip, &router_mac(*host), dev).await?;
            ops.route(IpNet::from(*ip), None, dev).await?;
        }
        for host in before.hosts.difference(&wanted.hosts) {
            ops.no_forward(&router_mac(*host), *host, dev).await?;
        }
    }
    for route in &wanted.routes {
        // a gateway that nobody has leads nowhere
        let dev = match local.get(&route.gateway) {
            Some(interface) => ops.index(interface).await?,
            None => vxlan.filter(|_| wanted.members.contains_key(&route.gateway)),
        };
        if let Some(dev) = dev {
            ops.route(route.destination, Some(route.gateway), dev).await?;
        } else {
            forget(&ops, route, vxlan, local).await?;
        }
    }
    for route in before.routes.difference(&wanted.routes) {
        if !wanted.routes.iter().any(|other| other.destination == route.destination) {
            forget(&ops, route, vxlan, local).await?;
        }
    }
    save(note, &wanted)
}

/// Removes a route, wherever it leads.
async fn forget(
    ops: &Ops,
    route: &NetworkRoute,
    vxlan: Option<u32>,
    local: &BTreeMap<IpAddr, String>,
) -> Result<()> {
    let mut devices = BTreeSet::new();
    devices.extend(vxlan);
    for interface in local.values().collect::<BTreeSet<_>>() {
        devices.extend(ops.index(interface).await?);
    }
    for dev in devices {
        ops.no_route(route.destination, Some(route.gateway), dev).await?;
    }
    Ok(())
}

/// A note that is damaged says nothing: what it named is written over, or goes with its router.
fn load(note: &Path) -> Written {
    std::fs::read(note).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

fn save(note: &Path, written: &Written) -> Result<()> {
    let failed = |source| NetError::Io { what: format!("writing {}", note.display()), source };
    let json = serde_json::to_vec(written).map_err(|e| failed(io::Error::other(e)))?;
    let fresh = note.with_extension("new");
    std::fs::write(&fresh, json).and_then(|()| std::fs::rename(&fresh, note)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use berth_proto::{NetworkId, NetworkPeer};

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn members_are_where_they_are_and_only_on_hosts_that_can_be_reached() {
        let peer = |host: &str, addresses: &[&str]| NetworkPeer {
            host: ip(host),
            addresses: addresses.iter().map(|text| ip(text)).collect(),
            key: None,
        };
        let network = NetworkSpec {
            id: NetworkId(1),
            vni: 7,
            routes: Vec::new(),
            peers: vec![
                peer("192.0.2.2", &["10.0.0.2", "10.0.0.3"]),
                peer("192.0.2.1", &["10.0.0.4"]), // this host's own address: somebody is wrong
                peer("2001:db8::2", &["10.0.0.5"]),
            ],
        };
        let local = BTreeMap::from([(ip("10.0.0.3"), "bv7".to_owned())]);
        let wanted = Written::wanted(&network, &local, Some(ip("192.0.2.1")));
        assert_eq!(wanted.members, BTreeMap::from([(ip("10.0.0.2"), ip("192.0.2.2"))]));
        assert_eq!(wanted.hosts, BTreeSet::from([ip("192.0.2.2")]));
        assert_eq!(Written::wanted(&network, &local, None), Written::default());
    }
}
