//! The nftables table: one for all VPSes of this agent, looked up by set, so that cost does not grow with their number.
//!
//! A whole table is replaced in one transaction; a VPS's pin is one element. Names that go into a ruleset are made from
//! validated settings and numbers only.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{NetError, Result, parse_pool};

/// The whole table, replacing the one that is there.
pub(super) fn whole_table(
    table: &str,
    prefix: &str,
    nat_pools: &[String],
    pins: &[(String, Ipv4Addr)],
) -> String {
    let pins: Vec<_> = pins.iter().map(|(interface, ip)| format!("\"{interface}\" . {ip}")).collect();
    let pools: Vec<_> = nat_pools.iter().filter(|p| parse_pool(p).is_ok()).map(String::as_str).collect();
    let mut text = no_table(table);
    let elements = |list: &[String]| {
        if list.is_empty() { String::new() } else { format!("elements = {{ {} }}", list.join(", ")) }
    };
    let pools: Vec<String> = pools.into_iter().map(str::to_owned).collect();
    write!(
        text,
        r#"table inet {table} {{
    # which interface may send from which address
    set pins {{ type ifname . ipv4_addr; {pins} }}
    # addresses that leave the host by source NAT
    set nat {{ type ipv4_addr; flags interval; auto-merge; {pools} }}
    chain from_guest {{
        type filter hook prerouting priority raw; policy accept;
        iifname != "{prefix}*" accept
        meta nfproto != ipv4 drop
        iifname . ip saddr != @pins drop
    }}
    # a guest reaches the host by ping only
    chain to_host {{
        type filter hook input priority filter; policy accept;
        iifname != "{prefix}*" accept
        ct state established,related accept
        icmp type echo-request accept
        drop
    }}
    # the metadata service of the cloud that the host itself may be in is not for guests
    chain through {{
        type filter hook forward priority filter; policy accept;
        iifname "{prefix}*" ip daddr 169.254.0.0/16 drop
    }}
    chain leave {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @nat oifname != "{prefix}*" masquerade
    }}
}}
"#,
        pins = elements(&pins),
        pools = elements(&pools),
    )
    .expect("writing to a string does not fail");
    text
}

/// Removes the table, whether or not it is there.
pub(super) fn no_table(table: &str) -> String {
    format!("table inet {table}\ndelete table inet {table}\n")
}

/// Lets an interface send from an address.
pub(super) fn add_pin(table: &str, interface: &str, ip: Ipv4Addr) -> String {
    format!("add element inet {table} pins {{ \"{interface}\" . {ip} }}\n")
}

/// Takes a pin back; it may be gone already, and so may the table.
pub(super) async fn forget_pin(table: &str, interface: &str, ip: Ipv4Addr) -> Result<()> {
    match apply(&format!("delete element inet {table} pins {{ \"{interface}\" . {ip} }}\n")).await {
        Err(NetError::Nft(said)) if said.contains("No such file or directory") => Ok(()),
        other => other,
    }
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
