//! How often a VPS's firewall rules let something begin.

use serde::{Deserialize, Serialize};

/// First packets that rules met, since the rules were put in force. What belongs to something that was let through is
/// decided before any rule and not counted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirewallHits {
    /// Of rules for what comes in; those that were never met may be left out.
    #[serde(default)]
    pub inbound: Vec<RuleHits>,
    /// Of rules for what goes out.
    #[serde(default)]
    pub outbound: Vec<RuleHits>,
    /// What no rule let in.
    #[serde(default)]
    pub dropped_in: Hits,
    /// What no rule let out.
    #[serde(default)]
    pub dropped_out: Hits,
}

/// Hits of one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHits {
    /// Its place in the list of the spec, from 0.
    pub rule: u32,
    /// How often.
    #[serde(flatten)]
    pub hits: Hits,
}

/// Packets and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Packets.
    pub packets: i64,
    /// Bytes of them.
    pub bytes: i64,
}
