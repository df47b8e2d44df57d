//! In network namespaces, with frames of all kinds from a packet socket.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use berth_proto::Guard;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::*;
use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

/// The own addresses of two guests.
const OWN: [&str; 2] = ["2001:db8:0:1::1", "2001:db8:0:2::1"];

fn with_prefix(n: u16) -> NetSpec {
    let v4 = Ipv4Addr::new(10, 9, 0, u8::try_from(n).unwrap() + 1);
    let prefix = format!("2001:db8:0:{n}::/64").parse().unwrap();
    NetSpec { ipv6: Some(prefix), ..spec(v4, &format!("02:00:00:00:00:0{n}")) }
}

/// Two guests with IPv6.
async fn two(net: &Net) -> (Guest, Guest) {
    let (a, b) = (Guest::start(), Guest::start());
    net.attach(VpsId(1), a.pid(), &with_prefix(1)).await.unwrap();
    net.attach(VpsId(2), b.pid(), &with_prefix(2)).await.unwrap();
    (a, b)
}

fn ping(from: &Guest, to: &str) -> bool {
    from.sh(&format!("ping -6 -c1 -W2 {to} >/dev/null"))
}

/// Whether it does so soon: an interface that has just come up asks no neighbours yet.
fn reaches(from: &Guest, to: &str) -> bool {
    from.sh(&format!("for n in $(seq 60); do ping -6 -c1 -W1 {to} >/dev/null && exit 0; done; exit 1"))
}

/// Whether a guest receives an echo request while this happens.
fn hears_of(guest: &Guest, what: impl FnOnce() -> bool) -> bool {
    let path = format!("/proc/{}/net/snmp6", guest.pid());
    let count = || {
        let table = std::fs::read_to_string(&path).unwrap();
        table.lines().find(|line| line.starts_with("Icmp6InEchos")).unwrap().to_owned()
    };
    let before = count();
    what();
    count() != before
}

/// Pings by an address that it gives itself first; in vain, where a test expects that.
fn forged(from: &Guest, address: &str, to: &str) -> bool {
    from.sh(&format!("ip -6 addr add {address}/128 dev eth0 nodad"));
    let got = from.sh(&format!("ping -6 -c1 -W1 -I {address} {to} >/dev/null"));
    assert!(from.sh(&format!("ip -6 addr del {address}/128 dev eth0")));
    got
}

#[test]
fn the_first_address_is_the_guests_own() {
    let own = |prefix: &str| own_ipv6(prefix.parse().unwrap()).to_string();
    assert_eq!(own("2001:db8:0:7::/64"), "2001:db8:0:7::1/64");
    assert_eq!(own("2001:db8:0:7::9/64"), "2001:db8:0:7::1/64");
}

#[test]
fn guests_reach_each_other_and_the_host_but_not_by_a_false_address() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let (a, b) = two(&net).await;
        net.attach(VpsId(2), b.pid(), &with_prefix(2)).await.unwrap(); // again: the same
        assert!(ping(&a, OWN[1]) && ping(&b, OWN[0]));
        assert!(sh(&format!("ping -6 -c1 -W2 {}", OWN[0])).contains("1 received"));
        assert!(a.sh(&format!("ping -6 -c1 -W2 -I {} fe80::1%eth0 >/dev/null", OWN[0])));
        // all of the /64 is the guest's
        assert!(b.sh("ip -6 addr add 2001:db8:0:2:ab::cd/128 dev eth0 nodad"));
        assert!(ping(&a, "2001:db8:0:2:ab::cd"));
        let known = sh("ip -6 neigh show dev bt2");
        assert_eq!(known.trim(), "fe80::2 lladdr 02:00:00:00:00:02 PERMANENT", "nobody was asked");
        for address in ["2001:db8:0:9::1", OWN[1], "fe80::77", "2001:db8:0:2::5"] {
            assert!(!hears_of(&b, || forged(&a, address, OWN[1])), "{address}");
            assert!(!forged(&a, address, "fe80::1%eth0"), "{address}");
        }
        // a table made anew, as by an agent that was restarted
        net.configure(&[]).await.unwrap();
        assert!(hears_of(&b, || ping(&a, OWN[1])));
        // no port of the host
        let listener = std::net::TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!a.sh(&format!("timeout 1 bash -c 'exec 3<>/dev/tcp/fe80::1%eth0/{port}' 2>/dev/null")));

        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
        assert_eq!(sh("ip -6 route show 2001:db8::/32"), "");
        net.remove_support().await.unwrap();
    });
}

#[test]
fn who_has_no_prefix_has_no_ipv6() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let guest = Guest::start();
        net.attach(VpsId(1), guest.pid(), &NetSpec { ipv6: None, ..with_prefix(1) }).await.unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv6/conf/bt1/disable_ipv6"), "1\n");
        assert!(guest.sh("ip link set eth0 up; ip -6 addr add 2001:db8:0:1::1/64 dev eth0 nodad"));
        assert!(guest.sh("ip -6 route add default via fe80::1 dev eth0"));
        assert!(!ping(&guest, "-I 2001:db8:0:1::1 fe80::1%eth0"));
        net.detach(VpsId(1)).await.unwrap();
    });
}

/// Behind a firewall that lets nothing in, a guest that has lost all that it was given finds its gateway again.
#[test]
fn a_guest_that_forgets_its_gateway_may_ask() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let (a, _b) = two(&net).await;
        net.firewall(VpsId(1), Some(&berth_proto::Firewall::default())).await.unwrap();
        assert!(a.sh("ip -6 neigh show dev eth0 | grep -q 'fe80::1 lladdr .* PERMANENT'"));
        assert!(ping(&a, OWN[1]));
        assert!(a.sh("ip link set eth0 down && ip link set eth0 up"));
        assert!(a.sh("ip -6 addr replace 2001:db8:0:1::1/64 dev eth0 nodad"));
        assert!(a.sh("ip -6 route replace default via fe80::1 dev eth0"));
        assert!(!a.sh("ip -6 neigh show dev eth0 | grep -q PERMANENT"));
        assert!(ping(&a, OWN[1]));
        assert!(a.sh("ip -6 neigh show dev eth0 | grep -q 'fe80::1 lladdr .* router'"));
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
    });
}

#[test]
fn isolation_blocked_ports_and_counting_know_ipv6() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let (a, b) = two(&net).await;
        let count = async |id| {
            let all = net.traffic().await.unwrap();
            let found = all.iter().find(|(of, _)| *of == VpsId(id)).unwrap().1.clone();
            (found.in_packets, found.in_bytes, found.out_packets, found.out_bytes)
        };
        assert!(a.sh(&format!("ping -6 -q -c3 -i0.01 -s100 -W2 {} >/dev/null", OWN[1])));
        let bytes = 3 * (100 + 8 + 40);
        assert_eq!(count(1).await, (3, bytes, 3, bytes));
        assert_eq!(count(2).await, (3, bytes, 3, bytes));

        net.guard(VpsId(1), &Guard { isolated: true, ..Guard::default() }).await.unwrap();
        assert!(!ping(&a, OWN[1]) && !ping(&b, OWN[0]));
        assert_eq!(count(1).await, (3, bytes, 3, bytes));
        let blocked = berth_proto::BlockedPort { protocol: berth_proto::FirewallProtocol::Tcp, port: 25 };
        net.guard(VpsId(1), &Guard { isolated: false, blocked_ports: vec![blocked] }).await.unwrap();
        assert!(ping(&a, OWN[1]));
        let connects = |port: u16| {
            // refused at once by the other guest, or heard of no more
            let connect = format!("exec 3<>/dev/tcp/{}/{port}", OWN[1]);
            a.sh(&format!("timeout 2 bash -c '{connect}' 2>/dev/null; test $? -ne 124"))
        };
        assert!(connects(26) && !connects(25));
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
    });
}

/// An interface of a guest, for whole frames.
struct Wire {
    socket: OwnedFd,
    /// Of the host's side.
    host: Vec<u8>,
}

impl Wire {
    fn open(guest: &Guest, host: &str) -> Self {
        let pid = guest.pid();
        let link = sh(&format!("ip -o link show {host}"));
        let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
        let host = parse_mac(mac).unwrap();
        // a thread of its own, which takes its namespace with it
        let open = move || {
            let ns = std::fs::File::open(format!("/proc/{pid}/ns/net")).unwrap();
            setns(ns, CloneFlags::CLONE_NEWNET).unwrap();
            let (family, kind, flags) = (AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC);
            let wire = socket(family, kind, flags, SockProtocol::EthAll).unwrap();
            let mut all = nix::ifaddrs::getifaddrs().unwrap().filter(|one| one.interface_name == "eth0");
            let address = all.find_map(|one| one.address?.as_link_addr().copied()).unwrap();
            bind(wire.as_raw_fd(), &address).unwrap();
            setsockopt(&wire, sockopt::ReceiveTimeout, &TimeVal::new(20, 0)).unwrap();
            Self { socket: wire, host }
        };
        std::thread::spawn(open).join().unwrap()
    }

    /// To the host.
    fn send(&self, packet: &[u8]) {
        let frame = [&self.host[..], &[2, 0, 0, 0, 0, 1, 0x86, 0xdd], packet].concat();
        send(self.socket.as_raw_fd(), &frame, MsgFlags::empty()).unwrap();
    }

    /// The marks that arrive up to `last`.
    fn until(&self, last: u8) -> Vec<u8> {
        let (mut seen, mut buffer) = (Vec::new(), [0; 2048]);
        loop {
            let length = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty())
                .expect("the honest one arrives");
            let Some(at) = buffer[..length].windows(MARK.len()).position(|part| part == MARK) else {
                continue;
            };
            seen.push(buffer[at + MARK.len()]);
            if seen.last() == Some(&last) {
                return seen;
            }
        }
    }
}

/// What is followed by a number in packets of these tests.
const MARK: &[u8] = b"berth-six-";

fn address(text: &str) -> [u8; 16] {
    text.parse::<Ipv6Addr>().unwrap().octets()
}

/// A packet with the checksum of its ICMPv6 message or UDP datagram, at this place of the body.
fn packet(next: u8, place: usize, (from, to): (&str, &str), mut body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    let pseudo = [&address(from)[..], &address(to), &[0, 0], &length, &[0, 0, 0, next], &body].concat();
    let pairs =
        pseudo.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)])));
    let sum: u32 = pairs.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    body[place..place + 2].copy_from_slice(&sum.to_be_bytes());
    [&[0x60, 0, 0, 0, length[0], length[1], next, 255][..], &address(from), &address(to), &body].concat()
}

fn icmp(kind: u8, way: (&str, &str), body: &[u8]) -> Vec<u8> {
    packet(58, 2, way, [&[kind, 0, 0, 0][..], body].concat())
}

fn udp(ports: (u16, u16), way: (&str, &str), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    packet(
        17,
        6,
        way,
        [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &length, &[0, 0], payload].concat(),
    )
}

#[test]
fn the_talk_among_neighbours_reaches_nobody() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let (a, b) = two(&net).await;
        let (wire, victim) = (Wire::open(&a, "bt1"), Wire::open(&b, "bt2"));
        let marked = |n: usize| [MARK, &[u8::try_from(n).unwrap()]].concat();
        let mut sent = 0;
        for from in ["fe80::1", "fe80::ff:fe00:1", OWN[0], OWN[1], "::", "2001:db8:0:9::1"] {
            for to in
                ["ff02::1", "ff02::2", "ff02::1:ff00:1", OWN[1], "fe80::1", "fe80::ff:fe00:2", "ff02::1:2"]
            {
                // solicitations, advertisements, redirects of routers and neighbours, and listeners' reports
                for kind in [133, 134, 135, 136, 137, 143] {
                    let target = [&[0; 4][..], &address(OWN[1]), &marked(sent)].concat();
                    wire.send(&icmp(kind, (from, to), &target));
                    sent += 1;
                }
                wire.send(&udp((547, 546), (from, to), &marked(sent)));
                sent += 1;
                sent %= 240;
            }
        }
        wire.send(&udp((5000, 5000), (OWN[0], OWN[1]), &marked(250)));
        assert_eq!(victim.until(250), [250], "only the honest one");
        let mine = sh("ip -6 neigh show dev bt1 nud permanent");
        assert_eq!(mine.trim(), "fe80::2 lladdr 02:00:00:00:00:01 PERMANENT");
        assert!(ping(&a, OWN[1]) && ping(&b, OWN[0]), "nobody believes a word of it");
        assert!(!sh("ip -6 route").contains("dev bt1 proto ra"));
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
    });
}

#[test]
fn no_table_is_filled_by_questions_or_scans() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let (a, b) = two(&net).await;
        let wire = Wire::open(&a, "bt1");
        for n in 0..3000 {
            let from = if n % 2 == 0 { format!("fe80::{n:x}:1") } else { format!("2001:db8:0:1::{n:x}:1") };
            let source = [1, 1, 2, 0, 0, 0, 0, 1];
            let question = [&[0; 4][..], &address("fe80::1"), &source].concat();
            wire.send(&icmp(135, (&from, "ff02::1:ff00:1"), &question));
            wire.send(&udp((5000, 5000), (OWN[0], &format!("2001:db8:0:2::{n:x}:9")), b"is anybody there"));
        }
        assert!(ping(&a, OWN[1]) && ping(&b, OWN[0]));
        let known = sh("ip -6 neigh show nud all").lines().filter(|line| line.contains("dev bt")).count();
        assert!(known < 60, "{known} neighbours");
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
    });
}

/// A namespace behind an interface of the host with IPv6 of its own.
fn beyond(interface: &str, net: &str) -> Guest {
    let outside = Guest::start();
    sh(&format!(
        "ip link add {interface} type veth peer name eth0 netns {}; ip link set {interface} up; \
         ip -6 addr add {net}::1/64 dev {interface} nodad",
        outside.pid()
    ));
    assert!(outside.sh(&format!(
        "ip link set eth0 up; ip -6 addr add {net}::2/64 dev eth0 nodad; ip -6 route add default via {net}::1"
    )));
    outside
}

#[test]
fn the_machine_forwards_for_guests_only_and_is_set_back() {
    in_namespace(|_, run_dir| async move {
        let (x, y) = (beyond("up0", "2001:db8:a"), beyond("other0", "2001:db8:b"));
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.configure(&[]).await.unwrap();
        let read = |what: &str| sh(&format!("cat /proc/sys/net/ipv6/conf/{what}")).trim().to_owned();
        let before = || ["all/forwarding", "default/forwarding", "up0/accept_ra", "up0/forwarding"].map(read);
        let was = before();
        assert_eq!(was, ["0", "0", "1", "0"]);

        let (a, _b) = two(&net).await;
        assert!(reaches(&a, "2001:db8:a::2") && reaches(&x, OWN[0]));
        assert!(y.sh("ping -6 -c1 -W9 2001:db8:b::1 >/dev/null"), "it is there");
        assert!(!ping(&x, "2001:db8:b::2") && !ping(&y, "2001:db8:a::2"));
        if sysctl::exists("ipv6/conf/all/force_forwarding") {
            assert_eq!(before(), was, "nothing but single interfaces");
            assert!(!ping(&y, OWN[0]), "only the uplink forwards");
            assert_eq!(read("up0/force_forwarding"), "1");
        }
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
        net.remove_support().await.unwrap();
        assert_eq!(before(), was);
    });
}

#[test]
fn an_older_kernels_switch_is_fenced_in() {
    in_namespace(|_, run_dir| async move {
        let (x, y) = (beyond("up0", "2001:db8:a"), beyond("other0", "2001:db8:b"));
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.configure(&[]).await.unwrap();
        net.forward_all6().await.unwrap();
        net.forward_all6().await.unwrap();
        let (a, _b) = two(&net).await;
        assert_eq!(sh("cat /proc/sys/net/ipv6/conf/all/forwarding"), "1\n");
        assert_eq!(sh("cat /proc/sys/net/ipv6/conf/up0/accept_ra"), "2\n", "it goes on learning routes");
        for agent in 0..2 {
            assert!(reaches(&a, "2001:db8:a::2") && reaches(&x, OWN[0]), "{agent}");
            assert!(y.sh("ping -6 -c1 -W9 2001:db8:b::1 >/dev/null"), "it is there");
            assert!(!ping(&x, "2001:db8:b::2") && !ping(&y, "2001:db8:a::2"), "{agent}");
            sh("nft flush ruleset");
            net.configure(&[]).await.unwrap(); // an agent that was restarted and finds nothing
        }
        for id in [VpsId(1), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
        net.remove_support().await.unwrap();
        let read = |what: &str| sh(&format!("cat /proc/sys/net/ipv6/conf/{what}"));
        assert_eq!(
            read("all/forwarding") + &read("default/forwarding") + &read("up0/accept_ra"),
            "0\n0\n1\n"
        );
        assert!(!ping(&x, "2001:db8:b::2"));
    });
}
