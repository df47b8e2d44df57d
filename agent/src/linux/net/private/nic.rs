//! A guest's interface in a private network: a veth from its namespace into the network's router.

use std::net::IpAddr;

use berth_proto::PrivateNic;
use ipnet::IpNet;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::super::{NetError, Result, parse_mac};
use super::netns::Netns;
use super::ops::Ops;

/// Names that are tried in the guest, `eth1` first: it may have interfaces of its own.
const NAMES: std::ops::RangeInclusive<u32> = 1..=32;

/// Makes the interface, configured on both sides, in the guest's namespace. Replaces what an earlier attempt
/// left.
pub(super) async fn connect(
    router: &Netns,
    name: &str,
    nic: &PrivateNic,
    inside: &Netns,
    mtu: u32,
) -> Result<()> {
    let mac = parse_mac(&nic.mac)?;
    let ops = Ops::inside(router).await?;
    ops.remove(name).await?;
    let named = make(&ops, name, &mac, inside, mtu).await?;
    let dev = there(ops.index(name).await?)?;
    ops.up(dev).await?;
    ops.address(dev, nic.gateway.into()).await?;
    for ip in addresses(nic) {
        ops.neighbour(ip, &mac, dev).await?;
        ops.route(IpNet::from(ip), None, dev).await?;
    }
    let guest = Ops::inside(inside).await?;
    let dev = there(guest.index(&named).await?)?;
    guest.address(dev, nic.ip.into()).await?;
    guest.up(dev).await?;
    guest.route(IpNet::from(nic.gateway), None, dev).await?;
    for to in reached(nic) {
        guest.route(to, Some(nic.gateway), dev).await?;
    }
    Ok(())
}

/// Makes the veth; gives the name that it got in the guest.
async fn make(ops: &Ops, name: &str, mac: &[u8], inside: &Netns, mtu: u32) -> Result<String> {
    for n in NAMES {
        let named = format!("eth{n}");
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(named.clone())
            .mtu(mtu)
            .address(mac.to_vec())
            .setns_by_fd(inside.fd())
            .build();
        let link = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .name(name.to_owned())
            .mtu(mtu)
            .build();
        if ops.make(link, &format!("making {name}")).await? {
            return Ok(named);
        }
    }
    Err(NetError::Io {
        what: "naming a private interface".into(),
        source: std::io::Error::other("the guest has interfaces of all names from eth1 to eth32: rename one"),
    })
}

/// Changes the addresses and routes of an interface that is there; false when it is not. In the guest this is a help that
/// it may have made impossible; on the router's side it is what holds.
pub(super) async fn change(
    router: &Netns,
    name: &str,
    old: &PrivateNic,
    new: &PrivateNic,
    inside: &Netns,
) -> Result<bool> {
    let mac = parse_mac(&new.mac)?;
    let ops = Ops::inside(router).await?;
    let Some(dev) = ops.index(name).await? else { return Ok(false) };
    for ip in addresses(old).filter(|ip| !addresses(new).any(|other| other == *ip)) {
        ops.no_route(IpNet::from(ip), None, dev).await?;
        ops.no_neighbour(ip, dev).await?;
    }
    for ip in addresses(new) {
        ops.neighbour(ip, &mac, dev).await?;
        ops.route(IpNet::from(ip), None, dev).await?;
    }
    let Some(dev) = ops.peer_index(name).await? else { return Ok(true) };
    let guest = Ops::inside(inside).await?;
    for to in reached(old).filter(|to| !reached(new).any(|other| other == *to)) {
        quietly(guest.no_route(to, Some(old.gateway), dev).await);
    }
    for to in reached(new) {
        quietly(guest.route(to, Some(new.gateway), dev).await);
    }
    Ok(true)
}

/// What is routed to the guest.
pub(super) fn addresses(nic: &PrivateNic) -> impl Iterator<Item = IpAddr> {
    std::iter::once(nic.ip).chain(nic.aliases.iter().copied())
}

/// What the guest reaches by the gateway.
fn reached(nic: &PrivateNic) -> impl Iterator<Item = IpNet> {
    std::iter::once(nic.range).chain(nic.routes.iter().copied())
}

fn quietly(done: Result<()>) {
    if let Err(error) = done {
        tracing::debug!(%error, "a route in a guest stays as it is");
    }
}

fn there(index: Option<u32>) -> Result<u32> {
    index.ok_or_else(|| NetError::Io {
        what: "finding a private interface".into(),
        source: std::io::ErrorKind::NotFound.into(),
    })
}
