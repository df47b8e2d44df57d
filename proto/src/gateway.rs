//! How public addresses reach the host that has them, where neither NAT nor the network around sees to it.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What a host does so that others send it the packets to addresses that are routed to its guests. Only addresses of the
/// pools that are named are touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateways {
    /// Pools for whose addresses the host answers on its uplink (proxy ARP, and proxy NDP for IPv6).
    #[serde(default)]
    pub proxied: Vec<IpNet>,
    /// Pools whose addresses the host announces to routers by BGP.
    #[serde(default)]
    pub announced: Vec<IpNet>,
    /// The routers that they are announced to; none: nothing is announced.
    #[serde(default)]
    pub bgp: Option<Bgp>,
}

/// How a host speaks BGP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bgp {
    /// The host's own AS number.
    pub asn: u32,
    /// What names it among routers; none: its IPv4 address among hosts.
    #[serde(default)]
    pub router_id: Option<Ipv4Addr>,
    /// With whom it speaks.
    pub neighbours: Vec<BgpNeighbour>,
}

/// A router that a host speaks BGP with. Routes of its address's family are announced to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpNeighbour {
    /// Its address, on a network that the host is in.
    pub address: IpAddr,
    /// Its AS number.
    pub asn: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostSettings;

    #[test]
    fn what_an_older_server_says_is_understood() {
        assert_eq!(serde_json::from_str::<Gateways>("{}").unwrap(), Gateways::default());
        assert_eq!(serde_json::from_str::<HostSettings>("{}").unwrap().gateways, Gateways::default());
        let bgp = r#"{"asn": 64512, "neighbours": [{"address": "192.0.2.1", "asn": 64500}]}"#;
        assert_eq!(serde_json::from_str::<Bgp>(bgp).unwrap().router_id, None);
    }
}
