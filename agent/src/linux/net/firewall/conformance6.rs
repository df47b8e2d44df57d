//! The same for IPv6 as [`super::conformance`]: generated rules and packets, what really passes, and what they mean.
//!
//! Half of a rule's networks are IPv4's, which must let nothing pass here.

use std::collections::HashSet;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use berth_proto::{Firewall, FirewallProtocol, FirewallRule, FirstPacket, NetSpec, VpsId};
use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng as _};

use super::conformance::checksum;
use crate::linux::net::Net;
use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

const FIREWALLS: usize = 30;
const PACKETS: usize = 10;
/// The guest behind the firewall.
const GUEST: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 3, 0, 0, 0, 1);
/// A peer with which the guest talks before there is a firewall.
const FRIEND: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1);

/// One end: sends packets with any header, and sees everything that arrives.
struct End {
    send: OwnedFd,
    capture: OwnedFd,
}

impl End {
    fn of(pid: u32) -> Self {
        let open = move || {
            let ns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
            setns(ns, CloneFlags::CLONE_NEWNET).unwrap();
            let open =
                |family, kind, protocol| socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
            let send = open(AddressFamily::Inet6, SockType::Raw, SockProtocol::Raw);
            let capture = open(AddressFamily::Packet, SockType::Datagram, SockProtocol::EthAll);
            setsockopt(&capture, sockopt::ReceiveTimeout, &TimeVal::new(20, 0)).unwrap();
            Self { send, capture }
        };
        std::thread::spawn(open).join().unwrap() // a thread of its own, which takes its namespace with it
    }

    fn send(&self, packet: &[u8]) {
        let to: [u8; 16] = packet[24..40].try_into().unwrap();
        let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to.into(), 0, 0, 0));
        sendto(self.send.as_raw_fd(), packet, &to, MsgFlags::empty()).unwrap();
    }

    /// The marks of the packets that arrive up to the one with the mark `last`.
    fn until(&self, last: u16) -> HashSet<u16> {
        let mut seen = HashSet::new();
        let mut buffer = [0; 2048];
        loop {
            let length = recv(self.capture.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .expect("what is let through arrives");
            // An IPv6 packet with our hop limit; the mark is its flow label. Neighbours talk with 255.
            if length >= 40 && buffer[0] >> 4 == 6 && (200..=250).contains(&buffer[7]) {
                let mark = u16::from_be_bytes([buffer[2], buffer[3]]);
                seen.insert(mark);
                if mark == last {
                    return seen;
                }
            }
        }
    }
}

/// A packet; `mark` is its flow label, and makes its flow one of its own.
fn packet(mark: u16, protocol: u8, from: (Ipv6Addr, u16), to: (Ipv6Addr, u16)) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let (mut body, place) = match protocol {
        6 => ([&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]].concat(), Some(16)),
        17 => ([&ports[..], &[0, 8, 0, 0]].concat(), Some(6)),
        58 => ([&[128, 0, 0, 0][..], &mark.to_be_bytes(), &[0, 1]].concat(), Some(2)),
        47 => (vec![0, 0, 0x88, 0xb5, 0, 0, 0, 0], None),
        _ => ([&u32::from(mark).to_be_bytes()[..], &[0; 12]].concat(), None),
    };
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let (source, destination) = (from.0.octets(), to.0.octets());
    if let Some(at) = place {
        let sum = checksum(&[&source, &destination, &[0, 0], &length, &[0, 0, 0, protocol], &body]);
        body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let mark = mark.to_be_bytes();
    let start = [0x60, 0, mark[0], mark[1], length[0], length[1], protocol, 250];
    [&start[..], &source, &destination, &body].concat()
}

fn peer(random: &mut impl Rng) -> Ipv6Addr {
    let [net, subnet] = [random.random_range(0xa..=0xc), random.random_range(0..4)];
    Ipv6Addr::new(0x2001, 0xdb8, net, subnet, 0, 0, 0, random.random_range(2..=0x3ff))
}

fn any_rule(random: &mut StdRng) -> FirewallRule {
    use FirewallProtocol as P;
    let protocol = *[P::Tcp, P::Udp, P::Icmp, P::Esp, P::Gre, P::Tcp, P::Udp].choose(random).unwrap();
    let ports = (protocol.has_ports() && random.random_bool(0.8)).then(|| {
        let first = random.random_range(1..=60);
        (first, random.random_range(first..=64))
    });
    let nets = (0..random.random_range(1..=3)).map(|_| {
        if random.random_bool(0.4) {
            return "0.0.0.0/0".parse().unwrap();
        }
        let length = *[0, 32, 47, 48, 63, 64, 120, 128].choose(random).unwrap();
        IpNet::new(peer(random).into(), length).unwrap()
    });
    FirewallRule { protocol, ports, nets: nets.collect() }
}

#[test]
fn what_passes_is_what_the_rules_mean() {
    in_namespace(|_, run_dir| async move {
        // The world: everybody behind the uplink.
        let world = Guest::start();
        sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {}; ip link set up0 up; ip -6 addr add 2001:db8:ff::1/64 dev up0 nodad",
            world.pid()
        ));
        assert!(world.sh(
            "ip link set lo up; ip link set eth0 up; ip -6 addr add 2001:db8:ff::2/64 dev eth0 nodad
             ip -6 route add default via 2001:db8:ff::1
             for net in a b c; do ip -6 route add local 2001:db8:$net::/48 dev lo; done"
        ));
        sh("for net in a b c; do ip -6 route add 2001:db8:$net::/48 via 2001:db8:ff::2; done");
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.configure(&[]).await.unwrap();
        let (id, guest) = (VpsId(2), Guest::start());
        let prefix = "2001:db8:0:3::/64".parse().unwrap();
        let wanted = NetSpec { ipv6: Some(prefix), ..spec([10, 9, 0, 3].into(), "02:00:00:00:00:02") };
        net.attach(id, guest.pid(), &wanted).await.unwrap();
        let (outer, inner) = (End::of(world.pid()), End::of(guest.pid()));

        // A flow that is older than all rules; what belongs to it passes whatever they are.
        let friendly = |inbound, mark| {
            let (here, there) = ((GUEST, 7000), (FRIEND, 7000));
            if inbound { packet(mark, 17, there, here) } else { packet(mark, 17, here, there) }
        };
        outer.send(&friendly(true, 1));
        inner.until(1);
        inner.send(&friendly(false, 2));
        outer.until(2);

        let mut random = StdRng::seed_from_u64(20_261_131);
        let (mut mark, mut cases, mut passed, mut met) = (10, 0, 0, HashSet::new());
        for n in 0..FIREWALLS {
            let mut rules = |most: usize| {
                let count = random.random_range(0..=most);
                (0..count).map(|_| any_rule(&mut random)).collect::<Vec<_>>()
            };
            let firewall = Firewall { inbound: rules(6), outbound: rules(4) };
            net.firewall(id, Some(&firewall)).await.unwrap();
            for inbound in [true, false] {
                let mut expected = HashSet::new();
                for _ in 0..PACKETS {
                    mark += 1;
                    let protocol = *[6, 17, 58, 47, 50, 6, 17].choose(&mut random).unwrap();
                    let mut peer = peer(&mut random);
                    // Without ports the kernel tells flows apart by their addresses alone.
                    while matches!(protocol, 47 | 50) && !met.insert((protocol, peer)) {
                        peer = self::peer(&mut random);
                    }
                    let port = random.random_range(1..=66);
                    let has_ports = matches!(protocol, 6 | 17);
                    let first =
                        FirstPacket { inbound, protocol, peer: peer.into(), port: has_ports.then_some(port) };
                    let (from, to) = if inbound { (peer, GUEST) } else { (GUEST, peer) };
                    let bytes = packet(mark, protocol, (from, 10_000 + mark), (to, port));
                    if inbound {
                        outer.send(&bytes);
                    } else {
                        inner.send(&bytes);
                    }
                    cases += 1;
                    if firewall.passes(&first) {
                        passed += 1;
                        expected.insert(mark);
                    }
                }
                mark += 1;
                expected.insert(mark);
                let seen = if inbound {
                    outer.send(&friendly(true, mark));
                    inner.until(mark)
                } else {
                    inner.send(&friendly(false, mark));
                    outer.until(mark)
                };
                let seen: HashSet<u16> = seen
                    .into_iter()
                    .filter(|seen| usize::from(*seen) + PACKETS >= usize::from(mark))
                    .collect();
                assert_eq!(seen, expected, "firewall {n}, inbound {inbound}: {firewall:#?}");
            }
        }
        assert!(cases >= 200 && passed > cases / 10 && passed < cases * 9 / 10, "{passed} of {cases} passed");
        net.detach(id).await.unwrap();
        net.remove_support().await.unwrap();
    });
}
