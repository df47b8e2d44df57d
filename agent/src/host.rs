//! The one seam between the agent's decisions and the machine.
//!
//! The reconciler is the only caller and the only one that retries, but for what only reads. Every method is idempotent:
//! called again after a crash at any point it ends in the same state. Methods of one VPS are never called at the same
//! time, except those of its console and its sessions; those of different VPSes are.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use berth_proto::{
    Capacity, ExecSpec, Exit, FileTask, FirewallHits, HostFacts, HostMetrics, HostNetworks, HostSettings,
    ImageRef, LimitState, TerminalSize, TrafficCount, VpsEvent, VpsFault, VpsId, VpsMetrics, VpsSpec,
};
use chrono::{DateTime, Utc};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::metadata::Facts;

/// What is really there of one VPS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Its disk image is whole and in place.
    pub disk: bool,
    /// Its guest, if one runs.
    pub guest: Option<Guest>,
    /// Something else of it is left (cgroup, rule, interface, half a disk) that [`Host::remove_leftovers`] would clear.
    pub leftovers: bool,
    /// Something of it is there that does not answer (a monitor that hangs, say): neither running nor stopped may be
    /// assumed. Nothing is done to it, except by a tombstone, until a later look is clear.
    pub unsure: bool,
    /// How the last guest ended, for which boot epoch, if the monitor left a record. Only a guest whose PID 1 was
    /// executed leaves one, and [`Host::start`] clears that of the guest before.
    pub last_exit: Option<(i64, Exit)>,
}

/// A running guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Guest {
    /// The epoch that it was started for.
    pub boot_epoch: i64,
    /// When its PID 1 was started.
    pub started_at: DateTime<Utc>,
    /// Whether it stands still.
    pub frozen: bool,
}

/// A change that the host noticed by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The guest of this VPS ended (or its monitor did).
    Ended(VpsId),
}

/// What is asked about a program that runs in a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// Send it a signal, by the kernel's number.
    Signal(i32),
    /// Give its terminal this size.
    Resize(TerminalSize),
    /// Kill it, and all that it started.
    Kill,
}

/// How a session is opened.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionStart {
    /// By running a program under this name, unless that has been done.
    Exec(String, ExecSpec),
    /// By the name of one that was begun, from these bytes of its two channels on.
    Attach(String, [u64; 2]),
    /// By doing something with a file. Such a session has no name, and ends with its connection.
    File(FileTask),
}

/// A session that was opened.
#[derive(Debug)]
pub struct Session<C> {
    /// Carries [`crate::frames`].
    pub connection: C,
    /// Numbers of the first bytes that will come, of standard output and error.
    pub from: [u64; 2],
}

/// Failure of an effect, as it will be shown to the person who asked.
pub type Fault = VpsFault;

/// A machine that can hold VPSes.
pub trait Host: Send + Sync + 'static {
    /// Bytes of a console: what is read is the guest's output, what is written are keys. Also those of a session.
    type Console: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// What this machine is and lacks.
    fn facts(&self) -> impl Future<Output = HostFacts> + Send;
    /// What it can give to VPSes in all.
    fn capacity(&self) -> impl Future<Output = Capacity> + Send;
    /// Its load now.
    fn metrics(&self) -> impl Future<Output = HostMetrics> + Send;
    /// Applies settings from the control plane (NAT pools, resolvers).
    fn configure(&self, settings: &HostSettings) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Takes in where the members of private networks are that have one here.
    fn connect_networks(&self, networks: &HostNetworks) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Every VPS of which anything is found here: disks, monitors, cgroups, interfaces.
    fn inventory(&self) -> impl Future<Output = Vec<VpsId>> + Send;
    /// What is there of one VPS. Connects again to the monitor of a running guest.
    fn find(&self, id: VpsId) -> impl Future<Output = Found> + Send;
    /// Whether the template of this digest stands ready. Asked before each create and start, so it must be cheap.
    fn has_template(&self, sha256: &str) -> impl Future<Output = bool> + Send;
    /// Digests of the templates that stand ready.
    fn templates(&self) -> impl Future<Output = Vec<String>> + Send;
    /// Unpacks an archive (verified against `image.sha256` by this method, before anything is unpacked) into the
    /// template of that digest, atomically.
    fn unpack(&self, image: &ImageRef, archive: &Path) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Makes the VPS's disk. On error nothing of it is left.
    fn create_disk(&self, spec: &VpsSpec) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Starts the guest for `spec.boot_epoch`: cgroups, network, monitor, PID 1. Returns when PID 1 has been executed.
    /// On error nothing but the disk is left. On a disk that never ran, `spec.access` (keys, password) and the other
    /// first-boot files are written; later changes of the password come by [`Host::set_password`].
    fn start(&self, spec: &VpsSpec) -> impl Future<Output = Result<Guest, Fault>> + Send;
    /// Asks the guest's init to stop; returns at once. A frozen guest is thawed first.
    fn ask_to_stop(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Kills the guest, frozen or not; returns when no process of it is left.
    fn kill(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Kills a guest whose disk will be deleted next: as [`Host::kill`], but what the guest has not written to its disk
    /// yet may be thrown away.
    fn kill_for_deletion(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send {
        self.kill(id)
    }
    /// Makes every process of the running guest stand still; returns when all do. What cannot be frozen now is thawed again.
    fn freeze(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Lets a frozen guest go on.
    fn thaw(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Clears what a guest leaves behind when it is not running: cgroups with whatever still is in them, frozen or not,
    /// rules, interface, sockets. Keeps the disk.
    fn remove_leftovers(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Deletes the disk and all that the host keeps about the VPS. Only after a tombstone, or to undo a create whose
    /// guest never ran; and only when nothing runs.
    fn delete_disk(&self, id: VpsId) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Sets root's password in the running guest.
    fn set_password(&self, spec: &VpsSpec) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Applies changed limits and network settings to the running guest.
    fn apply(&self, spec: &VpsSpec) -> impl Future<Output = Result<(), Fault>> + Send;
    /// Use of resources of a running guest.
    fn vps_metrics(&self, id: VpsId) -> impl Future<Output = Option<VpsMetrics>> + Send;
    /// What became of each limit of a running guest, as the kernel holds it now.
    fn vps_limits(&self, id: VpsId) -> impl Future<Output = Vec<LimitState>> + Send;
    /// What happened to a running guest lately, oldest first, at most 16.
    fn vps_events(&self, id: VpsId) -> impl Future<Output = Vec<VpsEvent>> + Send;
    /// Looks at the traffic counters of all VPSes, and writes down what they stand at, for [`Host::vps_traffic`].
    fn count_traffic(&self) -> impl Future<Output = ()> + Send;
    /// What the traffic counters of a VPS stand at, running or not, as they were looked at last; those that count now
    /// first. The last count of a VPS that is deleted is told as long as the agent remembers it.
    fn vps_traffic(&self, id: VpsId) -> impl Future<Output = Vec<TrafficCount>> + Send;
    /// The same of its interfaces in private networks, all of them together.
    fn vps_private_traffic(&self, id: VpsId) -> impl Future<Output = Vec<TrafficCount>> + Send;
    /// The console of a running guest: its last output first, then whatever comes, until the guest ends. Several may be
    /// open at once; all see the same.
    fn console(&self, id: VpsId) -> impl Future<Output = Result<Self::Console, Fault>> + Send;
    /// Tells the guest the size of its console's window.
    fn resize_console(&self, id: VpsId, cols: u16, rows: u16) -> impl Future<Output = ()> + Send;
    /// Opens a session in a running guest. The fault's code is `no_session` when there is none of that name.
    fn session(
        &self,
        id: VpsId,
        start: &SessionStart,
    ) -> impl Future<Output = Result<Session<Self::Console>, Fault>> + Send;
    /// Changes a session. The fault's code is `no_session` when there is none of that name.
    fn change_session(
        &self,
        id: VpsId,
        session: &str,
        change: SessionChange,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
    /// How often the rules of a running guest's firewall were met, as seen not long ago; none where nothing is known.
    fn vps_hits(&self, id: VpsId) -> impl Future<Output = Option<FirewallHits>> + Send;
    /// The same of its firewall in private networks, all of them together.
    fn vps_private_hits(&self, id: VpsId) -> impl Future<Output = Option<FirewallHits>> + Send;
    /// The addresses that lead to a VPS now, beside private networks, and of each /64 its first; none where that cannot be
    /// told.
    fn vps_routed(&self, id: VpsId) -> impl Future<Output = Option<Vec<IpAddr>>> + Send;
    /// Answers guests that ask for facts about themselves, for ever.
    fn serve_metadata(&self, facts: Arc<dyn Facts>) -> impl Future<Output = ()> + Send;
    /// The next thing that the host noticed by itself.
    fn next_event(&self) -> impl Future<Output = Event> + Send;
}
