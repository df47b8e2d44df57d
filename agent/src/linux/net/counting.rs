//! Counting of traffic: two named counters for each VPS, found by the interface's name in a map.
//!
//! The kernel's own counters of an interface go with the interface, and that goes with the guest's network namespace, in
//! the moment in which the guest dies; what it counted since somebody looked would be lost. These counters are the
//! table's. They stay when the guest ends, when it is started again and when the agent is, and are taken away with the
//! VPS's disk. A packet finds its counter in one look-up, so it costs the same with one VPS and with a thousand.
//!
//! What comes from a guest is counted once it has turned out not to be forged; what goes to a guest last of all, after
//! firewalls and address translation, and before its bandwidth limit. ARP is not counted.
//!
//! Counters are named `traffic_<id>_<epoch>_in` and `…_out`. The epoch is chosen at random when they are made, so that
//! counters that begin at zero (after a boot of the host, or when somebody has flushed the table) are never taken for
//! those of before.
//!
//! Routers of private networks count in the same way ([`super::private`]), by the same maps in tables of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::MutexGuard;

use berth_proto::{TrafficCount, VpsId};
use tokio::process::Command;

use super::{Net, NetError, Result, rules};

/// Epochs of the counters that are there, by VPS.
pub(super) type Epochs = BTreeMap<VpsId, u64>;

/// The maps, and the chain in which what goes to guests is counted. Part of the table.
pub(super) fn frame() -> &'static str {
    r#"    map sent { type ifname : counter; }
    map received { type ifname : counter; }
    chain to_guest {
        counter name oifname map @received
    }
"#
}

/// The rule that counts what comes from guests; the last of its chain.
pub(super) const FROM_GUEST: &str = "counter name iifname map @sent";

impl Net {
    /// Learns which counters are there, and makes those that running VPSes lack.
    pub(super) async fn ensure_counters(&self) -> Result<()> {
        let there: Epochs = listed(&self.table).await?.into_keys().collect();
        let missing: Vec<VpsId> = self.list().into_iter().filter(|id| !there.contains_key(id)).collect();
        *self.epochs() = there;
        for id in missing {
            self.count(id).await?;
        }
        Ok(())
    }

    /// Counts the traffic of a VPS, if that is not done already.
    pub(super) async fn count(&self, id: VpsId) -> Result<()> {
        if self.epochs().contains_key(&id) {
            return Ok(());
        }
        let epoch = rand::random();
        rules::apply(&begin(&self.table, id, epoch, &self.name(id))).await?;
        self.epochs().insert(id, epoch);
        Ok(())
    }

    /// What the counters of all VPSes stand at, those included that do not run.
    ///
    /// # Errors
    /// When nft cannot be run or has no such table.
    pub async fn traffic(&self) -> Result<Vec<(VpsId, TrafficCount)>> {
        let counters = listed(&self.table).await?.into_iter();
        Ok(counters.map(|((id, epoch), [came, went])| (id, count(epoch, came, went))).collect())
    }

    /// Takes the counters of a VPS away. Only when its last count was taken in, and it has no interface.
    ///
    /// # Errors
    /// When nft refuses it.
    pub async fn stop_counting(&self, id: VpsId) -> Result<()> {
        let epochs: BTreeSet<u64> = listed(&self.table)
            .await?
            .into_keys()
            .filter(|(of, _)| *of == id)
            .map(|(_, epoch)| epoch)
            .collect();
        for epoch in epochs {
            rules::apply(&end(&self.table, id, epoch, &self.name(id))).await?;
        }
        self.epochs().remove(&id);
        Ok(())
    }

    fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().expect("no code panics while holding this lock")
    }
}

/// Bytes and packets.
pub(super) type Sum = (i64, i64);

pub(super) fn count(epoch: u64, came: Sum, went: Sum) -> TrafficCount {
    TrafficCount {
        epoch: format!("{epoch:016x}"),
        in_bytes: came.0,
        in_packets: came.1,
        out_bytes: went.0,
        out_packets: went.1,
    }
}

fn name(id: VpsId, epoch: u64, direction: &str) -> String {
    format!("traffic_{id}_{epoch:016x}_{direction}")
}

const DIRECTIONS: [(&str, &str); 2] = [("in", "received"), ("out", "sent")];

/// Begins to count. May come before the table is whole, so it names the maps as well.
pub(super) fn begin(table: &str, id: VpsId, epoch: u64, interface: &str) -> String {
    let mut batch = format!("add table inet {table}\n");
    for (direction, map) in DIRECTIONS {
        let counter = name(id, epoch, direction);
        let _ = writeln!(
            batch,
            "add map inet {table} {map} {{ type ifname : counter; }}\nadd counter inet {table} {counter}\n\
             add element inet {table} {map} {{ \"{interface}\" : \"{counter}\" }}"
        );
    }
    batch
}

/// Adding first makes taking away succeed whether or not it was there; nft before 1.0.7 has no other way.
pub(super) fn end(table: &str, id: VpsId, epoch: u64, interface: &str) -> String {
    let mut batch = begin(table, id, epoch, interface);
    for (direction, map) in DIRECTIONS {
        let counter = name(id, epoch, direction);
        let _ = writeln!(
            batch,
            "delete element inet {table} {map} {{ \"{interface}\" }}\ndelete counter inet {table} {counter}"
        );
    }
    batch
}

/// The counters that are there: in and out, by VPS and epoch.
async fn listed(table: &str) -> Result<BTreeMap<(VpsId, u64), [Sum; 2]>> {
    let failed = |source| NetError::Io { what: "running nft (package nftables)".to_owned(), source };
    let arguments = ["-j", "list", "counters", "table", "inet", table];
    let output = Command::new("nft").args(arguments).kill_on_drop(true).output().await.map_err(failed)?;
    if !output.status.success() {
        return Err(NetError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(parse(&output.stdout))
}

fn parse(json: &[u8]) -> BTreeMap<(VpsId, u64), [Sum; 2]> {
    let listed: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let all = listed["nftables"].as_array().into_iter().flatten().filter_map(|item| {
        let counter = &item["counter"];
        let sum = counter["bytes"].as_i64().zip(counter["packets"].as_i64());
        Some((counter["name"].as_str()?.to_owned(), sum?))
    });
    pairs(all)
}

/// In and out, by VPS and epoch. Others' counters, and halves of pairs, are passed over.
pub(super) fn pairs(all: impl IntoIterator<Item = (String, Sum)>) -> BTreeMap<(VpsId, u64), [Sum; 2]> {
    let mut found: BTreeMap<(VpsId, u64), [Option<Sum>; 2]> = BTreeMap::new();
    for (name, sum) in all {
        let Some((id, epoch, direction)) = parse_name(&name) else { continue };
        found.entry((id, epoch)).or_default()[direction] = Some(sum);
    }
    found.into_iter().filter_map(|(key, [came, went])| Some((key, [came?, went?]))).collect()
}

fn parse_name(name: &str) -> Option<(VpsId, u64, usize)> {
    let mut parts = name.strip_prefix("traffic_")?.split('_');
    let (id, epoch, direction) = (parts.next()?, parts.next()?, parts.next()?);
    let direction = DIRECTIONS.iter().position(|(known, _)| *known == direction)?;
    Some((VpsId(id.parse().ok()?), u64::from_str_radix(epoch, 16).ok()?, direction))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

    #[test]
    fn counters_are_told_apart_by_their_names() {
        let json = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "inet", "name": "traffic_7_00000000000000ab_in", "packets": 2, "bytes": 84}},
            {"counter": {"family": "inet", "name": "traffic_7_00000000000000ab_out", "packets": 1, "bytes": 60}},
            {"counter": {"family": "inet", "name": "traffic_8_00000000000000ab_out", "packets": 1, "bytes": 60}},
            {"counter": {"family": "inet", "name": "somebody_else", "packets": 1, "bytes": 60}}]}"#;
        assert_eq!(parse(json), BTreeMap::from([((VpsId(7), 0xab), [(84, 2), (60, 1)])]));
        assert_eq!(parse(b"no json"), BTreeMap::new());
    }

    /// An echo request of 100 bytes, and its answer: IP's and ICMP's headers are 28.
    const PING: i64 = 128;

    #[test]
    fn what_was_counted_outlives_interface_and_agent() {
        in_namespace(|net, run_dir| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let a = std::net::Ipv4Addr::new(10, 9, 0, 2);
            let mut expected = 0;
            let mut net = net;
            for round in 1..=5 {
                let guest = Guest::start();
                net.attach(VpsId(1), guest.pid(), &spec(a, "02:00:00:00:00:01")).await.unwrap();
                guest.configure("10.9.0.2");
                assert!(guest.sh(&format!("ping -q -i0.01 -c{round} -s100 -W2 172.31.1.1 >/dev/null")));
                expected += round;
                drop(guest); // and with it its namespace and the interface, unseen
                if round % 2 == 0 {
                    net = Net::open("bt", "berth_test", &run_dir, None).unwrap(); // another agent
                    net.ensure().await.unwrap();
                }
                while net.has(VpsId(1)) {
                    tokio::task::yield_now().await;
                }
                let counted = net.traffic().await.unwrap();
                let [(id, count)] = counted.as_slice() else { panic!("{counted:?}") };
                assert_eq!(*id, VpsId(1));
                assert_eq!((count.in_packets, count.out_packets), (expected, expected), "{count:?}");
                assert_eq!((count.in_bytes, count.out_bytes), (expected * PING, expected * PING));
            }
            net.detach(VpsId(1)).await.unwrap();
            assert_eq!(net.traffic().await.unwrap().len(), 1, "its last count is yet to be told");
            net.stop_counting(VpsId(1)).await.unwrap();
            net.stop_counting(VpsId(1)).await.unwrap();
            assert_eq!(net.traffic().await.unwrap(), []);
        });
    }

    #[test]
    fn what_is_forged_or_flushed_is_not_counted_as_something_else() {
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let guest = Guest::start();
            let a = std::net::Ipv4Addr::new(10, 9, 0, 2);
            net.attach(VpsId(1), guest.pid(), &spec(a, "02:00:00:00:00:01")).await.unwrap();
            guest.configure("10.9.0.2");
            assert!(guest.sh("ip addr add 10.9.0.77/32 dev eth0"));
            assert!(!guest.sh("ping -c1 -W1 -I 10.9.0.77 172.31.1.1 >/dev/null"));
            let before = net.traffic().await.unwrap()[0].1.clone();
            assert_eq!((before.out_packets, before.in_packets), (0, 0), "{before:?}");
            assert!(guest.sh("ping -c3 -i0.01 -W2 172.31.1.1 >/dev/null"));
            let before = net.traffic().await.unwrap()[0].1.clone();
            assert_eq!(before.out_packets, 3);

            sh("nft flush ruleset");
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            assert!(guest.sh("ping -c4 -i0.01 -W2 172.31.1.1 >/dev/null"));
            let after = net.traffic().await.unwrap()[0].1.clone();
            assert_eq!(after.out_packets, 4);
            assert_ne!(after.epoch, before.epoch);
            net.detach(VpsId(1)).await.unwrap();
        });
    }
}
