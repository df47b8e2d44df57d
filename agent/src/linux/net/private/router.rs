//! The router of one private network on this host: a network namespace with nothing but that network in it.
//!
//! ```text
//! guest's ethN ── <prefix><id> ┐
//! guest's ethN ── <prefix><id> ┴ router ── vx (VXLAN) ── the host's own network ── other hosts' routers
//! ```
//!
//! Packets are routed, never bridged: no frame of a guest reaches another, so there is nothing to gain from forged MAC
//! addresses, ARP, router advertisements, tags or answers of DHCP. Each member's address is a route to its interface or to
//! its host, and the routes are the pins: a guest sends from what is routed to it, and from nothing else. Who has which
//! MAC address is never asked, on either side: it is written down. Two networks, even with the same addresses, have no
//! more in common than two machines.
//!
//! A router is kept by a mount in the run directory, and outlives the agent; with the machine it goes.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use berth_proto::router_mac;
use rtnetlink::LinkVxlan;

use super::super::{NetError, Result, sysctl};
use super::counting::{FROM_GUEST, TO_GUEST};
use super::netns::Netns;
use super::ops::Ops;

/// Its interface towards other hosts.
pub(super) const VXLAN: &str = "vx";
/// Its nftables table.
pub(super) const TABLE: &str = "router";

/// Settings of a router; those of an address family that the kernel lacks are not there.
const SETTINGS: [(&str, &str); 14] = [
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "1"),
    ("ipv4/conf/default/rp_filter", "1"),
    ("ipv4/conf/all/arp_ignore", "1"), // ARP for the gateway only
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/forwarding", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/default/accept_dad", "0"), // the gateway is on many interfaces, each with one guest
];

/// Where packets between hosts go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Underlay {
    /// This host's address among hosts.
    pub(super) address: IpAddr,
    /// UDP port, the same on all hosts.
    pub(super) port: u16,
}

/// Makes a router with no interface, for IPv6 or for IPv4 alone.
pub(super) async fn make(path: &Path, v6: bool) -> Result<Netns> {
    let without_v6 = if v6 { "0" } else { "1" };
    Netns::make(path, move || {
        for (setting, value) in SETTINGS.into_iter().chain([("ipv6/conf/default/disable_ipv6", without_v6)]) {
            match sysctl::write(setting, value) {
                Err(NetError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && setting.starts_with("ipv6") => {}
                other => other?,
            }
        }
        nft(&rules())
    })
    .await
}

/// Gives a router its interface towards other hosts, whatever was there. Packets for it arrive in the agent's namespace.
pub(super) async fn connect(
    host: &rtnetlink::Handle,
    router: &Netns,
    vni: u32,
    underlay: Underlay,
    mtu: u32,
) -> Result<()> {
    let ops = Ops::inside(router).await?;
    ops.remove(VXLAN).await?;
    let link = LinkVxlan::new(VXLAN, vni).port(underlay.port).learning(false);
    let link = match underlay.address {
        IpAddr::V4(address) => link.local(address),
        IpAddr::V6(address) => link.local6(address),
    };
    let mac = router_mac(underlay.address).to_vec();
    let link = link.address(mac).mtu(mtu).setns_by_fd(router.fd()).build();
    let made = host.link().add(link).execute().await;
    made.map_err(|source| NetError::Netlink { what: format!("making the VXLAN interface {vni}"), source })?;
    let dev = ops.index(VXLAN).await?.ok_or_else(|| NetError::Io {
        what: "finding the VXLAN interface".into(),
        source: std::io::ErrorKind::NotFound.into(),
    })?;
    ops.up(dev).await
}

/// Lets an interface send with this MAC address only, or, without one, forgets it.
pub(super) fn pin(interface: &str, mac: &str, wanted: bool) -> String {
    element(&format!("guests {{ \"{interface}\" . {mac} }}"), wanted)
}

/// Lets an interface neither send nor be sent to, or again both.
pub(super) fn isolation(interface: &str, wanted: bool) -> String {
    element(&format!("isolated {{ \"{interface}\" }}"), wanted)
}

/// Adding first makes taking away succeed whether or not it was there; nft before 1.0.7 has no other way.
fn element(what: &str, wanted: bool) -> String {
    let add = format!("add element inet {TABLE} {what}\n");
    if wanted { add } else { format!("{add}delete element inet {TABLE} {what}\n") }
}

/// Gives a batch to nft, which applies all of it or nothing.
pub(super) async fn apply(router: &Netns, batch: String) -> Result<()> {
    router.run(move || nft(&batch)).await?
}

/// What a router lets pass, and what it counts, as this release has it; members that are there stay. Connections are not
/// followed while no member has a firewall ([`super::walls`]): there is nothing to translate.
pub(super) fn rules() -> String {
    format!(
        r#"table inet {TABLE} {{
    set guests {{ type ifname . ether_addr; }}
    set isolated {{ type ifname; }}
    map sent {{ type ifname : counter; }}
    map received {{ type ifname : counter; }}
    chain arrive {{ type filter hook prerouting priority raw; policy drop; }}
    chain to_router {{ type filter hook input priority filter; policy drop; }}
    chain through {{ type filter hook forward priority filter; policy accept; }}
    chain to_guest {{ type filter hook postrouting priority srcnat + 10; policy accept; }}
}}
flush chain inet {TABLE} arrive
flush chain inet {TABLE} to_router
flush chain inet {TABLE} through
flush chain inet {TABLE} to_guest
table inet {TABLE} {{
    chain arrive {{
        iifname "{VXLAN}" accept
        iifname @isolated drop
        fib saddr . iif oif missing drop
        iifname . ether saddr != @guests drop
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        {FROM_GUEST}
        accept
    }}
    chain to_router {{
        icmp type echo-request accept
        icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept
    }}
    chain through {{
        oifname @isolated drop
        udp sport 67 udp dport 68 drop
        udp sport 547 udp dport 546 drop
    }}
    chain to_guest {{
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        {TO_GUEST}
    }}
}}
"#
    )
}

/// A table with all its rules, as nft's JSON, in the namespace of this thread.
pub(super) fn list(table: &str) -> Result<Vec<u8>> {
    let failed = |source| NetError::Io { what: "running nft (package nftables)".to_owned(), source };
    let output = Command::new("nft").args(["-j", "list", "table", "inet", table]).output().map_err(failed)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(NetError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Gives a batch to nft in the namespace of this thread.
fn nft(batch: &str) -> Result<()> {
    let failed = |source| NetError::Io { what: "running nft (package nftables)".to_owned(), source };
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        std::io::Write::write_all(&mut input, batch.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(NetError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
