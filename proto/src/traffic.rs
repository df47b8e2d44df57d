//! Traffic of a VPS, as its host counted it.

use serde::{Deserialize, Serialize};

/// What one pair of counters has counted, as the guest sees it.
///
/// Counters rise within an epoch and never fall; whenever a host has to begin at zero (it was booted, its rules were
/// flushed) the epoch is another one. So the receiver keeps what it knows of each epoch and adds only what is more, and
/// may be told the same, or something older, any number of times.
///
/// Bytes are those of IP packets, without Ethernet's header. What the kernel handles as one large packet counts as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficCount {
    /// Names the counters: letters, digits and dots, unique among all hosts, at most [`TrafficCount::LONGEST_EPOCH`].
    pub epoch: String,
    /// Bytes that were handed to the guest's interface.
    pub in_bytes: i64,
    /// Packets that were handed to the guest's interface.
    pub in_packets: i64,
    /// Bytes that the host took from the guest: from its own addresses, not what was forged.
    pub out_bytes: i64,
    /// Packets that the host took from the guest.
    pub out_packets: i64,
}

impl TrafficCount {
    /// Characters of an epoch.
    pub const LONGEST_EPOCH: usize = 40;

    /// Whether none of the counters has fallen since `before`.
    #[must_use]
    pub fn follows(&self, before: &Self) -> bool {
        self.in_bytes >= before.in_bytes
            && self.in_packets >= before.in_packets
            && self.out_bytes >= before.out_bytes
            && self.out_packets >= before.out_packets
    }

    /// Whether an epoch is written as it must be.
    #[must_use]
    pub fn is_epoch(text: &str) -> bool {
        (1..=Self::LONGEST_EPOCH).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.')
    }
}
