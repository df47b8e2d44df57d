//! Settings of `berth-agent`: flags, then environment, then the file, then defaults. Parsed once.
//!
//! The file is TOML; every setting of the host is a key of its own (see [`LinuxConfig`]), so a small file names only
//! what differs:
//!
//! ```toml
//! state_dir = "/srv/berth"
//! uplink = "eth0"
//! ```

use std::path::{Path, PathBuf};

use berth_proto::{BadEnrolToken, EnrolToken};
use clap::Args;

use crate::linux::LinuxConfig;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file holds something else than settings.
    #[error("{path}: {source}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// The token's file holds something else than tokens.
    #[error("{path}, line {line}: {source}")]
    Token {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: usize,
        /// What is wrong with it.
        source: BadEnrolToken,
    },
}

/// Where the host keeps its things and how they are named; each overrides the file.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Host settings (each also a key of the configuration file)")]
pub struct HostArgs {
    /// Configuration file (TOML).
    #[arg(long, env = "BERTH_AGENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Identity, templates, disk images and records [default: /var/lib/berth/agent].
    #[arg(long, env = "BERTH_AGENT_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Sockets and locks of running VPSes [default: /run/berth].
    #[arg(long, env = "BERTH_AGENT_RUN_DIR", value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Parent of all cgroups of VPSes [default: berth].
    #[arg(long, env = "BERTH_AGENT_CGROUP_PARENT", value_name = "NAME")]
    pub cgroup_parent: Option<String>,
    /// First letters of the host side of VPSes' interfaces [default: bv].
    #[arg(long, env = "BERTH_AGENT_IFACE_PREFIX", value_name = "LETTERS")]
    pub iface_prefix: Option<String>,
    /// The nftables table that belongs to this agent [default: berth].
    #[arg(long, env = "BERTH_AGENT_NFT_TABLE", value_name = "NAME")]
    pub nft_table: Option<String>,
    /// First host uid and gid of guests, a multiple of 65536 [default: 1006632960].
    #[arg(long, env = "BERTH_AGENT_ID_BASE", value_name = "ID")]
    pub id_base: Option<u32>,
    /// The monitor's binary [default: berth-monitor beside this one].
    #[arg(long, env = "BERTH_AGENT_MONITOR", value_name = "FILE")]
    pub monitor: Option<PathBuf>,
    /// The interface by which guests reach the world [default: that of the default route].
    #[arg(long, env = "BERTH_AGENT_UPLINK", value_name = "IFACE")]
    pub uplink: Option<String>,
    /// This host's address among hosts, for private networks [default: the uplink's].
    #[arg(long, env = "BERTH_AGENT_UNDERLAY_ADDRESS", value_name = "ADDRESS")]
    pub underlay_address: Option<std::net::IpAddr>,
    /// UDP port of private networks, the same on all hosts [default: 4789].
    #[arg(long, env = "BERTH_AGENT_VXLAN_PORT", value_name = "PORT")]
    pub vxlan_port: Option<u16>,
    /// UDP port of WireGuard between hosts, the same on all of them [default: 4788].
    #[arg(long, env = "BERTH_AGENT_WIREGUARD_PORT", value_name = "PORT")]
    pub wireguard_port: Option<u16>,
    /// Whether guests see their own figures in /proc by lxcfs [default: true].
    #[arg(long, env = "BERTH_AGENT_LXCFS", value_name = "BOOL")]
    pub lxcfs: Option<bool>,
    /// VPSes that are created or started at the same time [default: as many as there are cores, at least 4].
    #[arg(long, env = "BERTH_AGENT_START_PARALLELISM", value_name = "N")]
    pub start_parallelism: Option<std::num::NonZeroU32>,
}

impl HostArgs {
    /// File and flags together.
    pub fn settings(&self) -> Result<LinuxConfig, SettingsError> {
        let mut config = match &self.config {
            Some(path) => parse(path)?,
            None => LinuxConfig::default(),
        };
        fn set<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(value) = from {
                *to = value.clone();
            }
        }
        set(&mut config.state_dir, self.state_dir.as_ref());
        set(&mut config.run_dir, self.run_dir.as_ref());
        set(&mut config.cgroup_parent, self.cgroup_parent.as_ref());
        set(&mut config.iface_prefix, self.iface_prefix.as_ref());
        set(&mut config.nft_table, self.nft_table.as_ref());
        set(&mut config.id_base, self.id_base.as_ref());
        set(&mut config.lxcfs, self.lxcfs.as_ref());
        config.monitor_path = self.monitor.clone().or(config.monitor_path);
        config.start_parallelism = self.start_parallelism.or(config.start_parallelism);
        config.uplink = self.uplink.clone().or(config.uplink);
        config.underlay_address = self.underlay_address.or(config.underlay_address);
        set(&mut config.vxlan_port, self.vxlan_port.as_ref());
        set(&mut config.wireguard_port, self.wireguard_port.as_ref());
        Ok(config)
    }
}

fn parse(path: &Path) -> Result<LinuxConfig, SettingsError> {
    let text = read(path)?;
    toml::from_str(&text)
        .map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) })
}

fn read(path: &Path) -> Result<String, SettingsError> {
    std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })
}

/// Enrolment tokens, one per line; empty lines and those that begin with `#` do not count.
pub fn tokens(path: &Path) -> Result<Vec<EnrolToken>, SettingsError> {
    let text = read(path)?;
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, text)| {
            text.parse().map_err(|source| SettingsError::Token { path: path.to_owned(), line, source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_file_before_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "state_dir = \"/srv/berth\"\nuplink = \"eth1\"\nlxcfs = false\n").unwrap();
        let args = HostArgs {
            config: Some(path),
            uplink: Some("eth0".into()),
            id_base: Some(131_072),
            ..HostArgs::default()
        };
        let config = args.settings().unwrap();
        assert_eq!(config.state_dir, Path::new("/srv/berth"));
        assert_eq!(config.uplink.as_deref(), Some("eth0"));
        assert_eq!((config.id_base, config.lxcfs), (131_072, false));
        assert_eq!(config.nft_table, LinuxConfig::default().nft_table);
    }

    #[test]
    fn a_bad_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        let settings = |path: &Path| {
            HostArgs { config: Some(path.to_owned()), ..HostArgs::default() }
                .settings()
                .unwrap_err()
                .to_string()
        };
        assert!(settings(&path).contains("agent.toml"));
        std::fs::write(&path, "stat_dir = \"/x\"").unwrap();
        assert!(settings(&path).contains("stat_dir"), "{}", settings(&path));
    }

    #[test]
    fn tokens_are_read_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens");
        let token = EnrolToken {
            url: "https://control.example:8443".into(),
            ca_sha256: "ab".repeat(32),
            secret: "s".into(),
        };
        std::fs::write(&path, format!("# two hosts\n{token}\n\n  {token}\n")).unwrap();
        assert_eq!(tokens(&path).unwrap(), [token.clone(), token.clone()]);
        std::fs::write(&path, format!("{token}\nnonsense\n")).unwrap();
        assert!(tokens(&path).unwrap_err().to_string().contains("line 2"));
    }
}
