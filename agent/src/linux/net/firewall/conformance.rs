//! What the kernel lets pass is what the rules mean: hundreds of generated packets against generated rules, sent and
//! captured for real, and compared with the evaluation in the protocol's crate.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use berth_proto::{
    Firewall, FirewallProtocol, FirewallRule, FirstPacket, Guard, HostNetworks, NetSpec, NetworkId,
    NetworkRoute, NetworkSpec, PrivateNic, VpsId,
};
use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::TimeVal;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng, SeedableRng as _};

use crate::linux::net::private::tests::on_a_host;
use crate::linux::net::tests::{Guest, in_namespace, sh, spec};
use crate::linux::net::{Net, Netns};

const FIREWALLS: usize = 40;
const PACKETS: usize = 10;
/// The guest behind the firewall.
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);
/// A peer with which the guest talks before there is a firewall.
const FRIEND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where the others are.
const NETS: [[u8; 2]; 3] = [[192, 0], [198, 51], [203, 0]];

/// One end: sends packets with any header, and sees everything that arrives.
struct End {
    send: OwnedFd,
    capture: OwnedFd,
}

impl End {
    /// In the network namespace of this process.
    fn of(pid: u32) -> Self {
        let open = move || {
            let ns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
            setns(ns, CloneFlags::CLONE_NEWNET).unwrap();
            let raw =
                |family, protocol| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
            let send = raw(AddressFamily::Inet, SockProtocol::Raw);
            let capture = socket(
                AddressFamily::Packet,
                SockType::Datagram,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::EthAll,
            );
            let capture = capture.unwrap();
            setsockopt(&capture, sockopt::ReceiveTimeout, &TimeVal::new(20, 0)).unwrap();
            Self { send, capture }
        };
        std::thread::spawn(open).join().unwrap() // a thread of its own, which takes its namespace with it
    }

    fn send(&self, packet: &[u8]) {
        let to = SockaddrIn::from(std::net::SocketAddrV4::new(
            Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]),
            0,
        ));
        sendto(self.send.as_raw_fd(), packet, &to, MsgFlags::empty()).unwrap();
    }

    /// The marks of the packets that arrive up to the one with the mark `last`.
    fn until(&self, last: u16) -> HashSet<u16> {
        let mut seen = HashSet::new();
        let mut buffer = [0; 2048];
        loop {
            let length = recv(self.capture.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .expect("what is let through arrives");
            // An IPv4 packet with our time to live; the mark is its identification.
            if length >= 20 && buffer[0] >> 4 == 4 && buffer[8] >= 200 {
                let mark = u16::from_be_bytes([buffer[4], buffer[5]]);
                seen.insert(mark);
                if mark == last {
                    return seen;
                }
            }
        }
    }
}

pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()
}

/// A packet; `mark` is its identification, and makes its flow one of its own.
fn packet(mark: u16, protocol: u8, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let mut body = match protocol {
        6 => [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0]].concat(),
        17 => [&ports[..], &[0, 8, 0, 0]].concat(),
        1 => [&[8, 0, 0, 0][..], &mark.to_be_bytes(), &[0, 1]].concat(),
        47 => vec![0, 0, 0x88, 0xb5, 0, 0, 0, 0],
        _ => [&u32::from(mark).to_be_bytes()[..], &[0; 12]].concat(),
    };
    let pseudo = [
        &from.0.octets()[..],
        &to.0.octets(),
        &[0, protocol],
        &u16::try_from(body.len()).unwrap().to_be_bytes(),
    ]
    .concat();
    let place = match protocol {
        6 => Some((16, checksum(&[&pseudo, &body]))),
        17 => Some((6, checksum(&[&pseudo, &body]))),
        1 => Some((2, checksum(&[&body]))),
        _ => None,
    };
    if let Some((at, sum)) = place {
        body[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    let length = u16::try_from(20 + body.len()).unwrap();
    let mut header = [
        &[0x45, 0][..],
        &length.to_be_bytes(),
        &mark.to_be_bytes(),
        &[0, 0, 250, protocol, 0, 0],
        &from.0.octets(),
        &to.0.octets(),
    ]
    .concat();
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [header, body].concat()
}

fn any_rule(random: &mut StdRng) -> FirewallRule {
    use FirewallProtocol as P;
    let protocol = *[P::Tcp, P::Udp, P::Icmp, P::Esp, P::Gre, P::Tcp, P::Udp].choose(random).unwrap();
    let ports = (protocol.has_ports() && random.random_bool(0.8)).then(|| {
        let first = random.random_range(1..=60);
        (first, random.random_range(first..=64))
    });
    let nets = (0..random.random_range(1..=3)).map(|_| {
        let length = *[0, 8, 16, 17, 23, 24, 30, 32].choose(random).unwrap();
        IpNet::new(peer(random).into(), length).unwrap()
    });
    FirewallRule { protocol, ports, nets: nets.collect() }
}

fn peer(random: &mut impl Rng) -> Ipv4Addr {
    let [a, b] = *NETS.choose(random).unwrap();
    Ipv4Addr::new(a, b, random.random_range(0..4), random.random_range(2..=254))
}

#[test]
fn what_passes_is_what_the_rules_mean() {
    in_namespace(|_, run_dir| async move {
        // The world: everybody behind the uplink.
        let world = Guest::start();
        sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {}; ip link set up0 up; ip addr add 192.0.0.1/32 dev up0;
             for net in 192.0.0.0/16 198.51.0.0/16 203.0.0.0/16; do ip route add $net dev up0; done",
            world.pid()
        ));
        assert!(world.sh(
            "ip link set lo up; ip link set eth0 up; ip route add 192.0.0.1 dev eth0; ip route add 10.9.0.0/16 via 192.0.0.1;
             for net in 192.0.0.0/16 198.51.0.0/16 203.0.0.0/16; do ip route add local $net dev lo; done; ip route del local 192.0.0.1 2>/dev/null; true"
        ));
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.configure(&[]).await.unwrap();
        let guest = Guest::start();
        let spec = NetSpec {
            ipv4: Some(GUEST),
            ipv6: None,
            floating: Vec::new(),
            floating6: Vec::new(),
            mac: "02:00:00:00:00:02".into(),
            firewall: None,
            private_firewall: None,
            guard: Guard::default(),
            private: Vec::new(),
            announce_epoch: 0,
            ports: None,
        };
        let id = VpsId(2);
        net.attach(id, guest.pid(), &spec).await.unwrap();
        guest.configure("10.9.0.3");
        conforms(&net, Place::Public, id, &End::of(world.pid()), &End::of(guest.pid())).await;
        net.firewall(id, Some(&Firewall::default())).await.unwrap();
        net.detach(id).await.unwrap();
        let left = sh("nft list table inet berth_test");
        assert!(!left.contains("in_2") && !left.contains("out_2"), "{left}");
        net.remove_support().await.unwrap();
    });
}

#[test]
fn what_passes_in_private_networks_is_what_the_rules_mean() {
    on_a_host(|net, run_dir| async move {
        // The world: what lies behind another member.
        let nic = |last: u8, routes: &[IpNet]| PrivateNic {
            network: NetworkId(1),
            vni: 2_000_001,
            mac: format!("02:00:00:00:01:{last:02x}"),
            ip: Ipv4Addr::new(10, 9, 0, last).into(),
            aliases: Vec::new(),
            gateway: Ipv4Addr::new(10, 9, 0, 1).into(),
            range: "10.9.0.0/16".parse().unwrap(),
            routes: routes.to_vec(),
        };
        let nets = NETS.map(|[a, b]| IpNet::new(Ipv4Addr::new(a, b, 0, 0).into(), 16).unwrap());
        let connect = async |id: i64, nic: PrivateNic| {
            let guest = Guest::start();
            let spec = NetSpec { private: vec![nic], ..spec(Ipv4Addr::UNSPECIFIED, "02:00:00:00:00:01") };
            let inside = Netns::of_process(guest.pid()).unwrap();
            net.private.apply(VpsId(id), &inside, &spec).await.unwrap();
            guest
        };
        let (world, guest) = (connect(1, nic(2, &[])).await, connect(2, nic(3, &nets)).await);
        for network in &nets {
            assert!(world.sh(&format!("ip link set lo up; ip route add local {network} dev lo")));
        }
        let gateway = Ipv4Addr::new(10, 9, 0, 2).into();
        let routes = nets.map(|destination| NetworkRoute { destination, gateway }).to_vec();
        let spec = NetworkSpec { id: NetworkId(1), vni: 2_000_001, routes, peers: Vec::new() };
        net.private
            .set(&HostNetworks { version: "1".into(), networks: vec![spec], encrypt: false })
            .await
            .unwrap();

        let (id, all) = (VpsId(2), vec!["0.0.0.0/0".parse().unwrap()]);
        let open = FirewallRule { protocol: FirewallProtocol::Udp, ports: None, nets: all };
        let open = Firewall { inbound: vec![open], outbound: Vec::new() };
        net.private.firewall(id, Some(&open)).await.unwrap(); // from now on connections are followed
        conforms(&net, Place::Private, id, &End::of(world.pid()), &End::of(guest.pid())).await;
        net.private.firewall(id, Some(&Firewall::default())).await.unwrap();
        net.detach(id).await.unwrap();
        let router = format!("nsenter --net={}", run_dir.join("networks/1/ns").display());
        let left = sh(&format!("{router} nft list table inet router"));
        assert!(left.contains("bt1") && !left.contains("in_2") && !left.contains("bt2"), "{left}");
        net.detach(VpsId(1)).await.unwrap();
    });
}

/// Where the guest has its firewall.
#[derive(Clone, Copy)]
enum Place {
    Public,
    Private,
}

impl Place {
    async fn put(self, net: &Net, id: VpsId, firewall: Option<&Firewall>) {
        let put = match self {
            Self::Public => net.firewall(id, firewall).await,
            Self::Private => net.private.firewall(id, firewall).await,
        };
        put.unwrap();
    }
}

async fn conforms(net: &Net, place: Place, id: VpsId, outer: &End, inner: &End) {
    // A flow that is older than all rules; what belongs to it passes whatever they are.
    let friendly = |inbound, mark| {
        let (here, there) = ((GUEST, 7000), (FRIEND, 7000));
        if inbound { packet(mark, 17, there, here) } else { packet(mark, 17, here, there) }
    };
    outer.send(&friendly(true, 1));
    inner.until(1);
    inner.send(&friendly(false, 2));
    outer.until(2);

    let mut random = StdRng::seed_from_u64(20_261_130);
    let (mut mark, mut cases, mut passed, mut met) = (10, 0, 0, HashSet::new());
    for n in 0..FIREWALLS {
        let mut rules = |most: usize| {
            let count = random.random_range(0..=most);
            (0..count).map(|_| any_rule(&mut random)).collect::<Vec<_>>()
        };
        let firewall = Firewall { inbound: rules(6), outbound: rules(4) };
        place.put(net, id, Some(&firewall)).await;
        for inbound in [true, false] {
            let mut expected = HashSet::new();
            for _ in 0..PACKETS {
                mark += 1;
                let protocol = *[6, 17, 1, 47, 50, 6, 17].choose(&mut random).unwrap();
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
                    outer.send(&bytes)
                } else {
                    inner.send(&bytes)
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
            let seen: HashSet<u16> =
                seen.into_iter().filter(|seen| usize::from(*seen) + PACKETS >= usize::from(mark)).collect();
            assert_eq!(seen, expected, "firewall {n}, inbound {inbound}: {firewall:#?}");
        }
    }
    assert!(cases >= 200 && passed > cases / 10 && passed < cases * 9 / 10, "{passed} of {cases} passed");

    place.put(net, id, None).await;
    outer.send(&packet(9, 6, (FRIEND, 5), (GUEST, 5)));
    outer.send(&friendly(true, 3));
    assert!(inner.until(3).contains(&9), "without a firewall everything passes");
}
