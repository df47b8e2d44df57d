//! Address pools, their name servers, and who had an address, as operators see them.

use askama::Template;

use crate::form::Form;
use crate::format::{Field, Load, When};
use crate::shell::Shell;

/// A pool.
#[derive(Clone, Debug)]
pub struct PoolRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Name of its location.
    pub location: String,
    /// Its network.
    pub cidr: String,
    /// How its addresses reach the world, in words.
    pub kind: &'static str,
    /// How much of it is held by projects.
    pub held: Load,
    /// Addresses that were given back, and rest.
    pub resting: i64,
    /// Ports of hosts that lead to its addresses.
    pub ports: Option<String>,
    /// When it was made.
    pub created: When,
}

/// The page of all pools.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_pools.html")]
pub struct PoolsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The pools.
    pub rows: Vec<PoolRow>,
    /// Makes a pool; none while there is no location.
    pub make: Option<Form>,
}

/// How the name server of a pool does.
#[derive(Clone, Debug)]
pub struct NameServerView {
    /// Names that it has yet to take.
    pub pending: i64,
    /// Names of those that it refused.
    pub refused: i64,
    /// What is wrong, and when that was seen.
    pub error: Option<(String, When)>,
}

/// The page of one pool.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_pool.html")]
pub struct PoolPage {
    /// What stands around it.
    pub shell: Shell,
    /// The pool.
    pub row: PoolRow,
    /// How long its addresses rest.
    pub rest: Form,
    /// Which ports of hosts lead to its addresses; only of NAT pools.
    pub ports: Option<Form>,
    /// How its name server does, if it has one.
    pub name_server: Option<NameServerView>,
    /// Sets its name server.
    pub names: Form,
    /// Forgets its name server, if it has one.
    pub forget: Option<Form>,
    /// Deletes it.
    pub delete: Form,
}

/// Who had an address.
#[derive(Clone, Debug)]
pub struct HolderRow {
    /// The address; of IPv6 the /64.
    pub ip: String,
    /// The project's id, and its name if it is still there.
    pub project: (i64, Option<String>),
    /// What it belonged to: `primary IP 7`.
    pub by: String,
    /// The server that it led to: its id and name.
    pub server: Option<(i64, String)>,
    /// From when.
    pub from: When,
    /// Until when; none: still.
    pub until: Option<When>,
}

/// The page on which it is asked who had an address.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_addresses.html")]
pub struct HoldersPage {
    /// What stands around it.
    pub shell: Shell,
    /// The address that was asked for.
    pub ip: Field,
    /// The time that was asked for.
    pub at: Field,
    /// Who had it, the newest first; none before anybody asked.
    pub rows: Option<Vec<HolderRow>>,
}
