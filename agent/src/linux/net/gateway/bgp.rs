//! BGP: what bird is told to say. It reads from the kernel which addresses of announced pools are routed to guests, and
//! tells the routers that the operator has named; it learns nothing from them.
//!
//! So the configuration changes with the host's settings only. A route that comes or goes is itself what is announced or
//! withdrawn, whether or not the agent runs.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use berth_proto::{Bgp, Gateways};
use ipnet::IpNet;

use super::super::{Net, Result};
use super::lacking;

impl Net {
    /// Has bird announce what is to be announced; ends it when nothing is.
    pub(super) async fn speak_bgp(&self, now: &Gateways) -> Result<()> {
        let bird = &self.gateway.bird;
        if now.announced.is_empty() {
            return bird.set(None).await;
        }
        let Some(bgp) = &now.bgp else {
            bird.set(None).await?;
            return Err(lacking(
                "a pool of this location is announced by BGP, and this host has nobody to announce it to: name its \
                 routers (`berth-server admin hosts set-bgp`)",
            ));
        };
        let own =
            self.private.underlay().and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None });
        let router_id = bgp.router_id.or(own).ok_or_else(|| {
            lacking(
                "this host has no IPv4 address among hosts that could name it to routers: set its router id",
            )
        })?;
        let log = bird.log_file()?;
        bird.set(Some(config(bgp, &now.announced, &self.prefix, router_id, &log))).await?;
        match untold(bgp, &now.announced) {
            Some(pool) => Err(lacking(format!(
                "{pool} is announced by BGP at routers' addresses of the same family, and this host has none of that: \
                 name them too (`berth-server admin hosts set-bgp`)"
            ))),
            None => Ok(()),
        }
    }
}

/// A pool that nobody is told of: each family has sessions of its own.
fn untold(bgp: &Bgp, pools: &[IpNet]) -> Option<IpNet> {
    let told = |pool: &IpNet| bgp.neighbours.iter().any(|n| n.address.is_ipv4() == pool.addr().is_ipv4());
    pools.iter().find(|pool| !told(pool)).copied()
}

/// The whole configuration. What goes into it are numbers, addresses and validated names.
///
/// A host that is lost is noticed after nine seconds, so that an address that was moved away from it is reached soon. There
/// is no graceful restart: routes that a router keeps on the word of a host that does not answer would outlive a move.
fn config(bgp: &Bgp, pools: &[IpNet], prefix: &str, router_id: Ipv4Addr, log: &str) -> String {
    let mut text = format!(
        "# Written by berth-agent; changes are overwritten.\n\
         log \"{log}\" 1048576 \"{log}.old\" {{ info, remote, warning, error, auth, fatal, bug }};\n\
         router id {router_id};\n\
         protocol device {{ scan time 10; }}\n"
    );
    // guests have single addresses, or /64s
    for (family, whole, length) in [("ipv4", 32, 32), ("ipv6", 128, 64)] {
        let of_family = pools.iter().filter(|pool| pool.max_prefix_len() == whole);
        let pools: Vec<String> =
            of_family.map(|pool| format!("{}{{{length},{length}}}", pool.trunc())).collect();
        if pools.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "protocol kernel guests_{family} {{\n\
             \tlearn;\n\
             \tscan time 10;\n\
             \t{family} {{\n\
             \t\timport where ifname ~ \"{prefix}*\" && net ~ [ {} ];\n\
             \t\texport none;\n\
             \t}};\n\
             }}\n",
            pools.join(", ")
        );
    }
    for (n, neighbour) in bgp.neighbours.iter().enumerate() {
        let family = if neighbour.address.is_ipv4() { "ipv4" } else { "ipv6" };
        let _ = write!(
            text,
            "protocol bgp router_{n} {{\n\
             \tlocal as {};\n\
             \tneighbor {} as {};\n\
             \thold time 9;\n\
             \tconnect delay time 1;\n\
             \tconnect retry time 5;\n\
             \terror wait time 1, 10;\n\
             \t{family} {{\n\
             \t\timport none;\n\
             \t\texport where proto = \"guests_{family}\";\n\
             \t\tnext hop self;\n\
             \t}};\n\
             }}\n",
            bgp.asn, neighbour.address, neighbour.asn
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use berth_proto::{BgpNeighbour, VpsId};

    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

    #[test]
    fn only_guests_addresses_of_announced_pools_are_announced() {
        let neighbours =
            ["192.0.2.1", "2001:db8::1"].map(|ip| BgpNeighbour { address: ip.parse().unwrap(), asn: 64_500 });
        let bgp = Bgp { asn: 64_512, router_id: None, neighbours: neighbours.to_vec() };
        let pools = ["203.0.113.0/24", "198.51.100.0/25"].map(|pool| pool.parse().unwrap());
        let six = ["2001:db8:1::/48".parse().unwrap()];
        let text6 = config(&bgp, &six, "bv", Ipv4Addr::new(192, 0, 2, 11), "/run/berth/bird/log");
        assert!(text6.contains("net ~ [ 2001:db8:1::/48{64,64} ]"), "{text6}");
        assert_eq!(untold(&bgp, &[pools[0], six[0]]), None);
        let four = Bgp { neighbours: vec![bgp.neighbours[0]], ..bgp.clone() };
        assert_eq!(untold(&four, &[pools[0], six[0]]), Some(six[0]));
        let text = config(&bgp, &pools, "bv", Ipv4Addr::new(192, 0, 2, 11), "/run/berth/bird/log");
        for line in [
            "router id 192.0.2.11;",
            "import where ifname ~ \"bv*\" && net ~ [ 203.0.113.0/24{32,32}, 198.51.100.0/25{32,32} ];",
            "neighbor 192.0.2.1 as 64500;",
            "neighbor 2001:db8::1 as 64500;",
            "export where proto = \"guests_ipv4\";",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("kernel guests_ipv6"), "there is no such pool");
    }

    fn has_bird() -> bool {
        let there = std::process::Command::new("bird").arg("--version").output().is_ok();
        assert!(
            there || std::env::var_os("CI").is_none(),
            "this test needs bird (package bird2), and on CI it must run"
        );
        if !there {
            eprintln!("SKIPPED: needs bird (package bird2)");
        }
        there
    }

    /// Ends what runs in the background, also when a test fails.
    struct Ends(std::path::PathBuf);

    impl Drop for Ends {
        fn drop(&mut self) {
            let pid = std::fs::read_to_string(&self.0).unwrap_or_default();
            if let Ok(pid) = pid.trim().parse() {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }

    /// What the router has learnt.
    fn learnt(router: &Guest, ip: &str) -> bool {
        let family = if ip.contains(':') { "-6" } else { "-4" };
        router.sh(&format!("ip {family} route show {ip} | grep -q via"))
    }

    fn comes_true(what: &str, is: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !is() {
            assert!(begun.elapsed().as_secs() < 60, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[test]
    fn a_router_learns_what_is_routed_to_guests_and_forgets_what_is_not() {
        if !has_bird() {
            return;
        }
        in_namespace(|_, run_dir| async move {
            let router = Guest::start();
            sh(&format!("ip link add up0 type veth peer name eth0 netns {}", router.pid()));
            sh(
                "ip link set up0 up && ip addr add 192.0.2.2/24 dev up0; ip addr add 2001:db8:f::2/64 dev up0 nodad",
            );
            let up = "ip link set lo up; ip link set eth0 up && ip addr add 192.0.2.1/24 dev eth0 && \
                      ip addr add 2001:db8:f::1/64 dev eth0 nodad";
            assert!(router.sh(up));
            let theirs = run_dir.join("router");
            std::fs::create_dir(&theirs).unwrap();
            let of_router = "router id 192.0.2.1;\nprotocol device {}\n\
                protocol kernel { ipv4 { import none; export all; }; }\n\
                protocol bgp { local as 64500; neighbor 192.0.2.2 as 64512; connect delay time 1;\n\
                               ipv4 { import all; export none; }; }\n\
                protocol kernel { ipv6 { import none; export all; }; }\n\
                protocol bgp { local as 64500; neighbor 2001:db8:f::2 as 64512; connect delay time 1;\n\
                               ipv6 { import all; export none; }; }\n";
            std::fs::write(theirs.join("conf"), of_router).unwrap();
            let at = theirs.display();
            assert!(router.sh(&format!("bird -c {at}/conf -s {at}/ctl -P {at}/pid")));

            let own = run_dir.join("own");
            let _ends = [Ends(theirs.join("pid")), Ends(own.join("bird/pid"))];
            std::fs::create_dir(&own).unwrap();
            let net = Net::open("bt", "berth_test", &own, Some("up0")).unwrap();
            net.ensure().await.unwrap();
            net.configure(&[]).await.unwrap();
            let guest = Guest::start();
            let (ours, mut wanted) = (VpsId(1), spec(Ipv4Addr::new(203, 0, 113, 5), "02:00:00:00:00:01"));
            net.attach(ours, guest.pid(), &wanted).await.unwrap();
            let neighbour = BgpNeighbour { address: [192, 0, 2, 1].into(), asn: 64_500 };
            let bgp =
                Bgp { asn: 64_512, router_id: Some([192, 0, 2, 2].into()), neighbours: vec![neighbour] };
            let pools = ["203.0.113.0/24", "2001:db8:1::/48"].map(|pool| pool.parse().unwrap()).to_vec();
            let mut gateways = Gateways { announced: pools, ..Gateways::default() };
            let error = net.gateways(&gateways).await.unwrap_err().to_string();
            assert!(error.contains("set-bgp"), "{error}");
            gateways.bgp = Some(bgp.clone());
            let error = net.gateways(&gateways).await.unwrap_err().to_string();
            assert!(error.contains("2001:db8:1::/48") && error.contains("family"), "{error}");
            let six = BgpNeighbour { address: "2001:db8:f::1".parse().unwrap(), asn: 64_500 };
            gateways.bgp = Some(Bgp { neighbours: vec![bgp.neighbours[0], six], ..bgp });
            net.gateways(&gateways).await.unwrap();
            comes_true("the guest that was there is announced", || learnt(&router, "203.0.113.5"));
            sh("ip route add 203.0.113.99 dev up0"); // nothing of ours
            wanted.floating = vec![[203, 0, 113, 7].into(), [198, 51, 100, 7].into()];
            wanted.floating6 =
                ["2001:db8:1:7::/64", "2001:db8:2:7::/64"].map(|net| net.parse().unwrap()).to_vec();
            net.route(ours, &wanted).await.unwrap();
            comes_true("what comes is announced", || learnt(&router, "203.0.113.7"));
            comes_true("and so is a prefix", || learnt(&router, "2001:db8:1:7::/64"));
            assert!(!learnt(&router, "203.0.113.99") && !learnt(&router, "198.51.100.7"));
            assert!(!learnt(&router, "2001:db8:2:7::/64"));
            net.route(ours, &spec(Ipv4Addr::new(203, 0, 113, 5), "02:00:00:00:00:01")).await.unwrap();
            comes_true("what goes is withdrawn", || !learnt(&router, "203.0.113.7"));
            comes_true("and so is a prefix", || !learnt(&router, "2001:db8:1:7::/64"));

            // bird outlives the agent, and one that died is started again.
            let pid = || std::fs::read_to_string(own.join("bird/pid")).unwrap_or_default();
            let first = pid();
            drop(net);
            let net = Net::open("bt", "berth_test", &own, Some("up0")).unwrap();
            net.gateways(&gateways).await.unwrap();
            assert_eq!(pid(), first);
            sh(&format!("kill -9 {first}"));
            comes_true("it is withdrawn", || !learnt(&router, "203.0.113.5"));
            let begun = std::time::Instant::now();
            while !learnt(&router, "203.0.113.5") {
                assert!(begun.elapsed().as_secs() < 60, "it is announced again");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            sh("ip link del bt1");
            comes_true("a guest that died is withdrawn", || !learnt(&router, "203.0.113.5"));
            net.detach(ours).await.unwrap();
            net.remove_support().await.unwrap();
            assert!(!own.join("bird").exists());
        });
    }
}
