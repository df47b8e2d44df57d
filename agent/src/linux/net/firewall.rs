//! A VPS's firewall as nftables: two chains of its own, and an element in each of two verdict maps that lead there.
//!
//! A packet finds its chain by the name of the interface in one look-up, so it costs the same with one VPS and with a
//! thousand. Chains and elements change together in one transaction: there is no moment without rules and none in
//! which some of the old and some of the new ones hold. What was let through goes on, since answers and later packets
//! are decided by connection tracking before any rule. An allowed packet returns from the chain, so that of two guests
//! of one host each has its say.
//!
//! Rules count and carry their place, so that it can be told how often each was met ([`super::hits`]).
//!
//! What goes into a batch is made from parsed values only.

use std::fmt::Write as _;

use berth_proto::{Firewall, FirewallProtocol, FirewallRule, VpsId};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The maps, and the chain that sends a VPS's first packets to its own chains. Part of the table.
pub(super) fn frame() -> &'static str {
    r#"    map inbound { type ifname : verdict; }
    map outbound { type ifname : verdict; }
    chain firewall {
        ct state established,related accept
        iifname vmap @outbound
        oifname vmap @inbound
    }
    chain firewall_host {
        ct state established,related accept
        oifname vmap @inbound
    }
"#
}

/// Puts these rules in force for a VPS, whatever was there; none takes them away.
pub(super) fn batch(table: &str, id: VpsId, interface: &str, firewall: Option<&Firewall>) -> String {
    let Some(firewall) = firewall else { return removal(table, id, interface) };
    let mut batch = String::new();
    for (direction, rules, last) in
        [("in", &firewall.inbound, true), ("out", &firewall.outbound, !firewall.outbound.is_empty())]
    {
        let chain = format!("inet {table} {direction}_{id}");
        let _ = writeln!(batch, "add chain {chain}\nflush chain {chain}");
        for (place, rule) in rules.iter().enumerate() {
            for line in lines(direction, rule) {
                let _ = writeln!(batch, "add rule {chain} {line} counter return comment \"r{place}\"");
            }
        }
        if last {
            let _ = writeln!(batch, "add rule {chain} counter drop");
        }
        let _ = writeln!(
            batch,
            "add element inet {table} {direction}bound {{ \"{interface}\" : jump {direction}_{id} }}"
        );
    }
    batch
}

/// Adding first makes taking away succeed whether or not it was there; nft before 1.0.7 has no other way.
fn removal(table: &str, id: VpsId, interface: &str) -> String {
    let mut batch = String::new();
    for direction in ["in", "out"] {
        let chain = format!("inet {table} {direction}_{id}");
        let element =
            format!("element inet {table} {direction}bound {{ \"{interface}\" : jump {direction}_{id} }}");
        let key = format!("element inet {table} {direction}bound {{ \"{interface}\" }}");
        let _ = writeln!(
            batch,
            "add chain {chain}\nadd {element}\ndelete {key}\nflush chain {chain}\ndelete chain {chain}"
        );
    }
    batch
}

/// What matches a rule's packets: a line for each family that it names.
fn lines(direction: &str, rule: &FirewallRule) -> Vec<String> {
    let v4 = Ipv4Net::aggregate(&rule.nets.iter().filter_map(v4).collect());
    let v6 = Ipv6Net::aggregate(&rule.nets.iter().filter_map(v6).collect());
    let peer = if direction == "in" { "saddr" } else { "daddr" };
    let mut lines = Vec::new();
    for (family, protocol, nets) in [
        ("ipv4", "ip", v4.iter().map(ToString::to_string).collect::<Vec<_>>()),
        ("ipv6", "ip6", v6.iter().map(ToString::to_string).collect()),
    ] {
        if nets.is_empty() {
            continue;
        }
        let all = nets.iter().any(|net| net.ends_with("/0"));
        let nets = if all { String::new() } else { format!(" {protocol} {peer} {{ {} }}", nets.join(", ")) };
        lines.push(format!("meta nfproto {family}{nets} {}", what(rule, family)));
    }
    lines
}

fn what(rule: &FirewallRule, family: &str) -> String {
    let ports = |name: &str| match rule.ports {
        None => format!("meta l4proto {name}"),
        Some((first, last)) => format!("{name} dport {first}-{last}"),
    };
    match rule.protocol {
        FirewallProtocol::Tcp => ports("tcp"),
        FirewallProtocol::Udp => ports("udp"),
        FirewallProtocol::Icmp if family == "ipv4" => "meta l4proto icmp".to_owned(),
        FirewallProtocol::Icmp => "meta l4proto ipv6-icmp".to_owned(),
        FirewallProtocol::Esp => "meta l4proto esp".to_owned(),
        FirewallProtocol::Gre => "meta l4proto gre".to_owned(),
    }
}

fn v4(net: &IpNet) -> Option<Ipv4Net> {
    match net {
        IpNet::V4(net) => Some(net.trunc()),
        IpNet::V6(_) => None,
    }
}

fn v6(net: &IpNet) -> Option<Ipv6Net> {
    match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => Some(net.trunc()),
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod conformance6;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: FirewallProtocol, ports: Option<(u16, u16)>, nets: &[&str]) -> FirewallRule {
        FirewallRule { protocol, ports, nets: nets.iter().map(|net| net.parse().unwrap()).collect() }
    }

    #[test]
    fn a_line_for_each_family_and_no_net_twice() {
        let ssh =
            rule(FirewallProtocol::Tcp, Some((22, 22)), &["10.0.0.0/8", "10.1.2.3/16", "2001:db8::/32"]);
        assert_eq!(
            lines("in", &ssh),
            [
                "meta nfproto ipv4 ip saddr { 10.0.0.0/8 } tcp dport 22-22",
                "meta nfproto ipv6 ip6 saddr { 2001:db8::/32 } tcp dport 22-22"
            ]
        );
        let ping = rule(FirewallProtocol::Icmp, None, &["0.0.0.0/0", "192.0.2.1/32"]);
        assert_eq!(lines("out", &ping), ["meta nfproto ipv4 meta l4proto icmp"]);
        assert_eq!(lines("in", &rule(FirewallProtocol::Gre, None, &[])), Vec::<String>::new());
    }

    #[test]
    fn no_rules_for_what_goes_out_let_it_out() {
        let batch = batch("t", VpsId(7), "bv7", Some(&Firewall::default()));
        assert!(batch.contains("add rule inet t in_7 counter drop"), "{batch}");
        assert!(!batch.contains("add rule inet t out_7"), "{batch}");
    }
}
