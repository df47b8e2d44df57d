//! IPv6 of real guests: configured before their init runs, still so when it has run, and theirs alone.

use std::process::Command;
use std::time::Duration;

use berth_agent::host::Host;
use berth_proto::{VpsId, VpsSpec};

use crate::images;
use crate::world::{self, World, sh, wait_for};

/// Runs a program of this machine in a guest's network.
fn in_network(world: &World, id: VpsId, command: &str) -> (bool, String) {
    let pid = world.pid(id).to_string();
    let output = Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-c", command]).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn with_prefix(world: &World, image: &berth_proto::ImageRef, n: u16) -> VpsSpec {
    let mut spec = world.spec(image);
    spec.net.ipv6 = Some(format!("2001:db8:0:{n}::/64").parse().unwrap());
    spec
}

fn ping(world: &World, id: VpsId, to: &str) -> bool {
    in_network(world, id, &format!("ping -6 -c1 -W3 {to}")).0
}

fn guests_of(version: u32) {
    let Some(image) = images::debian(version) else { return };
    world::run(async move |world| {
        let (one, mut two) = (with_prefix(world, &image, 1), with_prefix(world, &image, 2));
        two.net.ipv4 = None; // with nothing but IPv6
        for spec in [&one, &two] {
            world.boot(spec).await;
            // before anything inside has run
            let shown = in_network(world, spec.id, "ip -6 addr show dev eth0; ip -6 route").1;
            let own = spec.net.ipv6.unwrap().to_string().replace("::/64", "::1/64");
            assert!(shown.contains(&own) && shown.contains("default via fe80::1 "), "{shown}");
            assert!(!shown.contains("scope global tentative"), "{shown}");
        }
        assert!(ping(world, one.id, "2001:db8:0:2::1"));
        for spec in [&one, &two] {
            world.booted(spec.id);
        }
        for _ in 0..2 {
            assert!(ping(world, one.id, "2001:db8:0:2::1") && ping(world, two.id, "2001:db8:0:1::1"));
            // its own services set up the network once more, as they like
            let again = "systemctl restart systemd-networkd networking 2>/dev/null; true";
            let _ = world.try_in_guest(one.id, again);
            wait_for("the network", Duration::from_secs(60), || ping(world, one.id, "2001:db8:0:2::1"));
        }
        let v4 = format!("ping -c1 -W3 {}", one.net.ipv4.unwrap());
        assert!(sh(&v4).contains("1 received"));

        // not by another's address, nor by one of nobody's
        for forged in ["2001:db8:0:2::5", "2001:db8:0:9::1"] {
            let add = format!("ip -6 addr add {forged}/128 dev eth0 nodad");
            assert!(in_network(world, one.id, &add).0);
            let seen = received(world, two.id);
            let got = in_network(world, one.id, &format!("ping -6 -c2 -W1 -I {forged} 2001:db8:0:2::1")).0;
            assert!(!got, "{forged}");
            assert_eq!(received(world, two.id), seen, "{forged}");
            assert!(in_network(world, one.id, &format!("ip -6 addr del {forged}/128 dev eth0")).0);
        }
        assert!(ping(world, one.id, "2001:db8:0:2::1"));

        // another start, another agent
        world.host.kill(two.id).await.unwrap();
        world.host.remove_leftovers(two.id).await.unwrap();
        world.restart_agent().await;
        world.host.start(&two).await.unwrap();
        assert!(ping(world, one.id, "2001:db8:0:2::1"));
    });
}

/// Echo requests that a guest has received.
fn received(world: &World, id: VpsId) -> String {
    let read = "awk '/^Icmp6InEchos/ {print $2}' /proc/thread-self/net/snmp6";
    in_network(world, id, read).1
}

#[test]
fn guests_of_debian_12_have_a_prefix_each() {
    guests_of(12);
}

#[test]
fn guests_of_debian_13_have_a_prefix_each() {
    guests_of(13);
}
