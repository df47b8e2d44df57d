//! Two hosts with an agent's network each, and what passes between them. Needs WireGuard in the kernel, so it runs where
//! `deploy/test-vm.sh` says.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_proto::{HostNetworks, NetSpec, NetworkId, NetworkPeer, NetworkSpec, PrivateNic, VpsId};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket};

use crate::linux::net::private::Netns;
use crate::linux::net::private::tests::on_a_host;
use crate::linux::net::tests::{Guest, sh, spec};
use crate::linux::net::{Net, NetError};

const BLUE: NetworkId = NetworkId(1);
const VNI: u32 = 2_000_001;
/// What pings are filled with.
const MARK: [u8; 4] = [0xb3, 0x72, 0x74, 0x68];

/// A host: its network namespace, and the agent's view of it.
struct Host {
    ns: File,
    net: Net,
    state: tempfile::TempDir,
}

impl Host {
    /// The rest of the test happens on this host.
    fn enter(&self) -> &Net {
        setns(&self.ns, CloneFlags::CLONE_NEWNET).unwrap();
        &self.net
    }

    async fn open(ns: File, address: &str, run_dir: &Path, state: tempfile::TempDir) -> Self {
        setns(&ns, CloneFlags::CLONE_NEWNET).unwrap();
        let net = Net::open("bt", "berth_test", run_dir, None).unwrap();
        let net = net.among_hosts(address.parse().ok(), 4789).encrypting(state.path(), 4788);
        net.ensure().await.unwrap();
        Self { ns, net, state }
    }

    async fn set(
        &self,
        encrypt: bool,
        peer: &str,
        member: &str,
        key: Option<String>,
    ) -> Result<(), NetError> {
        let peer = NetworkPeer { host: peer.parse().unwrap(), addresses: vec![member.parse().unwrap()], key };
        let network = NetworkSpec { id: BLUE, vni: VNI, routes: Vec::new(), peers: vec![peer] };
        let told = HostNetworks { version: "1".into(), networks: vec![network], encrypt };
        self.enter().private.set(&told).await
    }

    async fn guest(&self, id: i64, last: u8) -> Guest {
        let guest = Guest::start();
        let nic = PrivateNic {
            network: BLUE,
            vni: VNI,
            mac: format!("02:00:00:00:01:{last:02x}"),
            ip: format!("10.0.0.{last}").parse().unwrap(),
            aliases: Vec::new(),
            gateway: "10.0.0.1".parse().unwrap(),
            range: "10.0.0.0/16".parse().unwrap(),
            routes: Vec::new(),
        };
        let wanted = NetSpec { private: vec![nic], ..spec(Ipv4Addr::UNSPECIFIED, "02:00:00:00:00:01") };
        let inside = Netns::of_process(guest.pid()).unwrap();
        self.enter().private.apply(VpsId(id), &inside, &wanted).await.unwrap();
        guest
    }
}

/// Sees everything that passes on the wire between the two.
struct Wire {
    capture: OwnedFd,
    interface: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Packets of private networks in clear.
    clear: usize,
    /// Packets of WireGuard.
    sealed: usize,
    /// Packets in which a ping's content can be read.
    readable: usize,
}

impl Wire {
    fn at(host: &Host, interface: &str) -> Self {
        host.enter();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let capture = socket(AddressFamily::Packet, SockType::Datagram, flags, SockProtocol::EthAll).unwrap();
        let interface = nix::net::if_::if_nametoindex(interface).unwrap();
        Self { capture, interface: usize::try_from(interface).unwrap() }
    }

    /// What has passed since the last look.
    fn look(&self) -> Seen {
        let (mut seen, mut buffer) = (Seen::default(), [0; 4096]);
        while let Ok((length, from)) = recvfrom::<LinkAddr>(self.capture.as_raw_fd(), &mut buffer) {
            let packet = &buffer[..length];
            if from.is_none_or(|from| from.ifindex() != self.interface) || packet.first() != Some(&0x45) {
                continue;
            }
            let port = packet.get(22..24).map(|two| u16::from_be_bytes([two[0], two[1]]));
            seen.clear += usize::from(packet[9] == 17 && port == Some(4789));
            seen.sealed += usize::from(packet[9] == 17 && port == Some(4788));
            seen.readable += usize::from(packet.windows(8).any(|part| part == [MARK, MARK].concat()));
        }
        seen
    }
}

fn ping(from: &Guest, more: &str) -> bool {
    from.sh(&format!("ping -c1 -W3 -p b3727468 {more} >/dev/null 2>&1"))
}

/// Handshakes take their time, and after a failure wait for their turn.
#[track_caller]
fn comes_to_reach(from: &Guest, to: &str) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !ping(from, to) {
        assert!(Instant::now() < deadline, "{to} is not reached; on the host: {}", told());
    }
}

/// What helps to find out why, of the host that the test is on.
fn told() -> String {
    sh(
        "ip -s link; ip addr; ip rule; ip route show table all; nft list ruleset; sysctl -a 2>/dev/null | grep rp_filter; dmesg | tail -n 5",
    )
}

fn received(guest: &Guest) -> u64 {
    let table = sh(&format!("nsenter -t {} -n cat /proc/thread-self/net/dev", guest.pid()));
    let line = table.lines().find(|line| line.trim().starts_with("eth1:")).unwrap();
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";

#[test]
#[ignore = "needs WireGuard in the kernel; deploy/test-vm.sh runs it"]
fn what_passes_between_hosts_cannot_be_read() {
    on_a_host(|_, run_dir| async move {
        let here = || File::open("/proc/thread-self/ns/net").unwrap();
        let machine = Guest::start();
        sh(&format!("ip link set up1 netns {}", machine.pid()));
        assert!(
            machine.sh(&format!("ip link set lo up && ip link set up1 up && ip addr add {B}/24 dev up1"))
        );
        let other: PathBuf = tempfile::tempdir().unwrap().keep();
        let there = File::open(format!("/proc/{}/ns/net", machine.pid())).unwrap();
        let state = || tempfile::tempdir().unwrap();
        let a = Host::open(here(), A, &run_dir, state()).await;
        let b = Host::open(there, B, &other, state()).await;
        let key = |host: &Host| host.net.private.key().expect("the kernel has WireGuard");
        assert_ne!(key(&a), key(&b));
        let file = a.state.path().join("wireguard.key");
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        a.enter();
        assert!(!sh("ip link").contains("_berthwg"), "nobody has asked for it");

        let old = a.guest(1, 2).await;
        let theirs = b.guest(1, 3).await;
        a.set(false, B, "10.0.0.3", None).await.unwrap();
        b.set(false, A, "10.0.0.2", None).await.unwrap();
        let wire = Wire::at(&b, "up1");
        comes_to_reach(&old, "10.0.0.3");
        let plain = wire.look();
        assert!(plain.clear >= 2 && plain.readable >= 2 && plain.sealed == 0, "{plain:?}");

        // one after the other, as agents are told
        a.set(true, B, "10.0.0.3", Some(key(&b))).await.unwrap();
        assert!(!ping(&old, "10.0.0.3"), "the other does not know it yet");
        b.set(true, A, "10.0.0.2", Some(key(&a))).await.unwrap();
        comes_to_reach(&old, "10.0.0.3");
        comes_to_reach(&theirs, "10.0.0.2");
        let _ = wire.look();
        assert!(old.sh("ping -c10 -i0.2 -W3 -p b3727468 10.0.0.3 >/dev/null"));
        let sealed = wire.look();
        assert!(sealed.clear == 0 && sealed.readable == 0 && sealed.sealed >= 20, "{sealed:?}");

        // the largest packet that goes through whole, for guests of before and for new ones
        let young = a.guest(2, 4).await;
        b.set(true, A, "10.0.0.4", Some(key(&a))).await.unwrap();
        comes_to_reach(&young, "10.0.0.3");
        assert!(young.sh("ip link show eth1 | grep -q 'mtu 1390'"));
        assert!(ping(&young, "-M do -s 1362 10.0.0.3"));
        assert!(!ping(&young, "-M do -s 1363 10.0.0.3"));
        assert!(ping(&young, "-s 8000 10.0.0.3"), "in pieces");
        b.set(true, A, "10.0.0.2", Some(key(&a))).await.unwrap();
        assert!(old.sh("ip link show eth1 | grep -q 'mtu 1450'"));
        assert!(
            old.sh("ping -c1 -W3 -M do -s 1400 10.0.0.3 2>&1 | grep -q 1390"),
            "it is told by its gateway"
        );
        assert!(ping(&old, "-s 1400 10.0.0.3"));
        let sealed = wire.look();
        assert!(sealed.clear == 0 && sealed.readable == 0, "{sealed:?}");

        // an agent that was restarted has the same key and goes on
        a.enter();
        let again = Net::open("bt", "berth_test", &run_dir, None).unwrap();
        let again = again.among_hosts(A.parse().ok(), 4789).encrypting(a.state.path(), 4788);
        again.ensure().await.unwrap();
        assert_eq!(again.private.key(), Some(key(&a)));
        a.set(true, B, "10.0.0.3", Some(key(&b))).await.unwrap();
        comes_to_reach(&old, "10.0.0.3");

        // somebody has taken the interface away: nothing goes in clear instead
        sh("ip link del _berthwg_bt");
        let _ = wire.look();
        assert!(!ping(&old, "10.0.0.3"));
        let silent = wire.look();
        assert!(silent.clear == 0 && silent.readable == 0, "{silent:?}");
        a.set(true, B, "10.0.0.3", Some(key(&b))).await.unwrap();
        comes_to_reach(&old, "10.0.0.3");

        // a host that sends in clear all the same is not heard
        b.enter();
        sh("nft delete table inet berth_test_vxlan && ip link del _berthwg_bt");
        let _ = wire.look();
        let quiet = received(&old);
        assert!(!ping(&theirs, "10.0.0.2"));
        assert!(wire.look().readable > 0, "it has said so");
        assert_eq!(received(&old), quiet, "and nobody took it");
        b.set(true, A, "10.0.0.2", Some(key(&a))).await.unwrap();
        comes_to_reach(&theirs, "10.0.0.2");

        // no more encryption
        a.set(false, B, "10.0.0.3", None).await.unwrap();
        b.set(false, A, "10.0.0.2", None).await.unwrap();
        comes_to_reach(&old, "10.0.0.3");
        assert!(wire.look().readable > 0);
        for host in [&a, &b] {
            host.enter();
            assert!(!sh("ip link; ip rule").contains("_berthwg") && !sh("ip rule").contains("4789"));
        }
        a.set(true, B, "10.0.0.3", Some(key(&b))).await.unwrap();
        for host in [&a, &b] {
            for id in [1, 2] {
                host.enter().detach(VpsId(id)).await.unwrap();
            }
            host.net.remove_support().await.unwrap();
            assert_eq!(sh("nft list tables"), "");
            assert!(!sh("ip link").contains("_berthwg") && !sh("ip rule").contains("4789"));
        }
        std::fs::remove_dir_all(other).unwrap();
    });
}
