//! What the operator lets nobody do from or with a VPS, whatever its firewalls say.

use serde::{Deserialize, Serialize};

use crate::FirewallProtocol;

/// The operator's walls around a VPS; by default there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Whether nothing passes, in or out. The guest runs on, and its console works.
    #[serde(default)]
    pub isolated: bool,
    /// What nobody outside is reached at from the VPS.
    #[serde(default)]
    pub blocked_ports: Vec<BlockedPort>,
}

/// A port of somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockedPort {
    /// TCP or UDP.
    pub protocol: FirewallProtocol,
    /// The port that packets go to.
    pub port: u16,
}
