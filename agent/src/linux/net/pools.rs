//! What is addressed to nobody in a NAT pool ends on the host: it must not leave by the default route and come back.
//!
//! Which pools have such a route is noted, before a route is made and after it is gone. So what is no pool any more is
//! found also by an agent that was restarted, and other agents' routes in the same namespace are left alone.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_route::route::{RouteMessage, RouteType};

use super::{Net, NetError, Result, parse_pool};

/// Worse than any other route there is.
const PRIORITY: u32 = 4_000_000_000;

impl Net {
    /// Ends what is addressed to nobody in these pools, and nothing else.
    pub(super) async fn end_pools(&self, pools: &[String]) -> Result<()> {
        let wanted: BTreeSet<&str> = pools.iter().map(String::as_str).collect();
        let noted = std::fs::read_to_string(self.pools_note()).unwrap_or_default();
        let before: BTreeSet<&str> = noted.lines().collect();
        self.note_pools(&before | &wanted)?;
        for pool in &wanted {
            let done = self.handle.route().add(blackhole(pool)?).replace().execute().await;
            done.map_err(|source| NetError::Netlink { what: format!("routing {pool}"), source })?;
        }
        for gone in before.difference(&wanted) {
            if let Ok(route) = blackhole(gone) {
                let _ = self.handle.route().del(route).execute().await; // gone already: fine
            }
        }
        self.note_pools(wanted)
    }

    fn pools_note(&self) -> PathBuf {
        self.run_dir.join("pools")
    }

    fn note_pools(&self, pools: BTreeSet<&str>) -> Result<()> {
        let note = self.pools_note();
        let text: String = pools.into_iter().map(|pool| format!("{pool}\n")).collect();
        let done = if text.is_empty() { std::fs::remove_file(&note) } else { std::fs::write(&note, &text) };
        match done {
            Err(e) if text.is_empty() && e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(|source| NetError::Io { what: note.display().to_string(), source }),
        }
    }
}

fn blackhole(pool: &str) -> Result<RouteMessage> {
    let (address, length) = parse_pool(pool)?;
    let mut route =
        RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(address, length).priority(PRIORITY);
    route.get_mut().header.kind = RouteType::BlackHole;
    Ok(route.build())
}
