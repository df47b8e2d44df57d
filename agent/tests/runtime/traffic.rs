//! What is told of traffic is what passed, by public and by private networks, whatever is restarted in between.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use berth_agent::host::Host as _;
use berth_agent::linux::LinuxHost;
use berth_agent::stop_all::stop_all;
use berth_proto::{NetworkId, PrivateNic, TrafficCount, VpsId, VpsSpec};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::Rng as _;

use crate::tiny::{STAYS, template};
use crate::world::{self, World, sh, wait_for};

const RESTARTS: usize = 100;
/// Headers of an echo request: IP's and ICMP's.
const HEADERS: i64 = 28;

/// Packets and bytes, in or out: each request has an answer of its size.
type Sum = (i64, i64);

/// As the control plane does: what is more of each epoch than was known.
#[derive(Default)]
struct Account(BTreeMap<String, TrafficCount>);

impl Account {
    fn hear(&mut self, told: Vec<TrafficCount>) {
        assert!(told.len() <= 8, "{told:?}");
        for count in told {
            let before = self.0.insert(count.epoch.clone(), count.clone());
            assert!(before.is_none_or(|before| count.follows(&before)), "{count:?}");
        }
    }

    fn sums(&self) -> [Sum; 2] {
        let sum = |f: fn(&TrafficCount) -> i64| self.0.values().map(f).sum();
        [(sum(|c| c.in_packets), sum(|c| c.in_bytes)), (sum(|c| c.out_packets), sum(|c| c.out_bytes))]
    }
}

/// What really passed one way, and what is known of it.
#[derive(Default)]
struct Way {
    passed: Sum,
    /// The part of it that a crash of the machine does not take away.
    saved: Sum,
    told: Account,
}

/// One VPS under test.
struct Vps {
    spec: VpsSpec,
    public: Way,
    private: Way,
}

impl Vps {
    async fn new(world: &World, networks: &[i64]) -> Self {
        let mut spec = world.spec(&template(world, STAYS, |_| {}));
        spec.net.private = networks.iter().map(|network| nic(&spec, *network)).collect();
        world.host.create_disk(&spec).await.unwrap();
        world.host.start(&spec).await.unwrap();
        Self { spec, public: Way::default(), private: Way::default() }
    }

    /// Lets pings pass: from the host, and to the gateway of one of its networks.
    fn ping(&mut self, world: &World) {
        let address = self.spec.net.ipv4.unwrap().into();
        ping("", address, &mut self.public);
        let Some(nic) = self.spec.net.private.get(rand::rng().random_range(0..2)) else { return };
        let inside = format!("nsenter -t {} -n", world.pid(self.spec.id));
        ping(&inside, nic.gateway, &mut self.private);
    }

    /// All that passed is on the host's disk.
    fn saved(&mut self) {
        for way in [&mut self.public, &mut self.private] {
            way.saved = way.passed;
        }
    }

    /// What the agent has looked at last, and what the control plane makes of it.
    async fn hear(&mut self, world: &World) {
        self.public.told.hear(world.host.vps_traffic(self.spec.id).await);
        self.private.told.hear(world.host.vps_private_traffic(self.spec.id).await);
    }
}

fn nic(spec: &VpsSpec, network: i64) -> PrivateNic {
    let last = spec.id.0 % 100 + 2;
    let ip = |last: i64| format!("10.{network}.0.{last}").parse().unwrap();
    PrivateNic {
        network: NetworkId(network),
        vni: 3_000_000 + u32::try_from(network).unwrap(),
        mac: format!("02:00:00:01:{network:02x}:{last:02x}"),
        ip: ip(last),
        aliases: Vec::new(),
        gateway: ip(1),
        range: format!("10.{network}.0.0/16").parse().unwrap(),
        routes: Vec::new(),
    }
}

fn ping(by: &str, address: std::net::IpAddr, way: &mut Way) {
    let (count, size) = (rand::rng().random_range(1..=4), rand::rng().random_range(0..=1400));
    let said = sh(&format!("{by} ping -q -i 0.01 -W 30 -c {count} -s {size} {address}"));
    assert!(said.contains(&format!("{count} received")), "{said}");
    way.passed.0 += count;
    way.passed.1 += count * (size + HEADERS);
}

/// Looks at all counters, as with each report.
async fn look(world: &World, vpses: &mut [Vps]) {
    world.host.count_traffic().await;
    for vps in vpses {
        vps.saved();
        vps.hear(world).await;
    }
}

/// All that a boot of the machine takes away but the agent's own directory of state: every process, interface, namespace
/// and table, and the run directory. lxcfs stays where it is, it counts nothing.
fn end_of_the_machine(world: &World, vpses: &[Vps]) {
    for vps in vpses {
        let lock = world.config.run_dir.join(vps.spec.id.to_string()).join("lock");
        let monitor = std::fs::read_to_string(lock).ok().and_then(|pid| pid.trim().parse().ok());
        let Some(monitor) = monitor.map(Pid::from_raw) else { continue };
        let _ = kill(monitor, Signal::SIGKILL); // and with it the guest
    }
    let parent = &world.config.cgroup_parent;
    let empty = format!(
        "find /sys/fs/cgroup -maxdepth 2 -name {parent} -exec find {{}} -name '*procs' ';' | xargs -r cat"
    );
    wait_for("all processes to end", Duration::from_secs(60), || sh(&empty).is_empty());
    sh(&format!(
        "for group in $(find /sys/fs/cgroup -maxdepth 2 -name {parent}); do find $group -mindepth 1 -depth -type d -exec rmdir {{}} ';'; done"
    ));
    let run = world.config.run_dir.display();
    sh(&format!(
        "cut -d' ' -f5 /proc/self/mountinfo | grep '^{run}/' | grep -v '^{run}/lxcfs' | xargs -r umount -l"
    ));
    sh(&format!("find {run} -mindepth 1 -maxdepth 1 ! -name lxcfs -exec rm -r {{}} +"));
    let prefix = &world.config.iface_prefix;
    sh(&format!(
        "for link in $(ip -br link | cut -d' ' -f1 | cut -d@ -f1 | grep '^{prefix}'); do ip link del $link || true; done"
    ));
    sh(&format!("nft delete table inet {}", world.config.nft_table));
}

/// The guest ends by itself: its namespace and its interfaces go unseen.
async fn die(world: &World, id: VpsId) {
    kill(Pid::from_raw(world.pid(id)), Signal::SIGKILL).unwrap();
    while world.host.find(id).await.guest.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One random end of something.
async fn restart(world: &mut World, vpses: &mut [Vps]) {
    let id = vpses[rand::rng().random_range(0..vpses.len())].spec.id;
    let what = rand::rng().random_range(0..12);
    eprintln!("{id}: {what}"); // for whoever looks for the reason of a failure
    match what {
        0..4 => die(world, id).await,
        4..6 => world.host.kill(id).await.unwrap(),
        6..8 => world.restart_agent().await,
        // the machine goes down in order, as its units have it: the agent ends, then another process ends the guests
        8 => {
            let last = Arc::new(LinuxHost::new(world.config.clone()).await.unwrap());
            stop_all(&world.config.state_dir, &last, Duration::from_millis(50)).await.unwrap();
            vpses.iter_mut().for_each(Vps::saved);
            end_of_the_machine(world, vpses);
            world.restart_agent().await;
        }
        // it crashes a moment after a report
        9 => {
            look(world, vpses).await;
            end_of_the_machine(world, vpses);
            world.restart_agent().await;
        }
        // it crashes at any other moment: what passed since the last look is lost, that alone, and for good
        _ => {
            end_of_the_machine(world, vpses);
            for vps in &mut *vpses {
                for way in [&mut vps.public, &mut vps.private] {
                    way.passed = way.saved;
                }
            }
            world.restart_agent().await;
        }
    }
    for vps in vpses {
        let id = vps.spec.id;
        if world.host.find(id).await.guest.is_none() {
            world.host.kill(id).await.unwrap();
            world.host.remove_leftovers(id).await.unwrap();
            vps.private.saved = vps.private.passed; // its interfaces were taken away in order
            vps.spec.boot_epoch += 1;
            world.host.start(&vps.spec).await.unwrap();
        }
    }
}

#[test]
fn every_byte_is_told_over_a_hundred_restarts() {
    world::run(async |world| {
        // one network of both, which goes on when one is restarted, and one of the first alone, which goes with it
        let mut vpses = [Vps::new(world, &[1, 2]).await, Vps::new(world, &[1]).await];
        for _ in 0..RESTARTS {
            vpses.iter_mut().for_each(|vps| vps.ping(world));
            restart(world, &mut vpses).await;
            if rand::random() {
                look(world, &mut vpses).await;
            }
        }
        look(world, &mut vpses).await;
        for vps in &vpses {
            for (what, way) in [("public", &vps.public), ("private", &vps.private)] {
                assert!(way.passed.0 > 0, "{what}");
                assert_eq!(way.told.sums(), [way.passed; 2], "{what}, over {} epochs", way.told.0.len());
            }
            assert_eq!(vps.private.told.0.len(), 1, "private traffic is one sum");
        }

        // between the two, and the last word of one that is deleted
        let [first, mut second] = vpses;
        let (id, other) = (first.spec.id, second.spec.net.private[0].ip);
        sh(&format!("nsenter -t {} -n ping -q -c 3 -i 0.01 -W 30 -s 100 {other}", world.pid(id)));
        second.ping(world);
        let id = second.spec.id;
        world.host.kill_for_deletion(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        let records = world.config.state_dir.join("vps");
        std::fs::write(records.join(id.to_string()).join("record.json"), "{}").unwrap();
        world.host.delete_disk(id).await.unwrap();
        assert!(!sh("nft list ruleset").contains(&format!("traffic_{id}_")));
        second.hear(world).await;
        let (packets, bytes) = second.private.passed;
        assert_eq!(second.private.told.sums(), [(packets + 3, bytes + 3 * (100 + HEADERS)); 2]);
        assert_eq!(second.public.told.sums(), [second.public.passed; 2]);
        std::fs::remove_dir_all(records.join(id.to_string())).unwrap();
        world.host.count_traffic().await;
        assert_eq!(world.host.vps_traffic(id).await, []);
        assert_eq!(world.host.vps_private_traffic(id).await, []);
        let _ = std::fs::remove_file(records.join(first.spec.id.to_string()).join("record.json")); // of stop-all
    });
}
