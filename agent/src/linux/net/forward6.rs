//! Forwarding of IPv6, for guests and their uplink only.
//!
//! Since Linux 6.17 interfaces can forward one by one. Older kernels know only the whole machine's switch. Where it is off
//! the agent turns it on, and a rule keeps the machine from forwarding anything that is neither to nor from a guest;
//! where it is on, somebody wants it so, and there is no such rule. Interfaces that learn their routes from router
//! advertisements would stop that when they forward: they are told to go on (`accept_ra` 2).
//!
//! Nothing is touched before there is a guest with IPv6. What was before is kept in the run directory, and comes back
//! with [`Net::stop_forwarding6`].

use std::path::{Path, PathBuf};

use super::{Net, Result, rules, sysctl, uplink};

/// The machine's switch.
const ALL: &str = "ipv6/conf/all/forwarding";

impl Net {
    /// Lets IPv6 pass between guests and uplink. May be called for every guest.
    pub(super) async fn forward6(&self) -> Result<()> {
        if sysctl::exists("ipv6/conf/all/force_forwarding") {
            let uplinks: Vec<_> = self.uplinks6().into_iter().map(|name| single(&name)).collect();
            return sysctl::change_and_remember(&self.note6(), &uplinks);
        }
        self.forward_all6().await
    }

    /// The same on a kernel that knows the machine's switch only.
    pub(super) async fn forward_all6(&self) -> Result<()> {
        if sysctl::read(ALL)? != "0" {
            return Ok(());
        }
        rules::apply(&fence(&self.table, &self.prefix)).await?;
        let mut changes: Vec<(String, &str)> = interfaces()
            .filter(|name| sysctl::read(&format!("ipv6/conf/{name}/accept_ra")).is_ok_and(|was| was == "1"))
            .map(|name| (format!("ipv6/conf/{name}/accept_ra"), "2"))
            .collect();
        // interfaces that come later are none of the agent's, or are told by it
        changes.extend([(ALL.to_owned(), "1"), ("ipv6/conf/default/forwarding".to_owned(), "0")]);
        sysctl::change_and_remember(&self.note6(), &changes)
    }

    /// What keeps the machine from forwarding for others; nothing where the agent has not turned its switch.
    pub(super) fn fence6(&self) -> String {
        let turned = std::fs::read_to_string(self.note6()).is_ok_and(|note| note.contains(ALL));
        if turned { fence(&self.table, &self.prefix) } else { String::new() }
    }

    /// Makes everything as it was before the first guest with IPv6.
    pub(super) fn stop_forwarding6(&self) -> Result<()> {
        sysctl::set_back(&self.note6())
    }

    fn uplinks6(&self) -> Vec<String> {
        let mut all: Vec<String> = self.uplink.iter().cloned().chain(uplink::of_default_route6()).collect();
        all.sort();
        all.dedup();
        all.retain(|name| sysctl::exists(&single(name).0));
        all
    }

    fn note6(&self) -> PathBuf {
        self.run_dir.join("ipv6-forwarding")
    }
}

fn single(interface: &str) -> (String, &'static str) {
    (format!("ipv6/conf/{interface}/force_forwarding"), "1")
}

fn interfaces() -> impl Iterator<Item = String> {
    let all = std::fs::read_dir(Path::new("/proc/sys/net/ipv6/conf")).into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name != "all" && name != "default")
}

fn fence(table: &str, prefix: &str) -> String {
    let chain = format!("inet {table} fence6");
    format!(
        "add table inet {table}\n\
         add chain {chain} {{ type filter hook forward priority filter - 10; policy accept; }}\n\
         flush chain {chain}\n\
         add rule {chain} meta nfproto ipv6 iifname != \"{prefix}*\" oifname != \"{prefix}*\" drop\n"
    )
}
