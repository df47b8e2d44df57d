//! Guests that answer on some ports, asked from outside, by neighbours and by themselves.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use berth_proto::{Firewall, FirewallProtocol, FirewallRule, Guard};

use super::*;
use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);
const POOL: &str = "10.9.0.0/16";
const HOST: &str = "192.0.2.1";
const OF_A: PortRange = PortRange { first: 10_000, last: 10_019 };
const OF_B: PortRange = PortRange { first: 10_020, last: 10_039 };

/// Answers on ports, by TCP and UDP, with the port's own number and who asked.
const SERVER: &str = "
import socket, sys, threading
def tcp(port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(('', port))
    s.listen(9)
    while True:
        c, peer = s.accept()
        c.sendall(f'{port} {peer[0]}'.encode())
        c.close()
def udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', port))
    while True:
        peer = s.recvfrom(9)[1]
        s.sendto(f'{port} {peer[0]}'.encode(), peer)
all = [threading.Thread(target=f, args=(int(p),)) for p in sys.argv[1:] for f in (tcp, udp)]
[t.start() for t in all]
";

/// Asks one; prints what it says.
const CLIENT: &str = "
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if sys.argv[1] == 'tcp' else socket.SOCK_DGRAM)
s.settimeout(float(sys.argv[4]))
s.connect((sys.argv[2], int(sys.argv[3])))
if sys.argv[1] == 'udp': s.send(b'?')
print(s.recv(99).decode(), end='')
";

struct Answering(Child);

impl Answering {
    fn on(guest: &Guest, ports: &[u16]) -> Self {
        let server = ["-t", &guest.pid().to_string(), "-n", "python3", "-c", SERVER].map(str::to_owned);
        let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
        Self(Command::new("nsenter").args(server).args(&ports).spawn().unwrap())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one hears who asks from a guest's namespace; empty when nothing within `patience` seconds.
fn once(from: &Guest, (protocol, to, port): (&str, &str, u16), patience: &str) -> String {
    let mut asking = Command::new("nsenter");
    asking.args(["-t", &from.pid().to_string(), "-n", "python3", "-c", CLIENT, protocol, to]);
    let output = asking.args([&port.to_string(), patience]).stderr(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What one hears who asks until there is an answer.
fn hears(from: &Guest, what: (&str, &str, u16)) -> String {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let answer = once(from, what, "2");
        if !answer.is_empty() || Instant::now() > deadline {
            return answer;
        }
    }
}

fn silent(from: &Guest, what: (&str, &str, u16)) -> bool {
    once(from, what, "0.5").is_empty()
}

fn with(address: Ipv4Addr, ports: PortRange) -> NetSpec {
    let [.., last] = address.octets();
    NetSpec { ports: Some(ports), ..spec(address, &format!("02:00:00:00:00:0{last}")) }
}

struct Place {
    net: Net,
    run_dir: PathBuf,
    a: Guest,
    b: Guest,
    stranger: Guest,
    _answering: Vec<Answering>,
}

impl Place {
    /// A host with two guests, and somebody outside.
    async fn new(run_dir: PathBuf) -> Self {
        let (a, b, stranger) = (Guest::start(), Guest::start(), Guest::start());
        sh(&format!(
            "ip link add up0 type veth peer name eth0 netns {}; ip addr add {HOST}/24 dev up0; ip link set up0 up",
            stranger.pid()
        ));
        assert!(stranger.sh("ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0"));
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.ensure().await.unwrap();
        net.configure(&[POOL.to_owned()]).await.unwrap();
        for (id, guest, spec) in [(1, &a, with(A, OF_A)), (2, &b, with(B, OF_B))] {
            net.attach(VpsId(id), guest.pid(), &spec).await.unwrap();
            guest.configure(&spec.ipv4.unwrap().to_string());
        }
        let answering = vec![
            Answering::on(&a, &[22, 10_000, 10_001, 10_019, 10_020, 10_040]),
            Answering::on(&b, &[22, 10_021]),
            Answering::on(&stranger, &[7]),
        ];
        Self { net, run_dir, a, b, stranger, _answering: answering }
    }
}

#[test]
fn a_range_leads_to_its_guest_from_outside_and_from_neighbours() {
    in_namespace(|_, run_dir| async move {
        let Place { net, a, b, stranger, _answering, .. } = Place::new(run_dir).await;
        for (what, expected) in [
            (("tcp", HOST, 10_000), "22 192.0.2.2"),
            (("udp", HOST, 10_000), "10000 192.0.2.2"),
            (("tcp", HOST, 10_001), "10001 192.0.2.2"),
            (("tcp", HOST, 10_019), "10019 192.0.2.2"),
            (("udp", HOST, 10_019), "10019 192.0.2.2"),
            (("tcp", HOST, 10_020), "22 192.0.2.2"),
            (("tcp", HOST, 10_021), "10021 192.0.2.2"),
        ] {
            assert_eq!(hears(&stranger, what), expected, "{what:?}");
        }
        assert!(silent(&stranger, ("tcp", HOST, 10_040)), "the guest listens, and it is nobody's");
        assert!(silent(&stranger, ("tcp", HOST, 22)));
        // by a neighbour, who is seen as itself; and only by the host's own address
        assert_eq!(hears(&b, ("tcp", HOST, 10_000)), "22 10.9.0.3");
        assert_eq!(hears(&b, ("udp", HOST, 10_001)), "10001 10.9.0.3");
        assert!(silent(&b, ("tcp", "172.31.1.1", 10_000)));
        // outwards all is as before
        assert_eq!(hears(&a, ("tcp", "192.0.2.2", 7)), "7 192.0.2.1");
        assert_eq!(net.address(), HOST.parse().ok());

        // what the guest's firewall says of its own ports holds
        let rule = |port| FirewallRule {
            protocol: FirewallProtocol::Tcp,
            ports: Some((port, port)),
            nets: vec!["192.0.2.2/32".parse().unwrap()],
        };
        let wall = Firewall { inbound: vec![rule(22)], outbound: Vec::new() };
        net.firewall(VpsId(1), Some(&wall)).await.unwrap();
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_000)), "22 192.0.2.2");
        assert!(silent(&stranger, ("tcp", HOST, 10_001)));
        assert!(silent(&b, ("tcp", HOST, 10_000)), "the rule is for another source");
        net.firewall(VpsId(1), None).await.unwrap();
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_001)), "10001 192.0.2.2");
        let isolated = Guard { isolated: true, ..Guard::default() };
        net.guard(VpsId(1), &isolated).await.unwrap();
        assert!(silent(&stranger, ("tcp", HOST, 10_000)));
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_020)), "22 192.0.2.2", "the neighbour's");
        for id in [1, 2] {
            net.detach(VpsId(id)).await.unwrap();
        }
        assert!(!sh("nft list ruleset").contains("ports_"));
    });
}

#[test]
fn ranges_change_hands_and_outlive_the_agent() {
    in_namespace(|_, run_dir| async move {
        let Place { run_dir, stranger, _answering, a: _a, b: _b, .. } = Place::new(run_dir).await;
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_000)), "22 192.0.2.2");
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.ensure().await.unwrap();
        net.configure(&[POOL.to_owned()]).await.unwrap();
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_001)), "10001 192.0.2.2");
        net.ports(VpsId(1), &with(A, OF_A)).await.unwrap(); // again: the same
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_001)), "10001 192.0.2.2");

        // each gets the other's, one after the other
        net.ports(VpsId(1), &with(A, OF_B)).await.unwrap();
        assert!(silent(&stranger, ("tcp", HOST, 10_001)));
        net.ports(VpsId(2), &with(B, OF_A)).await.unwrap();
        assert_eq!(hears(&stranger, ("udp", HOST, 10_020)), "10020 192.0.2.2", "of A, which listens there");
        assert!(silent(&stranger, ("tcp", HOST, 10_021)), "of A, and it does not");
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_000)), "22 192.0.2.2");
        assert!(silent(&stranger, ("udp", HOST, 10_000)), "of B now, and it does not listen there");
        // a range that is longer, in parts of which somebody else still is
        net.ports(VpsId(2), &with(B, PortRange { first: 10_010, last: 10_025 })).await.unwrap();
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_021)), "10021 192.0.2.2");
        assert!(silent(&stranger, ("tcp", HOST, 10_000)));

        // somebody has taken the table away meanwhile: noticed, and made anew at the next try
        sh("nft flush ruleset");
        net.ensure().await.unwrap();
        net.configure(&[POOL.to_owned()]).await.unwrap();
        let mut tries = 0;
        while net.ports(VpsId(1), &with(A, OF_A)).await.is_err() {
            tries += 1;
            assert!(tries < 3);
        }
        assert_eq!(hears(&stranger, ("tcp", HOST, 10_001)), "10001 192.0.2.2");
        net.ports(VpsId(1), &spec(A, "02:00:00:00:00:02")).await.unwrap();
        assert!(silent(&stranger, ("tcp", HOST, 10_001)));
        assert!(!sh("nft list ruleset").contains("ports_1"));
        for id in [1, 2, 2] {
            net.detach(VpsId(id)).await.unwrap();
        }
        net.remove_support().await.unwrap();
        assert_eq!(sh("nft list tables"), "");
    });
}

#[test]
fn what_nft_lists_is_read() {
    let listed = "table inet t {\n\tmap forwarded {\n\t\ttype inet_service : verdict\n\t\telements = { 10000 : jump ports_7, 10001 : jump ports_7,\n\
                  \t\t\t     65535 : jump ports_12 }\n\t}\n}\n";
    assert_eq!(parse(listed), BTreeMap::from([(10_000, VpsId(7)), (10_001, VpsId(7)), (65_535, VpsId(12))]));
    assert_eq!(
        parse("table inet t {\n\tmap forwarded {\n\t\ttype inet_service : verdict\n\t}\n}\n"),
        BTreeMap::new()
    );
}
