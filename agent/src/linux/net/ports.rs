//! Ports of the host's own addresses that lead to guests with private ones.
//!
//! A connection to the host finds the VPS by its port in one verdict map, whether one VPS has ports or thousands, and is
//! turned to it in a chain of the VPS's own; all later packets are the matter of connection tracking. TCP to the first
//! port goes to the guest's port 22, everything else to the port of the same number. Where a packet came from stays as
//! it is, so guests see their clients, and firewalls decide by the guest's own address and port. A guest reaches its
//! neighbours by these ports as well, but not itself.
//!
//! Who has which port is read from the table once by each agent, and known from then on. So a VPS without ports costs
//! no look, and what stands in the map of others that should be gone is replaced by who has it now.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use berth_proto::{NetSpec, PortRange, VpsId};
use tokio::process::Command;
use tokio::sync::Mutex;

use super::{GATEWAY, Net, NetError, Result, rules};

/// Who has which port; none before the table was read.
#[derive(Debug, Default)]
pub(super) struct Ports(Mutex<Option<BTreeMap<u16, VpsId>>>);

/// The map, and the rule that looks into it. Part of the table.
pub(super) fn frame() -> String {
    format!(
        r#"    map forwarded {{ type inet_service : verdict; }}
    chain ports {{
        meta nfproto ipv4 ip daddr != {GATEWAY} fib daddr type local meta l4proto {{ tcp, udp }} th dport vmap @forwarded
    }}
"#
    )
}

impl Net {
    /// Lets those ports lead to a VPS that it should have, and no others. Connections that stand go on.
    ///
    /// # Errors
    /// When nft refuses it; then all is as it was.
    pub async fn ports(&self, id: VpsId, net: &NetSpec) -> Result<()> {
        self.lead_ports(id, net.ports.zip(net.ipv4)).await
    }

    pub(super) async fn lead_ports(&self, id: VpsId, wanted: Option<(PortRange, Ipv4Addr)>) -> Result<()> {
        let mut known = self.ports.0.lock().await;
        let held = match known.take() {
            Some(held) => held,
            None => read(&self.table).await?,
        };
        let is_wanted =
            |port: u16| wanted.is_some_and(|(range, _)| (range.first..=range.last).contains(&port));
        let (gone, mut stays): (BTreeMap<u16, VpsId>, BTreeMap<u16, VpsId>) =
            held.into_iter().partition(|(port, of)| *of == id || is_wanted(*port));
        if wanted.is_some() || !gone.is_empty() {
            // What is known is read again if it fails.
            rules::apply(&batch(&self.table, id, &gone, &stays, wanted)).await?;
            let range = wanted.map(|(range, _)| range.first..=range.last);
            stays.extend(range.into_iter().flatten().map(|port| (port, id)));
        }
        *known = Some(stays);
        Ok(())
    }

    /// Forgets who has which port: the table is gone.
    pub(super) async fn forget_ports(&self) {
        *self.ports.0.lock().await = None;
    }
}

/// Takes ports away from whoever has them, gives a VPS those that are wanted, and removes chains to which none leads any
/// more.
fn batch(
    table: &str,
    id: VpsId,
    gone: &BTreeMap<u16, VpsId>,
    stays: &BTreeMap<u16, VpsId>,
    wanted: Option<(PortRange, Ipv4Addr)>,
) -> String {
    let chain = |id: VpsId| format!("inet {table} ports_{id}");
    let list = |ports: Vec<String>| format!("element inet {table} forwarded {{ {} }}\n", ports.join(", "));
    let mut batch = String::new();
    if !gone.is_empty() {
        batch += &format!("delete {}", list(gone.keys().map(ToString::to_string).collect()));
    }
    let mut without: BTreeSet<VpsId> = gone.values().copied().collect();
    stays.values().for_each(|still| _ = without.remove(still));
    if wanted.is_some() {
        without.remove(&id);
    }
    for of in without {
        let _ = writeln!(batch, "flush chain {0}\ndelete chain {0}", chain(of));
    }
    if let Some((PortRange { first, last }, guest)) = wanted {
        let chain = chain(id);
        let _ = writeln!(batch, "add chain {chain}\nflush chain {chain}");
        let _ = writeln!(batch, "add rule {chain} tcp dport {first} dnat ip to {guest}:22");
        let _ = writeln!(batch, "add rule {chain} dnat ip to {guest}");
        batch += &format!(
            "add {}",
            list((first..=last).map(|port| format!("{port} : jump ports_{id}")).collect())
        );
    }
    batch
}

/// Who has which port, as the table says.
async fn read(table: &str) -> Result<BTreeMap<u16, VpsId>> {
    let listed = Command::new("nft").args(["list", "map", "inet", table, "forwarded"]).output().await;
    let output = listed
        .map_err(|source| NetError::Io { what: "running nft (package nftables)".to_owned(), source })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return if why.contains("No such file") { Ok(BTreeMap::new()) } else { Err(NetError::Nft(why)) };
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(listed: &str) -> BTreeMap<u16, VpsId> {
    let words: Vec<&str> = listed
        .split(|c: char| c.is_whitespace() || ",{}".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let element = |four: &[&str]| match four {
        [port, ":", "jump", chain] => {
            Some((port.parse().ok()?, VpsId(chain.strip_prefix("ports_")?.parse().ok()?)))
        }
        _ => None,
    };
    words.windows(4).filter_map(element).collect()
}

#[cfg(test)]
mod tests;
