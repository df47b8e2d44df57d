//! Where the host keeps its things and how they are named.
//!
//! Every name that a kernel object gets is derived from these settings, so that several agents (those of the tests, a
//! live one) share one kernel without meeting, and so that what a dead agent left behind is found again by name.

use std::path::PathBuf;

use serde::Deserialize;

/// Settings of the Linux host; all have defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinuxConfig {
    /// Templates, disk images and records. Must survive a restart of the machine.
    pub state_dir: PathBuf,
    /// Sockets and locks of running VPSes. Need not survive a restart.
    pub run_dir: PathBuf,
    /// Parent of all cgroups of ours, relative to the root of each hierarchy.
    pub cgroup_parent: String,
    /// First letters of the host side of every VPS's interface; the VPS's id follows. At most five.
    pub iface_prefix: String,
    /// The nftables table (family inet) that belongs to this agent alone.
    pub nft_table: String,
    /// The monitor's binary; none for `berth-monitor` beside this executable.
    pub monitor_path: Option<PathBuf>,
    /// First host uid and gid that guests may get; a multiple of 65536. Every VPS has 262144 of its own.
    pub id_base: u32,
    /// The interface by which guests reach the world; none for that of the default route, if there is one.
    pub uplink: Option<String>,
    /// This host's address among hosts, to which others send packets of private networks; none for the uplink's.
    pub underlay_address: Option<std::net::IpAddr>,
    /// UDP port of private networks between hosts; the same on all of them.
    pub vxlan_port: u16,
    /// UDP port of WireGuard between hosts, where private networks are encrypted; the same on all of them.
    pub wireguard_port: u16,
    /// Whether guests see their own figures in `/proc` (by lxcfs, if the host has it).
    pub lxcfs: bool,
    /// VPSes that are created or started at the same time; none for as many as there are cores, at least four.
    pub start_parallelism: Option<std::num::NonZeroU32>,
    /// Memory that the host keeps for itself.
    pub memory_reserve_bytes: u64,
    /// Disk that the host keeps for itself, in the file system that holds `state_dir`.
    pub disk_reserve_bytes: u64,
}

impl Default for LinuxConfig {
    fn default() -> Self {
        Self {
            state_dir: "/var/lib/berth/agent".into(),
            run_dir: "/run/berth".into(),
            cgroup_parent: "berth".into(),
            iface_prefix: "bv".into(),
            nft_table: "berth".into(),
            monitor_path: None,
            id_base: 0x3c00_0000,
            uplink: None,
            underlay_address: None,
            vxlan_port: 4789,
            wireguard_port: 4788,
            lxcfs: true,
            start_parallelism: None,
            memory_reserve_bytes: 512 << 20,
            disk_reserve_bytes: 1 << 30,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A name that the kernel or nft would refuse, or that could not be told apart from others.
    #[error("{field} = {value:?} cannot be used: {why}")]
    Name {
        /// Which setting.
        field: &'static str,
        /// What it was set to.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Guests' ids would overlap the host's own, or wrap.
    #[error(
        "id_base = {0} cannot be used: it must be a multiple of 65536, at least 65536, and below 4 000 000 000"
    )]
    IdBase(u32),
    /// The executable's own place is not known.
    #[error("cannot find berth-monitor beside this executable: {0}")]
    Monitor(std::io::Error),
}

impl LinuxConfig {
    /// Refuses what would fail later in a place where the reason is harder to see.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let name = |field, value: &str, max: usize, more: &str, why| {
            let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            let starts = value.starts_with(|c: char| c.is_ascii_lowercase());
            if starts && value.len() <= max && value.chars().all(ok) {
                return Ok(());
            }
            Err(ConfigError::Name { field, value: value.to_owned(), why })
        };
        name(
            "iface_prefix",
            &self.iface_prefix,
            5,
            "",
            "one to five lower-case letters and digits, a letter first",
        )?;
        name("nft_table", &self.nft_table, 64, "_", "lower-case letters, digits and _, a letter first")?;
        name(
            "cgroup_parent",
            &self.cgroup_parent,
            64,
            "-_",
            "lower-case letters, digits, - and _, a letter first",
        )?;
        if self.iface_prefix.ends_with(|c: char| c.is_ascii_digit()) {
            return Err(ConfigError::Name {
                field: "iface_prefix",
                value: self.iface_prefix.clone(),
                why: "it must end with a letter, because a VPS's number follows",
            });
        }
        if !self.id_base.is_multiple_of(65536) || self.id_base == 0 || self.id_base >= 4_000_000_000 {
            return Err(ConfigError::IdBase(self.id_base));
        }
        Ok(())
    }

    /// The monitor's binary.
    pub fn monitor(&self) -> Result<PathBuf, ConfigError> {
        match &self.monitor_path {
            Some(path) => Ok(path.clone()),
            None => {
                let own = std::env::current_exe().map_err(ConfigError::Monitor)?;
                Ok(own.with_file_name("berth-monitor"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        LinuxConfig::default().validate().unwrap();
    }

    #[test]
    fn names_that_would_fail_later_are_refused() {
        let refused = |change: fn(&mut LinuxConfig)| {
            let mut config = LinuxConfig::default();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert!(refused(|c| c.iface_prefix = "toolong".into()).contains("iface_prefix"));
        assert!(refused(|c| c.iface_prefix = String::new()).contains("iface_prefix"));
        assert!(refused(|c| c.iface_prefix = "bv1".into()).contains("number follows"));
        assert!(refused(|c| c.nft_table = "a; flush ruleset".into()).contains("nft_table"));
        assert!(refused(|c| c.cgroup_parent = "../x".into()).contains("cgroup_parent"));
        assert!(refused(|c| c.id_base = 65537).contains("65536"));
        assert!(refused(|c| c.id_base = 0).contains("65536"));
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_str::<LinuxConfig>(r#"{"stat_dir": "/x"}"#).is_err());
    }
}
