//! Proxy ARP: the host answers on its uplink for the addresses that are routed to its guests, and for no others.
//!
//! For each there is an entry of the kernel, which answers by itself. Who asked before and still knows another host is
//! told at once that the address is here now, and again a little later, because nobody confirms having heard it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use berth_proto::Gateways;
use futures_util::TryStreamExt as _;
use ipnet::{IpNet, Ipv4Net};
use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};

use super::super::floating::Routed;
use super::super::{Net, NetError, Result, counters, sysctl};
use super::arp::Link;
use super::{is_in, lacking};

/// When neighbours are told again, each after the one before.
pub(super) const AGAIN: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(3)];

/// Where it is noted how long the kernel waited before.
const PROXY_DELAY: &str = "uplink-proxy-delay";

/// The addresses that the host answers for.
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<BTreeSet<Ipv4Addr>>);

impl Answered {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<Ipv4Addr>) -> T) -> T {
        change(&mut self.0.lock().expect("no code panics while holding this lock"))
    }

    /// Tells neighbours, unless the address has gone; whoever takes it away waits for that.
    fn tell(&self, link: Link, ip: Ipv4Addr) -> bool {
        self.change(|all| {
            if !all.contains(&ip) {
                return false;
            }
            if let Err(error) = link.announce(ip) {
                tracing::warn!(%ip, %error, "neighbours cannot be told who has this address; they will ask");
            }
            true
        })
    }
}

impl Net {
    /// Answers for all addresses in proxied pools that are routed to guests, and no longer for others in them.
    pub(super) async fn answer_for_all(&self, now: &Gateways) -> Result<()> {
        self.answer_for_no_more(now).await?;
        if !now.proxied.iter().any(|pool| pool.addr().is_ipv4()) {
            return sysctl::set_back(&self.run_dir.join(PROXY_DELAY));
        }
        // The kernel would let half a second pass before it answers for somebody else.
        let setting = format!("ipv4/neigh/{}/proxy_delay", self.uplink_name()?);
        sysctl::change_and_remember(&self.run_dir.join(PROXY_DELAY), &[(setting, "0")])?;
        self.answer_for(now, &self.routed_to_guests().await?).await
    }

    /// Answers for those of these addresses, which are routed to guests, that are in proxied pools.
    pub(in super::super) async fn answer_for(&self, now: &Gateways, routed: &Routed) -> Result<()> {
        let ours = routed.iter().filter(|net| is_in(&now.proxied, **net));
        let ours: Vec<Ipv4Addr> = ours.filter_map(single).collect();
        if ours.is_empty() {
            return Ok(());
        }
        let name = self.uplink_name()?;
        let link = Link::named(name).ok_or_else(|| {
            lacking(format!("the uplink {name} is not there, or no Ethernet: set `uplink`"))
        })?;
        for ip in &ours {
            let entry = self.handle.neighbours().add(link.index, (*ip).into()).flags(NeighbourFlags::Proxy);
            let done = entry.replace().execute().await;
            done.map_err(|source| NetError::Netlink { what: format!("answering for {ip}"), source })?;
            self.gateway.answered.change(|all| all.insert(*ip));
            self.gateway.answered.tell(link, *ip);
        }
        let answered = Arc::clone(&self.gateway.answered);
        tokio::spawn(async move {
            for wait in AGAIN {
                tokio::time::sleep(wait).await;
                ours.iter().for_each(|ip| {
                    answered.tell(link, *ip);
                });
            }
        });
        Ok(())
    }

    /// Answers no longer for an address.
    pub(in super::super) async fn stop_answering(&self, now: &Gateways, net: IpNet) -> Result<()> {
        let Some(ip) = single(&net) else { return Ok(()) };
        let known = self.gateway.answered.change(|all| all.remove(&ip));
        if !known && !is_in(&now.proxied, net) {
            return Ok(());
        }
        let Some(index) = self.uplink.as_deref().and_then(|name| if_nametoindex(name).ok()) else {
            return Ok(()); // its entries went with it
        };
        let mut entry = self.handle.neighbours().add(index, ip.into()).flags(NeighbourFlags::Proxy);
        let message = entry.message_mut().clone();
        match self.handle.neighbours().del(message).execute().await {
            Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENOENT => Ok(()),
            other => {
                other.map_err(|source| NetError::Netlink { what: format!("not answering for {ip}"), source })
            }
        }
    }

    /// Stops answering for what is routed to no guest here.
    pub(super) async fn answer_for_no_more(&self, now: &Gateways) -> Result<()> {
        let known = self.gateway.answered.change(|all| all.clone());
        if now.proxied.is_empty() && known.is_empty() {
            return Ok(());
        }
        let routed = self.routed_to_guests().await?;
        let there = self.entries().await?;
        for ip in there.union(&known) {
            let net = IpNet::from(Ipv4Net::from(*ip));
            let inside = is_in(&now.proxied, net);
            if (inside || known.contains(ip)) && !(inside && routed.contains(&net)) {
                self.stop_answering(now, net).await?;
            }
        }
        Ok(())
    }

    /// The addresses that the kernel answers for on the uplink, ours and the operator's own.
    async fn entries(&self) -> Result<BTreeSet<Ipv4Addr>> {
        let Some(index) = self.uplink.as_deref().and_then(|name| if_nametoindex(name).ok()) else {
            return Ok(BTreeSet::new());
        };
        let read = |source| NetError::Netlink { what: "reading what is answered for".to_owned(), source };
        let all: Vec<NeighbourMessage> =
            self.handle.neighbours().get().proxies().execute().try_collect().await.map_err(read)?;
        let here = all.iter().filter(|entry| {
            entry.header.ifindex == index && entry.header.flags.contains(NeighbourFlags::Proxy)
        });
        let address = |entry: &NeighbourMessage| {
            entry.attributes.iter().find_map(|attribute| match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(*ip),
                _ => None,
            })
        };
        Ok(here.filter_map(address).collect())
    }

    async fn routed_to_guests(&self) -> Result<Routed> {
        let ours = counters::interfaces().filter(|(name, _)| self.id_of(name).is_some());
        let ours: BTreeSet<u32> = ours.filter_map(|(name, _)| if_nametoindex(name.as_str()).ok()).collect();
        let all = self.guest_routes().await?;
        Ok(all.into_iter().filter(|(_, index)| ours.contains(index)).map(|(net, _)| net).collect())
    }

    pub(super) fn uplink_name(&self) -> Result<&str> {
        let none = || {
            lacking(
                "there is no uplink to answer for addresses on: this host has no default route, so set `uplink`",
            )
        };
        self.uplink.as_deref().ok_or_else(none)
    }
}

/// The address that this is; none for a /64 of IPv6.
fn single(net: &IpNet) -> Option<Ipv4Addr> {
    if let IpNet::V4(net) = net { Some(net.addr()) } else { None }
}

#[cfg(test)]
mod tests {
    use berth_proto::{NetSpec, VpsId};

    use super::*;
    use crate::linux::net::tests::{self, Guest, in_namespace, sh};

    const OWN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
    const FLOATING: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);

    fn spec(floating: &[Ipv4Addr]) -> NetSpec {
        NetSpec { floating: floating.to_vec(), ..tests::spec(OWN, "02:00:00:00:00:01") }
    }

    fn proxied(pools: &[&str]) -> Gateways {
        let proxied = pools.iter().map(|pool| pool.parse().unwrap()).collect();
        Gateways { proxied, ..Gateways::default() }
    }

    fn entries() -> Vec<String> {
        let mut all: Vec<_> = sh("ip neigh show proxy").lines().map(|line| line.trim().to_owned()).collect();
        all.sort();
        all
    }

    #[test]
    fn it_is_answered_for_what_is_routed_here_and_for_nothing_else() {
        in_namespace(|_, run_dir| async move {
            // Who asks is somewhere else on the same wire.
            let world = Guest::start();
            sh(&format!("ip link add up0 type veth peer name eth0 netns {}", world.pid()));
            sh("ip link set up0 up && ip addr add 192.0.2.2/24 dev up0");
            assert!(world.sh("ip link set eth0 up && ip addr add 192.0.2.1/24 dev eth0"));
            let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
            net.ensure().await.unwrap();
            net.configure(&[]).await.unwrap();
            sh("ip neigh add proxy 192.0.2.200 dev up0 && ip neigh add proxy 198.51.100.7 dev up0"); // debris, and the operator's
            net.gateways(&proxied(&["192.0.2.0/24"])).await.unwrap();
            assert_eq!(entries(), ["198.51.100.7 dev up0 proxy"]);
            assert_eq!(sh("cat /proc/sys/net/ipv4/neigh/up0/proxy_delay"), "0\n");

            let guest = Guest::start();
            net.attach(VpsId(1), guest.pid(), &spec(&[])).await.unwrap();
            guest.configure("192.0.2.10");
            assert!(guest.sh("ip addr add 192.0.2.77/32 dev eth0 && ip route add 192.0.2.1 via 172.31.1.1"));
            let answers =
                |ip: &str| world.sh(&format!("ip neigh flush dev eth0; ping -c1 -W2 {ip} >/dev/null"));
            let asks = |ip: &str| world.sh(&format!("ping -c1 -W1 {ip} >/dev/null"));
            assert!(answers("192.0.2.10"));
            assert!(!asks("192.0.2.77"), "nobody has it");

            // Neighbours that know somebody else are told at once.
            let elsewhere = "ip neigh replace 192.0.2.77 lladdr 02:00:00:00:00:99 nud reachable dev eth0";
            assert!(world.sh(elsewhere) && !asks("192.0.2.77"));
            assert!(world.sh(elsewhere));
            net.route(VpsId(1), &spec(&[FLOATING])).await.unwrap();
            assert!(asks("192.0.2.77"), "what it knew was wrong, and it was told");
            assert!(answers("192.0.2.77"));
            net.route(VpsId(1), &spec(&[])).await.unwrap();
            assert_eq!(entries(), ["192.0.2.10 dev up0 proxy", "198.51.100.7 dev up0 proxy"]);
            assert!(!answers("192.0.2.77"));

            // An agent that comes later finds what there is; a guest that died leaves nothing.
            let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
            sh("ip neigh del proxy 192.0.2.10 dev up0");
            net.gateways(&proxied(&["192.0.2.0/24"])).await.unwrap();
            assert!(answers("192.0.2.10"));
            sh("ip link del bt1");
            assert!(!answers("192.0.2.10"));
            net.detach(VpsId(1)).await.unwrap();
            assert_eq!(entries(), ["198.51.100.7 dev up0 proxy"]);
            net.remove_support().await.unwrap();
            assert_ne!(sh("cat /proc/sys/net/ipv4/neigh/up0/proxy_delay"), "0\n");
        });
    }

    #[test]
    fn without_an_uplink_it_says_what_to_do() {
        in_namespace(|net, _| async move {
            net.gateways(&Gateways::default()).await.unwrap();
            let error = net.gateways(&proxied(&["192.0.2.0/24"])).await.unwrap_err();
            assert!(error.to_string().contains("set `uplink`"), "{error}");
        });
    }
}
