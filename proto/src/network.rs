//! Private networks, as hosts need them.
//!
//! A VPS's own interfaces are part of its spec ([`PrivateNic`]). Where everybody else is ([`HostNetworks`]) is told whole
//! and on its own, whenever it differs from what the host has said it knows: it changes with other hosts' VPSes, whose
//! generations and sequences are no matter of this host.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::NetworkId;

/// An interface of a VPS in a private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateNic {
    /// The network.
    pub network: NetworkId,
    /// The network's number on the wire, 24 bits. No other network has it.
    pub vni: u32,
    /// Locally administered MAC address of the guest's interface, `02:…`.
    pub mac: String,
    /// The guest's address.
    pub ip: IpAddr,
    /// More addresses that are routed to the guest, who may send from them. It configures them itself.
    #[serde(default)]
    pub aliases: Vec<IpAddr>,
    /// The gateway; on-link, the same for all members.
    pub gateway: IpAddr,
    /// All addresses of the network; the guest reaches them by the gateway.
    pub range: IpNet,
    /// What else the guest reaches by the gateway.
    #[serde(default)]
    pub routes: Vec<IpNet>,
}

/// The private networks of which a host has a VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostNetworks {
    /// Names this state; `GET /agent/v1/watch?networks=<version>` is answered at once when there is another.
    #[serde(default)]
    pub version: String,
    /// The networks, by id.
    #[serde(default)]
    pub networks: Vec<NetworkSpec>,
    /// Whether packets to other hosts are, or will be, encrypted: guests' interfaces leave room for that.
    #[serde(default)]
    pub encrypt: bool,
}

/// One private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Which network.
    pub id: NetworkId,
    /// Its number on the wire.
    pub vni: u32,
    /// What lies behind members.
    #[serde(default)]
    pub routes: Vec<NetworkRoute>,
    /// Members on other hosts.
    #[serde(default)]
    pub peers: Vec<NetworkPeer>,
}

/// What lies behind a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkRoute {
    /// Packets to these addresses …
    pub destination: IpNet,
    /// … go to the member with this one.
    pub gateway: IpAddr,
}

/// Another host that has members of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPeer {
    /// Its address among hosts.
    pub host: IpAddr,
    /// Addresses of its members.
    pub addresses: Vec<IpAddr>,
    /// Its public key, if packets to it and from it are encrypted by WireGuard, which both speak.
    #[serde(default)]
    pub key: Option<String>,
}

/// MAC address of a host's router in every private network, by the host's address among hosts: whoever knows the one
/// knows the other.
#[must_use]
pub fn router_mac(host: IpAddr) -> [u8; 6] {
    let number = match host {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    };
    // all bits count: hosts of one prefix, and those with one interface number, get addresses of their own
    let folded = number ^ (number >> 40) ^ (number >> 80) ^ (number >> 120);
    let [.., a, b, c, d, e] = folded.to_be_bytes();
    [0x02, a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_have_routers_of_their_own() {
        let mac = |text: &str| router_mac(text.parse().unwrap());
        assert_eq!(mac("10.99.0.11"), [2, 0, 10, 99, 0, 11]);
        assert_ne!(mac("2001:db8::1"), mac("2001:db8::2"));
        assert_ne!(mac("2001:db8:0:1::1"), mac("2001:db8:0:2::1"));
        assert_eq!(mac("2001:db8::1")[0], 2, "locally administered, and not of a group");
    }

    #[test]
    fn what_an_older_server_says_is_understood() {
        let nic = r#"{"network": 1, "vni": 2, "mac": "02:00:00:00:00:01", "ip": "10.0.0.2", "gateway": "10.0.0.1",
                      "range": "10.0.0.0/16"}"#;
        let nic: PrivateNic = serde_json::from_str(nic).unwrap();
        assert_eq!((nic.aliases.len(), nic.routes.len()), (0, 0));
        assert_eq!(serde_json::from_str::<HostNetworks>("{}").unwrap(), HostNetworks::default());
    }
}
