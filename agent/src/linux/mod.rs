//! The real host: this machine.
//!
//! Everything that is made here has the VPS's id in its name (cgroups, the host's side of its interface, its directories)
//! and can be made or removed any number of times with the same outcome. What runs is never remembered but asked: of
//! monitors by their sockets and locks, of the kernel by name. So an agent may die at any point, and the next one finds
//! what there is ([`Host::find`]) and clears what is left ([`Host::remove_leftovers`]).
//!
//! ```text
//! <state>/templates/<sha256>/        unpacked images
//! <state>/traffic.json               what was counted of all VPSes' traffic
//! <state>/private-traffic.json       the same of private networks
//! <state>/blanks/                    formatted disks to copy from
//! <state>/ids/<id>                   the VPS's range of user ids
//! <state>/vps/<id>/disk.img          its disk
//! <state>/vps/<id>/exit.json         how its last guest ended (written by the monitor)
//! <state>/vps/<id>/monitor.log       what its last monitor complained about
//! <run>/<id>/ctl.sock, lock          its monitor
//! <run>/<id>/limits.json             what was asked for of the running guest
//! <run>/networks/                    routers of private networks
//! <run>/bird/                        our bird, where addresses are announced by BGP
//! <run>/<id>/events.json             what happened to it
//! <run>/devices/                     device nodes, where the host's are for root alone
//! <run>/lxcfs/                       our lxcfs, where the host runs none
//! ```

mod asked;
pub mod cgroup;
mod config;
mod devices;
pub mod disk;
mod fault;
mod happenings;
mod hits;
mod host_key;
pub mod ids;
mod kmsg;
pub mod load;
pub mod lxcfs;
mod measure;
mod metadata;
mod monitors;
pub mod net;
mod open_files;
mod resize;
mod resolvers;
mod sessions;
mod start;
mod template;
mod told;
mod traffic;
mod watch;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use berth_proto::{
    Capacity, FirewallHits, HostFacts, HostMetrics, HostNetworks, HostSettings, ImageRef, LimitState,
    TrafficCount, VpsEvent, VpsFault, VpsId, VpsMetrics, VpsSpec,
};

use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::{ConfigError, LinuxConfig};
use self::disk::Size;
use self::fault::internal;
use self::happenings::Happenings;
use self::monitors::{AskError, Monitors};
use self::template::Templates;
use self::traffic::Traffic;
use self::watch::Watch;
use crate::doctor;
use crate::failpoint;
use crate::host::{Event, Fault, Found, Guest, Host, Session, SessionChange, SessionStart};
use crate::metadata::Facts;
use crate::monitor::wire::{Answer, ExitRecord, Request};

/// How long a guest that was killed may take to be gone; its disk's last writes are part of it.
const DEATH: Duration = Duration::from_secs(30);
/// How long a change inside a guest may take.
const CHANGE: Duration = Duration::from_secs(15);
/// After lxcfs could not be started, it is tried again so much later.
const LXCFS_AGAIN: Duration = Duration::from_secs(60);

/// This machine.
#[derive(Debug)]
pub struct LinuxHost {
    config: LinuxConfig,
    monitor: PathBuf,
    devices: Option<PathBuf>,
    tree: Arc<cgroup::Tree>,
    net: net::Net,
    disks: disk::Disks,
    ids: ids::Ids,
    templates: Templates,
    monitors: Monitors,
    load: load::Load,
    watch: Watch,
    happenings: Happenings,
    traffic: Arc<Traffic>,
    hits: hits::Seen,
    settings: Mutex<HostSettings>,
    lxcfs: Arc<tokio::sync::Mutex<Option<Instant>>>,
    /// Looks after lxcfs.
    keeper: Mutex<Option<AbortOnDropHandle<()>>>,
}

impl LinuxHost {
    /// Makes the directories, the cgroup parent and the nft table, and begins to start lxcfs. Touches no VPS.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the machine cannot hold VPSes; the message says what to do.
    pub async fn new(config: LinuxConfig) -> Result<Self, Fault> {
        config.validate().map_err(|e| VpsFault::terminal("internal", e.to_string()))?;
        let monitor = config.monitor().map_err(|e| VpsFault::terminal("internal", e.to_string()))?;
        let (state, run) = (&config.state_dir, &config.run_dir);
        for dir in [state, run] {
            make_private_dir(dir).map_err(|e| internal(&format!("making {}", dir.display()), &e))?;
        }
        let net = net::Net::open(&config.iface_prefix, &config.nft_table, run, config.uplink.as_deref())?
            .among_hosts(config.underlay_address, config.vxlan_port)
            .remembering(state)
            .encrypting(state, config.wireguard_port);
        net.ensure().await?;
        let tree = Arc::new(cgroup::Tree::open(&config.cgroup_parent)?);
        let monitors = Monitors::new(run);
        for id in monitors.list() {
            if let Some(limits) = asked::load(&monitors.dir(id)).filter(|_| tree.has(id)) {
                tree.remember(id, &limits);
            }
        }
        let host = Self {
            monitor: monitor.clone(),
            devices: devices::ensure(run).map_err(|e| internal("making device nodes", &e))?,
            happenings: Happenings::new(tree.clone(), run),
            traffic: Arc::new(Traffic::open(state)),
            hits: hits::Seen::default(),
            tree,
            net,
            disks: disk::Disks::new(state, config.disk_reserve_bytes),
            ids: ids::Ids::open(state, config.id_base).map_err(|e| internal("reading user id ranges", &e))?,
            templates: Templates::open(state, &monitor).map_err(|e| internal("reading templates", &e))?,
            monitors,
            load: load::Load::default(),
            watch: Watch::default(),
            settings: Mutex::new(HostSettings::default()),
            lxcfs: Arc::default(),
            keeper: Mutex::default(),
            config,
        };
        host.warm_up();
        Ok(host)
    }

    /// Takes away what serves all VPSes (lxcfs, the nft table, the cgroup parent), if none of them runs.
    ///
    /// # Errors
    /// When something of a VPS is still there, or the kernel refuses.
    pub async fn shutdown_support(&self) -> Result<(), Fault> {
        if let Some(id) = self.present().into_iter().find(|id| self.has_traces(*id)) {
            return Err(VpsFault::passing("internal", format!("VPS {id} still runs or has left something")));
        }
        devices::remove(&self.config.run_dir);
        let keeper = lock(&self.keeper).take();
        if let Some(keeper) = keeper {
            keeper.abort();
            let _ = keeper.await; // says only that it was aborted
        }
        lxcfs::stop(&self.config.run_dir).await;
        self.read_traffic().await; // the counters go with the table
        self.net.remove_support().await?;
        self.tree.remove_parent();
        Ok(())
    }

    fn settings(&self) -> HostSettings {
        lock(&self.settings).clone()
    }

    fn exit_file(&self, id: VpsId) -> PathBuf {
        self.vps_dir(id).join("exit.json")
    }

    fn log_file(&self, id: VpsId) -> PathBuf {
        self.vps_dir(id).join("monitor.log")
    }

    fn vps_dir(&self, id: VpsId) -> PathBuf {
        self.config.state_dir.join("vps").join(id.to_string())
    }

    /// Every VPS of which anything is here.
    fn present(&self) -> Vec<VpsId> {
        let mut ids = self.disks.list();
        ids.extend(self.monitors.list());
        ids.extend(self.net.list());
        ids.extend(self.tree.list().unwrap_or_default());
        ids.sort();
        ids.dedup();
        ids
    }

    /// Whether a guest left something beside its disk.
    fn has_traces(&self, id: VpsId) -> bool {
        self.monitors.dir(id).exists() || self.tree.has(id) || self.net.has(id) || self.disks.half_made(id)
    }

    /// lxcfs, started now if need be; none if it is switched off or cannot be had.
    async fn lxcfs(&self) -> Option<PathBuf> {
        if !self.config.lxcfs {
            return None;
        }
        lxcfs_once(&self.lxcfs, &self.config.run_dir).await
    }

    /// Does early what the first start would have to wait for.
    fn warm_up(&self) {
        if self.config.lxcfs {
            let (state, run_dir) = (self.lxcfs.clone(), self.config.run_dir.clone());
            let monitors = self.monitors.clone();
            let keeper = tokio::spawn(lxcfs::keep(run_dir, monitors, state));
            *lock(&self.keeper) = Some(AbortOnDropHandle::new(keeper));
        }
    }

    async fn guest(&self, id: VpsId) -> Result<Guest, AskError> {
        match self.monitors.ask(id, &Request::Status).await? {
            Answer::Status { boot_epoch, started_at, .. } => {
                self.watch.begin(&self.monitors, id);
                Ok(Guest { boot_epoch, started_at, frozen: self.tree.frozen(id) })
            }
            other => Err(AskError::Refused(format!("an answer to another question: {other:?}"))),
        }
    }

    /// Gives a running guest the interfaces in private networks that it should have.
    async fn connect_private(&self, spec: &VpsSpec) -> Result<(), Fault> {
        if !self.net.private.differs(spec.id, &spec.net.private) {
            return Ok(());
        }
        let pid = self.first_process(spec.id).await?;
        let inside = net::Netns::of_process(pid)?;
        // Still there, so nobody else had its number when the namespace was opened.
        if self.first_process(spec.id).await? != pid {
            return Err(VpsFault::passing("network_failed", "the guest was started again meanwhile"));
        }
        Ok(self.net.private.apply(spec.id, &inside, &spec.net).await?)
    }

    /// The guest's PID 1.
    async fn first_process(&self, id: VpsId) -> Result<u32, Fault> {
        let lost =
            |why: String| VpsFault::passing("network_failed", format!("the guest cannot be found: {why}"));
        match self.monitors.ask(id, &Request::Status).await {
            Ok(Answer::Status { pid, .. }) => u32::try_from(pid).map_err(|e| lost(e.to_string())),
            Ok(other) => Err(lost(format!("an answer to another question: {other:?}"))),
            Err(error) => Err(lost(error.to_string())),
        }
    }

    fn last_exit(&self, id: VpsId) -> Option<ExitRecord> {
        serde_json::from_slice(&std::fs::read(self.exit_file(id)).ok()?).ok()
    }

    /// Kills the monitor's guest, however the monitor is.
    async fn kill_by_monitor(&self, id: VpsId, discard: bool) {
        match self.monitors.ask_patiently(id, &Request::Kill { discard }, DEATH).await {
            Ok(_) | Err(AskError::Gone) => {}
            Err(error) => {
                tracing::warn!(vps = %id, %error, "killing the monitor as well");
                self.monitors.kill_silent(id);
            }
        }
    }

    /// Kills a guest, and returns when nothing of it runs.
    async fn kill_guest(&self, id: VpsId, discard: bool) -> Result<(), Fault> {
        // The interface goes first, and while its namespace lives: afterwards the kernel takes its time.
        let (detached, ()) = tokio::join!(self.net.detach(id), self.kill_by_monitor(id, discard));
        failpoint::hit_async("linux.kill.monitor").await;
        self.tree.kill(id).await?;
        self.lock_is_free(id).await?;
        Ok(detached?)
    }

    /// Returns when nobody holds the lock of a VPS any more.
    async fn lock_is_free(&self, id: VpsId) -> Result<(), Fault> {
        let deadline = Instant::now() + DEATH;
        while self.monitors.held(id) {
            if Instant::now() > deadline {
                return Err(VpsFault::passing("internal", "its monitor, or a copy of it, does not end"));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

impl Host for LinuxHost {
    type Console = UnixStream;

    async fn facts(&self) -> HostFacts {
        let missing = doctor::missing(&doctor::examine(&self.config).await);
        HostFacts {
            underlay: self.net.private.underlay(),
            address: self.net.address(),
            wireguard: self.net.private.key(),
            ..measure::facts(self.tree.layout().mode(), missing)
        }
    }

    async fn capacity(&self) -> Capacity {
        load::capacity(self.disks.pool(), self.config.memory_reserve_bytes, self.config.disk_reserve_bytes)
    }

    async fn metrics(&self) -> HostMetrics {
        self.load.measure(self.disks.pool())
    }

    async fn configure(&self, settings: &HostSettings) -> Result<(), Fault> {
        self.net.configure(&settings.nat_pools).await?;
        *lock(&self.settings) = settings.clone();
        Ok(self.net.gateways(&settings.gateways).await?)
    }

    async fn connect_networks(&self, networks: &HostNetworks) -> Result<(), Fault> {
        Ok(self.net.private.set(networks).await?)
    }

    async fn inventory(&self) -> Vec<VpsId> {
        self.present()
    }

    async fn find(&self, id: VpsId) -> Found {
        let guest = self.guest(id).await;
        let running = guest.is_ok();
        let unsure = !matches!(guest, Ok(_) | Err(AskError::Gone));
        let record = self.last_exit(id).filter(|_| !running);
        Found {
            disk: self.disks.exists(id),
            guest: guest.ok(),
            leftovers: !running && !unsure && self.has_traces(id),
            unsure,
            last_exit: record.map(|record| (record.boot_epoch, record.exit)),
        }
    }

    async fn has_template(&self, sha256: &str) -> bool {
        self.templates.path(sha256).is_some()
    }

    async fn templates(&self) -> Vec<String> {
        self.templates.list()
    }

    async fn unpack(&self, image: &ImageRef, archive: &Path) -> Result<(), Fault> {
        let (templates, image, archive) = (self.templates.clone(), image.clone(), archive.to_owned());
        let unpacked = tokio::task::spawn_blocking(move || templates.unpack(&image, &archive)).await;
        unpacked.unwrap_or_else(|e| Err(VpsFault::passing("internal", e.to_string())))
    }

    async fn create_disk(&self, spec: &VpsSpec) -> Result<(), Fault> {
        failpoint::hit_async("linux.create_disk.begun").await;
        self.disks.create(spec.id, Size::of(&spec.limits)).await?;
        failpoint::hit_async("linux.create_disk.made").await;
        Ok(())
    }

    async fn start(&self, spec: &VpsSpec) -> Result<Guest, Fault> {
        match self.guest(spec.id).await {
            Ok(guest) => return Ok(guest),
            Err(AskError::Gone) => {}
            Err(error) => return Err(VpsFault::passing("start_failed", error.to_string())),
        }
        let guest = self.start_guest(spec).await?;
        self.watch.begin(&self.monitors, spec.id);
        Ok(guest)
    }

    async fn ask_to_stop(&self, id: VpsId) -> Result<(), Fault> {
        self.tree.thaw(id)?;
        match self.monitors.ask(id, &Request::Stop).await {
            Ok(_) | Err(AskError::Gone) => Ok(()),
            Err(error) => Err(VpsFault::passing("internal", format!("it cannot be asked to stop: {error}"))),
        }
    }

    async fn kill(&self, id: VpsId) -> Result<(), Fault> {
        self.kill_guest(id, false).await
    }

    async fn kill_for_deletion(&self, id: VpsId) -> Result<(), Fault> {
        self.kill_guest(id, true).await
    }

    async fn remove_leftovers(&self, id: VpsId) -> Result<(), Fault> {
        if self.monitors.locked(id) {
            return Err(VpsFault::passing("internal", "it still has a monitor"));
        }
        let groups = async {
            self.tree.kill(id).await?;
            // A copy of a dead monitor that stood still in the guest's group may have held its lock.
            self.lock_is_free(id).await?;
            Ok::<_, Fault>(self.tree.remove(id).await?)
        };
        let (detached, removed) = tokio::join!(self.net.detach(id), groups);
        failpoint::hit_async("linux.remove.groups").await;
        detached?;
        removed?;
        gone(std::fs::remove_dir_all(self.monitors.dir(id)), "removing its run directory")?;
        self.happenings.forget(id);
        self.disks.discard_half_made(id).await
    }

    async fn delete_disk(&self, id: VpsId) -> Result<(), Fault> {
        failpoint::hit_async("linux.delete_disk.begun").await;
        self.end_traffic(id).await?;
        self.disks.delete(id).await?;
        for file in [self.exit_file(id), self.exit_file(id).with_extension("tmp"), self.log_file(id)] {
            gone(std::fs::remove_file(file), "removing its records")?;
        }
        failpoint::hit_async("linux.delete_disk.files").await;
        // Not empty while the reconciler keeps its own record there.
        let _ = std::fs::remove_dir(self.vps_dir(id));
        self.ids.release(id)
    }

    async fn freeze(&self, id: VpsId) -> Result<(), Fault> {
        Ok(self.tree.freeze(id).await?)
    }

    async fn thaw(&self, id: VpsId) -> Result<(), Fault> {
        Ok(self.tree.thaw(id)?)
    }

    async fn set_password(&self, spec: &VpsSpec) -> Result<(), Fault> {
        if self.tree.frozen(spec.id) {
            let message = "the server is frozen, and a password is set while it runs: thaw it first";
            return Err(VpsFault::passing("internal", message));
        }
        let request = Request::SetPassword { hash: spec.access.root_password_hash.clone() };
        let answer = self.monitors.ask_patiently(spec.id, &request, CHANGE).await;
        answer.map(|_| ()).map_err(|e| VpsFault::passing("internal", format!("the password is not set: {e}")))
    }

    async fn apply(&self, spec: &VpsSpec) -> Result<(), Fault> {
        self.net.firewall(spec.id, spec.net.firewall.as_ref()).await?;
        self.net.route(spec.id, &spec.net).await?;
        self.net.ports(spec.id, &spec.net).await?;
        self.forget_hits(spec.id);
        self.net.guard(spec.id, &spec.net.guard).await?;
        self.net.private.firewall(spec.id, spec.net.private_firewall.as_ref()).await?;
        self.connect_private(spec).await?;
        self.resize(spec).await
    }

    async fn vps_metrics(&self, id: VpsId) -> Option<VpsMetrics> {
        self.measure_vps(id).await
    }

    async fn vps_limits(&self, id: VpsId) -> Vec<LimitState> {
        self.limit_states(id).await
    }

    async fn vps_events(&self, id: VpsId) -> Vec<VpsEvent> {
        self.happenings.of(id)
    }

    async fn count_traffic(&self) {
        tokio::join!(self.read_traffic(), self.read_hits());
    }

    async fn vps_traffic(&self, id: VpsId) -> Vec<TrafficCount> {
        self.known_traffic(id)
    }

    async fn vps_private_traffic(&self, id: VpsId) -> Vec<TrafficCount> {
        self.net.private.counted(id).into_iter().collect()
    }

    async fn console(&self, id: VpsId) -> Result<UnixStream, Fault> {
        let opened = self.monitors.console(id).await;
        opened.map_err(|e| VpsFault::passing("no_console", format!("the server has no console now: {e}")))
    }

    async fn resize_console(&self, id: VpsId, cols: u16, rows: u16) {
        // A monitor of an older release does not know this request; its console keeps its size.
        if let Err(e) = self.monitors.ask(id, &Request::Resize { cols, rows }).await {
            tracing::debug!(vps = %id, error = %e, "the console keeps its size");
        }
    }

    async fn session(&self, id: VpsId, start: &SessionStart) -> Result<Session<UnixStream>, Fault> {
        self.open_session(id, start).await
    }

    async fn change_session(&self, id: VpsId, session: &str, change: SessionChange) -> Result<(), Fault> {
        self.ask_session(id, session, change).await
    }

    async fn vps_hits(&self, id: VpsId) -> Option<FirewallHits> {
        self.known_hits(id)
    }

    async fn vps_private_hits(&self, id: VpsId) -> Option<FirewallHits> {
        self.known_private_hits(id)
    }

    async fn vps_routed(&self, id: VpsId) -> Option<Vec<IpAddr>> {
        let routed = self.net.routed_to(id).await.ok()?;
        Some(routed.into_iter().map(|net| net.network()).collect())
    }

    async fn serve_metadata(&self, facts: Arc<dyn Facts>) {
        self.answer_guests(&*facts).await;
    }

    async fn next_event(&self) -> Event {
        self.watch.next().await
    }
}

async fn lxcfs_once(state: &tokio::sync::Mutex<Option<Instant>>, run_dir: &Path) -> Option<PathBuf> {
    let mut failed = state.lock().await;
    if failed.is_some_and(|at| at.elapsed() < LXCFS_AGAIN) {
        return None;
    }
    let found = lxcfs::ensure(run_dir).await;
    *failed = found.is_none().then(Instant::now);
    found
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no code panics while holding this lock")
}

/// Removing what is not there succeeds.
fn gone(removed: std::io::Result<()>, what: &str) -> Result<(), Fault> {
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(internal(what, &e)),
        _ => Ok(()),
    }
}

/// Makes a directory, and those above it, that only root may enter.
fn make_private_dir(path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700).create(path)
}
