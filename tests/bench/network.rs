//! What a packet costs from one VPS to another of its host, beside the same between two namespaces with veths and
//! routes and nothing else; and what a change of rules costs with one VPS's rules loaded and with a thousand's.
//!
//! Packets are made by iperf3 of the machine, which enters the network namespaces of the guests: it is the way that is
//! measured, not the guest. All ways take turns, since machines drift; what is printed are medians.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use berth_agent::linux::net::Net;
use berth_proto::{Firewall, FirewallProtocol, FirewallRule, VpsId};
use berth_tests::e2e::cell::{Cell, Made};
use berth_tests::e2e::guest::first_processes;
use berth_tests::e2e::netns::{self, Netns};
use serde_json::{Value, json};

use crate::figures::{median, ms};
use crate::incus::Incus;

/// Measurements of each way.
const TURNS: usize = 5;
/// How long each takes, in seconds.
const SECONDS: &str = "3";
/// VPSes whose rules are loaded.
const MANY: i64 = 1000;
/// Changes of rules that are timed.
const CHANGES: usize = 41;

/// Two network namespaces that reach each other.
struct Way {
    name: &'static str,
    /// Files that are the namespaces.
    from: String,
    to: String,
    /// Address of the second.
    ip: String,
}

/// Measures Berth's ways beside the plain one, and the rules.
pub(crate) async fn run(cell: &Cell) -> Plain {
    let image = cell.images.first().expect("an image").clone();
    let (one, other) = (cell.create("from", &image, true).await, cell.create("to", &image, true).await);
    let walled = cell.create("walled", &image, true).await;
    for guest in [&one, &other, &walled] {
        cell.guest(guest).boot_state();
    }
    let any = json!(["0.0.0.0/0"]);
    let rules: Vec<Value> = (1..=20)
        .map(|n| json!({"direction": "in", "protocol": "tcp", "port": (6000 + n).to_string(), "source_ips": any}))
        .chain(["tcp", "udp"].map(|p| json!({"direction": "in", "protocol": p, "port": "5201", "source_ips": any})))
        .collect();
    let body = json!({"name": "bench", "rules": rules,
        "apply_to": [{"type": "server", "server": {"id": walled.id}}]});
    let created = cell.api.post("/v1/firewalls", body).await.expect(201);
    for action in created["actions"].as_array().into_iter().flatten() {
        cell.api.succeeded(action).await;
    }
    let plain = Plain::new(&cell.name);
    let ways = [
        plain.way(),
        way("Berth", cell, &one, &other),
        way("Berth, with a firewall of 22 rules", cell, &one, &walled),
    ];
    println!("\nnetwork: one VPS to another of its host, medians of {TURNS}");
    compare(&ways);
    for guest in [one, other, walled] {
        cell.delete(guest.id).await;
    }
    std::thread::spawn(rules_alone).join().expect("the rules were measured");
    plain
}

/// Incus's bridge beside the plain way.
pub(crate) async fn run_theirs(incus: &Incus<'_>, plain: &Plain) {
    let [from, to] = [incus.bridged("10.96.0.2").await, incus.bridged("10.96.0.3").await];
    println!("\nnetwork: Incus, medians of {TURNS}");
    let file = |first: u32| format!("/proc/{first}/ns/net");
    let bridge = Way { name: "Incus's bridge", from: file(from.1), to: file(to.1), ip: "10.96.0.3".into() };
    compare(&[plain.way(), bridge]);
    for (id, _) in [from, to] {
        incus.delete(id).await;
    }
}

fn way(name: &'static str, cell: &Cell, from: &Made, to: &Made) -> Way {
    Way { name, from: of(cell, from), to: of(cell, to), ip: to.ip.to_string() }
}

fn of(cell: &Cell, guest: &Made) -> String {
    let first = first_processes(&cell.hosts[guest.host].cgroup, guest.id);
    format!("/proc/{}/ns/net", first.first().expect("it runs").0)
}

/// Prints what each way carries, and its part of what the first does.
fn compare(ways: &[Way]) {
    let mut rows = vec![(Vec::new(), Vec::new()); ways.len()];
    for _ in 0..TURNS {
        for (way, row) in ways.iter().zip(&mut rows) {
            row.0.push(way.tcp());
            row.1.push(way.packets());
        }
    }
    println!("{:<40} {:>14} {:>7} {:>16} {:>7}", "", "TCP", "ratio", "64-byte packets", "ratio");
    let middle = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let mut first = None;
    for (way, (tcp, packets)) in ways.iter().zip(&mut rows) {
        let (tcp, packets) = (middle(tcp), middle(packets));
        let (all, most) = *first.get_or_insert((tcp, packets));
        println!(
            "{:<40} {tcp:>7.2} Gbit/s {:>7.2} {packets:>14.0}/s {:>7.2}",
            way.name,
            tcp / all,
            packets / most
        );
    }
}

impl Way {
    /// Gbit/s of one connection.
    fn tcp(&self) -> f64 {
        self.iperf(&[])["end"]["sum_received"]["bits_per_second"].as_f64().expect("iperf3 says it") / 1e9
    }

    /// Datagrams of 64 bytes that arrive in a second.
    fn packets(&self) -> f64 {
        let sum = &self.iperf(&["--udp", "--bitrate", "0", "--length", "64"])["end"]["sum"];
        let number = |name: &str| sum[name].as_f64().expect("iperf3 says it");
        (number("packets") - number("lost_packets")) / number("seconds")
    }

    fn iperf(&self, more: &[&str]) -> Value {
        let mut server = inside(&self.to, &["iperf3", "--server", "--one-off"]);
        let _server = Ended(server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("iperf3 runs"));
        let began = Instant::now();
        loop {
            let mut client =
                inside(&self.from, &["iperf3", "--json", "--time", SECONDS, "--client", &self.ip]);
            let said = client.args(more).output().expect("iperf3 runs");
            let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
            if said.get("error").is_none() && said.get("end").is_some() {
                return said;
            }
            // the server may not listen yet
            assert!(began.elapsed() < Duration::from_secs(20), "{}: {said}", self.name);
            std::thread::yield_now();
        }
    }
}

/// A process that ends with this.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn inside(namespace: &str, program: &[&str]) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={namespace}")).arg("--").args(program);
    command
}

/// Two namespaces and a third that routes between them: the same ways as between guests, with no rules.
pub(crate) struct Plain([Netns; 3]);

impl Plain {
    fn new(name: &str) -> Self {
        let [router, from, to] = ["r", "a", "b"].map(|end| Netns::new(&format!("{name}-plain-{end}")));
        netns::run(router.command("sysctl").args(["-q", "-w", "net.ipv4.ip_forward=1"]));
        for (end, net) in [(&from, "10.98.1"), (&to, "10.98.2")] {
            let device = if net.ends_with('1') { "left" } else { "right" };
            end.connect("eth0", &router, device);
            router.ip(&["addr", "add", &format!("{net}.1/24"), "dev", device]);
            end.ip(&["addr", "add", &format!("{net}.2/24"), "dev", "eth0"]);
            end.ip(&["route", "add", "default", "via", &format!("{net}.1")]);
        }
        Self([router, from, to])
    }

    fn way(&self) -> Way {
        let file = |netns: &Netns| format!("/run/netns/{}", netns.name());
        Way {
            name: "veths and routes alone",
            from: file(&self.0[1]),
            to: file(&self.0[2]),
            ip: "10.98.2.2".into(),
        }
    }
}

/// A firewall of twenty rules, different ones by `from`.
fn firewall(from: u16) -> Firewall {
    let rule = |n: u16| FirewallRule {
        protocol: FirewallProtocol::Tcp,
        ports: Some((from + n, from + n)),
        nets: vec!["0.0.0.0/0".parse().expect("a network")],
    };
    Firewall { inbound: (0..20).map(rule).collect(), outbound: Vec::new() }
}

/// In a network namespace of its own, with the agent's own code and no guests.
fn rules_alone() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("root may");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    runtime.block_on(async {
        let net = Net::open("bn", "berth_bench", dir.path(), None).expect("netlink answers");
        net.configure(&[]).await.expect("nft takes the table");
        let few = changes(&net).await;
        for id in 2..=MANY {
            net.firewall(VpsId(id), Some(&firewall(1000))).await.expect("nft takes rules");
        }
        let many = changes(&net).await;
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        let verdict = if ratio <= 1.2 { "met" } else { "MISSED" };
        println!(
            "\nchange of a VPS's 20 rules, medians of {CHANGES}: {} with no other VPS, {} with {MANY} VPSes' rules \
             loaded ({ratio:.2}); the aim of 1.2 is {verdict}",
            ms(few),
            ms(many)
        );
    });
}

async fn changes(net: &Net) -> Duration {
    let mut took = Vec::new();
    for n in 0..CHANGES {
        let clock = Instant::now();
        let from = if n % 2 == 0 { 1000 } else { 2000 };
        net.firewall(VpsId(1), Some(&firewall(from))).await.expect("nft takes rules");
        took.push(clock.elapsed());
    }
    median(&took)
}
