//! What is told of traffic is what passed, whatever is restarted in between.

use std::collections::BTreeMap;

use berth_agent::host::Host;
use berth_proto::{TrafficCount, VpsId};
use rand::Rng as _;

use crate::tiny::{STAYS, template};
use crate::world::{self, World, sh};

const RESTARTS: usize = 100;
/// Headers of an echo request: IP's and ICMP's.
const HEADERS: i64 = 28;

/// As the control plane does: what is more of each epoch than was known.
#[derive(Default)]
struct Account(BTreeMap<String, TrafficCount>);

impl Account {
    async fn hear(&mut self, world: &World, id: VpsId) {
        world.host.count_traffic().await;
        let told = world.host.vps_traffic(id).await;
        assert!(told.len() <= 8, "{told:?}");
        for count in told {
            let before = self.0.insert(count.epoch.clone(), count.clone());
            assert!(before.is_none_or(|before| count.follows(&before)), "{count:?}");
        }
    }

    fn sum(&self, f: fn(&TrafficCount) -> i64) -> i64 {
        self.0.values().map(f).sum()
    }
}

#[test]
fn every_byte_is_told_over_a_hundred_restarts() {
    world::run(async |world| {
        let mut spec = world.spec(&template(world, STAYS, |_| {}));
        let (id, address) = (spec.id, spec.net.ipv4.unwrap());
        world.host.create_disk(&spec).await.unwrap();
        world.host.start(&spec).await.unwrap();
        let (mut account, mut packets, mut bytes) = (Account::default(), 0, 0);
        for _ in 0..RESTARTS {
            let (count, size) = (rand::rng().random_range(1..=4), rand::rng().random_range(0..=1400));
            let said = sh(&format!("ping -q -i 0.01 -W 30 -c {count} -s {size} {address}"));
            assert!(said.contains(&format!("{count} received")), "{said}");
            packets += count;
            bytes += count * (size + HEADERS);
            match rand::rng().random_range(0..10) {
                // the guest ends by itself: its namespace and its interface go unseen
                0..4 => {
                    let init = nix::unistd::Pid::from_raw(world.pid(id));
                    nix::sys::signal::kill(init, nix::sys::signal::Signal::SIGKILL).unwrap();
                    while world.host.find(id).await.guest.is_some() {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                }
                4..7 => world.host.kill(id).await.unwrap(),
                7..9 => world.restart_agent().await,
                // the host: what was counted is as old as the last report
                _ => {
                    account.hear(world, id).await;
                    world.host.kill(id).await.unwrap();
                    sh(&format!("nft delete table inet {}", world.config.nft_table));
                    world.restart_agent().await;
                }
            }
            if world.host.find(id).await.guest.is_none() {
                world.host.kill(id).await.unwrap();
                world.host.remove_leftovers(id).await.unwrap();
                spec.boot_epoch += 1;
                world.host.start(&spec).await.unwrap();
            }
            if rand::random() {
                account.hear(world, id).await;
            }
        }
        account.hear(world, id).await;
        let told = (account.sum(|c| c.in_packets), account.sum(|c| c.in_bytes));
        assert_eq!(told, (packets, bytes), "in, over {} epochs", account.0.len());
        let told = (account.sum(|c| c.out_packets), account.sum(|c| c.out_bytes));
        assert_eq!(told, (packets, bytes), "out");

        // the last word of one that is deleted
        sh(&format!("ping -q -c 1 -s 100 {address}"));
        world.host.kill_for_deletion(id).await.unwrap();
        world.host.remove_leftovers(id).await.unwrap();
        std::fs::write(world.config.state_dir.join("vps").join(id.to_string()).join("record.json"), "{}")
            .unwrap();
        world.host.delete_disk(id).await.unwrap();
        assert!(!sh("nft list ruleset").contains(&format!("traffic_{id}_")));
        account.hear(world, id).await;
        assert_eq!(account.sum(|c| c.in_bytes), bytes + 128);
        std::fs::remove_dir_all(world.config.state_dir.join("vps").join(id.to_string())).unwrap();
        world.host.count_traffic().await;
        assert_eq!(world.host.vps_traffic(id).await, []);
    });
}
