//! Addresses that are routed to a guest beside its own. They come and go while it runs.
//!
//! A host route to the guest's interface is all that there is to one: it leads packets there, and by the same route the
//! guest may send from it. What is routed to an interface is read from the kernel, so nothing is remembered here. How
//! the rest of the world learns of it is the matter of [`super::gateway`].

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use berth_proto::{NetSpec, VpsId};
use futures_util::TryStreamExt as _;
use nix::net::if_::if_nametoindex;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};

use super::{Net, NetError, Result};

impl Net {
    /// Routes exactly the addresses of `net` to a running guest; does nothing for one that has no interface. What goes
    /// goes first. When this returns, nobody is told any more that what went is here, and what is here was told (again).
    ///
    /// # Errors
    /// When the kernel refuses something, or bird does not follow; call again.
    pub async fn route(&self, id: VpsId, net: &NetSpec) -> Result<()> {
        let name = self.name(id);
        let Ok(index) = if_nametoindex(name.as_str()) else { return Ok(()) };
        let wanted = addresses(net);
        let now = self.gateway.now().await;
        let there = self.routed(index).await?;
        let gone = &there - &wanted;
        for ip in &gone {
            self.stop_answering(&now, *ip).await?;
            self.no_route(id, *ip, index).await?;
        }
        self.add_routes(id, index, &(&wanted - &there)).await?;
        self.answer_for(&now, &wanted).await?;
        let announced = now.announced.clone();
        drop(now); // others need not wait for bird
        self.announced(&announced, &gone, &wanted).await
    }

    /// Takes an address from an interface.
    pub(super) async fn no_route(&self, id: VpsId, ip: Ipv4Addr, index: u32) -> Result<()> {
        let gone = self.handle.route().del(route(ip, index)).execute().await;
        let what = || format!("taking {ip} from {}", self.name(id));
        gone.map_err(|source| NetError::Netlink { what: what(), source })
    }

    /// The addresses that lead to a VPS; none of one that has no interface.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub async fn routed_to(&self, id: VpsId) -> Result<BTreeSet<Ipv4Addr>> {
        match if_nametoindex(self.name(id).as_str()) {
            Ok(index) => self.routed(index).await,
            Err(_) => Ok(BTreeSet::new()),
        }
    }

    /// Routes these addresses to an interface, wherever else on this host they led before.
    pub(super) async fn add_routes(&self, id: VpsId, index: u32, wanted: &BTreeSet<Ipv4Addr>) -> Result<()> {
        for ip in wanted {
            let done = self.handle.route().add(route(*ip, index)).replace().execute().await;
            let what = || format!("routing {ip} to {}", self.name(id));
            done.map_err(|source| NetError::Netlink { what: what(), source })?;
        }
        Ok(())
    }

    /// The addresses that are routed to an interface.
    pub(super) async fn routed(&self, index: u32) -> Result<BTreeSet<Ipv4Addr>> {
        let all = self.host_routes().await?;
        Ok(all.into_iter().filter(|(_, on)| *on == index).map(|(ip, _)| ip).collect())
    }

    /// All routes to single addresses on a link, with the number of the interface.
    pub(super) async fn host_routes(&self) -> Result<Vec<(Ipv4Addr, u32)>> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build()).execute();
        let read = |source| NetError::Netlink { what: "reading the routes".to_owned(), source };
        let all: Vec<RouteMessage> = all.try_collect().await.map_err(read)?;
        let ours = |message: &RouteMessage| {
            message.header.table == libc::RT_TABLE_MAIN
                && message.header.scope == RouteScope::Link
                && message.header.destination_prefix_length == 32
        };
        let address = |message: &RouteMessage| {
            message.attributes.iter().find_map(|attribute| match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(*ip),
                _ => None,
            })
        };
        let interface = |message: &RouteMessage| {
            let mut all = message.attributes.iter();
            all.find_map(
                |attribute| if let RouteAttribute::Oif(index) = attribute { Some(*index) } else { None },
            )
        };
        let found = all.iter().filter(|message| ours(message));
        Ok(found.filter_map(|message| Some((address(message)?, interface(message)?))).collect())
    }
}

/// All addresses that are to be routed to a guest.
pub(super) fn addresses(net: &NetSpec) -> BTreeSet<Ipv4Addr> {
    net.ipv4.into_iter().chain(net.floating.iter().copied()).collect()
}

/// The route to one address on an interface.
fn route(ip: Ipv4Addr, index: u32) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .destination_prefix(ip, 32)
        .output_interface(index)
        .scope(RouteScope::Link)
        .build()
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
            let sends = |n: usize| guests[n].sh("ping -c1 -W1 -I 10.9.9.9 172.31.1.1 >/dev/null");
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
}
