//! Servers of three hosts reach each other by every kind of address: public and private, IPv4 and IPv6. And prefixes of IPv6
//! move between hosts while somebody connects to them all the time, by proxy NDP.

use std::net::IpAddr;

use berth_tests::e2e::cell::{Cell, Made, PLAN};
use berth_tests::e2e::guest::BOOT;
use berth_tests::e2e::host::CellHost;
use berth_tests::e2e::netns::run;
use berth_tests::wait::until;
use serde_json::{Value, json};

use crate::gateways::{
    assign, comes_to_answer, configure, create_with, delete_floating_ips, delete_pools, first_of,
    floating_ip, inside, make_pool, move_it, outside,
};

/// Where the hosts are, beside their IPv4 network.
fn address_of_host(n: usize) -> IpAddr {
    format!("2001:db8:f::1{n}").parse().expect("an address")
}

/// Three hosts with both families, on a router that forwards both.
async fn cell() -> Cell {
    let mut cell = Cell::without_images(3).await;
    let image = cell.control.image("busybox", &cell.small_image()).await;
    let sha256 = image["sha256"].as_str().expect("a digest");
    let switches = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
    run(cell.outside().command("sysctl").args(["-q", "-w"]).args(switches));
    // the router's own addresses, on the network of the hosts and on those whose addresses hosts answer for
    for address in ["198.51.100.1/24", "2001:db8:f::1/64", "2001:db8:1::1/48"] {
        let nodad = address.contains(':').then_some("nodad");
        let add = ["addr", "add", address, "dev", "br0"];
        cell.outside().ip(&add.into_iter().chain(nodad).collect::<Vec<_>>());
    }
    for (n, host) in cell.hosts.iter_mut().enumerate() {
        let address = format!("{}/64", address_of_host(n + 1));
        host.netns.ip(&["addr", "add", &address, "dev", "up0", "nodad"]);
        host.netns.ip(&["-6", "route", "add", "default", "via", "2001:db8:f::1"]);
        cell.control.host_has_image(host.id, sha256).await;
        settled(host).await;
        host.mark();
    }
    delete_pools(&cell).await;
    cell
}

/// Waits until the kernel has found that nobody else has the uplink's own address, which gives it a route.
async fn settled(host: &CellHost) {
    until("the uplink's own address", BOOT, async || {
        let shown = host.netns.ip(&["-6", "-o", "addr", "show", "dev", "up0", "tentative"]);
        if shown.trim().is_empty() { Ok(()) } else { Err(shown) }
    })
    .await;
}

async fn network(cell: &Cell, name: &str, range: &str, subnet: &str) -> Value {
    let subnet = json!({"type": "cloud", "network_zone": "local", "ip_range": subnet});
    let body = json!({"name": name, "ip_range": range, "subnets": [subnet]});
    cell.api.post("/v1/networks", body).await.expect(201)["network"]["id"].take()
}

/// All addresses of a server.
async fn addresses(cell: &Cell, made: &Made) -> Vec<IpAddr> {
    let server = cell.api.get(&format!("/v1/servers/{}", made.id)).await.expect(200)["server"].take();
    let public = ["ipv4", "ipv6"].map(|family| server["public_net"][family]["ip"].clone());
    let private = server["private_net"].as_array().expect("networks").iter().map(|net| net["ip"].clone());
    let all: Vec<IpAddr> =
        public.into_iter().chain(private).map(|ip| first_of(ip.as_str().expect("an address"))).collect();
    assert_eq!(all.iter().filter(|ip| ip.is_ipv4()).count(), 2, "{all:?}");
    assert_eq!(all.len(), 4, "{all:?}");
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_three_hosts_reach_each_other_by_every_kind_of_address() {
    let cell = cell().await;
    make_pool(&cell, "wire", "198.51.100.8/29", "proxy_arp").await;
    make_pool(&cell, "wire6", "2001:db8:1:100::/61", "proxy_arp").await;
    let networks = [
        network(&cell, "four", "10.0.0.0/16", "10.0.0.0/24").await,
        network(&cell, "six", "fd12:3456:789a::/48", "fd12:3456:789a:1::/64").await,
    ];
    let mut all = Vec::new();
    for (host, name) in ["a", "b", "c"].into_iter().enumerate() {
        let order = json!({"name": name, "server_type": PLAN, "image": "busybox", "ssh_keys": ["e2e"],
                           "networks": networks, "public_net": {"enable_ipv6": true}});
        let made = create_with(&cell, order, host).await;
        let addresses = addresses(&cell, &made).await;
        all.push((made, name, addresses));
    }
    for (made, name, addresses) in &all {
        for (other, ..) in all.iter().filter(|(other, ..)| other.id != made.id) {
            addresses.iter().for_each(|ip| comes_to_answer(&inside(&cell, other), *ip, name));
        }
        addresses[..2].iter().for_each(|ip| comes_to_answer(&outside(&cell), *ip, name));
    }

    let [a, b, c] = [0, 1, 2].map(|n| (&all[n].0, all[n].1));
    let wire = floating_ip(&cell, "ipv6", "2001:db8:1:").await;
    assign(&cell, wire.0, a.0).await;
    [a, b, c].into_iter().for_each(|(made, _)| configure(&cell, made, wire.1));
    comes_to_answer(&outside(&cell), wire.1, "a");
    for (from, to) in [(a, b), (b, c), (c, a)] {
        move_it(&cell, "proxy NDP", wire, from, to).await;
    }

    // Hosts are left as they were found.
    for (made, ..) in &all {
        cell.delete(made.id).await;
    }
    delete_floating_ips(&cell).await;
    delete_pools(&cell).await;
    for network in &networks {
        cell.api.delete(&format!("/v1/networks/{network}")).await.expect(204);
    }
    until("nobody to answer", BOOT, async || {
        let of = |n: usize| cell.dir.join(format!("h{n}/run/neighbours"));
        let left: Vec<_> = (1..=3).map(of).filter(|dir| dir.exists()).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    cell.finish().await;
}
