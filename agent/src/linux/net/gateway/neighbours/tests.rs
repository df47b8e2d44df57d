//! In network namespaces, asked by the kernel of a neighbour.

use std::net::Ipv4Addr;

use berth_proto::{Gateways, NetSpec, VpsId};

use super::super::arp::Link;
use super::*;
use crate::linux::net::Net;
use crate::linux::net::tests::{self, Guest, in_namespace, sh};

fn spec(floating: &[&str]) -> NetSpec {
    let floating6 = floating.iter().map(|net| net.parse().unwrap()).collect();
    let own = Some("2001:db8:1:1::/64".parse().unwrap());
    NetSpec { ipv6: own, floating6, ..tests::spec(Ipv4Addr::new(10, 9, 0, 2), "02:00:00:00:00:01") }
}

fn comes_true(what: &str, is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed().as_secs() < 60, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process, as a thread in this namespace: a test has no program to start.
fn answerer(run_dir: &Path) -> std::thread::JoinHandle<io::Result<()>> {
    let dir = run_dir.join("neighbours");
    std::fs::create_dir(&dir).unwrap();
    let control = dir.join("ctl");
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve(&dir))
    });
    comes_true("it to listen", || control.exists());
    thread
}

#[test]
fn all_of_what_is_routed_here_is_answered_for_with_an_agent_and_without() {
    in_namespace(|_, run_dir| async move {
        // Who asks is somewhere else on the same wire.
        let world = Guest::start();
        sh(&format!("ip link add up0 type veth peer name eth0 netns {}", world.pid()));
        sh("ip link set up0 up && ip addr add 2001:db8:1::2/48 dev up0 nodad");
        assert!(
            world.sh("ip link set lo up; ip link set eth0 up && ip addr add 2001:db8:1::1/48 dev eth0 nodad")
        );
        let mac = Link::named("up0").unwrap().mac.map(|byte| format!("{byte:02x}")).join(":");
        let thread = answerer(&run_dir);
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.ensure().await.unwrap();
        net.configure(&[]).await.unwrap();
        let gateways = Gateways { proxied: vec!["2001:db8:1::/48".parse().unwrap()], ..Gateways::default() };
        net.gateways(&gateways).await.unwrap();
        let guest = Guest::start();
        net.attach(VpsId(1), guest.pid(), &spec(&[])).await.unwrap();
        for address in ["2001:db8:1:1:ab::cd", "2001:db8:1:f::1", "2001:db8:1:f::77"] {
            assert!(guest.sh(&format!("ip addr add {address}/128 dev eth0 nodad")));
        }
        let asks = |ip: &str| world.sh(&format!("ping -6 -c1 -W1 {ip} >/dev/null"));
        let afresh = |ip: &str| world.sh("ip -6 neigh flush dev eth0") && asks(ip);
        comes_true("an answer", || afresh("2001:db8:1:1::1"));
        comes_true("an answer for any other address", || afresh("2001:db8:1:1:ab::cd"));
        assert!(!afresh("2001:db8:1:f::77") && !afresh("2001:db8:1:f::1"), "nobody has it");
        let knows =
            |ip: &str, mac: &str| world.sh(&format!("ip -6 neigh show {ip} dev eth0 | grep -q {mac}"));
        assert!(!knows("2001:db8:1:f::77", "lladdr"), "and nobody said so");

        // Neighbours that know somebody else are told at once, of what they asked for too.
        for ip in ["2001:db8:1:f::1", "2001:db8:1:f::77"] {
            let elsewhere =
                format!("ip -6 neigh replace {ip} lladdr 02:00:00:00:00:99 nud reachable dev eth0");
            assert!(world.sh(&elsewhere) && !asks(ip));
            assert!(world.sh(&elsewhere));
        }
        net.route(VpsId(1), &spec(&["2001:db8:1:f::/64"])).await.unwrap();
        for ip in ["2001:db8:1:f::1", "2001:db8:1:f::77"] {
            comes_true("what it knew was wrong, and it was told", || knows(ip, &mac));
        }
        for ip in ["2001:db8:1:f::1", "2001:db8:1:f::77"] {
            assert!(asks(ip) && afresh(ip), "{ip}");
        }
        // Whoever wants such an address for itself hears that it is taken.
        assert!(world.sh("ip addr add 2001:db8:1:f::5/128 dev eth0"));
        comes_true("it to be refused", || world.sh("ip -6 addr show dev eth0 | grep -q dadfailed"));
        net.route(VpsId(1), &spec(&[])).await.unwrap();
        assert!(!afresh("2001:db8:1:f::1"));

        // It does not hang on the agent, but on the guest.
        drop(net);
        assert!(afresh("2001:db8:1:1:ab::cd"));
        let net = Net::open("bt", "berth_test", &run_dir, Some("up0")).unwrap();
        net.gateways(&gateways).await.unwrap();
        assert!(afresh("2001:db8:1:1:ab::cd"));
        sh("ip link del bt1");
        assert!(!afresh("2001:db8:1:1:ab::cd"));
        net.detach(VpsId(1)).await.unwrap();
        net.remove_support().await.unwrap();
        thread.join().unwrap().unwrap();
        assert!(!run_dir.join("neighbours").exists());
    });
}

#[test]
fn an_uplink_that_comes_back_is_heard_again() {
    in_namespace(|_, run_dir| async move {
        let thread = answerer(&run_dir);
        let neighbours = Neighbours::new(&run_dir);
        let task = Task { uplink: "up0".to_owned(), prefix: "bt".to_owned(), pools: Vec::new() };
        let word = Word::Answer(task);
        let error = neighbours.say(&word).await.unwrap_err().to_string();
        assert!(error.contains("not there"), "{error}");
        for _ in 0..2 {
            sh("ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up");
            neighbours.say(&word).await.unwrap();
            sh("ip link del up0");
            neighbours.say(&word).await.unwrap_err();
        }
        let error = neighbours.say(&Word::Tell("2001:db8::/64".parse().unwrap())).await.unwrap_err();
        assert!(error.to_string().contains("no uplink"), "{error}");
        neighbours.end().await.unwrap();
        thread.join().unwrap().unwrap();
    });
}
