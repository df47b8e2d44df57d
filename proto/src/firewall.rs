//! Firewalls of a VPS, as its host needs them: rules of all firewalls that apply to it, merged.
//!
//! The semantics are those of the hcloud API. What comes in is dropped unless a rule lets it pass; what goes out passes
//! unless there are rules for it, and then only what they name. Answers to what passed always pass, and so do the ICMP
//! errors that belong to it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The rules for one VPS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// What may come in; nothing else may.
    #[serde(default)]
    pub inbound: Vec<FirewallRule>,
    /// What may go out; empty: everything.
    #[serde(default)]
    pub outbound: Vec<FirewallRule>,
}

/// Lets some packets pass.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FirewallRule {
    /// Of this protocol.
    pub protocol: FirewallProtocol,
    /// To these ports, the first and the last one; none where the protocol has no ports.
    #[serde(default)]
    pub ports: Option<(u16, u16)>,
    /// From these networks (inbound) or to these (outbound).
    pub nets: Vec<IpNet>,
}

/// The protocols that rules know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirewallProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, and ICMPv6 for networks of IPv6.
    Icmp,
    /// ESP, of IPsec.
    Esp,
    /// GRE.
    Gre,
}

impl FirewallProtocol {
    /// Its number in the IP header, of the family of `peer`.
    #[must_use]
    pub fn number(self, peer: IpAddr) -> u8 {
        match (self, peer) {
            (Self::Icmp, IpAddr::V4(_)) => 1,
            (Self::Icmp, IpAddr::V6(_)) => 58,
            (Self::Tcp, _) => 6,
            (Self::Udp, _) => 17,
            (Self::Gre, _) => 47,
            (Self::Esp, _) => 50,
        }
    }

    /// Whether it has ports.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp)
    }
}

/// The first packet of something, as far as rules look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstPacket {
    /// Whether it goes to the VPS.
    pub inbound: bool,
    /// Protocol number of the IP header.
    pub protocol: u8,
    /// The address at the other end.
    pub peer: IpAddr,
    /// The port that it is sent to; none where the protocol has no ports.
    pub port: Option<u16>,
}

impl Firewall {
    /// Whether such a packet passes: what the rules mean, said once more and independently of any kernel.
    #[must_use]
    pub fn passes(&self, packet: &FirstPacket) -> bool {
        let rules = if packet.inbound { &self.inbound } else { &self.outbound };
        let matched = rules.iter().any(|rule| rule.matches(packet));
        matched || (!packet.inbound && rules.is_empty())
    }
}

impl FirewallRule {
    fn matches(&self, packet: &FirstPacket) -> bool {
        let port = match self.ports {
            None => true,
            Some((first, last)) => packet.port.is_some_and(|port| (first..=last).contains(&port)),
        };
        self.protocol.number(packet.peer) == packet.protocol
            && port
            && self.nets.iter().any(|net| net.contains(&packet.peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: FirewallProtocol, ports: Option<(u16, u16)>, nets: &[&str]) -> FirewallRule {
        FirewallRule { protocol, ports, nets: nets.iter().map(|net| net.parse().unwrap()).collect() }
    }

    fn packet(inbound: bool, protocol: u8, peer: &str, port: Option<u16>) -> FirstPacket {
        FirstPacket { inbound, protocol, peer: peer.parse().unwrap(), port }
    }

    #[test]
    fn without_rules_nothing_comes_in_and_everything_goes_out() {
        let none = Firewall::default();
        assert!(!none.passes(&packet(true, 6, "192.0.2.1", Some(22))));
        assert!(none.passes(&packet(false, 6, "192.0.2.1", Some(22))));
    }

    #[test]
    fn a_rule_names_protocol_ports_and_networks() {
        let web = rule(FirewallProtocol::Tcp, Some((80, 90)), &["192.0.2.0/24", "2001:db8::/32"]);
        let firewall = Firewall { inbound: vec![web.clone()], outbound: vec![web] };
        for inbound in [true, false] {
            let passes = |protocol, peer, port| firewall.passes(&packet(inbound, protocol, peer, port));
            assert!(passes(6, "192.0.2.1", Some(80)));
            assert!(passes(6, "2001:db8::1", Some(90)));
            assert!(!passes(6, "192.0.2.1", Some(91)));
            assert!(!passes(17, "192.0.2.1", Some(80)));
            assert!(!passes(6, "192.0.3.1", Some(80)));
        }
    }

    #[test]
    fn icmp_is_that_of_the_family() {
        let ping = rule(FirewallProtocol::Icmp, None, &["0.0.0.0/0", "::/0"]);
        let firewall = Firewall { inbound: vec![ping], outbound: vec![] };
        assert!(firewall.passes(&packet(true, 1, "192.0.2.1", None)));
        assert!(firewall.passes(&packet(true, 58, "2001:db8::1", None)));
        assert!(!firewall.passes(&packet(true, 1, "2001:db8::1", None)));
    }
}
