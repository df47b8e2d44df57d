//! Private networks: which ranges, subnets and routes a network may have, and which address who gets. All pure.
//!
//! As in the hcloud API: a network is a range of private addresses (RFC 1918; here unique local addresses of IPv6 as
//! well), whose first address is the gateway of all its servers. Servers get addresses of its subnets only, and of each
//! subnet neither the first (the network's own) nor the last (the broadcast's). Subnets overlap neither each other nor what
//! routes lead to.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Networks of a project.
pub const MAX_NETWORKS: i64 = 100;
/// Subnets of a network.
pub const MAX_SUBNETS: usize = 50;
/// Routes of a network.
pub const MAX_ROUTES: usize = 100;
/// VPSes in a network.
pub const MAX_MEMBERS: i64 = 100;
/// Networks that a VPS may be in.
pub const MAX_OF_VPS: usize = 3;
/// Alias addresses of a VPS in one network.
pub const MAX_ALIASES: usize = 5;

/// The gateway of every VPS's public interface, which no private subnet may hide.
const PUBLIC_GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 31, 1, 1));

/// What a subnet is for. There is no difference for Berth; clients want their word back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubnetKind {
    /// Servers and whatever else the cloud has.
    Cloud,
    /// Servers; the older word.
    Server,
}

/// A part of a network from which servers get addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// What it is for.
    pub kind: SubnetKind,
    /// Its addresses.
    pub range: IpNet,
    /// Servers of this network zone get them.
    pub zone: String,
}

/// A subnet as somebody asked for it.
#[derive(Clone, Debug)]
pub struct RawSubnet {
    /// `cloud` or `server`.
    pub kind: String,
    /// A network in CIDR notation; none for the next free one.
    pub range: Option<String>,
    /// A network zone.
    pub zone: String,
}

/// What lies behind one of the network's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Packets to these addresses …
    pub destination: IpNet,
    /// … go to the member with this one.
    pub gateway: IpAddr,
}

/// Range, subnets and routes of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// All its addresses.
    pub range: IpNet,
    /// Its subnets, by range.
    pub subnets: Vec<Subnet>,
    /// Its routes, by destination.
    pub routes: Vec<Route>,
}

/// Which address a new member should get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// This one.
    pub ip: Option<IpAddr>,
    /// One of this subnet.
    pub subnet: Option<IpNet>,
}

/// Reads a network in CIDR notation.
///
/// # Errors
/// `invalid_input` with the field, when it is none or has host bits set.
pub fn parse_net(field: &str, text: &str) -> Result<IpNet> {
    match text.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
        Ok(net) => Err(Error::invalid(field, format!("has host bits set; did you mean {}?", net.trunc()))),
        Err(_) => Err(Error::invalid(field, "must be a network in CIDR notation, as 10.0.0.0/16")),
    }
}

/// Reads an address.
///
/// # Errors
/// `invalid_input` with the field.
pub fn parse_ip(field: &str, text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| Error::invalid(field, "must be an IP address"))
}

/// Reads alias addresses: few, and each once.
///
/// # Errors
/// `invalid_input` with the field.
pub fn parse_aliases(texts: &[String]) -> Result<Vec<IpAddr>> {
    if texts.len() > MAX_ALIASES {
        return Err(Error::invalid("alias_ips", format!("must be at most {MAX_ALIASES}")));
    }
    let mut parsed = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let ip = parse_ip(&format!("alias_ips.{n}"), text)?;
        if parsed.contains(&ip) {
            return Err(Error::invalid(format!("alias_ips.{n}"), "is named twice"));
        }
        parsed.push(ip);
    }
    Ok(parsed)
}

impl Layout {
    /// A network with this range and nothing in it.
    ///
    /// # Errors
    /// `invalid_input` for a range that is not private, or too small.
    pub fn new(range: &str) -> Result<Self> {
        let range = parse_net("ip_range", range)?;
        check_range(range)?;
        Ok(Self { range, subnets: Vec::new(), routes: Vec::new() })
    }

    /// The gateway of all members: the network's first address.
    #[must_use]
    pub fn gateway(&self) -> IpAddr {
        address(number(self.range.network()) + 1, self.range)
    }

    /// Adds a subnet; an error names the field below `at` (`subnets.2.`, or nothing).
    ///
    /// # Errors
    /// `invalid_input` for one that does not fit, `no_subnet_available` when none is free, `resource_limit_exceeded`.
    pub fn add_subnet(&mut self, at: &str, raw: &RawSubnet) -> Result<&Subnet> {
        let kind = match raw.kind.as_str() {
            "cloud" => SubnetKind::Cloud,
            "server" => SubnetKind::Server,
            "vswitch" => {
                return Err(Error::invalid(format!("{at}type"), "there are no vSwitches here: use 'cloud'"));
            }
            _ => return Err(Error::invalid(format!("{at}type"), "must be 'cloud' or 'server'")),
        };
        if self.subnets.len() >= MAX_SUBNETS {
            let message = format!("a network has at most {MAX_SUBNETS} subnets");
            return Err(Error::LimitExceeded(message));
        }
        let field = format!("{at}ip_range");
        let range = match &raw.range {
            None => self.free_subnet()?,
            Some(text) => {
                let range = parse_net(&field, text)?;
                self.why_no_subnet(range).map_or(Ok(range), |why| Err(Error::invalid(field, why)))?
            }
        };
        let subnet = Subnet { kind, range, zone: raw.zone.clone() };
        let place = self.subnets.partition_point(|other| other.range < range);
        self.subnets.insert(place, subnet);
        Ok(&self.subnets[place])
    }

    /// The next subnet of a usual size that would fit.
    fn free_subnet(&self) -> Result<IpNet> {
        let usual = if is_v4(self.range) { 24 } else { 64 };
        let length = usual.max(self.range.prefix_len());
        let mut all = self.range.subnets(length).map_err(|e| Error::Internal(e.into()))?;
        // Each subnet, route and reserved address is in the way of finitely many; those of v6 are countless.
        let free = all.by_ref().take(1 << 16).find(|range| self.why_no_subnet(*range).is_none());
        free.ok_or_else(|| Error::Refused {
            code: "no_subnet_available",
            message:
                "the network's range has no room for another subnet: extend it, or name a smaller subnet"
                    .into(),
        })
    }

    /// Why this cannot be a subnet here.
    fn why_no_subnet(&self, range: IpNet) -> Option<String> {
        let smallest = if is_v4(range) { 30 } else { 126 };
        if !self.range.contains(&range) {
            return Some(format!("must be part of the network's range {}", self.range));
        }
        if range.prefix_len() > smallest {
            return Some(format!("must be at least a /{smallest}"));
        }
        if range.contains(&PUBLIC_GATEWAY) {
            return Some(format!("must not contain {PUBLIC_GATEWAY}, the gateway of public interfaces"));
        }
        if let Some(other) = self.subnets.iter().find(|other| overlap(other.range, range)) {
            return Some(format!("overlaps the subnet {}", other.range));
        }
        let route = self.routes.iter().find(|route| !is_default(route) && overlap(route.destination, range));
        route.map(|route| format!("overlaps the route to {}", route.destination))
    }

    /// Takes a subnet out in which nobody has an address.
    ///
    /// # Errors
    /// `not_found`; `resource_in_use` while somebody has one.
    pub fn remove_subnet(&mut self, range: IpNet, taken: &BTreeSet<IpAddr>) -> Result<()> {
        let at = self.subnets.iter().position(|subnet| subnet.range == range);
        let at = at.ok_or(Error::NotFound("subnet"))?;
        if let Some(ip) = taken.iter().find(|ip| range.contains(*ip)) {
            return Err(Error::InUse(format!("{ip} of this subnet is in use: detach its server first")));
        }
        self.subnets.remove(at);
        Ok(())
    }

    /// Adds a route; an error names the field below `at`.
    ///
    /// # Errors
    /// `invalid_input` for one that does not fit, `resource_limit_exceeded`.
    pub fn add_route(&mut self, at: &str, destination: &str, gateway: &str) -> Result<()> {
        if self.routes.len() >= MAX_ROUTES {
            return Err(Error::LimitExceeded(format!("a network has at most {MAX_ROUTES} routes")));
        }
        let field = format!("{at}destination");
        let destination = parse_net(&field, destination)?;
        let gateway = parse_ip(&format!("{at}gateway"), gateway)?;
        let route = Route { destination, gateway };
        if let Some(why) = self.why_no_destination(&route) {
            return Err(Error::invalid(field, why));
        }
        let own = [self.range.network(), self.gateway(), self.range.broadcast()];
        if !self.range.contains(&gateway) || own.contains(&gateway) {
            let why = format!(
                "must be an address of the network's range {} that a server can have: neither its first, which is the \
                 gateway, nor its last",
                self.range
            );
            return Err(Error::invalid(format!("{at}gateway"), why));
        }
        let place = self.routes.partition_point(|other| other.destination < destination);
        self.routes.insert(place, route);
        Ok(())
    }

    fn why_no_destination(&self, route: &Route) -> Option<String> {
        let to = route.destination;
        if is_v4(to) != is_v4(self.range) {
            return Some("must be of the network's own address family".into());
        }
        if let Some(other) = self.routes.iter().find(|other| {
            other.destination == to
                || !is_default(other) && !is_default(route) && overlap(other.destination, to)
        }) {
            return Some(format!("overlaps the route to {}", other.destination));
        }
        if is_default(route) {
            return None;
        }
        if let Some(subnet) = self.subnets.iter().find(|subnet| overlap(subnet.range, to)) {
            return Some(format!("overlaps the subnet {}", subnet.range));
        }
        if to.contains(&self.gateway()) || to.contains(&PUBLIC_GATEWAY) {
            return Some("must not contain a gateway of the servers themselves".into());
        }
        nowhere().into_iter().find(|net| overlap(*net, to)).map(|net| format!("must not reach into {net}"))
    }

    /// Takes a route out.
    ///
    /// # Errors
    /// `not_found`.
    pub fn remove_route(&mut self, route: Route) -> Result<()> {
        let at = self.routes.iter().position(|other| *other == route).ok_or(Error::NotFound("route"))?;
        self.routes.remove(at);
        Ok(())
    }

    /// Makes the range larger. It begins where it began, so all addresses in it stay what they are.
    ///
    /// # Errors
    /// `invalid_input` for a range that does not do that.
    pub fn extend(&mut self, range: &str) -> Result<()> {
        let range = parse_net("ip_range", range)?;
        check_range(range)?;
        if range.network() != self.range.network() || range.prefix_len() > self.range.prefix_len() {
            let why = format!("must begin where {} begins, and not be smaller", self.range);
            return Err(Error::invalid("ip_range", why));
        }
        self.range = range;
        Ok(())
    }

    /// The address of a new member of this network zone.
    ///
    /// # Errors
    /// `ip_not_available` for one that is taken, `no_subnet_available` when there is none, `invalid_input` for a wish that
    /// nobody could be granted.
    pub fn pick(&self, zone: &str, wish: Wish, taken: &BTreeSet<IpAddr>) -> Result<IpAddr> {
        let none = |message: &str| Error::Refused { code: "no_subnet_available", message: message.into() };
        if let Some(range) = wish.subnet
            && !self.subnets.iter().any(|subnet| subnet.range == range)
        {
            return Err(Error::invalid("ip_range", "must be one of the network's subnets"));
        }
        let fits = |subnet: &&Subnet| subnet.zone == zone && wish.subnet.is_none_or(|r| r == subnet.range);
        let subnets: Vec<&Subnet> = self.subnets.iter().filter(fits).collect();
        if subnets.is_empty() {
            return Err(none("the network has no subnet in the server's network zone: add one"));
        }
        let Some(ip) = wish.ip else {
            let free = subnets.iter().find_map(|subnet| self.first_free(subnet.range, taken));
            return free.ok_or_else(|| none("all addresses of the network's subnets are in use"));
        };
        if !subnets.iter().any(|subnet| self.usable(subnet.range, ip)) {
            return Err(Error::invalid("ip", "must be an address of a subnet that a server can have"));
        }
        free(ip, taken)
    }

    /// Whether a member may have this alias.
    ///
    /// # Errors
    /// `invalid_input` with the field, or `ip_not_available`.
    pub fn check_alias(&self, n: usize, ip: IpAddr, taken: &BTreeSet<IpAddr>) -> Result<()> {
        if !self.subnets.iter().any(|subnet| self.usable(subnet.range, ip)) {
            let why = "must be an address of a subnet that a server can have";
            return Err(Error::invalid(format!("alias_ips.{n}"), why));
        }
        free(ip, taken).map(drop)
    }

    /// Whether an address of this subnet is one that a member can have.
    fn usable(&self, subnet: IpNet, ip: IpAddr) -> bool {
        subnet.contains(&ip) && ![subnet.network(), subnet.broadcast(), self.gateway()].contains(&ip)
    }

    fn first_free(&self, subnet: IpNet, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let (first, last) = (number(subnet.network()) + 1, number(subnet.broadcast()));
        let mut all = (first..last).map(|n| address(n, subnet));
        all.find(|ip| self.usable(subnet, *ip) && !taken.contains(ip))
    }
}

/// Whether two networks share an address.
#[must_use]
pub fn overlap(a: IpNet, b: IpNet) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn free(ip: IpAddr, taken: &BTreeSet<IpAddr>) -> Result<IpAddr> {
    if !taken.contains(&ip) {
        return Ok(ip);
    }
    Err(Error::Refused { code: "ip_not_available", message: format!("{ip} is in use in this network") })
}

fn is_default(route: &Route) -> bool {
    route.destination.prefix_len() == 0
}

fn is_v4(net: IpNet) -> bool {
    matches!(net, IpNet::V4(_))
}

fn check_range(range: IpNet) -> Result<()> {
    let private = private().into_iter().any(|net| net.contains(&range));
    let smallest = if is_v4(range) { 24 } else { 120 };
    if !private {
        let why = "must be part of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fc00::/7";
        return Err(Error::invalid("ip_range", why));
    }
    if range.prefix_len() > smallest {
        return Err(Error::invalid("ip_range", format!("must be at least a /{smallest}")));
    }
    Ok(())
}

/// RFC 1918 and RFC 4193.
fn private() -> [IpNet; 4] {
    [v4(10, 0, 0, 8), v4(172, 16, 0, 12), v4(192, 168, 0, 16), v6(0xfc00, 7)]
}

/// What no route may lead to: loopback, link-local and multicast addresses.
fn nowhere() -> [IpNet; 8] {
    [
        v4(0, 0, 0, 8),
        v4(127, 0, 0, 8),
        v4(169, 254, 0, 16),
        v4(224, 0, 0, 4),
        v4(240, 0, 0, 4),
        v6(0, 16),
        v6(0xfe80, 10),
        v6(0xff00, 8),
    ]
}

fn v4(a: u8, b: u8, c: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, 0), length))
}

fn v6(first: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length))
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address with this number, of the family of `like`.
fn address(number: u128, like: IpNet) -> IpAddr {
    match like {
        IpNet::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))),
        IpNet::V6(_) => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

#[cfg(test)]
mod tests;
