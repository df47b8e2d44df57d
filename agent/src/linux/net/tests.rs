//! Tests in a network namespace of their own; they need root and say so when they cannot run.

use std::process::{Child, Command};

use super::*;

/// Runs a test inside a new network namespace, on a runtime that stays on this thread.
pub(super) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce(Net, PathBuf) -> F) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root, and on CI it must run");
        eprintln!("SKIPPED: needs root to make network namespaces");
        return;
    }
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        sh("ip link set lo up");
        let net = Net::open("bt", "berth_test", run_dir.path(), None).unwrap();
        test(net, run_dir.path().to_owned()).await;
    });
}

pub(super) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A process in a network namespace of its own, standing in for a guest.
pub(super) struct Guest(Child);

impl Guest {
    pub(super) fn start() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "600"]).spawn().unwrap();
        let ns = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let pid = child.id().to_string();
        while ns(&pid) == ns("thread-self") || ns(&pid).is_none() {
            std::thread::yield_now();
        }
        Self(child)
    }

    pub(super) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(super) fn sh(&self, command: &str) -> bool {
        let pid = self.pid().to_string();
        Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-c", command]).status().unwrap().success()
    }

    pub(super) fn configure(&self, ip: &str) {
        let up = format!(
            "ip link set eth0 up && ip addr add {ip}/32 dev eth0 && ip route add 172.31.1.1 dev eth0 && ip route add default via 172.31.1.1"
        );
        assert!(self.sh(&up));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn spec(ip: Ipv4Addr, mac: &str) -> NetSpec {
    NetSpec {
        ipv4: Some(ip),
        ipv6: None,
        floating: Vec::new(),
        floating6: Vec::new(),
        mac: mac.to_owned(),
        firewall: None,
        private_firewall: None,
        guard: Guard::default(),
        private: Vec::new(),
        announce_epoch: 0,
        ports: None,
    }
}

const A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 3);

#[test]
fn guests_reach_each_other_and_the_gateway_but_not_by_a_false_address() {
    in_namespace(|net, _| async move {
        net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
        let (a, b) = (Guest::start(), Guest::start());
        net.attach(VpsId(1), a.pid(), &spec(A, "02:00:00:00:00:01")).await.unwrap();
        net.attach(VpsId(2), b.pid(), &spec(B, "02:00:00:00:00:02")).await.unwrap();
        net.attach(VpsId(2), b.pid(), &spec(B, "02:00:00:00:00:02")).await.unwrap(); // again: the same
        a.configure("10.9.0.2");
        b.configure("10.9.0.3");
        assert!(a.sh("ping -c1 -W2 10.9.0.3 >/dev/null"));
        assert!(a.sh("ping -c1 -W2 172.31.1.1 >/dev/null"));
        assert!(a.sh("ip addr add 10.9.0.77/32 dev eth0"));
        assert!(!a.sh("ping -c1 -W1 -I 10.9.0.77 10.9.0.3 >/dev/null"));
        assert!(!a.sh("ping -c1 -W1 -I 10.9.0.77 172.31.1.1 >/dev/null"));
        // nor by its neighbour's, though that one is routed here
        assert!(a.sh("ip addr add 10.9.0.3/32 dev eth0"));
        let received = || net.counters(VpsId(2)).unwrap().in_packets;
        let before = received();
        assert!(!a.sh("ping -c1 -W1 -I 10.9.0.3 172.31.1.1 >/dev/null"));
        assert_eq!(received(), before, "no answer went to the neighbour");
        assert!(a.sh("ip addr del 10.9.0.3/32 dev eth0"));
        assert!(!a.sh("ping -c1 -W1 10.9.0.200 >/dev/null 2>&1"), "addressed to nobody");
        let sent = net.counters(VpsId(1)).unwrap();
        assert!(sent.out_packets > 0 && sent.in_packets > 0, "{sent:?}");
        assert_eq!(net.list(), [VpsId(1), VpsId(2)]);

        // a table made anew, as by an agent that was restarted, keeps running VPSes connected
        net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
        assert!(a.sh("ping -c1 -W2 10.9.0.3 >/dev/null"));

        for id in [VpsId(1), VpsId(2), VpsId(2)] {
            net.detach(id).await.unwrap();
        }
        assert_eq!(net.list(), []);
        assert_eq!(sh("ip route show 10.9.0.2"), "");
        net.remove_support().await.unwrap();
        assert_eq!(sh("nft list tables"), "");
        assert_eq!(sh("ip route show table all type blackhole"), "");
    });
}

#[test]
fn what_is_no_pool_any_more_is_routed_again() {
    in_namespace(|net, run_dir| async move {
        let pools = |all: &[&str]| all.iter().map(|pool| (*pool).to_owned()).collect::<Vec<_>>();
        sh("ip route add blackhole 10.7.0.0/16 metric 4000000000"); // another agent's
        net.configure(&pools(&["10.8.0.0/16", "10.9.0.0/16"])).await.unwrap();
        let ended = || {
            let routes = sh("ip route show type blackhole");
            routes.lines().map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ended(), ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"]);
        // by an agent that was restarted meanwhile
        let again = Net::open("bt", "berth_test", &run_dir, None).unwrap();
        again.configure(&pools(&["10.9.0.0/16"])).await.unwrap();
        assert_eq!(ended(), ["10.7.0.0/16", "10.9.0.0/16"]);
        assert!(again.configure(&pools(&["nonsense"])).await.is_err());
        again.remove_support().await.unwrap();
        assert_eq!(ended(), ["10.7.0.0/16"]);
        // a boot of the machine takes the notes away, and the routes
        std::fs::remove_dir_all(&run_dir).unwrap();
        again.remove_support().await.unwrap();
    });
}

#[test]
fn a_guest_does_not_reach_the_hosts_own_ports() {
    in_namespace(|net, _| async move {
        net.configure(&[]).await.unwrap();
        let a = Guest::start();
        net.attach(VpsId(1), a.pid(), &spec(A, "02:00:00:00:00:01")).await.unwrap();
        a.configure("10.9.0.2");
        let listener = std::net::TcpListener::bind((GATEWAY, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!a.sh(&format!("timeout 1 bash -c 'exec 3<>/dev/tcp/172.31.1.1/{port}' 2>/dev/null")));
        // while the host reaches the guest
        assert!(sh("ping -c1 -W2 10.9.0.2").contains("1 received"));
        net.detach(VpsId(1)).await.unwrap();
    });
}

#[test]
fn an_uplink_is_set_back_to_what_it_was() {
    in_namespace(|_, run_dir| async move {
        sh("ip link add up0 type veth peer name up1 && ip link set up0 up");
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.configure(&[]).await.unwrap();
        net.configure(&[]).await.unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/up0/forwarding"), "1\n");
        net.remove_support().await.unwrap();
        assert_eq!(sh("cat /proc/sys/net/ipv4/conf/up0/forwarding"), "0\n");
    });
}

#[test]
fn what_is_malformed_is_refused_before_anything_is_made() {
    for bad in ["", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00:00:00:00:00", "0200:00:00:00:00"] {
        assert!(parse_mac(bad).is_err(), "{bad}");
    }
    for bad in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/8 } drop", "::/0"] {
        assert!(parse_pool(bad).is_err(), "{bad}");
    }
}

#[test]
fn bandwidth_is_set_changed_and_taken_back() {
    in_namespace(|net, _| async move {
        let guest = Guest::start();
        let id = VpsId(7);
        net.attach(id, guest.pid(), &spec(Ipv4Addr::new(10, 77, 0, 2), "02:00:00:00:00:01")).await.unwrap();
        assert_eq!(net.shaped(id).await, None);
        for mbit in [100, 100, 20, 1] {
            if let Err(error) = net.shape(id, mbit).await {
                eprintln!("SKIPPED: this kernel does not shape: {error}");
                break;
            }
            assert_eq!(net.shaped(id).await, Some(mbit));
        }
        net.shape(id, 0).await.unwrap();
        net.shape(id, 0).await.unwrap();
        assert_eq!(net.shaped(id).await, None);
        let _ = net.shape(id, 5).await;
        assert_eq!(net.list(), [id], "what traffic takes its turn through is no VPS's interface");
        net.detach(id).await.unwrap();
        assert!(!sh("ip -o link").contains("bti7"));
    });
}
