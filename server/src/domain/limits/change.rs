//! Which limits are to change: one type for the tenants' API, the operators' API and the command line.

use berth_proto::LimitName;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ALL, Known};
use crate::error::{Error, Result};

macro_rules! limits {
    ($($(#[$doc:meta])* $field:ident: $limit:ident,)*) => {
        /// Limits to change. Those that are not named stay as they are.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::Args)]
        #[schema(as = berth::LimitChange)]
        pub struct Change {
            $($(#[$doc])* #[arg(long)] pub $field: Option<i64>,)*
        }

        impl Change {
            /// The figure for a limit, if it is named.
            fn of(&self, limit: LimitName) -> Option<i64> {
                match limit {
                    $(LimitName::$limit => self.$field,)*
                    LimitName::Unknown => None,
                }
            }
        }
    };
}

limits! {
    /// CPU cap in thousandths of a core.
    cpu_milli: CpuMilli,
    /// Share of the CPU when there is not enough for all, 1 to 10000; 100 is one core's. 0: by the cap.
    cpu_weight: CpuWeight,
    /// CPU that is there whatever others do, in thousandths of a core, at most the cap; 0 for none.
    cpu_guarantee_milli: CpuGuaranteeMilli,
    /// Memory in bytes.
    memory_bytes: MemoryBytes,
    /// Memory in bytes from which on the server is slowed down and its cache reclaimed; 0 for none.
    memory_high_bytes: MemoryHighBytes,
    /// Memory in bytes that is not taken from the server however short its host is; 0 for none.
    memory_guarantee_bytes: MemoryGuaranteeBytes,
    /// Swap in bytes, in addition to memory; 0 for none.
    swap_bytes: SwapBytes,
    /// Disk in bytes, a multiple of 4096. It cannot shrink.
    disk_bytes: DiskBytes,
    /// Files and directories on the disk; 0 for what a disk of this size usually has.
    inodes: Inodes,
    /// Processes and threads.
    pids: Pids,
    /// Descriptors that one process may open; 0 for the host's own limit.
    open_files: OpenFiles,
    /// Bytes read from the disk a second; 0 for no limit.
    disk_read_bps: DiskReadBps,
    /// Bytes written to the disk a second; 0 for no limit.
    disk_write_bps: DiskWriteBps,
    /// Reads of the disk a second; 0 for no limit.
    disk_read_iops: DiskReadIops,
    /// Writes to the disk a second; 0 for no limit.
    disk_write_iops: DiskWriteIops,
    /// Bandwidth each way in Mbit/s; 0 for unlimited.
    bandwidth_mbit: BandwidthMbit,
}

impl Change {
    /// Refuses a request that names what is no limit: it would be ignored, and whoever asked would believe in it.
    ///
    /// # Errors
    /// `invalid_input` with the unknown name.
    pub fn check_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<()> {
        match names.into_iter().find(|name| Known::by_name(name).is_none()) {
            Some(unknown) => {
                let all: Vec<&str> = ALL.iter().map(|known| known.name).collect();
                Err(Error::invalid(unknown, format!("is no limit; there are {}", all.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// What is named, in the order in which limits are shown.
    pub(super) fn figures(&self) -> Vec<(&'static Known, i64)> {
        ALL.iter().filter_map(|known| Some((known, self.of(known.limit)?))).collect()
    }

    /// Whether a limit is named.
    pub(super) fn names(&self, known: &Known) -> bool {
        self.of(known.limit).is_some()
    }
}
