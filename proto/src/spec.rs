//! Desired state: what the control plane wants a host to hold.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

use crate::{
    Exit, Firewall, Gateways, Guard, HostNetworks, ImageId, PortRange, PrivateNic, StreamOffer, VpsId,
};

/// Answer to `GET /agent/v1/watch?since=<seq>&wait=<seconds>` (a blocking query in the style of Consul).
///
/// The request returns at once when the host's sequence is above `since` or a stream is waited for, else when that
/// becomes so or after `wait` seconds.
/// `since=0`, or a `since` above the server's sequence (a database restored from a backup), gives `full = true`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// The host's sequence that this answer brings the agent to. Ask with it next time.
    pub seq: i64,
    /// Whether `vpses` names everything this host should know. A VPS that the agent has and a full answer does not
    /// name is an orphan: kept, fenced off and reported, never deleted.
    #[serde(default)]
    pub full: bool,
    /// What changed, whole.
    #[serde(default)]
    pub vpses: Vec<Desired>,
    /// Every image that the host should hold ready, so that a create does not wait for a transfer.
    #[serde(default)]
    pub images: Vec<ImageRef>,
    /// What the operator set for this host. Always present in a full answer, and whenever it changed.
    #[serde(default)]
    pub settings: Option<HostSettings>,
    /// Streams that somebody waits for. An answer with such an offer comes at once, whatever the sequence.
    #[serde(default)]
    pub streams: Vec<StreamOffer>,
    /// The private networks of this host's VPSes, whole, when they differ from what the question says the agent knows.
    #[serde(default)]
    pub networks: Option<HostNetworks>,
}

/// Settings of a host that come from the control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostSettings {
    /// IPv4 pools, in CIDR notation, whose addresses leave the host by source NAT.
    #[serde(default)]
    pub nat_pools: Vec<String>,
    /// Resolvers for guests; empty means those of the host.
    #[serde(default)]
    pub resolvers: Vec<IpAddr>,
    /// The network zone that the host is in, as guests are told.
    #[serde(default)]
    pub region: String,
    /// The data centre that the host is in, as guests are told.
    #[serde(default)]
    pub availability_zone: String,
    /// How public addresses of its guests reach it, beside NAT.
    #[serde(default)]
    pub gateways: Gateways,
}

/// The desired state of one VPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Desired {
    /// It should exist, as described.
    Present(Box<VpsSpec>),
    /// The tombstone: this VPS and its data are to be deleted. The only thing that ever deletes a VPS's data.
    Deleted {
        /// The VPS to delete.
        id: VpsId,
        /// The generation of the tombstone.
        generation: i64,
    },
}

impl Desired {
    /// The VPS that this is about.
    #[must_use]
    pub fn id(&self) -> VpsId {
        match self {
            Self::Present(spec) => spec.id,
            Self::Deleted { id, .. } => *id,
        }
    }

    /// The generation of this desired state.
    #[must_use]
    pub fn generation(&self) -> i64 {
        match self {
            Self::Present(spec) => spec.generation,
            Self::Deleted { generation, .. } => *generation,
        }
    }
}

/// Everything that a host needs to know to run one VPS, without asking again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpsSpec {
    /// Which VPS.
    pub id: VpsId,
    /// Rises with every change of this VPS's desired state; fences old reports and old specs.
    pub generation: i64,
    /// Host name inside the guest (RFC 1123).
    pub hostname: String,
    /// Stable identity, given to the guest as `container_uuid` and as its machine id.
    pub uuid: String,
    /// Whether it should run.
    pub power: Power,
    /// Rises with every request that must give a fresh boot (power on, reboot, reset). A guest that was started for a
    /// smaller epoch is restarted; a guest that halted itself in this epoch stays off.
    pub boot_epoch: i64,
    /// How to stop or restart.
    pub stop_mode: StopMode,
    /// What it is made from.
    pub image: ImageRef,
    /// What it may use.
    pub limits: Limits,
    /// Its network.
    pub net: NetSpec,
    /// Who may log in.
    pub access: Access,
    /// User data as the tenant gave it, at most 32 KiB.
    #[serde(default)]
    pub user_data: Option<String>,
    /// Whether the guest stands still while it runs: none of its processes gets any CPU, its memory stays. It can be
    /// stopped, killed and restarted all the same.
    #[serde(default)]
    pub frozen: bool,
    /// What happens when the guest ends by itself.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Its place among the VPSes that a host starts when it has booted: smaller ones first.
    #[serde(default)]
    pub autostart_order: i32,
}

/// What happens when a guest ends that nobody asked to end. A guest that reboots itself is always started again, and one
/// that halts itself stays off. One whose end is the host's doing ([`Exit::Lost`]) is always started again too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// Whatever its PID 1 returned.
    Always,
    /// It stays off.
    Never,
    /// Unless PID 1 returned 0. Also what a policy of a later release is taken for.
    #[default]
    #[serde(other)]
    OnFailure,
}

impl RestartPolicy {
    /// Whether a guest that ended like this is started again in the same boot epoch.
    #[must_use]
    pub fn starts_again(self, exit: Exit) -> bool {
        match exit {
            Exit::Halt => false,
            Exit::Reboot | Exit::Lost | Exit::Stopped => true,
            Exit::Code(0) => self == Self::Always,
            Exit::Code(_) | Exit::Signal(_) | Exit::Oom | Exit::Unknown => self != Self::Never,
        }
    }
}

/// Whether a VPS should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    /// It should run.
    Running,
    /// It should be stopped.
    Stopped,
}

/// How a running guest is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// Ask the guest's init, and kill it when it has not stopped after `timeout_s` seconds.
    Graceful {
        /// Seconds before the guest is killed.
        timeout_s: u32,
    },
    /// Kill at once, as pulling the plug.
    Hard,
}

/// An image, named by what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// Its id in the inventory.
    pub id: ImageId,
    /// Lower-case hex SHA-256 of the archive; also the name of the unpacked template on a host and the last part of
    /// `GET /agent/v1/images/<sha256>`, from where an agent fetches the archive.
    pub sha256: String,
    /// Size of the archive in bytes.
    pub size_bytes: i64,
    /// How it is packed.
    pub format: ArchiveFormat,
    /// Whether cloud-init is inside, as far as the importer knows. The host looks for itself at the first boot.
    #[serde(default)]
    pub cloud_init: bool,
    /// The signal that asks its init to stop, by name (see [`crate::stop_signal`]); none: found out by looking at it.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// A user that the image has and whom the keys of root are for as well.
    #[serde(default)]
    pub default_user: Option<String>,
}

/// How an image's root file system is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveFormat {
    /// A plain tarball.
    Tar,
    /// gzip.
    TarGz,
    /// xz.
    TarXz,
    /// Zstandard.
    TarZst,
    /// A squashfs file system (gzip, xz or zstd inside).
    Squashfs,
    /// One that a later release knows. It cannot be unpacked, and spoils nothing else.
    #[serde(other)]
    Unknown,
}

/// What a VPS may use, and what it is sure of. Fields that came later default to "no such limit".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU cap in thousandths of a core (1500 = one and a half). The guest sees this many CPUs, rounded up.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Swap in bytes, in addition to memory; 0 for none.
    pub swap_bytes: i64,
    /// Disk in bytes, as `df` shows it.
    pub disk_bytes: i64,
    /// Processes and threads.
    pub pids: i64,
    /// Bandwidth each way in Mbit/s; 0 for unlimited.
    #[serde(default)]
    pub bandwidth_mbit: i64,
    /// Share of the CPU when there is not enough for all, 1 to 10000; 100 is one core's. 0: by the cap.
    #[serde(default)]
    pub cpu_weight: i64,
    /// CPU that the VPS gets whatever others do, in thousandths of a core, at most the cap; 0 for none.
    #[serde(default)]
    pub cpu_guarantee_milli: i64,
    /// Memory in bytes from which on the guest is slowed down and its cache reclaimed, below `memory_bytes`; 0 for none.
    #[serde(default)]
    pub memory_high_bytes: i64,
    /// Memory in bytes that is not taken from the guest however short the host is (`memory.min`); 0 for none.
    #[serde(default)]
    pub memory_guarantee_bytes: i64,
    /// Bytes read from the disk a second; 0 for no limit.
    #[serde(default)]
    pub disk_read_bps: i64,
    /// Bytes written to the disk a second; 0 for no limit.
    #[serde(default)]
    pub disk_write_bps: i64,
    /// Reads of the disk a second; 0 for no limit.
    #[serde(default)]
    pub disk_read_iops: i64,
    /// Writes to the disk a second; 0 for no limit.
    #[serde(default)]
    pub disk_write_iops: i64,
    /// Files and directories on the disk; 0 for what a disk of this size usually has.
    #[serde(default)]
    pub inodes: i64,
    /// Descriptors that one process may open (`RLIMIT_NOFILE`, hard); 0 for the host's own limit.
    #[serde(default)]
    pub open_files: i64,
}

/// A limit by name, as APIs spell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitName {
    /// [`Limits::cpu_milli`]
    CpuMilli,
    /// [`Limits::cpu_weight`]
    CpuWeight,
    /// [`Limits::cpu_guarantee_milli`]
    CpuGuaranteeMilli,
    /// [`Limits::memory_bytes`]
    MemoryBytes,
    /// [`Limits::memory_high_bytes`]
    MemoryHighBytes,
    /// [`Limits::memory_guarantee_bytes`]
    MemoryGuaranteeBytes,
    /// [`Limits::swap_bytes`]
    SwapBytes,
    /// [`Limits::disk_bytes`]
    DiskBytes,
    /// [`Limits::inodes`]
    Inodes,
    /// [`Limits::pids`]
    Pids,
    /// [`Limits::open_files`]
    OpenFiles,
    /// [`Limits::disk_read_bps`]
    DiskReadBps,
    /// [`Limits::disk_write_bps`]
    DiskWriteBps,
    /// [`Limits::disk_read_iops`]
    DiskReadIops,
    /// [`Limits::disk_write_iops`]
    DiskWriteIops,
    /// [`Limits::bandwidth_mbit`]
    BandwidthMbit,
    /// A limit of a later release.
    #[serde(other)]
    Unknown,
}

/// The network of a VPS: one routed interface with a /32, a /64 of IPv6 and on-link gateways, and one for each private network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetSpec {
    /// Public or NAT address; none for a VPS without IPv4.
    #[serde(default)]
    pub ipv4: Option<Ipv4Addr>,
    /// A /64 of IPv6 that is routed to the guest, which has its first host address (`<prefix>::1`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Net>,
    /// Further addresses that are routed to the guest, which configures them itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating: Vec<Ipv4Addr>,
    /// Further /64s of IPv6 that are routed to the guest, which configures them itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floating6: Vec<Ipv6Net>,
    /// Locally administered MAC address of the guest's interface, `02:…`.
    pub mac: String,
    /// What may pass; none: everything may.
    #[serde(default)]
    pub firewall: Option<Firewall>,
    /// The operator's walls around it.
    #[serde(default)]
    pub guard: Guard,
    /// What may pass by private networks; none: everything may. The addresses of its rules are those of the other end
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_firewall: Option<Firewall>,
    /// Its interfaces in private networks, in the order in which they came.
    #[serde(default)]
    pub private: Vec<PrivateNic>,
    /// Rises when neighbours must be told again who has its addresses, because somebody else answered for one until now.
    #[serde(default)]
    pub announce_epoch: i64,
    /// Ports of the host's own addresses that lead to the guest; only with [`NetSpec::ipv4`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<PortRange>,
}

/// The guest's own address in its /64 ([`NetSpec::ipv6`]), with the length of the prefix.
#[must_use]
pub fn own_ipv6(prefix: Ipv6Net) -> Ipv6Net {
    let first = Ipv6Addr::from(u128::from(prefix.network()) | 1);
    Ipv6Net::new_assert(first, prefix.prefix_len())
}

/// Who may log in. Applied at first boot, and again when `password_epoch` rises.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// OpenSSH public keys for root.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// crypt(3) hash of the root password (`$6$…`); none locks the password.
    #[serde(default)]
    pub root_password_hash: Option<String>,
    /// Rises when the password is reset.
    #[serde(default)]
    pub password_epoch: i64,
}
