//! Who may send packets of private networks to this host: the hosts that share one with it, and never a guest.
//!
//! A table of its own in the agent's namespace. A guest's packet to the port that hosts use between them is dropped on
//! its way out as well as on its way in: by address translation it would otherwise come to another host from this one's
//! own address.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// The table, whatever was in it before; `hosts` are the others that share a network with this one.
pub(super) fn table(
    table: &str,
    prefix: &str,
    underlay: IpAddr,
    port: u16,
    hosts: &BTreeSet<IpAddr>,
) -> String {
    let (ip, kind) = if underlay.is_ipv4() { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
    let mut batch = format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
    set hosts {{ type {kind}; }}
    chain to_host {{
        type filter hook input priority filter - 5; policy accept;
        {ip} daddr {underlay} udp dport {port} {ip} saddr != @hosts drop
    }}
    chain through {{
        type filter hook forward priority filter - 5; policy accept;
        iifname "{prefix}*" udp dport {port} {ip} daddr {underlay} drop
        iifname "{prefix}*" udp dport {port} {ip} daddr @hosts drop
    }}
}}
"#
    );
    let same: Vec<String> =
        hosts.iter().filter(|host| host.is_ipv4() == underlay.is_ipv4()).map(ToString::to_string).collect();
    if !same.is_empty() {
        let _ = writeln!(batch, "add element inet {table} hosts {{ {} }}", same.join(", "));
    }
    batch
}
