//! Private networks in a namespace of the test's own, with processes for guests and a hand-made router for another host.

use std::net::Ipv4Addr;

use berth_proto::{
    Firewall, FirewallProtocol, FirewallRule, Guard, Hits, NetworkPeer, NetworkRoute, router_mac,
};
use nix::mount::{MsFlags, mount};

use super::*;
use crate::linux::net::Net;
use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

const BLUE: (i64, u32) = (1, 2_000_001);
const RED: (i64, u32) = (2, 2_000_002);
const HERE: &str = "192.0.2.1";
const THERE: &str = "192.0.2.2";

/// Runs a test as a host whose mounts are its own too, so that nothing is left whatever happens.
pub(in crate::linux::net) fn on_a_host<F: Future<Output = ()>>(test: impl FnOnce(Net, PathBuf) -> F) {
    if nix::unistd::geteuid().is_root() {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    }
    in_namespace(|net, run_dir| async move {
        sh(
            "ip link add up0 type veth peer name up1 && ip link set up0 up && ip addr add 192.0.2.1/24 dev up0",
        );
        let net = net.among_hosts(HERE.parse().ok(), 4789);
        net.ensure().await.unwrap();
        test(net, run_dir).await;
    });
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nic((network, vni): (i64, u32), last: u8) -> PrivateNic {
    PrivateNic {
        network: NetworkId(network),
        vni,
        mac: format!("02:00:00:00:0{network}:{last:02x}"),
        ip: ip(&format!("10.0.0.{last}")),
        aliases: Vec::new(),
        gateway: ip("10.0.0.1"),
        range: "10.0.0.0/16".parse().unwrap(),
        routes: Vec::new(),
    }
}

async fn apply(net: &Net, id: i64, guest: &Guest, nics: &[PrivateNic]) {
    let wanted = NetSpec { private: nics.to_vec(), ..spec(Ipv4Addr::UNSPECIFIED, "02:00:00:00:00:01") };
    net.private.apply(VpsId(id), &inside(guest), &wanted).await.unwrap();
}

async fn guest(net: &Net, id: i64, nic: &PrivateNic) -> Guest {
    let guest = Guest::start();
    apply(net, id, &guest, std::slice::from_ref(nic)).await;
    guest
}

fn inside(guest: &Guest) -> Netns {
    Netns::of_process(guest.pid()).unwrap()
}

fn reaches(from: &Guest, to: &str) -> bool {
    from.sh(&format!("ping -c1 -W2 {to} >/dev/null 2>&1"))
}

fn cannot_reach(from: &Guest, what: &str) -> bool {
    !from.sh(&format!("ping -c2 -i0.2 -W1 {what} >/dev/null 2>&1"))
}

/// Packets that a guest's interface has received.
fn received(guest: &Guest) -> u64 {
    // /proc/net is that of whoever reads it, wherever it was mounted
    let table = sh(&format!("nsenter -t {} -n cat /proc/thread-self/net/dev", guest.pid()));
    let line = table.lines().find(|line| line.trim().starts_with("eth1:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

#[test]
fn networks_with_the_same_addresses_never_meet() {
    on_a_host(|net, run_dir| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        let theirs = guest(&net, 3, &nic(RED, 3)).await;
        assert!(reaches(&a, "10.0.0.3") && reaches(&b, "10.0.0.2") && reaches(&a, "10.0.0.1"));
        let before = (received(&b), received(&theirs));
        assert!(a.sh("ping -c20 -i0.01 -q 10.0.0.3 >/dev/null"));
        assert!(received(&b) >= before.0 + 20);
        assert_eq!(received(&theirs), before.1, "not one packet");
        assert!(cannot_reach(&theirs, "10.0.0.2"), "nobody has that address there");
        assert!(a.sh("ip -4 route get 10.0.9.9 | grep -q 'via 10.0.0.1 dev eth1'"));
        assert!(a.sh("ip link show eth1 | grep -q 'mtu 1450'"));

        assert_eq!(net.list(), [VpsId(1), VpsId(2), VpsId(3)]);
        // another agent finds what there is, and makes nothing anew
        let again =
            Net::open("bt", "berth_test", &run_dir, None).unwrap().among_hosts(HERE.parse().ok(), 4789);
        again.ensure().await.unwrap();
        assert!(!again.private.differs(VpsId(1), &[nic(BLUE, 2)]));
        assert!(Netns::kept_at(&run_dir.join("networks/1/ns")).is_some());
        apply(&again, 1, &a, &[nic(BLUE, 2)]).await;
        assert!(reaches(&a, "10.0.0.3"));
        again.detach(VpsId(2)).await.unwrap();
        assert!(cannot_reach(&a, "10.0.0.3"));
        assert!(!b.sh("ip link show eth1 2>/dev/null"), "it is gone from the guest");
        for id in [1, 3, 3] {
            again.detach(VpsId(id)).await.unwrap();
        }
        assert_eq!(again.list(), []);
        again.remove_support().await.unwrap();
        assert_eq!(sh("nft list tables"), "");
        assert!(!run_dir.join("networks").exists(), "no router is left");
        assert!(!sh("cat /proc/self/mountinfo").contains(run_dir.to_str().unwrap()));
    });
}

/// Puts a frame on the wire as it is.
fn send_frame(guest: &Guest, frame: &[u8]) {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(guest.sh(&format!(
        "python3 -c 'import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((\"eth1\", 0)); \
         s.send(bytes.fromhex(\"{hex}\"))'"
    )));
}

/// From the guest with the address 10.0.0.2: ARP that says it has its neighbour's address and the gateway's; a packet to
/// its neighbour with a VLAN tag, and as a broadcast; a router advertisement; an answer of DHCP to its neighbour.
fn hostile_frames() -> Vec<Vec<u8>> {
    let (everybody, own) = ([0xff; 6], [2, 0, 0, 0, 1, 2]);
    let arp = |about: [u8; 4], to: [u8; 6], what: u8| {
        let head = [0, 1, 8, 0, 6, 4, 0, what];
        [&to[..], &own, &[8, 6], &head, &own, &about, &to, &about].concat()
    };
    let ip = |to: [u8; 4], protocol: u8, payload: &[u8]| {
        let length = u8::try_from(20 + payload.len()).unwrap();
        let mut head =
            [0x45, 0, 0, length, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, to[0], to[1], to[2], to[3]];
        let sum: u32 = head.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        [&head[..], payload].concat()
    };
    let echo = [8, 0, 0xf7, 0xfe, 0, 0, 0, 1];
    let offer = [0, 67, 0, 68, 0, 16, 0, 0, 2, 1, 6, 0, 0, 0, 0, 0];
    let mut advertisement = vec![0x60, 0, 0, 0, 0, 16, 58, 255];
    advertisement.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    advertisement.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    advertisement.extend([134, 0, 0x76, 0x2a, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    let frame = |to: [u8; 6], kind: &[u8], payload: &[u8]| [&to[..], &own, kind, payload].concat();
    let neighbour = [2, 0, 0, 0, 1, 3];
    vec![
        arp([10, 0, 0, 4], everybody, 1),
        arp([10, 0, 0, 4], everybody, 2),
        arp([10, 0, 0, 1], everybody, 2),
        arp([10, 0, 0, 4], neighbour, 2),
        frame(neighbour, &[8, 0], &ip([10, 0, 0, 3], 1, &echo)),
        frame(everybody, &[0x81, 0, 0, 7, 8, 0], &ip([10, 0, 0, 3], 1, &echo)),
        frame(everybody, &[8, 0], &ip([255, 255, 255, 255], 17, &offer)),
        frame(everybody, &[8, 0], &ip([10, 0, 0, 3], 17, &offer)),
        frame([0x33, 0x33, 0, 0, 0, 1], &[0x86, 0xdd], &advertisement),
    ]
}

#[test]
fn nobody_sends_as_somebody_else() {
    on_a_host(|net, _| async move {
        let a = guest(&net, 1, &PrivateNic { aliases: vec![ip("10.0.0.50")], ..nic(BLUE, 2) }).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        let c = guest(&net, 3, &nic(BLUE, 4)).await;
        // its own alias, once it has configured it, in both directions
        assert!(a.sh("ip addr add 10.0.0.50/32 dev eth1"));
        assert!(a.sh("ping -c1 -W2 -I 10.0.0.50 10.0.0.3 >/dev/null"));
        assert!(reaches(&b, "10.0.0.50"));
        let quiet = received(&b);
        // an address of nobody, of its neighbour, of the world outside, and the gateway's
        for forged in ["10.0.0.77", "10.0.0.4", "192.0.2.77", "10.0.0.1"] {
            assert!(a.sh(&format!("ip addr add {forged}/32 dev eth1")));
            assert!(cannot_reach(&a, &format!("-I {forged} 10.0.0.3")), "{forged}");
            assert!(a.sh(&format!("ip addr del {forged}/32 dev eth1")));
        }
        assert_eq!(received(&b), quiet, "nothing forged came through");
        // another MAC address
        assert!(a.sh("ip link set eth1 address 02:00:00:00:01:04"));
        assert!(cannot_reach(&a, "10.0.0.3"));
        assert_eq!(received(&b), quiet);
        assert!(a.sh("ip link set eth1 address 02:00:00:00:01:02"));
        assert!(a.sh("ip route replace 10.0.0.1 dev eth1 && ip route replace 10.0.0.0/16 via 10.0.0.1"));
        assert!(reaches(&a, "10.0.0.3"));
        // ARP about others, to the gateway and to all: nobody believes it, and only the gateway hears it
        let quiet = (received(&b), received(&c));
        for frame in hostile_frames() {
            send_frame(&a, &frame);
        }
        assert_eq!((received(&b), received(&c)), quiet, "nothing of that came to anybody");
        assert!(reaches(&b, "10.0.0.4") && reaches(&c, "10.0.0.3"), "and all goes on");
        for id in 1..=3 {
            net.detach(VpsId(id)).await.unwrap();
        }
    });
}

#[test]
fn what_changes_is_changed_under_a_running_guest() {
    on_a_host(|net, _| async move {
        let mut mine = nic(BLUE, 2);
        let a = guest(&net, 1, &mine).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        assert!(a.sh("ip addr add 10.0.0.50/32 dev eth1"));
        assert!(cannot_reach(&b, "10.0.0.50"));
        mine.aliases.push(ip("10.0.0.50"));
        mine.range = "10.0.0.0/8".parse().unwrap();
        mine.routes = vec!["192.168.7.0/24".parse().unwrap()];
        assert!(net.private.differs(VpsId(1), std::slice::from_ref(&mine)));
        apply(&net, 1, &a, std::slice::from_ref(&mine)).await;
        assert!(reaches(&b, "10.0.0.50"));
        assert!(
            a.sh("ip route get 10.200.0.1 | grep -q 10.0.0.1 && ip route get 192.168.7.1 | grep -q 10.0.0.1")
        );

        // what lies behind a member
        assert!(a.sh("ip addr add 192.168.7.1/32 dev lo && ip link set lo up"));
        assert!(b.sh("ip route add 192.168.7.0/24 via 10.0.0.1"));
        assert!(cannot_reach(&b, "192.168.7.1"));
        let route = NetworkRoute { destination: "192.168.7.0/24".parse().unwrap(), gateway: mine.ip };
        let network = |routes: Vec<NetworkRoute>| HostNetworks {
            version: "1".into(),
            networks: vec![NetworkSpec { id: NetworkId(BLUE.0), vni: BLUE.1, routes, peers: Vec::new() }],
            encrypt: false,
        };
        net.private.set(&network(vec![route])).await.unwrap();
        assert!(reaches(&b, "192.168.7.1"));
        net.private.set(&network(Vec::new())).await.unwrap();
        assert!(cannot_reach(&b, "192.168.7.1"));

        // one more network while it runs, and none
        let second = PrivateNic {
            ip: ip("10.9.0.2"),
            gateway: ip("10.9.0.1"),
            range: "10.9.0.0/16".parse().unwrap(),
            ..nic(RED, 2)
        };
        apply(&net, 1, &a, &[mine.clone(), second]).await;
        assert!(reaches(&a, "10.9.0.1"));
        assert!(a.sh("ip link show eth2 >/dev/null"));
        // a guest that has removed its interface gets another
        assert!(a.sh("ip link del eth1"));
        mine.aliases.clear();
        apply(&net, 1, &a, std::slice::from_ref(&mine)).await;
        assert!(a.sh("ip link show eth1 >/dev/null && ! ip link show eth2 2>/dev/null"));
        assert!(reaches(&b, "10.0.0.2"));
        apply(&net, 1, &a, &[]).await;
        assert!(cannot_reach(&b, "10.0.0.2"));
        net.detach(VpsId(2)).await.unwrap();
        assert_eq!(net.list(), []);
    });
}

#[test]
fn who_is_isolated_is_so_in_private_networks_too() {
    on_a_host(|net, _| async move {
        let isolated = Guard { isolated: true, ..Guard::default() };
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        assert!(reaches(&a, "10.0.0.3"));
        net.guard(VpsId(1), &isolated).await.unwrap();
        assert!(cannot_reach(&a, "10.0.0.3") && cannot_reach(&a, "10.0.0.1") && cannot_reach(&b, "10.0.0.2"));
        assert!(reaches(&b, "10.0.0.1"), "the neighbour has nothing to do with it");
        net.guard(VpsId(1), &Guard::default()).await.unwrap();
        assert!(reaches(&a, "10.0.0.3") && reaches(&b, "10.0.0.2"));

        // from its first moment on
        let c = Guest::start();
        let mut wanted = NetSpec { guard: isolated, ..spec(Ipv4Addr::UNSPECIFIED, "02:00:00:00:00:03") };
        wanted.private.push(nic(BLUE, 4));
        net.private.apply(VpsId(3), &inside(&c), &wanted).await.unwrap();
        assert!(cannot_reach(&c, "10.0.0.3") && cannot_reach(&b, "10.0.0.4"));
        // another VPS of that number later is not
        net.private.detach(VpsId(3)).await.unwrap();
        let c = guest(&net, 3, &nic(BLUE, 4)).await;
        assert!(reaches(&c, "10.0.0.3"));
        for id in 1..=3 {
            net.detach(VpsId(id)).await.unwrap();
        }
    });
}

#[test]
fn unique_local_addresses_work_the_same_way() {
    on_a_host(|net, _| async move {
        let v6 = |last: u8| PrivateNic {
            ip: ip(&format!("fd00:7::{last}")),
            gateway: ip("fd00:7::1"),
            range: "fd00:7::/48".parse().unwrap(),
            ..nic(BLUE, last)
        };
        let a = guest(&net, 1, &v6(2)).await;
        let b = guest(&net, 2, &v6(3)).await;
        assert!(reaches(&a, "fd00:7::3") && reaches(&b, "fd00:7::1"));
        // here the kernel itself says something now and then, so only what was sent on purpose is counted
        assert!(b.sh(&format!("nft '{SEEN}'")));
        let quiet = seen(&b);
        assert!(a.sh("ip addr add fd00:7::77/128 dev eth1 nodad"));
        assert!(cannot_reach(&a, "-I fd00:7::77 fd00:7::3"));
        let _ = a.sh("ping -c2 -i0.2 -W1 -I eth1 ff02::1 >/dev/null 2>&1"); // the gateway alone is on the link
        assert_eq!(seen(&b), quiet);
        assert!(reaches(&a, "fd00:7::3"));
        assert_ne!(seen(&b), quiet, "what comes is seen");
        for id in 1..=2 {
            net.detach(VpsId(id)).await.unwrap();
        }
    });
}

/// Counts what comes of pings and of packets between hosts.
const SEEN: &str = "table inet seen { chain c { type filter hook input priority 0; \
                    icmp type echo-request counter; icmpv6 type echo-request counter; udp dport 4789 counter; }; }";

fn seen(guest: &Guest) -> String {
    sh(&format!("nsenter -t {} -n nft list table inet seen", guest.pid()))
}

/// Another host, with a member of the blue network that has this address.
fn other_host(address: &str, vni: u32) -> Guest {
    let there = Guest::start();
    sh(&format!("ip link set up1 netns {}", there.pid()));
    let colons = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let (own, other) = (colons(router_mac(ip(THERE))), colons(router_mac(ip(HERE))));
    assert!(there.sh(&format!(
        "ip link set up1 up && ip addr add {THERE}/24 dev up1 && ip link set lo up \
         && ip link add vx address {own} mtu 1450 type vxlan id {vni} local {THERE} dstport 4789 nolearning \
         && ip link set vx up && ip addr add {address}/32 dev vx && ip route add 10.0.0.2/32 dev vx \
         && ip neigh add 10.0.0.2 lladdr {other} dev vx nud permanent \
         && bridge fdb add {other} dev vx dst {HERE} self permanent"
    )));
    there
}

#[test]
fn members_on_other_hosts_are_reached_and_only_known_hosts_reach_here() {
    on_a_host(|net, _| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let red = guest(&net, 2, &nic(RED, 2)).await;
        let there = other_host("10.0.0.3", BLUE.1);
        assert!(cannot_reach(&a, "10.0.0.3"));
        let quiet = received(&a);
        assert!(cannot_reach(&there, "10.0.0.2"), "a host that shares no network sends nothing here");
        assert_eq!(received(&a), quiet);

        let peer = |addresses: &[&str]| HostNetworks {
            version: "1".into(),
            networks: vec![NetworkSpec {
                id: NetworkId(BLUE.0),
                vni: BLUE.1,
                routes: Vec::new(),
                peers: vec![NetworkPeer {
                    host: ip(THERE),
                    addresses: addresses.iter().map(|a| ip(a)).collect(),
                    key: None,
                }],
            }],
            encrypt: false,
        };
        net.private.set(&peer(&["10.0.0.3", "10.0.0.9"])).await.unwrap();
        assert!(reaches(&a, "10.0.0.3") && reaches(&there, "10.0.0.2"));
        // the largest packet that goes through whole, and one more byte
        assert!(a.sh("ping -c1 -W2 -M do -s 1422 10.0.0.3 >/dev/null"));
        assert!(cannot_reach(&a, "-M do -s 1423 10.0.0.3"));
        assert!(reaches(&there, "-s 8000 10.0.0.2"), "in pieces");
        assert!(there.sh(&format!("nft '{SEEN}'")));
        let before = seen(&there);
        assert!(cannot_reach(&red, "10.0.0.3"));
        assert_eq!(seen(&there), before, "the red network has nobody there");

        // nothing is asked of everybody: an address that nobody has is silent on the wire
        let before = seen(&there);
        assert!(cannot_reach(&a, "10.0.0.200"));
        assert_eq!(seen(&there), before);

        // a guest speaks to no host in the hosts' own way, not even by this host's address
        net.configure(&["10.77.0.0/16".to_owned()]).await.unwrap();
        let public = spec([10, 77, 0, 2].into(), "02:00:00:00:00:07");
        let hostile = Guest::start();
        net.attach(VpsId(7), hostile.pid(), &public).await.unwrap();
        hostile.configure("10.77.0.2");
        sh("echo 1 > /proc/sys/net/ipv4/conf/up0/forwarding");
        assert!(reaches(&hostile, THERE), "by other ways it does");
        let before = seen(&there);
        for to in [THERE, HERE] {
            let _ = hostile
                .sh(&format!("bash -c 'for n in 1 2 3; do echo x > /dev/udp/{to}/4789; done' 2>/dev/null"));
        }
        assert_eq!(seen(&there), before);
        assert!(hostile.sh(&format!("bash -c 'echo x > /dev/udp/{THERE}/4790'")));
        net.detach(VpsId(7)).await.unwrap();

        // members that are gone are not looked for there any more
        net.private.set(&peer(&["10.0.0.9"])).await.unwrap();
        let before = seen(&there);
        assert!(cannot_reach(&a, "10.0.0.3"));
        assert_eq!(seen(&there), before);
        net.private.set(&HostNetworks::default()).await.unwrap();
        let quiet = received(&a);
        assert!(cannot_reach(&there, "10.0.0.2"));
        assert_eq!(received(&a), quiet);
        for id in 1..=2 {
            net.detach(VpsId(id)).await.unwrap();
        }
        // the number is free at once
        let _again = guest(&net, 3, &nic(BLUE, 4)).await;
        net.detach(VpsId(3)).await.unwrap();
    });
}

#[test]
fn what_the_machines_last_life_left_is_forgotten() {
    on_a_host(|net, run_dir| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        drop(a);
        nix::mount::umount2(&run_dir.join("networks/1/ns"), nix::mount::MntFlags::MNT_DETACH).unwrap();
        let again =
            Net::open("bt", "berth_test", &run_dir, None).unwrap().among_hosts(HERE.parse().ok(), 4789);
        again.ensure().await.unwrap();
        assert_eq!(again.list(), []);
        // notes that make no sense do not keep anything
        let b = guest(&again, 2, &nic(RED, 3)).await;
        std::fs::write(run_dir.join("networks/2/vps/2"), "{").unwrap();
        std::fs::write(run_dir.join("networks/2/written.json"), "{").unwrap();
        assert!(again.has(VpsId(2)));
        again.detach(VpsId(2)).await.unwrap();
        assert!(!b.sh("ip link show eth1 2>/dev/null"));
        assert!(!again.has(VpsId(2)));
    });
}

/// Packets and bytes of a VPS in private networks: in, and out.
async fn counted(net: &Net, id: i64) -> [(i64, i64); 2] {
    net.private.count(|_| true).await.unwrap();
    let sum = net.private.counted(VpsId(id)).unwrap();
    [(sum.in_packets, sum.in_bytes), (sum.out_packets, sum.out_bytes)]
}

/// An echo request of 100 bytes.
const PING: i64 = 128;

#[test]
fn private_traffic_is_counted_for_both_and_outlives_interfaces_routers_and_agents() {
    on_a_host(|net, run_dir| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        assert!(a.sh("ping -q -c3 -i0.01 -s100 -W2 10.0.0.3 >/dev/null"));
        assert_eq!(counted(&net, 1).await, [(3, 3 * PING); 2]);
        assert_eq!(counted(&net, 2).await, [(3, 3 * PING); 2]);
        // what is forged is not counted, nor what comes to nobody
        assert!(a.sh("ip addr add 10.0.0.77/32 dev eth1"));
        assert!(cannot_reach(&a, "-I 10.0.0.77 10.0.0.3"));
        assert_eq!(counted(&net, 1).await, [(3, 3 * PING); 2]);
        assert_eq!(counted(&net, 2).await, [(3, 3 * PING); 2]);
        // a change under the running guest takes nothing away
        apply(&net, 1, &a, &[PrivateNic { aliases: vec![ip("10.0.0.50")], ..nic(BLUE, 2) }]).await;
        assert!(a.sh("ping -q -c1 -s100 -W2 10.0.0.3 >/dev/null"));
        // a guest that ends by itself takes its interface along
        drop(a);
        net.private.detach(VpsId(1)).await.unwrap();
        assert_eq!(net.private.counted(VpsId(1)).unwrap().in_packets, 4, "its last count is known at once");
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        assert!(a.sh("ping -q -c2 -i0.01 -s100 -W2 10.0.0.3 >/dev/null"));
        let net = Net::open("bt", "berth_test", &run_dir, None).unwrap(); // another agent
        net.ensure().await.unwrap();
        assert_eq!(counted(&net, 1).await, [(6, 6 * PING); 2]);
        let second = PrivateNic {
            ip: ip("10.9.0.2"),
            gateway: ip("10.9.0.1"),
            range: "10.9.0.0/16".parse().unwrap(),
            ..nic(RED, 2)
        };
        // in two networks at the same time; and with the last member goes the router
        apply(&net, 1, &a, &[nic(BLUE, 2), second]).await;
        assert!(
            a.sh("ping -q -c1 -s100 -W2 10.9.0.1 >/dev/null && ping -q -c1 -s100 -W2 10.0.0.3 >/dev/null")
        );
        net.detach(VpsId(1)).await.unwrap();
        net.detach(VpsId(2)).await.unwrap();
        assert!(!run_dir.join("networks").exists());
        assert_eq!(counted(&net, 1).await, [(8, 8 * PING); 2]);
        assert_eq!(counted(&net, 2).await, [(7, 7 * PING); 2]);
        drop(b);
    });
}

/// The rules of a router as a release before this one had them, short of what does not matter here.
const OLDER: &str = "table inet router { set guests { type ifname . ether_addr; }; set isolated { type ifname; }; \
    chain arrive { type filter hook prerouting priority raw; policy drop; iifname . ether saddr @guests accept; }; \
    chain through { type filter hook forward priority filter; policy accept; oifname @isolated drop; }; }";

#[test]
fn routers_of_older_releases_get_todays_rules_and_counters() {
    on_a_host(|net, run_dir| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let _b = guest(&net, 2, &nic(BLUE, 3)).await;
        let router = format!("nsenter --net={}", run_dir.join("networks/1/ns").display());
        sh(&format!("{router} nft delete table inet router && {router} nft '{OLDER}'"));
        for (name, mac) in [("bt1", "02:00:00:00:01:02"), ("bt2", "02:00:00:00:01:03")] {
            sh(&format!("{router} nft 'add element inet router guests {{ \"{name}\" . {mac} }}'"));
        }
        std::fs::remove_file(run_dir.join("networks/1/rules")).unwrap();
        assert!(reaches(&a, "10.0.0.3"));
        let again = Net::open("bt", "berth_test", &run_dir, None).unwrap();
        again.ensure().await.unwrap();
        again.ensure().await.unwrap();
        assert!(a.sh("ping -q -c2 -i0.01 -s100 -W2 10.0.0.3 >/dev/null"));
        assert_eq!(counted(&again, 1).await, [(2, 2 * PING); 2]);
        assert!(a.sh("ip addr add 10.0.0.77/32 dev eth1"));
        assert!(cannot_reach(&a, "-I 10.0.0.77 10.0.0.3"), "the routes are pins");
        for id in 1..=2 {
            again.detach(VpsId(id)).await.unwrap();
        }
    });
}

fn rule(protocol: FirewallProtocol, ports: Option<(u16, u16)>) -> FirewallRule {
    FirewallRule { protocol, ports, nets: vec!["10.0.0.0/16".parse().unwrap(), "fd00::/8".parse().unwrap()] }
}

/// Lets this in, and everything out.
fn only(protocol: FirewallProtocol, ports: Option<(u16, u16)>) -> Firewall {
    Firewall { inbound: vec![rule(protocol, ports)], outbound: Vec::new() }
}

#[test]
fn firewalls_hold_in_all_networks_of_a_vps_and_for_nobody_else() {
    use FirewallProtocol::{Icmp, Tcp};
    on_a_host(|net, run_dir| async move {
        let second = PrivateNic {
            ip: ip("fd00:7::2"),
            gateway: ip("fd00:7::1"),
            range: "fd00:7::/48".parse().unwrap(),
            ..nic(RED, 2)
        };
        let theirs = PrivateNic {
            ip: ip("fd00:7::3"),
            ..PrivateNic { range: second.range, gateway: second.gateway, ..nic(RED, 3) }
        };
        let a = Guest::start();
        let walled = |firewall: Option<Firewall>| NetSpec {
            private: vec![nic(BLUE, 2), second.clone()],
            private_firewall: firewall,
            ..spec(Ipv4Addr::UNSPECIFIED, "02:00:00:00:00:01")
        };
        // from its first moment on
        net.private.apply(VpsId(1), &inside(&a), &walled(Some(only(Tcp, Some((22, 22)))))).await.unwrap();
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        let c = guest(&net, 3, &theirs).await;
        let d = guest(&net, 4, &nic(BLUE, 4)).await;
        assert!(cannot_reach(&b, "10.0.0.2") && cannot_reach(&c, "fd00:7::2"));
        assert!(reaches(&a, "10.0.0.3") && reaches(&a, "fd00:7::3"), "what goes out goes, and is answered");
        assert!(
            reaches(&b, "10.0.0.4") && reaches(&d, "10.0.0.3"),
            "its neighbours have nothing to do with it"
        );
        let hits = net.private.hits().await.unwrap();
        let hits = &hits[&VpsId(1)];
        assert_eq!(hits.inbound.iter().map(|rule| rule.hits.packets).sum::<i64>(), 0, "{hits:?}");
        assert_eq!(hits.dropped_in, Hits { packets: 4, bytes: 2 * 84 + 2 * 104 });

        // other rules, in one step, and counted anew
        net.private.firewall(VpsId(1), Some(&only(Icmp, None))).await.unwrap();
        assert!(reaches(&b, "10.0.0.2") && reaches(&c, "fd00:7::2"));
        let hits = net.private.hits().await.unwrap();
        assert_eq!(hits[&VpsId(1)].inbound[0].hits.packets, 2, "{hits:?}");
        // what may go out
        let out = Firewall { inbound: vec![rule(Icmp, None)], outbound: vec![rule(Tcp, Some((80, 80)))] };
        net.private.firewall(VpsId(1), Some(&out)).await.unwrap();
        assert!(cannot_reach(&a, "10.0.0.3") && reaches(&b, "10.0.0.2"));
        assert!(net.private.hits().await.unwrap()[&VpsId(1)].dropped_out.packets > 0);

        // by another agent it is taken away
        let net = Net::open("bt", "berth_test", &run_dir, None).unwrap().among_hosts(HERE.parse().ok(), 4789);
        net.ensure().await.unwrap();
        assert!(cannot_reach(&a, "10.0.0.3"));
        net.private.firewall(VpsId(1), None).await.unwrap();
        net.private.firewall(VpsId(1), None).await.unwrap();
        assert!(reaches(&a, "10.0.0.3") && reaches(&b, "10.0.0.2"));
        assert_eq!(net.private.hits().await.unwrap(), BTreeMap::new());

        // another VPS of that number later has none
        net.private.firewall(VpsId(1), Some(&Firewall::default())).await.unwrap();
        net.detach(VpsId(1)).await.unwrap();
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        assert!(reaches(&b, "10.0.0.2") && reaches(&a, "10.0.0.3"));
        for id in 1..=4 {
            net.detach(VpsId(id)).await.unwrap();
        }
        assert!(!run_dir.join("networks").exists());
    });
}

#[test]
fn connections_survive_other_rules_and_there_is_never_a_gap() {
    use FirewallProtocol::Tcp;
    on_a_host(|net, _| async move {
        let a = guest(&net, 1, &nic(BLUE, 2)).await;
        let b = guest(&net, 2, &nic(BLUE, 3)).await;
        net.private.firewall(VpsId(1), Some(&only(Tcp, Some((7000, 7000))))).await.unwrap();
        // an echo server; a client that says a line every few milliseconds; and one that tries a closed port all the time
        let server = "import socket,threading\ns=socket.create_server((\"10.0.0.2\",7000))\nc,_=s.accept()\nprint(1,flush=True)\nwhile d:=c.recv(100): c.sendall(d)";
        let client = "import socket,time,sys\nend=time.time()+30\nwhile True:\n try:\n  c=socket.create_connection((\"10.0.0.2\",7000),5);break\n except OSError:\n  assert time.time()<end;time.sleep(0.05)\nc.settimeout(20)\nfor n in range(300):\n c.sendall(b\"x\");assert c.recv(1)==b\"x\";time.sleep(0.005)";
        let intruder = "import socket,time\nend=time.time()+2\nn=0\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\nwhile time.time()<end:\n s.sendto(b\"x\",(\"10.0.0.2\",7001));n+=1;time.sleep(0.001)\nassert n>100";
        let counter =
            "table inet seen { chain c { type filter hook input priority 0; udp dport 7001 counter; }; }";
        assert!(a.sh(&format!("nft '{counter}'")));
        let python = |guest: &Guest, program: &str| {
            let pid = guest.pid().to_string();
            let program = ["-t", &pid, "-n", "python3", "-c", program];
            std::process::Command::new("nsenter").args(program).spawn().unwrap()
        };
        let mut server = python(&a, server);
        let (mut client, mut intruder) = (python(&b, client), python(&b, intruder));
        let mut changes = 0;
        while client.try_wait().unwrap().is_none() || intruder.try_wait().unwrap().is_none() {
            let port = 7000 + changes % 2; // every other does not name the client's port
            let firewall = only(Tcp, Some((port, port)));
            net.private.firewall(VpsId(1), Some(&firewall)).await.unwrap();
            changes += 1;
        }
        assert!(client.wait().unwrap().success() && intruder.wait().unwrap().success());
        assert!(changes > 10, "{changes}");
        let seen = sh(&format!("nsenter -t {} -n nft list table inet seen", a.pid()));
        assert!(seen.contains("packets 0 bytes 0"), "{seen}");
        let _ = server.kill();
        server.wait().unwrap();
        for id in 1..=2 {
            net.detach(VpsId(id)).await.unwrap();
        }
    });
}
