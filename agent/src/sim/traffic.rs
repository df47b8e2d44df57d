//! Traffic of a simulated VPS: as much as a test lets pass.

use berth_proto::TrafficCount;

/// Counters that begin at zero, before those of earlier.
pub(super) fn begin_anew(counts: &mut Vec<TrafficCount>) {
    let epoch = format!("{:016x}", rand::random::<u64>());
    counts.insert(0, TrafficCount { epoch, in_bytes: 0, in_packets: 0, out_bytes: 0, out_packets: 0 });
    counts.truncate(8);
}

pub(super) fn pass(counts: &mut Vec<TrafficCount>, in_bytes: i64, out_bytes: i64) {
    if counts.is_empty() {
        begin_anew(counts);
    }
    let packets = |bytes: i64| (bytes + 999) / 1000;
    if let Some(now) = counts.first_mut() {
        now.in_bytes += in_bytes;
        now.in_packets += packets(in_bytes);
        now.out_bytes += out_bytes;
        now.out_packets += packets(out_bytes);
    }
}
