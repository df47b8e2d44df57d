//! A guest that makes its own packets: what it forges reaches no neighbour, nobody outside and nothing of the host.
//!
//! Frames are sent through a packet socket in the attacker's network namespace, which is all that root of a guest can
//! do, and more than most know how to. Each carries a mark of its own; they are counted where they should not arrive:
//! at the neighbour's interface, outside behind the uplink, and at the host's sockets. Last come honest ones, so that it is
//! seen that what arrives is seen.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, OwnedFd};

use berth_agent::host::Host;
use berth_proto::{VpsId, VpsSpec};
use ipnet::Ipv6Net;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::outside::{ADDRESS, ADDRESS6};
use crate::tiny::{STAYS, template};
use crate::world::{self, World, sh};

type Mac = [u8; 6];

const EVERYBODY: Mac = [0xff; 6];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 31, 1, 1);
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The host's own address at its uplink.
const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The same of IPv6.
const HOST6: &str = "2001:db8:ff::2";
/// Marks begin with this.
const MARK: &[u8] = b"berth-forged-";
/// Marks of what is honest.
const HONEST: [u16; 2] = [900, 901];

/// An interface in some network namespace: sends and captures whole frames.
struct Wire(OwnedFd);

impl Wire {
    fn open(pid: u32, interface: &'static str) -> Self {
        // a thread of its own, which takes its namespace with it
        let open = move || {
            setns(File::open(format!("/proc/{pid}/ns/net")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            let wire =
                socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
                    .unwrap();
            let mut all = nix::ifaddrs::getifaddrs().unwrap().filter(|one| one.interface_name == interface);
            let address = all.find_map(|one| one.address?.as_link_addr().copied()).unwrap();
            bind(wire.as_raw_fd(), &address).unwrap();
            setsockopt(&wire, sockopt::ReceiveTimeout, &TimeVal::new(30, 0)).unwrap();
            Self(wire)
        };
        std::thread::spawn(open).join().unwrap()
    }

    fn send(&self, frame: &[u8]) {
        let sent = send(self.0.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }

    /// The frames with marks that arrive up to the one with the mark `last`.
    fn until(&self, last: u16) -> Vec<(u16, Vec<u8>)> {
        let mut frames = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let length =
                recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()).expect("the honest one arrives");
            let frame = &buffer[..length];
            let six = frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && frame[54] < 128;
            if six || (frame[12..14] == [8, 0] && frame[23] == 1) {
                continue; // an error that quotes what arrived
            }
            let Some(at) = frame.windows(MARK.len()).position(|part| part == MARK) else { continue };
            let digits = &frame[at + MARK.len()..at + MARK.len() + 3];
            let mark = std::str::from_utf8(digits).unwrap().parse().unwrap();
            frames.push((mark, frame.to_vec()));
            if mark == last {
                return frames;
            }
        }
    }
}

fn mark(n: u16) -> Vec<u8> {
    [MARK, format!("{n:03}").as_bytes()].concat()
}

fn frame(from: Mac, to: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&to[..], &from, &kind.to_be_bytes(), payload].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn sum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let pairs =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let sum: u32 = pairs.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap()).to_be_bytes()
}

fn ip(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let start = [0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol, 0, 0];
    let mut packet = [&start[..], &from.octets(), &to.octets()].concat();
    let checksum = sum(&[&packet]);
    packet[10..12].copy_from_slice(&checksum);
    [packet, body.to_vec()].concat()
}

fn udp(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    // without a checksum, as UDP over IPv4 may be
    let head = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
    ip(17, from.0, to.0, &[&head, payload].concat())
}

/// A SYN that carries its mark, as TCP fast open does.
fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let ports = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    let mut segment = [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0], payload].concat();
    let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
    let checksum = sum(&[&from.0.octets(), &to.0.octets(), &[0, 6], &length, &segment]);
    segment[16..18].copy_from_slice(&checksum);
    ip(6, from.0, to.0, &segment)
}

fn arp(operation: u16, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), payload: &[u8]) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4];
    let who = [&from.0[..], &from.1.octets(), &to.0, &to.1.octets()].concat();
    [&head[..], &operation.to_be_bytes(), &who, payload].concat()
}

/// ICMPv6 of this type from fe80::1, the way every guest's router would be called.
fn icmp6(kind: u8, body: &[u8]) -> Vec<u8> {
    let router = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let all = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut message = [&[kind, 0, 0, 0][..], body].concat();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let checksum = sum(&[&router, &all, &length, &[0, 0, 0, 58], &message]);
    message[2..4].copy_from_slice(&checksum);
    [&[0x60, 0, 0, 0, length[2], length[3], 58, 255][..], &router, &all, &message].concat()
}

/// A packet with an ICMPv6 message or UDP datagram, whose checksum is at this place.
fn ip6(next: u8, place: usize, from: Ipv6Addr, to: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let (from, to) = (from.octets(), to.octets());
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let checksum = sum(&[&from, &to, &[0, 0], &length, &[0, 0, 0, next], &body]);
    body[place..place + 2].copy_from_slice(&checksum);
    [&[0x60, 0, 0, 0, length[0], length[1], next, 255][..], &from, &to, &body].concat()
}

fn udp6(from: (Ipv6Addr, u16), to: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    let head = [from.1.to_be_bytes(), to.1.to_be_bytes(), length, [0, 0]].concat();
    ip6(17, 6, from.0, to.0, [&head, payload].concat())
}

/// The own address in a guest's /64.
fn six(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 1)
}

/// What is forged in IPv6 by the first of two guests: sources, and all of the talk among neighbours.
fn forged6(a: &Party, v: &Party, port: u16, first: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut all: Vec<(&str, Vec<u8>)> = Vec::new();
    let (mine, theirs, strange) = (six(1), six(2), six(9));
    let local = |n| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n);
    let group = |n| Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, n);
    let outside: Ipv6Addr = ADDRESS6.parse().unwrap();
    let mark = |all: &Vec<(&str, Vec<u8>)>| mark(u16::try_from(first + all.len()).unwrap());
    for from in [theirs, local(1), local(7), strange, Ipv6Addr::UNSPECIFIED, Ipv6Addr::LOCALHOST] {
        for to in [theirs, outside, group(1), local(1), HOST6.parse().unwrap()] {
            let packet = udp6((from, port), (to, port), &mark(&all));
            all.push(("a false source of IPv6", frame(a.mac, a.host_mac, 0x86dd, &packet)));
        }
    }
    for from in [mine, theirs, local(1), local(7), Ipv6Addr::UNSPECIFIED] {
        for to in [theirs, group(1), group(2), outside] {
            for kind in [133, 134, 135, 136, 137] {
                let body = [&[kind, 0, 0, 0, 0xa0, 0, 0, 0][..], &theirs.octets(), &mark(&all)].concat();
                let packet = ip6(58, 2, from, to, body);
                for_all(&mut all, a, v, "talk of neighbours and routers", &packet);
            }
            let packet = udp6((from, 547), (to, 546), &mark(&all));
            for_all(&mut all, a, v, "DHCP of IPv6", &packet);
        }
    }
    for to in [HOST6.parse().unwrap(), local(1)] {
        let packet = udp6((mine, 997), (to, port), &mark(&all));
        all.push(("a port of the host by IPv6", frame(a.mac, a.host_mac, 0x86dd, &packet)));
    }
    all
}

/// To the host, and to everybody who would listen.
fn for_all(all: &mut Vec<(&'static str, Vec<u8>)>, a: &Party, v: &Party, what: &'static str, packet: &[u8]) {
    for to in [a.host_mac, EVERYBODY, v.mac] {
        all.push((what, frame(a.mac, to, 0x86dd, packet)));
    }
}

/// One end of the attack.
struct Party {
    address: Ipv4Addr,
    mac: Mac,
    /// Of the host's side of its interface.
    host_mac: Mac,
    wire: Wire,
}

fn mac(text: &str) -> Mac {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

impl Party {
    fn of(world: &World, spec: &VpsSpec) -> Self {
        let link = sh(&format!("ip -o link show {}{}", world.config.iface_prefix, spec.id));
        let host_mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
        let pid = u32::try_from(world.pid(spec.id)).unwrap();
        Self {
            address: spec.net.ipv4.unwrap(),
            mac: mac(&spec.net.mac),
            host_mac: mac(host_mac),
            wire: Wire::open(pid, "eth0"),
        }
    }
}

/// What is forged: the frames, each with what it is.
fn forged(a: &Party, v: &Party, port: u16) -> Vec<(&'static str, Vec<u8>)> {
    let outside: Ipv4Addr = ADDRESS.parse().unwrap();
    let strange = Ipv4Addr::new(203, 0, 113, 9);
    let mut all: Vec<(&str, Vec<u8>)> = Vec::new();
    let next = |all: &Vec<(&str, Vec<u8>)>| mark(u16::try_from(all.len()).unwrap());
    macro_rules! add {
        ($what:expr, $kind:expr, $to:expr, |$mark:ident| $payload:expr) => {{
            let $mark = next(&all);
            all.push(($what, frame(a.mac, $to, $kind, &$payload)));
        }};
    }
    for from in [v.address, GATEWAY, HOST, strange, METADATA, Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        for to in [v.address, outside, HOST, GATEWAY] {
            add!("a false source by UDP", 0x0800, a.host_mac, |m| udp((from, port), (to, port), &m));
            add!("a false source by TCP", 0x0800, a.host_mac, |m| syn((from, 999), (to, port), &m));
        }
        add!("a false source, as somebody else asking for metadata", 0x0800, a.host_mac, |m| syn(
            (from, 998),
            (METADATA, 80),
            &m
        ));
    }
    for to in [EVERYBODY, a.host_mac, v.mac, v.host_mac] {
        for owned in [v.address, GATEWAY, HOST, outside] {
            for operation in [1, 2] {
                add!("ARP for another's address", 0x0806, to, |m| arp(
                    operation,
                    (a.mac, owned),
                    (v.mac, v.address),
                    &m
                ));
                add!("ARP to the gateway for another", 0x0806, to, |m| arp(
                    operation,
                    (a.mac, owned),
                    (a.host_mac, GATEWAY),
                    &m
                ));
                add!("gratuitous ARP", 0x0806, to, |m| arp(
                    operation,
                    (a.mac, owned),
                    (EVERYBODY, owned),
                    &m
                ));
            }
        }
        add!("a neighbour advertisement", 0x86dd, to, |m| icmp6(
            136,
            &[&[0xa0, 0, 0, 0][..], &[0xfe; 16], &m].concat()
        ));
        add!("a router advertisement", 0x86dd, to, |m| icmp6(
            134,
            &[&[64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0][..], &m].concat()
        ));
        add!("a DHCP offer", 0x0800, to, |m| udp((GATEWAY, 67), (Ipv4Addr::BROADCAST, 68), &m));
        add!("a DHCP offer from its own address", 0x0800, to, |m| udp(
            (a.address, 67),
            (Ipv4Addr::BROADCAST, 68),
            &m
        ));
        add!("a DHCP request", 0x0800, to, |m| udp(
            (Ipv4Addr::UNSPECIFIED, 68),
            (Ipv4Addr::BROADCAST, 67),
            &m
        ));
        for tag in [1_u16, 100] {
            add!("a VLAN tag", 0x8100, to, |m| [
                &tag.to_be_bytes()[..],
                &[8, 0],
                &udp((a.address, port), (v.address, port), &m)
            ]
            .concat());
            add!("two VLAN tags", 0x88a8, to, |m| [
                &tag.to_be_bytes()[..],
                &[0x81, 0],
                &tag.to_be_bytes(),
                &[8, 0],
                &udp((a.address, port), (v.address, port), &m)
            ]
            .concat());
        }
    }
    for to in [HOST, GATEWAY] {
        for vxlan in [4789, 8472] {
            add!("VXLAN to the host", 0x0800, a.host_mac, |m| {
                let inner = frame(a.mac, v.mac, 0x0800, &udp((a.address, port), (v.address, port), &m));
                udp((a.address, 50_000), (to, vxlan), &[&[8, 0, 0, 0, 0, 0, 1, 0][..], &inner].concat())
            });
        }
        add!("a port of the host by UDP", 0x0800, a.host_mac, |m| udp((a.address, 997), (to, port), &m));
        add!("a port of the host by TCP", 0x0800, a.host_mac, |m| syn((a.address, 996), (to, port), &m));
    }
    for to in [Ipv4Addr::BROADCAST, Ipv4Addr::new(10, 77, 255, 255), Ipv4Addr::new(224, 0, 0, 1)] {
        add!("to everybody", 0x0800, EVERYBODY, |m| udp((a.address, port), (to, port), &m));
    }
    add!("another service of link-local addresses", 0x0800, a.host_mac, |m| udp(
        (a.address, port),
        (METADATA, 53),
        &m
    ));
    add!("the neighbour past the host", 0x0800, v.host_mac, |m| udp(
        (a.address, port),
        (v.address, port),
        &m
    ));
    add!("the neighbour by its own address", 0x0800, v.mac, |m| udp(
        (a.address, port),
        (v.address, port),
        &m
    ));
    all
}

#[test]
fn forged_packets_reach_nobody() {
    world::run(async |world| {
        let image = template(world, STAYS, |_| {});
        let (mut attacker, mut victim) = (world.spec(&image), world.spec(&image));
        for (n, spec) in [(1, &mut attacker), (2, &mut victim)] {
            spec.net.ipv6 = Some(Ipv6Net::new(six(n), 64).unwrap().trunc());
        }
        for spec in [&attacker, &victim] {
            world.host.create_disk(spec).await.unwrap();
            world.host.start(spec).await.unwrap();
        }
        // as an agent's or the host's own, at every address
        let tcp = TcpListener::bind("0.0.0.0:0").unwrap();
        tcp.set_nonblocking(true).unwrap();
        let port = tcp.local_addr().unwrap().port();
        let datagrams = UdpSocket::bind(("::", port)).unwrap(); // of either family
        datagrams.set_nonblocking(true).unwrap();
        let (a, v) = (Party::of(world, &attacker), Party::of(world, &victim));
        let outside = Wire::open(world.outside.pid(), "up0");
        sh(&format!("ping -c1 -W5 {}", v.address));

        let mut forged = forged(&a, &v, port);
        forged.extend(forged6(&a, &v, port, forged.len()));
        assert!(forged.len() > 500, "{}", forged.len());
        for (_, frame) in &forged {
            a.wire.send(frame);
        }
        // honest ones, the first under another's MAC address
        let honest = |n: u16, from: Mac, to| {
            a.wire.send(&frame(from, a.host_mac, 0x0800, &udp((a.address, 5000 + n), (to, 4000), &mark(n))));
        };
        honest(HONEST[0], v.mac, v.address);
        honest(HONEST[1], a.mac, v.address);
        honest(HONEST[0], v.mac, ADDRESS.parse().unwrap());
        honest(HONEST[1], a.mac, ADDRESS.parse().unwrap());
        for (where_to, wire, hop) in
            [("the neighbour", &v.wire, Some(v.host_mac)), ("outside", &outside, None)]
        {
            let arrived = wire.until(HONEST[1]);
            let forged: Vec<&str> = arrived
                .iter()
                .filter_map(|(mark, _)| forged.get(usize::from(*mark)))
                .map(|(what, _)| *what)
                .collect();
            assert_eq!(forged, Vec::<&str>::new(), "reached {where_to}");
            let marks: Vec<u16> = arrived.iter().map(|(mark, _)| *mark).collect();
            assert_eq!(marks, HONEST, "{where_to}");
            // the sender's MAC address ends at the host
            for (_, frame) in &arrived {
                assert!(hop.is_none_or(|hop| frame[6..12] == hop), "{frame:?}");
                assert!(frame[6..12] != a.mac && frame[6..12] != v.mac);
            }
        }
        assert!(tcp.accept().is_err(), "a connection to a port of the host");
        assert!(datagrams.recv(&mut [0; 2048]).is_err(), "a datagram to a port of the host");
        for (party, spec) in [(&a, &attacker), (&v, &victim)] {
            let known = sh(&format!("ip -4 neigh show dev {}{}", world.config.iface_prefix, spec.id));
            for line in known.lines().filter(|line| line.contains("lladdr")) {
                let right = format!("{} lladdr {} ", party.address, spec.net.mac);
                assert!(line.starts_with(&right), "the host was told a lie: {line}");
            }
        }
        // nothing of the victim's comes to the attacker, by whatever it said of addresses
        sh(&format!("ping -c2 -i0.2 -W5 -p {} {}", hex::encode(b"only-for-victim!"), v.address));
        a.wire.send(&frame(
            a.mac,
            a.host_mac,
            0x0800,
            &udp((a.address, 5000), (a.address, 4000), &mark(902)),
        ));
        setsockopt(&a.wire.0, sockopt::ReceiveTimeout, &TimeVal::new(1, 0)).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = recv(a.wire.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let seen = &buffer[..length];
            assert!(!seen.windows(16).any(|part| part == b"only-for-victim!"), "{seen:?}");
            let answers = seen[12..14] == [8, 0] && seen[6..12] != a.mac && seen[26..30] == METADATA.octets();
            assert!(!answers, "metadata for somebody else: {seen:?}");
        }
        // and both live on
        for spec in [&attacker, &victim] {
            assert!(alive(world, spec.id).await);
        }
    });
}

async fn alive(world: &World, id: VpsId) -> bool {
    world.host.find(id).await.guest.is_some()
}
