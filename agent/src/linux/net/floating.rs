//! Addresses that are routed to a guest beside its own, and /64s of IPv6. They come and go while it runs.
//!
//! A route to the guest's interface is all that there is to one: it leads packets there, and by the same route the
//! guest may send from it. What is routed to an interface is read from the kernel, so nothing is remembered here. How
//! the rest of the world learns of it is the matter of [`super::gateway`].

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use berth_proto::{NetSpec, VpsId};
use futures_util::TryStreamExt as _;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::net::if_::if_nametoindex;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};

use super::{Net, NetError, Result, six};

/// What is routed to guests: single addresses of IPv4, /64s of IPv6.
pub(super) type Routed = BTreeSet<IpNet>;

impl Net {
    /// Routes exactly the addresses of `net` to a running guest; does nothing for one that has no interface. What goes
    /// goes first. When this returns, nobody is told any more that what went is here, and what is here was told (again).
    ///
    /// # Errors
    /// When the kernel refuses something or has no IPv6 for what is to come, or bird does not follow; call again.
    pub async fn route(&self, id: VpsId, net: &NetSpec) -> Result<()> {
        let name = self.name(id);
        let Ok(index) = if_nametoindex(name.as_str()) else { return Ok(()) };
        let wanted = addresses(net);
        let now = self.gateway.now().await;
        let there = self.routed(index).await?;
        let gone = &there - &wanted;
        for net in &gone {
            self.stop_answering(&now, *net).await?;
            self.no_route(id, *net, index).await?;
        }
        let come = &wanted - &there;
        if come.iter().any(is_six) {
            self.open6(id, index, &net.mac).await?;
        }
        self.add_routes(id, index, &come).await?;
        self.answer_for(&now, &wanted).await?;
        let told = now.clone();
        drop(now); // others need not wait for those who are told
        self.announced(&told, &gone, &wanted).await?;
        match net.floating6.first() {
            Some(net) if !six::is_known() => Err(NetError::Gateway(format!(
                "{net} cannot be led to this server: the kernel of its host has no IPv6"
            ))),
            _ => Ok(()),
        }
    }

    /// Takes an address from an interface.
    pub(super) async fn no_route(&self, id: VpsId, net: IpNet, index: u32) -> Result<()> {
        let gone = self.handle.route().del(route(net, index)).execute().await;
        let what = || format!("taking {net} from {}", self.name(id));
        gone.map_err(|source| NetError::Netlink { what: what(), source })
    }

    /// The addresses that lead to a VPS; none of one that has no interface.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn routed_to(&self, id: VpsId) -> Result<BTreeSet<IpNet>> {
        match if_nametoindex(self.name(id).as_str()) {
            Ok(index) => self.routed(index).await,
            Err(_) => Ok(Routed::new()),
        }
    }

    /// Routes these addresses to an interface, wherever else on this host they led before.
    pub(super) async fn add_routes(&self, id: VpsId, index: u32, wanted: &Routed) -> Result<()> {
        for net in wanted {
            let done = self.handle.route().add(route(*net, index)).replace().execute().await;
            let what = || format!("routing {net} to {}", self.name(id));
            done.map_err(|source| NetError::Netlink { what: what(), source })?;
        }
        Ok(())
    }

    /// The addresses that are routed to an interface.
    pub(super) async fn routed(&self, index: u32) -> Result<Routed> {
        let all = self.guest_routes().await?;
        Ok(all.into_iter().filter(|(_, on)| *on == index).map(|(net, _)| net).collect())
    }

    /// All routes that may be guests', with the number of the interface: to single addresses on a link, and to /64s by
    /// way of what guests are called.
    pub(super) async fn guest_routes(&self) -> Result<Vec<(IpNet, u32)>> {
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let mut all = self.read_routes(v4).await?;
        if six::is_known() {
            all.extend(self.read_routes(RouteMessageBuilder::<Ipv6Addr>::new().build()).await?);
        }
        Ok(all.iter().filter_map(guests).collect())
    }

    async fn read_routes(&self, of: RouteMessage) -> Result<Vec<RouteMessage>> {
        let read = |source| NetError::Netlink { what: "reading the routes".to_owned(), source };
        self.handle.route().get(of).execute().try_collect().await.map_err(read)
    }
}

/// What is routed, and to which interface, if this is a route as guests have them.
fn guests(message: &RouteMessage) -> Option<(IpNet, u32)> {
    if message.header.table != libc::RT_TABLE_MAIN {
        return None;
    }
    let (mut to, mut by, mut index) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(ip)) => to = Some(IpAddr::V4(*ip)),
            RouteAttribute::Destination(RouteAddress::Inet6(ip)) => to = Some(IpAddr::V6(*ip)),
            RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => by = Some(*ip),
            RouteAttribute::Oif(number) => index = Some(*number),
            _ => {}
        }
    }
    let net = match (to?, message.header.destination_prefix_length) {
        (IpAddr::V4(ip), 32) if message.header.scope == RouteScope::Link => IpNet::from(Ipv4Net::from(ip)),
        (IpAddr::V6(ip), 64) if by == Some(six::GUEST) => Ipv6Net::new_assert(ip, 64).into(),
        _ => return None,
    };
    Some((net, index?))
}

/// All that is to be routed to a guest, as far as this kernel can.
pub(super) fn addresses(net: &NetSpec) -> Routed {
    let single = net.ipv4.iter().chain(&net.floating).map(|ip| IpNet::from(Ipv4Net::from(*ip)));
    let six = net.ipv6.iter().chain(&net.floating6).map(|net| IpNet::from(net.trunc()));
    single.chain(six.filter(|_| six::is_known())).collect()
}

fn is_six(net: &IpNet) -> bool {
    matches!(net, IpNet::V6(_))
}

/// The route to one address, or one /64, on an interface.
fn route(net: IpNet, index: u32) -> RouteMessage {
    match net {
        IpNet::V4(net) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.addr(), 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpNet::V6(net) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), 64)
            .output_interface(index)
            .gateway(six::GUEST)
            .onlink()
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{self, Guest, in_namespace, sh};
    use super::*;

    const OWN: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 9, 0, 2), Ipv4Addr::new(10, 9, 0, 3)];
    const FLOATING: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

    fn spec(n: usize, floating: &[Ipv4Addr]) -> NetSpec {
        let mac = format!("02:00:00:00:00:0{}", n + 1);
        NetSpec { floating: floating.to_vec(), ..tests::spec(OWN[n], &mac) }
    }

    /// From the first guest to the second and back, on one host.
    #[test]
    fn it_moves_between_running_guests_and_only_its_holder_may_send_from_it() {
        in_namespace(|net, _| async move {
            net.ensure().await.unwrap();
            net.configure(&[]).await.unwrap();
            let ids = [VpsId(1), VpsId(2)];
            let guests = [Guest::start(), Guest::start()];
            for n in [0, 1] {
                net.attach(ids[n], guests[n].pid(), &spec(n, if n == 0 { &[FLOATING] } else { &[] }))
                    .await
                    .unwrap();
                guests[n].configure(&OWN[n].to_string());
                // Both think that it is theirs; the routes say whose it is.
                assert!(guests[n].sh("ip addr add 10.9.9.9/32 dev eth0"));
            }
            let sends = |n: usize| guests[n].sh("ping -c1 -W2 -I 10.9.9.9 172.31.1.1 >/dev/null");
            let whose = || sh("ip route get 10.9.9.9");
            assert!(whose().contains("dev bt1") && sends(0) && !sends(1), "{}", whose());
            for (old, new) in [(0, 1), (1, 0)] {
                // In either order: the kernel has one route to an address.
                let steps = if old == 0 { [old, new] } else { [new, old] };
                for n in steps {
                    let floating: &[Ipv4Addr] = if n == new { &[FLOATING] } else { &[] };
                    net.route(ids[n], &spec(n, floating)).await.unwrap();
                    net.route(ids[n], &spec(n, floating)).await.unwrap(); // again: the same
                }
                assert!(whose().contains(&format!("dev bt{}", new + 1)), "{}", whose());
                assert!(sends(new) && !sends(old));
                assert!(guests[old].sh("ping -c1 -W2 172.31.1.1 >/dev/null"), "its own address stays");
            }
            net.route(ids[0], &spec(0, &[])).await.unwrap();
            assert!(!sends(0) && !sends(1), "nobody has it");
            for id in ids {
                net.detach(id).await.unwrap();
            }
            net.route(ids[0], &spec(0, &[FLOATING])).await.unwrap(); // there is no interface
            assert_eq!(sh("ip route show 10.9.9.9"), "");
        });
    }

    const OWN6: &str = "2001:db8:0:1::/64";
    const FLOATING6: &str = "2001:db8:0:f::/64";

    /// The first guest has IPv6 of its own, the second has none but what floats.
    fn spec6(n: usize, floating: bool) -> NetSpec {
        let floating6 = if floating { vec![FLOATING6.parse().unwrap()] } else { Vec::new() };
        NetSpec { ipv6: (n == 0).then(|| OWN6.parse().unwrap()), floating6, ..spec(n, &[]) }
    }

    #[test]
    fn a_prefix_moves_between_running_guests_and_only_its_holder_may_send_from_it() {
        in_namespace(|net, _| async move {
            net.configure(&[]).await.unwrap();
            let ids = [VpsId(1), VpsId(2)];
            let guests = [Guest::start(), Guest::start()];
            for n in [0, 1] {
                net.attach(ids[n], guests[n].pid(), &spec6(n, n == 0)).await.unwrap();
                guests[n].configure(&OWN[n].to_string());
                assert!(guests[n].sh("ip -6 addr add 2001:db8:0:f::1/64 dev eth0 nodad"));
            }
            assert!(sh("cat /proc/sys/net/ipv6/conf/bt2/disable_ipv6").starts_with('1'), "it has none yet");
            let ping = "ping -6 -c1 -W1 -I 2001:db8:0:f::1 fe80::1%eth0 >/dev/null 2>&1";
            let sends = |n: usize| guests[n].sh(ping);
            // an interface that has just come up asks no neighbours yet
            let comes_to_send =
                |n: usize| guests[n].sh(&format!("for n in $(seq 60); do {ping} && exit 0; done; exit 1"));
            let whose = || sh("ip -6 route get 2001:db8:0:f::77 || true");
            assert!(whose().contains("dev bt1") && comes_to_send(0) && !sends(1), "{}", whose());
            for (old, new) in [(0, 1), (1, 0)] {
                // In either order: the kernel has one route to a prefix.
                let steps = if old == 0 { [old, new] } else { [new, old] };
                for n in steps {
                    net.route(ids[n], &spec6(n, n == new)).await.unwrap();
                    net.route(ids[n], &spec6(n, n == new)).await.unwrap(); // again: the same
                }
                assert!(whose().contains(&format!("dev bt{}", new + 1)), "{}", whose());
                assert!(comes_to_send(new) && !sends(old));
                let routed = net.routed_to(ids[new]).await.unwrap();
                assert!(routed.contains(&FLOATING6.parse().unwrap()), "{routed:?}");
            }
            net.route(ids[0], &spec6(0, false)).await.unwrap();
            assert!(!sends(0) && !sends(1), "nobody has it");
            assert!(sh("ip -6 route get 2001:db8:0:1::1").contains("dev bt1"), "its own stays");
            for id in ids {
                net.detach(id).await.unwrap();
            }
            assert_eq!(sh("ip -6 route show 2001:db8::/32"), "");
        });
    }
}
