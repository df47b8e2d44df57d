//! How other hosts reach this one.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use nix::ifaddrs::getifaddrs;

use super::{Net, uplink};

impl Net {
    /// Chooses this host's address among hosts: `wanted`, or the uplink's. A host that has none has private networks of
    /// its own VPSes only. Changes nothing yet.
    #[must_use]
    pub fn among_hosts(mut self, wanted: Option<IpAddr>, port: u16) -> Self {
        let found = of_interfaces();
        let of_uplink = || {
            let on = |(name, ip): &&(String, IpAddr)| Some(name) == self.uplink.as_ref() && is_usable(*ip);
            let mine: Vec<IpAddr> = found.iter().filter(on).map(|(_, ip)| *ip).collect();
            mine.iter().find(|ip| ip.is_ipv4()).or(mine.first()).copied()
        };
        if let Some(address) = wanted.or_else(of_uplink) {
            let interface = found.iter().find(|(_, ip)| *ip == address).map(|(name, _)| name.as_str());
            let mtu = interface.and_then(uplink::mtu).unwrap_or(self.mtu);
            self.private.over(address, port, mtu);
        }
        self
    }

    /// Lets this host speak WireGuard with others, by this port and a key that is kept in the state directory.
    #[must_use]
    pub fn encrypting(mut self, state_dir: &Path, port: u16) -> Self {
        self.private.encrypting(state_dir, port);
        self
    }

    /// IPv4 address of the uplink, by which this host is reached from outside.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        let uplink = self.uplink.as_ref()?;
        of_interfaces().into_iter().find_map(|(name, ip)| match ip {
            IpAddr::V4(v4) if name == *uplink && is_usable(ip) => Some(v4),
            _ => None,
        })
    }
}

/// Interfaces with their addresses.
fn of_interfaces() -> Vec<(String, IpAddr)> {
    let all = getifaddrs().into_iter().flatten();
    let one = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address?;
        let v4 = address.as_sockaddr_in().map(|at| IpAddr::V4(at.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|at| IpAddr::V6(at.ip())))?;
        Some((found.interface_name, ip))
    };
    all.filter_map(one).collect()
}

/// Whether others can send to it by this address alone.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    }
}
