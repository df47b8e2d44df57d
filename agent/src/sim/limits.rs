//! What a simulated host says of limits: that it holds each.

use berth_proto::{LimitName, LimitState, Limits};

/// Every limit that was asked for.
pub(super) fn held(asked: &Limits) -> Vec<LimitState> {
    let always = [
        (LimitName::CpuMilli, asked.cpu_milli),
        (LimitName::MemoryBytes, asked.memory_bytes),
        (LimitName::SwapBytes, asked.swap_bytes),
        (LimitName::DiskBytes, asked.disk_bytes),
        (LimitName::Pids, asked.pids),
    ];
    let if_asked = [
        (LimitName::CpuWeight, asked.cpu_weight),
        (LimitName::CpuGuaranteeMilli, asked.cpu_guarantee_milli),
        (LimitName::MemoryHighBytes, asked.memory_high_bytes),
        (LimitName::MemoryGuaranteeBytes, asked.memory_guarantee_bytes),
        (LimitName::DiskReadBps, asked.disk_read_bps),
        (LimitName::DiskWriteBps, asked.disk_write_bps),
        (LimitName::DiskReadIops, asked.disk_read_iops),
        (LimitName::DiskWriteIops, asked.disk_write_iops),
        (LimitName::Inodes, asked.inodes),
        (LimitName::OpenFiles, asked.open_files),
        (LimitName::BandwidthMbit, asked.bandwidth_mbit),
    ];
    let wanted = always.into_iter().chain(if_asked.into_iter().filter(|(_, asked)| *asked > 0));
    wanted.map(|(limit, asked)| LimitState { limit, asked, applied: Some(asked), why: None }).collect()
}
