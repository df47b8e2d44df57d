//! Rules of firewalls: validated values, and what several firewalls mean together.
//!
//! As in the hcloud API: a rule lets something pass. It names a direction, a protocol, for TCP and UDP ports, and the
//! networks at the other end.

use std::fmt::Write as _;

use berth_proto::{Firewall, FirewallProtocol, FirewallRule};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Rules that a firewall may have.
pub const MAX_RULES: usize = 50;
/// Networks that a rule may name.
pub const MAX_NETS: usize = 100;
/// Firewalls that may apply to one VPS.
pub const MAX_FIREWALLS: usize = 5;
/// Pairs of a rule and a network that may apply to one VPS.
pub const MAX_EFFECTIVE: usize = 500;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Whether it is about what comes in.
    pub inbound: bool,
    /// The protocol.
    pub protocol: FirewallProtocol,
    /// The first and the last port; for TCP and UDP only.
    pub ports: Option<(u16, u16)>,
    /// The networks at the other end.
    pub nets: Vec<IpNet>,
    /// What the tenant says about it.
    pub description: Option<String>,
}

/// A rule as somebody typed it.
#[derive(Clone, Debug, Default)]
pub struct RawRule {
    /// `in` or `out`.
    pub direction: String,
    /// `tcp`, `udp`, `icmp`, `esp` or `gre`.
    pub protocol: String,
    /// `80`, `80-85` or `any`.
    pub port: Option<String>,
    /// CIDRs, of a rule for what comes in.
    pub source_ips: Vec<String>,
    /// CIDRs, of a rule for what goes out.
    pub destination_ips: Vec<String>,
    /// At most 255 characters.
    pub description: Option<String>,
}

/// Reads rules; an error names the field, as in `rules.2.port`.
///
/// # Errors
/// `invalid_input` for more than [`MAX_RULES`] rules or one that is wrong.
pub fn parse(raw: Vec<RawRule>) -> Result<Vec<Rule>> {
    if raw.len() > MAX_RULES {
        return Err(Error::invalid("rules", format!("must be at most {MAX_RULES}")));
    }
    raw.into_iter().enumerate().map(|(n, rule)| parse_one(n, rule)).collect()
}

fn parse_one(n: usize, raw: RawRule) -> Result<Rule> {
    let wrong = |field: &str, why: &str| Err(Error::invalid(format!("rules.{n}.{field}"), why));
    let inbound = match raw.direction.as_str() {
        "in" => true,
        "out" => false,
        _ => return wrong("direction", "must be 'in' or 'out'"),
    };
    let protocol = match raw.protocol.as_str() {
        "tcp" => FirewallProtocol::Tcp,
        "udp" => FirewallProtocol::Udp,
        "icmp" => FirewallProtocol::Icmp,
        "esp" => FirewallProtocol::Esp,
        "gre" => FirewallProtocol::Gre,
        _ => return wrong("protocol", "must be 'tcp', 'udp', 'icmp', 'esp' or 'gre'"),
    };
    let port = raw.port.filter(|port| !port.is_empty());
    let ports = match port {
        Some(_) if !protocol.has_ports() => {
            return wrong("port", "must be absent: this protocol has no ports");
        }
        None if protocol.has_ports() => return wrong("port", "is required for this protocol"),
        None => None,
        Some(text) => match parse_ports(&text) {
            Some(ports) => Some(ports),
            None => {
                return wrong("port", "must be a port from 1 to 65535, a range such as '80-85', or 'any'");
            }
        },
    };
    let (field, nets, other, others) = if inbound {
        ("source_ips", raw.source_ips, "destination_ips", raw.destination_ips)
    } else {
        ("destination_ips", raw.destination_ips, "source_ips", raw.source_ips)
    };
    if !others.is_empty() {
        return wrong(other, &format!("must be empty for this direction; use {field}"));
    }
    if nets.is_empty() || nets.len() > MAX_NETS {
        return wrong(field, &format!("must be 1 to {MAX_NETS} networks in CIDR notation"));
    }
    let mut parsed = Vec::new();
    for (at, text) in nets.iter().enumerate() {
        match text.parse::<IpNet>() {
            Ok(net) if net.trunc() == net => parsed.push(net),
            Ok(net) => {
                return wrong(
                    &format!("{field}.{at}"),
                    &format!("has host bits set; did you mean {}?", net.trunc()),
                );
            }
            Err(_) => {
                return wrong(
                    &format!("{field}.{at}"),
                    "must be a network in CIDR notation, as 192.0.2.0/24",
                );
            }
        }
    }
    if raw.description.as_ref().is_some_and(|text| text.chars().count() > 255 || text.contains('\0')) {
        return wrong("description", "must be at most 255 characters");
    }
    Ok(Rule { inbound, protocol, ports, nets: parsed, description: raw.description })
}

fn parse_ports(text: &str) -> Option<(u16, u16)> {
    if text == "any" {
        return Some((1, u16::MAX));
    }
    let port = |text: &str| {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?.filter(|port| *port > 0)
    };
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((first, last)) => Some((port(first)?, port(last)?)).filter(|(first, last)| first <= last),
    }
}

impl Rule {
    /// The ports, as the API spells them.
    #[must_use]
    pub fn port(&self) -> Option<String> {
        let (first, last) = self.ports?;
        let mut text = first.to_string();
        if last != first {
            let _ = write!(text, "-{last}");
        }
        Some(text)
    }
}

/// What several firewalls mean together: all that any of them lets pass. Nothing applies to a VPS without firewalls.
#[must_use]
pub fn merged<'a>(firewalls: impl IntoIterator<Item = &'a Vec<Rule>>) -> Option<Firewall> {
    let mut all = None;
    for rules in firewalls {
        let merged: &mut Firewall = all.get_or_insert_default();
        for rule in rules {
            let side = if rule.inbound { &mut merged.inbound } else { &mut merged.outbound };
            let rule = FirewallRule { protocol: rule.protocol, ports: rule.ports, nets: rule.nets.clone() };
            if !side.contains(&rule) {
                side.push(rule);
            }
        }
    }
    all
}

/// How much of [`MAX_EFFECTIVE`] this takes.
#[must_use]
pub fn effective(firewall: &Firewall) -> usize {
    firewall.inbound.iter().chain(&firewall.outbound).map(|rule| rule.nets.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(
        direction: &str,
        protocol: &str,
        port: Option<&str>,
        source: &[&str],
        destination: &[&str],
    ) -> RawRule {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        RawRule {
            direction: direction.into(),
            protocol: protocol.into(),
            port: port.map(Into::into),
            source_ips: owned(source),
            destination_ips: owned(destination),
            description: None,
        }
    }

    #[test]
    fn good_rules() {
        let any = &["0.0.0.0/0", "::/0"][..];
        for (port, expected) in [("80", "80"), ("80-85", "80-85"), ("any", "1-65535"), ("7-7", "7")] {
            let rules = parse(vec![raw("in", "tcp", Some(port), any, &[])]).unwrap();
            assert_eq!(rules[0].port().as_deref(), Some(expected));
        }
        assert!(parse(vec![raw("out", "icmp", None, &[], any), raw("in", "gre", None, any, &[])]).is_ok());
    }

    #[test]
    fn wrong_rules_name_their_field() {
        let any = &["0.0.0.0/0"][..];
        for (rule, field) in [
            (raw("up", "tcp", Some("1"), any, &[]), "direction"),
            (raw("in", "sctp", Some("1"), any, &[]), "protocol"),
            (raw("in", "tcp", None, any, &[]), "port"),
            (raw("in", "icmp", Some("1"), any, &[]), "port"),
            (raw("in", "tcp", Some("0"), any, &[]), "port"),
            (raw("in", "tcp", Some("85-80"), any, &[]), "port"),
            (raw("in", "tcp", Some("+80"), any, &[]), "port"),
            (raw("in", "tcp", Some("65536"), any, &[]), "port"),
            (raw("in", "tcp", Some("1"), &[], &[]), "source_ips"),
            (raw("in", "tcp", Some("1"), any, any), "destination_ips"),
            (raw("out", "tcp", Some("1"), any, &[]), "source_ips"),
            (raw("in", "tcp", Some("1"), &["10.0.0.1/8"], &[]), "source_ips.0"),
            (raw("in", "tcp", Some("1"), &["10.0.0.0/8", "10.0.0.1"], &[]), "source_ips.1"),
        ] {
            let error = parse(vec![raw("in", "gre", None, any, &[]), rule]).unwrap_err();
            assert!(error.to_string().contains(&format!("'rules.1.{field}'")), "{field}: {error}");
        }
        assert!(parse(vec![raw("in", "gre", None, any, &[]); MAX_RULES + 1]).is_err());
    }

    #[test]
    fn firewalls_add_up() {
        let ssh = parse(vec![raw("in", "tcp", Some("22"), &["10.0.0.0/8"], &[])]).unwrap();
        let out = parse(vec![raw("out", "udp", Some("53"), &[], &["0.0.0.0/0"])]).unwrap();
        assert_eq!(merged([]), None);
        let both = merged([&ssh, &out, &ssh]).unwrap();
        assert_eq!((both.inbound.len(), both.outbound.len(), effective(&both)), (1, 1, 2));
        assert_eq!(merged([&vec![]]), Some(Firewall::default()), "a firewall without rules lets nothing in");
    }
}
