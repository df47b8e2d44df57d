//! Single changes of a namespace's network, each of which may be done again.

use std::net::IpAddr;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourFlags, NeighbourState};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RulePortRange};
use rtnetlink::packet_route::{AddressFamily, IpProtocol};
use rtnetlink::{Error, Handle, LinkUnspec, RouteMessageBuilder, RuleAddRequest};

use super::super::{NetError, Result};
use super::netns::Netns;

/// A netlink socket in a namespace.
pub(in crate::linux::net) struct Ops(Handle);

impl Ops {
    /// A socket in the agent's own namespace.
    pub(in crate::linux::net) fn of(handle: Handle) -> Self {
        Self(handle)
    }

    pub(in crate::linux::net) async fn inside(ns: &Netns) -> Result<Self> {
        Ok(Self(ns.netlink().await?))
    }

    /// The number of an interface; none when there is no such interface.
    pub(in crate::linux::net) async fn index(&self, name: &str) -> Result<Option<u32>> {
        Ok(self.link(name).await?.map(|link| link.header.index))
    }

    /// The MAC address of an interface; none when there is no such interface.
    pub(in crate::linux::net) async fn mac(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let attributes = self.link(name).await?.into_iter().flat_map(|link| link.attributes);
        let mut found =
            attributes.filter_map(|a| if let LinkAttribute::Address(mac) = a { Some(mac) } else { None });
        Ok(found.next())
    }

    /// The number that the other end of a veth has where it is.
    pub(super) async fn peer_index(&self, name: &str) -> Result<Option<u32>> {
        let link = self.link(name).await?;
        let mut attributes = link.into_iter().flat_map(|link| link.attributes);
        Ok(attributes.find_map(|a| if let LinkAttribute::Link(index) = a { Some(index) } else { None }))
    }

    async fn link(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut links = self.0.link().get().match_name(name).execute();
        absent(links.try_next().await, None, &format!("looking up {name}"))
    }

    /// Makes an interface; false when there is one of that name.
    pub(super) async fn make(&self, link: LinkMessage, what: &str) -> Result<bool> {
        match self.0.link().add(link).execute().await {
            Err(Error::NetlinkError(e)) if e.raw_code() == -libc::EEXIST => Ok(false),
            other => other.map(|()| true).map_err(|source| failed(what, source)),
        }
    }

    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let Some(index) = self.index(name).await? else { return Ok(()) };
        absent(self.0.link().del(index).execute().await, (), &format!("removing {name}"))
    }

    pub(in crate::linux::net) async fn up(&self, dev: u32) -> Result<()> {
        let up = LinkUnspec::new_with_index(dev).up().build();
        self.0.link().set(up).execute().await.map_err(|source| failed("switching an interface on", source))
    }

    /// Gives an interface an address that is there at once: nobody else can have it.
    pub(in crate::linux::net) async fn address(&self, dev: u32, net: IpNet) -> Result<()> {
        let ip = net.addr();
        let mut request = self.0.address().add(dev, ip, net.prefix_len()).replace();
        if ip.is_ipv6() {
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(|source| failed(&format!("adding the address {ip}"), source))
    }

    pub(in crate::linux::net) async fn route(&self, to: IpNet, via: Option<IpAddr>, dev: u32) -> Result<()> {
        let done = self.0.route().add(route(to, via, dev)?).replace().execute().await;
        done.map_err(|source| failed(&format!("routing to {to}"), source))
    }

    pub(super) async fn no_route(&self, to: IpNet, via: Option<IpAddr>, dev: u32) -> Result<()> {
        absent(self.0.route().del(route(to, via, dev)?).execute().await, (), "removing a route")
    }

    /// As [`Self::route`], in a table of its own.
    pub(super) async fn route_in(&self, table: u32, to: IpNet, dev: u32) -> Result<()> {
        let done = self.0.route().add(in_table(route(to, None, dev)?, table)).replace().execute().await;
        done.map_err(|source| failed(&format!("routing to {to}"), source))
    }

    pub(super) async fn no_route_in(&self, table: u32, to: IpNet, dev: u32) -> Result<()> {
        let message = in_table(route(to, None, dev)?, table);
        absent(self.0.route().del(message).execute().await, (), "removing a route")
    }

    /// Lets packets to a UDP port look into a table first.
    pub(super) async fn rule(&self, v6: bool, port: u16, table: u32, priority: u32) -> Result<()> {
        match self.rule_of(v6, port, table, priority).execute().await {
            Err(Error::NetlinkError(e)) if e.raw_code() == -libc::EEXIST => Ok(()),
            other => other.map_err(|source| failed("adding a routing rule", source)),
        }
    }

    pub(super) async fn no_rule(&self, v6: bool, port: u16, table: u32, priority: u32) -> Result<()> {
        let message = self.rule_of(v6, port, table, priority).message_mut().clone();
        absent(self.0.rule().del(message).execute().await, (), "removing a routing rule")
    }

    fn rule_of(&self, v6: bool, port: u16, table: u32, priority: u32) -> RuleAddRequest {
        let mut request = self.0.rule().add().table_id(table).priority(priority).action(RuleAction::ToTable);
        let message = request.message_mut();
        message.header.family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
        message.header.table = 0;
        message.attributes.push(RuleAttribute::IpProtocol(IpProtocol::Udp));
        let ports = RulePortRange { start: port, end: port };
        message.attributes.push(RuleAttribute::DestinationPortRange(ports));
        request
    }

    /// Says who has an address, so that nobody is asked.
    pub(in crate::linux::net) async fn neighbour(&self, ip: IpAddr, mac: &[u8], dev: u32) -> Result<()> {
        let request = self.0.neighbours().add(dev, ip).link_layer_address(mac);
        let done = request.state(NeighbourState::Permanent).replace().execute().await;
        done.map_err(|source| failed(&format!("adding the neighbour {ip}"), source))
    }

    pub(super) async fn no_neighbour(&self, ip: IpAddr, dev: u32) -> Result<()> {
        let message = self.0.neighbours().add(dev, ip).message_mut().clone();
        absent(self.0.neighbours().del(message).execute().await, (), "removing a neighbour")
    }

    /// Says which host frames for this MAC address are sent to.
    pub(super) async fn forward(&self, mac: &[u8], host: IpAddr, dev: u32) -> Result<()> {
        let request = self.0.neighbours().add_bridge(dev, mac).destination(host);
        let request = request.flags(NeighbourFlags::Own).state(NeighbourState::Permanent);
        let done = request.replace().execute().await;
        done.map_err(|source| failed(&format!("forwarding to {host}"), source))
    }

    pub(super) async fn no_forward(&self, mac: &[u8], host: IpAddr, dev: u32) -> Result<()> {
        let mut request =
            self.0.neighbours().add_bridge(dev, mac).destination(host).flags(NeighbourFlags::Own);
        let message = request.message_mut().clone();
        absent(self.0.neighbours().del(message).execute().await, (), "removing a forwarding entry")
    }
}

fn route(to: IpNet, via: Option<IpAddr>, dev: u32) -> Result<RouteMessage> {
    let wrong = || NetError::Malformed(format!("{to} via {via:?}"));
    let route = RouteMessageBuilder::<IpAddr>::new().output_interface(dev);
    let route = route.destination_prefix(to.network(), to.prefix_len()).map_err(|_| wrong())?;
    let route = match via {
        Some(via) => route.gateway(via).map_err(|_| wrong())?.onlink(),
        None if to.network().is_ipv4() => route.scope(RouteScope::Link),
        None => route,
    };
    Ok(route.build())
}

fn in_table(mut route: RouteMessage, table: u32) -> RouteMessage {
    route.header.table = 0;
    route.attributes.push(RouteAttribute::Table(table));
    route
}

/// What is not there need not be removed, nor can it be found.
fn absent<T>(done: Result<T, Error>, otherwise: T, what: &str) -> Result<T> {
    match done {
        Err(Error::NetlinkError(e)) if [libc::ENODEV, libc::ENOENT, libc::ESRCH].contains(&-e.raw_code()) => {
            Ok(otherwise)
        }
        other => other.map_err(|source| failed(what, source)),
    }
}

fn failed(what: &str, source: Error) -> NetError {
    NetError::Netlink { what: what.to_owned(), source }
}
