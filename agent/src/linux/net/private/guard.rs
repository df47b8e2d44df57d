//! Who may send packets of private networks to this host: the hosts that share one with it, and never a guest.
//!
//! A table of its own in the agent's namespace. A guest's packet to the port that hosts use between them is dropped on
//! its way out as well as on its way in: by address translation it would otherwise come to another host from this one's
//! own address. Hosts that are spoken with by WireGuard neither send nor are sent anything in clear, and nothing but packets
//! of private networks comes out of its interface.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::wg::Key;

/// Who shares a network with this host.
pub(super) struct Others<'a> {
    /// All of them.
    pub(super) hosts: &'a BTreeSet<IpAddr>,
    /// WireGuard's interface, where this host can have one.
    pub(super) tunnel: Option<&'a str>,
    /// Those that are reached by it.
    pub(super) encrypted: &'a BTreeMap<IpAddr, Key>,
}

/// The table, whatever was in it before.
pub(super) fn table(table: &str, prefix: &str, underlay: IpAddr, port: u16, others: &Others<'_>) -> String {
    let (ip, kind) = if underlay.is_ipv4() { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
    let mut batch = format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
    set hosts {{ type {kind}; }}
    set encrypted {{ type {kind}; }}
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
    let mut fill = |set: &str, hosts: &mut dyn Iterator<Item = &IpAddr>| {
        let same: Vec<String> =
            hosts.filter(|host| host.is_ipv4() == underlay.is_ipv4()).map(ToString::to_string).collect();
        if !same.is_empty() {
            let _ = writeln!(batch, "add element inet {table} {set} {{ {} }}", same.join(", "));
        }
    };
    fill("hosts", &mut others.hosts.iter());
    let Some(name) = others.tunnel else { return batch };
    fill("encrypted", &mut others.encrypted.keys());
    batch += &format!(
        r#"table inet {table} {{
    chain to_host {{
        {ip} saddr @encrypted udp dport {port} iifname != "{name}" drop
        iifname "{name}" udp dport {port} {ip} daddr {underlay} accept
        iifname "{name}" drop
    }}
    chain through {{
        iifname "{name}" drop
    }}
    chain from_host {{
        type filter hook output priority filter - 5; policy accept;
        {ip} daddr @encrypted udp dport {port} oifname != "{name}" drop
    }}
}}
"#
    );
    batch
}
