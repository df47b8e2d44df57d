//! Public IPv6: a /64 that is routed to a guest.
//!
//! The host's side of the interface has the address fe80::1, the gateway of every guest; the guest has the first host
//! address of its /64. All of the /64 is routed to one neighbour, fe80::2, whose MAC address is written down. So the host
//! asks nobody for any of those 2^64 addresses, and whoever scans them fills no table. In the guest the gateway is
//! written down too, but a guest may forget it; then its question is answered. Questions make entries in the host's
//! table of neighbours, which is one for all guests and the uplink, so they are answered at a low rate. Nothing else of
//! the talk among neighbours is taken from a guest, and nothing of it is passed on ([`frame`]). That is dropped before
//! anything is counted, and what the host would say of its own accord is not said.
//!
//! As with IPv4 the routes are the source pins. A guest has an interface without IPv6 until it has a /64: its own, or one
//! that comes while it runs ([`super::floating`]). That one is routed in the same way, and the guest configures it.
//!
//! A kernel without IPv6 starts guests all the same, without it; the host says that it lacks the feature.

use std::net::Ipv6Addr;
use std::path::Path;

use berth_proto::{NetSpec, VpsId, own_ipv6};
use ipnet::{IpNet, Ipv6Net};

use super::private::{Netns, Ops};
use super::{Net, NetError, Result, parse_mac, sysctl};

/// The guest's gateway; on-link, the same for every VPS.
pub const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What the host calls a guest on the link between them. The guest need not know it.
pub(super) const GUEST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);

/// Everywhere.
const WORLD: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 0);

/// Whether this kernel knows IPv6.
#[must_use]
pub fn is_known() -> bool {
    Path::new("/proc/sys/net/ipv6/conf").exists()
}

/// Of the talk among neighbours (ff02::1:ff00:1 is where fe80::1 is asked for) and of link-local addresses. Part of the
/// table; `from_guest` leads here with all that is IPv6 and pins the source of what comes back.
pub(super) fn frame(prefix: &str) -> String {
    format!(
        r#"    set asked6 {{ type iface_index; size 65535; flags dynamic,timeout; timeout 1m; }}
    chain neighbours6 {{
        ip6 saddr != fe80::/10 fib saddr . iif oif missing drop
        icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 ip6 daddr {{ {GATEWAY}, ff02::1:ff00:1 }} update @asked6 {{ iif limit rate 2/second burst 8 packets }} accept
        drop
    }}
    chain from_guest6 {{
        ip6 saddr :: drop
        ip6 saddr fe80::/10 goto neighbours6
        icmpv6 type {{ nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, nd-redirect, mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report }} goto neighbours6
        udp sport 547 udp dport 546 drop
    }}
    chain to_host {{
        iifname "{prefix}*" icmpv6 type {{ echo-request, nd-neighbor-solicit }} accept
    }}
    chain through {{
        iifname "{prefix}*" ip6 daddr {{ fd00:ec2::254, fd20:ce::254 }} drop
    }}
    chain firewall_host {{
        oifname "{prefix}*" icmpv6 type {{ mld-listener-report, mld2-listener-report }} drop
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    }}
"#
    )
}

impl Net {
    /// Makes the interface of a VPS ready for the /64s that it is to have, and configures its own one inside. They are
    /// routed afterwards. Does nothing for a VPS without any.
    pub(super) async fn connect6(&self, id: VpsId, index: u32, pid: u32, net: &NetSpec) -> Result<()> {
        if net.ipv6.is_none() && net.floating6.is_empty() {
            return Ok(());
        }
        if !is_known() {
            tracing::warn!(vps = %id, "its IPv6 does not work: this kernel has none");
            return Ok(());
        }
        let Some(prefix) = net.ipv6 else { return self.open6(id, index, &net.mac).await };
        let inside = Netns::of_process(pid)?;
        let guest = Ops::inside(&inside).await?;
        let eth0 = guest.index("eth0").await?.ok_or_else(|| absent("eth0"))?;
        guest.up(eth0).await?;
        self.open6(id, index, &net.mac).await?;

        let name = self.name(id);
        let gateway = Ops::of(self.handle.clone()).mac(&name).await?.ok_or_else(|| absent(&name))?;
        guest.address(eth0, own_ipv6(prefix).into()).await?;
        guest.neighbour(GATEWAY.into(), &gateway, eth0).await?;
        guest.route(WORLD.into(), Some(GATEWAY.into()), eth0).await
    }

    /// Gives the host's side of a VPS's interface IPv6. May be done again while the guest runs.
    pub(super) async fn open6(&self, id: VpsId, index: u32, mac: &str) -> Result<()> {
        self.forward6().await?;
        sysctl::harden6(&self.name(id))?;
        let host = Ops::of(self.handle.clone());
        host.address(index, IpNet::from(std::net::IpAddr::V6(GATEWAY))).await?;
        host.neighbour(GUEST.into(), &parse_mac(mac)?, index).await
    }
}

fn absent(interface: &str) -> NetError {
    let source = std::io::ErrorKind::NotFound.into();
    NetError::Io { what: format!("finding the interface {interface}"), source }
}

#[cfg(test)]
mod tests;
