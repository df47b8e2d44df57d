//! The nftables table: one for all VPSes of this agent. Nothing in it is of one VPS alone but firewalls ([`super::firewall`]).
//!
//! The routes are the pins: a guest may send from an address exactly when the host would send *to* that address through
//! the guest's interface (a reverse path lookup, strict). So there is nothing to add when a VPS starts, to take back
//! when it goes, or to restore when the agent was restarted, and no moment in which rules and routes disagree.
//!
//! Chains are emptied and filled, and settings replaced, in one transaction; firewalls stand as they are meanwhile. What
//! goes into it is made from validated settings only.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{NetError, Result, counting, firewall, guard, metadata, parse_pool, ports, six};

/// The table with its chains as this release has them. NAT pools and firewalls that are there stay.
pub(super) fn table(table: &str, prefix: &str) -> String {
    let firewalls = firewall::frame();
    let (counting, count) = (counting::frame(), counting::FROM_GUEST);
    let guards = guard::frame(prefix) + &metadata::frame(prefix) + &six::frame(prefix) + &ports::frame();
    let emptied: String = CHAINS
        .map(|chain| format!("add chain inet {table} {chain}\nflush chain inet {table} {chain}\n"))
        .concat();
    format!(
        r#"add table inet {table}
table inet {table} {{
    # addresses that leave the host by source NAT
    set nat {{ type ipv4_addr; flags interval; auto-merge; }}
    chain from_guest {{ type filter hook prerouting priority raw; policy accept; }}
    chain to_host {{ type filter hook input priority filter; policy accept; }}
    chain through {{ type filter hook forward priority filter; policy accept; }}
    chain ports {{ type nat hook prerouting priority dstnat; policy accept; }}
    chain leave {{ type nat hook postrouting priority srcnat; policy accept; }}
    chain to_guest {{ type filter hook postrouting priority srcnat + 10; policy accept; }}
    chain firewall {{ type filter hook forward priority filter + 10; policy accept; }}
    chain firewall_host {{ type filter hook output priority filter + 10; policy accept; }}
}}
{emptied}table inet {table} {{
{guards}}}
table inet {table} {{
    # a guest sends from the addresses that are routed to it, and from no others
    chain from_guest {{
        iifname != "{prefix}*" accept
        meta nfproto ipv6 jump from_guest6
        fib saddr . iif oif missing drop
        {count}
    }}
    # a guest reaches the host by ping only
    chain to_host {{
        iifname != "{prefix}*" accept
        ct state established,related accept
        icmp type echo-request accept
        drop
    }}
    # the metadata service of the cloud that the host itself may be in is not for guests
    chain through {{
        iifname "{prefix}*" ip daddr 169.254.0.0/16 drop
    }}
    chain leave {{
        ip saddr @nat oifname != "{prefix}*" masquerade
    }}
{firewalls}{counting}}}
"#
    )
}

/// The chains of all VPSes.
const CHAINS: [&str; 10] = [
    "from_guest",
    "from_guest6",
    "neighbours6",
    "to_host",
    "through",
    "leave",
    "to_guest",
    "firewall",
    "firewall_host",
    "ports",
];

/// Replaces the NAT pools.
pub(super) fn pools(table: &str, nat_pools: &[String]) -> String {
    let pools: Vec<&str> =
        nat_pools.iter().filter(|pool| parse_pool(pool).is_ok()).map(String::as_str).collect();
    let emptied = format!("flush set inet {table} nat\n");
    if pools.is_empty() {
        return emptied;
    }
    format!("{emptied}add element inet {table} nat {{ {} }}\n", pools.join(", "))
}

/// Removes the table, whether or not it is there.
pub(super) fn no_table(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// Whether this chain is there.
pub(super) async fn has_chain(table: &str, chain: &str) -> bool {
    let listed = Command::new("nft").args(["list", "chain", "inet", table, chain]).output().await;
    listed.is_ok_and(|output| output.status.success())
}

/// Gives a batch to nft, which applies all of it or nothing.
pub(super) async fn apply(batch: &str) -> Result<()> {
    let failed = |source| NetError::Io { what: "running nft (package nftables)".to_owned(), source };
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut input = nft.stdin.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
    let written = input.write_all(batch.as_bytes()).await; // nft says itself why it stopped reading
    drop(input);
    let output = nft.wait_with_output().await.map_err(failed)?;
    if !output.status.success() {
        return Err(NetError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    written.map_err(failed)
}
