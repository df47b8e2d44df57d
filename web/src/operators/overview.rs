//! The fleet at a glance: hosts, room, what is in trouble.

use askama::Template;

use crate::format::{Load, When};
use crate::shell::Shell;

/// Something that a tenant asked for and that does not end, or ended badly.
#[derive(Clone, Debug)]
pub struct TroubleRow {
    /// The action's id.
    pub id: i64,
    /// What was asked: `start_server`.
    pub command: String,
    /// Whether it has failed; else it does not end.
    pub failed: bool,
    /// Why it failed: code and message.
    pub error: Option<(String, String)>,
    /// The project's id and name.
    pub project: (i64, String),
    /// What it is about: a server's name, or nothing.
    pub about: Option<String>,
    /// The server's host: its id and name.
    pub host: Option<(i64, String)>,
    /// When it was asked for.
    pub started: When,
}

/// What a location has sold of what it has.
#[derive(Clone, Debug)]
pub struct Capacity {
    /// Name of the location.
    pub location: String,
    /// CPU, memory and disk of hosts that take servers.
    pub sold: Vec<Load>,
}

/// A host that somebody should look at.
#[derive(Clone, Debug)]
pub struct HostTrouble {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What is the matter, in sentences.
    pub why: Vec<String>,
}

/// The page of the fleet.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_overview.html")]
pub struct OverviewPage {
    /// What stands around it.
    pub shell: Shell,
    /// Hosts that report, and all that are enrolled.
    pub online: (usize, usize),
    /// Hosts that are cordoned.
    pub cordoned: usize,
    /// Servers in all.
    pub servers: i64,
    /// Projects in all.
    pub projects: i64,
    /// What is sold, by location.
    pub capacity: Vec<Capacity>,
    /// How many more of each plan fit: its id, its name, how many.
    pub plans: Vec<(i64, String, i64)>,
    /// Hosts that somebody should look at.
    pub hosts: Vec<HostTrouble>,
    /// Actions that do not end, or that failed within a day.
    pub trouble: Vec<TroubleRow>,
    /// Versions of agents, and how many hosts have each.
    pub versions: Vec<(String, usize)>,
    /// The certificate that ends first: the host's id and name, and when; none where none is known.
    pub certificate: Option<(i64, String, When)>,
}
