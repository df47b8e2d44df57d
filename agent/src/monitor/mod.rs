//! The monitor: parent of one VPS.

/// The monitor's `main`.
pub fn main() {}
