//! The real host.

pub mod cgroup;
mod config;
pub mod disk;
pub mod ids;
pub mod load;
pub mod lxcfs;
pub mod net;

use std::path::Path;

use berth_proto::{
    Capacity, HostFacts, HostMetrics, HostSettings, ImageRef, VpsFault, VpsId, VpsMetrics, VpsSpec,
};

pub use self::config::{ConfigError, LinuxConfig};
use crate::host::{Event, Fault, Found, Guest, Host};

/// This machine.
pub struct LinuxHost {
    config: LinuxConfig,
}

impl LinuxHost {
    /// Makes the directories, the nft table and, if configured, starts lxcfs. Touches no VPS.
    pub async fn new(config: LinuxConfig) -> Result<Self, Fault> {
        config.validate().map_err(|e| VpsFault::terminal("internal", e.to_string()))?;
        Ok(Self { config })
    }

    /// Takes away what serves all VPSes (lxcfs, the nft table), if none of them runs.
    pub async fn shutdown_support(&self) -> Result<(), Fault> {
        unbuilt()
    }
}

fn unbuilt<T>() -> Result<T, Fault> {
    Err(VpsFault::terminal("internal", "the Linux host is not built yet"))
}

impl Host for LinuxHost {
    async fn facts(&self) -> HostFacts {
        HostFacts::default()
    }
    async fn capacity(&self) -> Capacity {
        Capacity::default()
    }
    async fn metrics(&self) -> HostMetrics {
        HostMetrics::default()
    }
    async fn configure(&self, _: &HostSettings) -> Result<(), Fault> {
        unbuilt()
    }
    async fn inventory(&self) -> Vec<VpsId> {
        let _ = &self.config;
        Vec::new()
    }
    async fn find(&self, _: VpsId) -> Found {
        Found::default()
    }
    async fn has_template(&self, _: &str) -> bool {
        false
    }
    async fn templates(&self) -> Vec<String> {
        Vec::new()
    }
    async fn unpack(&self, _: &ImageRef, _: &Path) -> Result<(), Fault> {
        unbuilt()
    }
    async fn create_disk(&self, _: &VpsSpec) -> Result<(), Fault> {
        unbuilt()
    }
    async fn start(&self, _: &VpsSpec) -> Result<Guest, Fault> {
        unbuilt()
    }
    async fn ask_to_stop(&self, _: VpsId) -> Result<(), Fault> {
        unbuilt()
    }
    async fn kill(&self, _: VpsId) -> Result<(), Fault> {
        unbuilt()
    }
    async fn remove_leftovers(&self, _: VpsId) -> Result<(), Fault> {
        unbuilt()
    }
    async fn delete_disk(&self, _: VpsId) -> Result<(), Fault> {
        unbuilt()
    }
    async fn set_password(&self, _: &VpsSpec) -> Result<(), Fault> {
        unbuilt()
    }
    async fn apply(&self, _: &VpsSpec) -> Result<(), Fault> {
        unbuilt()
    }
    async fn vps_metrics(&self, _: VpsId) -> Option<VpsMetrics> {
        None
    }
    async fn next_event(&self) -> Event {
        std::future::pending().await
    }
}

/// Makes a directory, and those above it, that only root may enter.
fn make_private_dir(path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(path)
}
