//! Observed state: what an agent saw. Nothing here is an intention.

use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{FirewallHits, LimitName, TrafficCount, VpsId};

/// `POST /agent/v1/report`, every 10 s and at once when something changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of the agent.
    pub agent_version: String,
    /// Rises with every report of one agent process; a report that arrives after a newer one is dropped.
    pub seq: i64,
    /// Start of the agent process, microseconds since the epoch; with `seq` orders reports over agent restarts.
    pub agent_started_us: i64,
    /// The sequence of the last [`crate::Watch`] that the agent has taken in.
    pub watch_seq: i64,
    /// What this host has for VPSes in all.
    pub capacity: Capacity,
    /// What this host is. Sent with the first report of a process and when it changed.
    #[serde(default)]
    pub facts: Option<HostFacts>,
    /// Load of the host.
    #[serde(default)]
    pub metrics: Option<HostMetrics>,
    /// Digests of the templates that stand ready here.
    #[serde(default)]
    pub images: Vec<String>,
    /// Every VPS the agent knows of, or, when `partial`, those that changed.
    #[serde(default)]
    pub vpses: Vec<VpsObserved>,
    /// Whether `vpses` holds only what changed since the last report.
    #[serde(default)]
    pub partial: bool,
}

/// Answer to [`Report`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReportAck {
    /// The server's current sequence for this host; above the agent's, a watch answer is waiting.
    pub seq: i64,
}

/// What a host can give to VPSes in all, used or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// CPU in thousandths of a core, before overcommit.
    pub cpu_milli: i64,
    /// Memory in bytes, after what the host keeps for itself.
    pub memory_bytes: i64,
    /// Bytes of the disk pool, after what the host keeps for itself.
    pub disk_bytes: i64,
}

/// What a host is and what it lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `uname -r`.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub os: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
    /// `unified`, `hybrid` or `legacy`.
    pub cgroup_mode: String,
    /// What this host cannot do, and what that costs (`berth-agent doctor` prints the same).
    #[serde(default)]
    pub missing: Vec<MissingFeature>,
    /// Its address among hosts, to which packets of private networks are sent; none where it has none.
    #[serde(default)]
    pub underlay: Option<IpAddr>,
    /// IPv4 address of its uplink, at which ports lead to guests with private addresses; none where it has none.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// The public key by which it speaks WireGuard with other hosts, in base64; none where its kernel has no WireGuard.
    #[serde(default)]
    pub wireguard: Option<String>,
}

/// Something that a host lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingFeature {
    /// Short name, for instance `wireguard`.
    pub feature: String,
    /// What that costs, in a sentence.
    pub consequence: String,
    /// Whether no VPS can run without it.
    pub fatal: bool,
}

/// Load of a host at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HostMetrics {
    /// Part of all CPUs that was busy since the last report, 0 to 1.
    pub cpu_busy: f64,
    /// One-minute load average.
    pub load1: f64,
    /// Memory in use, bytes (MemTotal − MemAvailable).
    pub memory_used_bytes: i64,
    /// Memory in all, bytes.
    pub memory_total_bytes: i64,
    /// Disk pool in use, bytes.
    pub disk_used_bytes: i64,
    /// Disk pool in all, bytes.
    pub disk_total_bytes: i64,
}

/// One VPS, as seen by its host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpsObserved {
    /// Which VPS.
    pub id: VpsId,
    /// The generation that this observation answers: the newest spec that had been converged, or had failed, then.
    /// 0 for a VPS whose spec the agent does not have.
    pub generation: i64,
    /// What it is doing.
    pub state: VpsState,
    /// The boot epoch that the running guest was started for, or the last one that ran; 0 if it never ran.
    #[serde(default)]
    pub boot_epoch: i64,
    /// The password epoch that was applied last.
    #[serde(default)]
    pub password_epoch: i64,
    /// When the running guest's PID 1 was started.
    #[serde(default)]
    pub started_at: Option<DateTime<Utc>>,
    /// How the guest ended last.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// Why `generation` could not be reached (then it is terminal), or what stands in the way of a newer generation
    /// that the agent still works on (then it is not).
    #[serde(default)]
    pub fault: Option<VpsFault>,
    /// Whether the control plane's last full answer did not name this VPS. It is kept and fenced off.
    #[serde(default)]
    pub orphan: bool,
    /// Whether the guest runs and stands still.
    #[serde(default)]
    pub frozen: bool,
    /// Use of resources; none while it does not run.
    #[serde(default)]
    pub metrics: Option<VpsMetrics>,
    /// What became of each limit that was asked for; empty while it does not run.
    #[serde(default)]
    pub limits: Vec<LimitState>,
    /// The newest things that happened to the guest, oldest first, at most 16. They are told again with every report
    /// until newer ones push them out, so the receiver tells them apart by `(started_at, seq)`.
    #[serde(default)]
    pub events: Vec<VpsEvent>,
    /// What its traffic counters stand at, running or not: those that count now first, then those of before whose last
    /// word may not have been heard, at most 8 in all. Empty where the host does not count.
    #[serde(default)]
    pub traffic: Vec<TrafficCount>,
    /// The same of its interfaces in private networks, all of them together. It costs nothing, and is no part of what a
    /// plan includes; so it is told apart, where an older control plane does not look.
    #[serde(default)]
    pub private_traffic: Vec<TrafficCount>,
    /// How often its firewall's rules were met; none where it has no firewall, or nothing is known of these rules yet.
    #[serde(default)]
    pub hits: Option<FirewallHits>,
    /// The same of its firewall in private networks, all of them together.
    #[serde(default)]
    pub private_hits: Option<FirewallHits>,
    /// The addresses that lead to it on this host now, beside private networks (of a /64 its first); none of one without
    /// an interface. Told beside a fault, where the state alone does not say what became of them.
    #[serde(default)]
    pub routed: Option<Vec<IpAddr>>,
}

/// What became of one limit of a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitState {
    /// Which limit.
    pub limit: LimitName,
    /// What was asked for, in the unit of its field in [`crate::Limits`].
    pub asked: i64,
    /// What the kernel was seen to hold, in the same unit; none where nothing holds it.
    #[serde(default)]
    pub applied: Option<i64>,
    /// Why this host cannot hold it as asked; none when it does.
    #[serde(default)]
    pub why: Option<String>,
}

/// Something that happened to a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpsEvent {
    /// Rises by one with each event of one boot, from 1.
    pub seq: i64,
    /// When it was noticed.
    pub at: DateTime<Utc>,
    /// What happened.
    pub what: VpsHappening,
}

/// What can happen to a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum VpsHappening {
    /// The kernel killed a process because memory had run out.
    OomKill {
        /// Name of the process as the guest gave it (at most 15 bytes, hostile); empty where the host cannot tell.
        victim: String,
        /// Its pid inside the guest; none where the host cannot tell.
        pid: Option<i32>,
    },
    /// A limit was hit for the first time since the last such event of it.
    LimitHit {
        /// Which.
        limit: LimitName,
        /// How often since the guest was started.
        count: i64,
    },
    /// Something that this release does not know.
    #[serde(other)]
    Unknown,
}

impl VpsObserved {
    /// An observation that says no more than this.
    #[must_use]
    pub fn new(id: VpsId, generation: i64, state: VpsState) -> Self {
        Self {
            id,
            generation,
            state,
            boot_epoch: 0,
            password_epoch: 0,
            started_at: None,
            exit: None,
            fault: None,
            orphan: false,
            frozen: false,
            metrics: None,
            limits: Vec::new(),
            events: Vec::new(),
            traffic: Vec::new(),
            private_traffic: Vec::new(),
            hits: None,
            private_hits: None,
            routed: None,
        }
    }
}

/// What a VPS is doing on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VpsState {
    /// An effect has begun whose outcome is not known yet, or the monitor does not answer.
    Unknown,
    /// Nothing of it is left on this host: no disk, process, interface, cgroup or rule.
    Absent,
    /// Its disk is being made.
    Creating,
    /// The guest is being started.
    Starting,
    /// PID 1 runs.
    Running,
    /// The guest was asked to stop.
    Stopping,
    /// The disk is there and nothing runs.
    Stopped,
}

/// How a guest's PID 1 ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how", content = "value")]
pub enum Exit {
    /// `reboot` from inside.
    Reboot,
    /// `poweroff` or `halt` from inside.
    Halt,
    /// PID 1 returned this code.
    Code(i32),
    /// PID 1 was killed by this signal.
    Signal(i32),
    /// Stopped because the control plane asked.
    Stopped,
    /// The monitor or the host died; how the guest ended was not seen.
    Lost,
    /// The kernel killed PID 1 because the guest's memory had run out.
    Oom,
    /// An end that this release does not know.
    #[serde(other)]
    Unknown,
}

/// Why a desired state could not be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpsFault {
    /// Stable code: `disk_pool_full`, `disk_missing`, `image_digest_mismatch`, `image_unavailable`,
    /// `kernel_feature_missing`, `start_failed`, `network_failed`, `record_damaged`, `restart_delayed`,
    /// `internal`.
    pub code: String,
    /// What went wrong and what to do about it, for the person who asked.
    pub message: String,
    /// Whether the agent has given this generation up: at once when a retry cannot help, else after several attempts.
    /// A create that fails for good leaves nothing behind; a VPS that has run before keeps its disk, and is still
    /// tried again now and then.
    pub terminal: bool,
}

impl VpsFault {
    /// A fault that a retry cannot cure.
    #[must_use]
    pub fn terminal(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), terminal: true }
    }

    /// A fault that may be gone at the next attempt.
    #[must_use]
    pub fn passing(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), terminal: false }
    }
}

/// How often the kernel held a limit against a guest. Counters rise from the start of the guest; zero on a host that
/// does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitHits {
    /// Times that memory was wanted above the limit, most of them cured by reclaiming page cache.
    #[serde(default)]
    pub memory_max: i64,
    /// Processes that were killed because nothing could be reclaimed.
    #[serde(default)]
    pub oom_kills: i64,
    /// Forks that were refused.
    #[serde(default)]
    pub pids_max: i64,
    /// Time that runnable processes had to wait for the CPU limit, microseconds.
    #[serde(default)]
    pub cpu_throttled_usec: i64,
}

/// Use of resources of one running VPS. Counters rise from the start of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpsMetrics {
    /// CPU time, microseconds.
    pub cpu_usec: i64,
    /// Memory in use without reclaimable page cache, bytes.
    pub memory_bytes: i64,
    /// Swap in use, bytes.
    pub swap_bytes: i64,
    /// Processes and threads.
    pub pids: i64,
    /// Disk in use, bytes, as the guest's `df` shows it.
    pub disk_used_bytes: i64,
    /// Disk in all, bytes.
    pub disk_total_bytes: i64,
    /// Bytes read from the disk image.
    pub disk_read_bytes: i64,
    /// Bytes written to the disk image.
    pub disk_write_bytes: i64,
    /// Read operations on the disk image.
    pub disk_read_ops: i64,
    /// Write operations on the disk image.
    pub disk_write_ops: i64,
    /// Bytes that came into the guest.
    pub net_in_bytes: i64,
    /// Bytes that left the guest.
    pub net_out_bytes: i64,
    /// Packets that came into the guest.
    pub net_in_packets: i64,
    /// Packets that left the guest.
    pub net_out_packets: i64,
    /// Bytes that came into the guest by its private networks; these rise from one guest to the next.
    #[serde(default)]
    pub private_in_bytes: i64,
    /// Bytes that left it by them.
    #[serde(default)]
    pub private_out_bytes: i64,
    /// Packets that came in by them.
    #[serde(default)]
    pub private_in_packets: i64,
    /// Packets that left by them.
    #[serde(default)]
    pub private_out_packets: i64,
    /// How often limits were hit.
    #[serde(default)]
    pub hits: LimitHits,
}
