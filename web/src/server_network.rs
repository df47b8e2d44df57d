//! What the page of a server tells of its network. It is changed on the pages of what is named here.

use crate::format::{Bytes, Load};
use crate::server::Traffic;

/// A public address of a server.
#[derive(Clone, Debug)]
pub struct ServerAddress {
    /// Path of its page.
    pub path: String,
    /// The address that the server configures.
    pub ip: String,
    /// The network of IPv6 that it is the first of.
    pub network: Option<String>,
    /// Whether it is a floating one.
    pub floating: bool,
    /// Addresses and the names that they lead to.
    pub names: Vec<(String, String)>,
}

/// A private network that a server is in.
#[derive(Clone, Debug)]
pub struct ServerMembership {
    /// The network's id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its range.
    pub range: String,
    /// The server's address there.
    pub ip: String,
    /// More addresses that lead to it.
    pub aliases: Vec<String>,
}

/// A firewall that holds for a server.
#[derive(Clone, Debug)]
pub struct ServerFirewall {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it holds in private networks as well.
    pub private: bool,
    /// Whether the host has put it in force.
    pub applied: bool,
}

/// The network of a server.
#[derive(Clone, Debug, Default)]
pub struct ServerNetwork {
    /// Its public addresses.
    pub addresses: Vec<ServerAddress>,
    /// Private networks that it is in.
    pub networks: Vec<ServerMembership>,
    /// Firewalls that hold for it.
    pub firewalls: Vec<ServerFirewall>,
    /// Bandwidth each way in Mbit/s; 0 for no limit.
    pub bandwidth_mbit: i64,
    /// Ports that nobody outside is reached at from it: `tcp/25`.
    pub blocked: Vec<String>,
    /// Whether what is included of traffic is one sum for all servers of the project.
    pub pooled: bool,
    /// When the month of traffic ends: `2026-12-01`.
    pub month_ends: String,
}

impl Traffic {
    /// How much of what is included has gone out; none where nothing is said.
    pub(crate) fn used(&self) -> Option<Load> {
        let Self { outgoing: Bytes(out), included: Bytes(all), .. } = *self;
        (all > 0).then(|| {
            let percent = out as f64 / all as f64 * 100.0;
            Load::of("Traffic", percent, 100.0, format!("{percent:.0} % of {}", self.included))
        })
    }
}
