//! How often each rule of each firewall was met.
//!
//! Rules count, and carry their place in the spec as a comment; all of them are read in one listing of the table, however
//! many VPSes there are. They count from the moment in which they were put in force: other rules are other counters.

use std::collections::BTreeMap;

use berth_proto::{FirewallHits, Hits, RuleHits, VpsId};
use tokio::process::Command;

use super::{Net, NetError, Result};

impl Net {
    /// Hits of every VPS that has a firewall.
    ///
    /// # Errors
    /// When nft cannot be run or has no such table.
    pub async fn hits(&self) -> Result<BTreeMap<VpsId, FirewallHits>> {
        let failed = |source| NetError::Io { what: "running nft (package nftables)".to_owned(), source };
        let arguments = ["-j", "list", "table", "inet", &self.table];
        let output = Command::new("nft").args(arguments).kill_on_drop(true).output().await.map_err(failed)?;
        if !output.status.success() {
            return Err(NetError::Nft(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Ok(parse(&output.stdout))
    }
}

/// Both together.
pub(super) fn sum(to: &mut FirewallHits, more: &FirewallHits) {
    for (rules, others) in [(&mut to.inbound, &more.inbound), (&mut to.outbound, &more.outbound)] {
        others.iter().for_each(|other| add(rules, other.rule, other.hits));
    }
    for (hits, other) in [(&mut to.dropped_in, more.dropped_in), (&mut to.dropped_out, more.dropped_out)] {
        hits.packets += other.packets;
        hits.bytes += other.bytes;
    }
}

pub(super) fn parse(json: &[u8]) -> BTreeMap<VpsId, FirewallHits> {
    let listed: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let mut all = BTreeMap::<VpsId, FirewallHits>::new();
    for rule in listed["nftables"].as_array().into_iter().flatten().map(|item| &item["rule"]) {
        let Some((inbound, id)) = rule["chain"].as_str().and_then(parse_chain) else { continue };
        let counter = rule["expr"].as_array().into_iter().flatten().find_map(|part| part.get("counter"));
        let Some(counter) = counter else { continue };
        let figure = |name: &str| counter[name].as_i64().unwrap_or(0);
        let hits = Hits { packets: figure("packets"), bytes: figure("bytes") };
        let of = all.entry(id).or_default();
        let (rules, dropped) = match inbound {
            true => (&mut of.inbound, &mut of.dropped_in),
            false => (&mut of.outbound, &mut of.dropped_out),
        };
        match rule["comment"].as_str().and_then(|comment| comment.strip_prefix('r')?.parse().ok()) {
            Some(place) => add(rules, place, hits),
            None => *dropped = hits,
        }
    }
    all
}

/// A rule for both families is two of the kernel's.
fn add(rules: &mut Vec<RuleHits>, rule: u32, hits: Hits) {
    match rules.iter_mut().find(|known| known.rule == rule) {
        Some(known) => {
            known.hits.packets += hits.packets;
            known.hits.bytes += hits.bytes;
        }
        None => rules.push(RuleHits { rule, hits }),
    }
}

fn parse_chain(name: &str) -> Option<(bool, VpsId)> {
    let (direction, id) = name.split_once('_')?;
    let inbound = match direction {
        "in" => true,
        "out" => false,
        _ => return None,
    };
    Some((inbound, VpsId(id.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use berth_proto::{Firewall, FirewallProtocol, FirewallRule};

    use super::*;
    use crate::linux::net::tests::{Guest, in_namespace, sh, spec};

    fn rule(protocol: FirewallProtocol, ports: Option<(u16, u16)>, nets: &[&str]) -> FirewallRule {
        FirewallRule { protocol, ports, nets: nets.iter().map(|net| net.parse().unwrap()).collect() }
    }

    #[test]
    fn hits_are_told_by_rule_and_begin_with_the_rules() {
        use FirewallProtocol::{Icmp, Tcp, Udp};
        in_namespace(|net, _| async move {
            net.configure(&["10.9.0.0/16".to_owned()]).await.unwrap();
            let guest = Guest::start();
            let (id, address) = (VpsId(7), Ipv4Addr::new(10, 9, 0, 2));
            let all = ["0.0.0.0/0", "::/0"];
            let firewall = Firewall {
                inbound: vec![
                    rule(Tcp, Some((22, 22)), &all),
                    rule(Icmp, None, &all),
                    rule(Icmp, None, &all[..1]),
                ],
                outbound: vec![rule(Udp, Some((53, 53)), &all)],
            };
            let mut wanted = spec(address, "02:00:00:00:00:01");
            wanted.firewall = Some(firewall.clone());
            net.attach(id, guest.pid(), &wanted).await.unwrap();
            guest.configure("10.9.0.2");
            for _ in 0..3 {
                sh("ping -q -c2 -i0.01 -W2 10.9.0.2"); // each run begins something, its second packet goes with it
            }
            sh("timeout 1 bash -c 'exec 3<>/dev/tcp/10.9.0.2/23' 2>/dev/null; true");
            let hits = net.hits().await.unwrap().remove(&id).unwrap();
            let of = |rules: &[RuleHits]| rules.iter().map(|r| (r.rule, r.hits.packets)).collect::<Vec<_>>();
            assert_eq!(of(&hits.inbound), [(0, 0), (1, 3), (2, 0)]);
            assert_eq!(hits.inbound[1].hits.bytes, 3 * 84);
            assert_eq!(of(&hits.outbound), [(0, 0)]);
            assert!(hits.dropped_in.packets > 0 && hits.dropped_out == Hits::default(), "{hits:?}");
            net.firewall(id, Some(&firewall)).await.unwrap();
            let hits = net.hits().await.unwrap().remove(&id).unwrap();
            assert_eq!(of(&hits.inbound), [(0, 0), (1, 0), (2, 0)]);
            net.firewall(id, None).await.unwrap();
            assert_eq!(net.hits().await.unwrap(), BTreeMap::new());
            net.detach(id).await.unwrap();
        });
    }

    #[test]
    fn others_chains_are_no_firewalls() {
        for (name, expected) in [
            ("in_7", Some((true, VpsId(7)))),
            ("out_12", Some((false, VpsId(12)))),
            ("in_", None),
            ("firewall_host", None),
            ("guard_7", None),
        ] {
            assert_eq!(parse_chain(name), expected, "{name}");
        }
        assert_eq!(parse(b"no json"), BTreeMap::new());
    }
}
