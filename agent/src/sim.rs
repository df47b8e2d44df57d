//! A simulated host: the same promises as the real one, kept in memory.
//!
//! It lets thousands of agents run in one process (`berth-agent run --simulate N`) and lets tests drive the real
//! reconciler and the real link without root. Guests belong to the host, not to the agent: keep the [`SimHost`], drop
//! the agent, start another one on it, and the guests still run. Effects take a little time and can be cut anywhere,
//! as by `kill -9`; what a cut leaves is what a real host would have (half a disk, debris).
//!
//! Misuse panics: starting a second guest beside a running one, deleting a disk under a guest. So every test that runs
//! on it also checks the reconciler's order of effects.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use berth_proto::{
    Capacity, Exit, FirewallHits, HostFacts, HostMetrics, HostNetworks, HostSettings, ImageRef, LimitState,
    Limits, TrafficCount, VpsEvent, VpsFault, VpsHappening, VpsId, VpsMetrics, VpsSpec,
};
use chrono::Utc;
use tokio::sync::Notify;

use crate::host::{Event, Fault, Found, Guest, Host, Session, SessionChange, SessionStart};
use crate::metadata::Facts;
use crate::plan::Effect;

mod console;
mod limits;
mod sessions;
mod traffic;

pub use console::greeting;

/// How a simulated host behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// What it says it can hold. Making disks beyond `disk_bytes` fails.
    pub capacity: Capacity,
    /// How long making a disk takes.
    pub create: Duration,
    /// How long starting a guest takes.
    pub start: Duration,
    /// How long a guest takes to stop when it is asked; none for a guest that does not listen.
    pub stop: Option<Duration>,
    /// Whether templates must be fetched before disks are made from them.
    pub needs_images: bool,
    /// Its address among hosts.
    pub underlay: Option<IpAddr>,
    /// Its public key of WireGuard.
    pub wireguard: Option<String>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            capacity: Capacity { cpu_milli: 16_000, memory_bytes: 64 << 30, disk_bytes: 1 << 40 },
            create: Duration::from_millis(2),
            start: Duration::from_millis(5),
            stop: Some(Duration::from_millis(20)),
            needs_images: false,
            underlay: None,
            wireguard: None,
        }
    }
}

/// How often each effect was carried out to its end on one VPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Disks made.
    pub creates: u32,
    /// Guests started.
    pub starts: u32,
    /// Guests asked to stop.
    pub asks: u32,
    /// Running guests killed.
    pub kills: u32,
    /// Disks deleted.
    pub deletes: u32,
    /// Passwords set in a running guest.
    pub passwords: u32,
    /// Changes applied to a running guest.
    pub applies: u32,
    /// Times that a running guest was frozen.
    pub freezes: u32,
    /// Times that a frozen guest was thawed.
    pub thaws: u32,
}

#[derive(Clone, Debug, Default)]
struct SimVps {
    found: Found,
    disk_bytes: i64,
    counts: Counts,
    limits: Limits,
    events: Vec<VpsEvent>,
    traffic: Vec<TrafficCount>,
    private_traffic: Vec<TrafficCount>,
    hits: Option<FirewallHits>,
    private_hits: Option<FirewallHits>,
    routed: Vec<IpAddr>,
}

impl SimVps {
    /// Whether that changed anything.
    fn set_frozen(&mut self, frozen: bool) -> bool {
        let Some(guest) = &mut self.found.guest else { return false };
        std::mem::replace(&mut guest.frozen, frozen) != frozen
    }
}

/// The starts of guests since the host exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// The VPSes in the order in which their starts began.
    pub order: Vec<VpsId>,
    /// Starts that are under way.
    pub now: usize,
    /// The most that were ever under way at the same time.
    pub most: usize,
}

/// A start that is under way, cut short or not.
struct Starting<'a>(&'a SimHost);

impl<'a> Starting<'a> {
    fn begin(host: &'a SimHost, id: VpsId) -> Self {
        let starts = &mut host.lock().starts;
        starts.order.push(id);
        starts.now += 1;
        starts.most = starts.most.max(starts.now);
        Self(host)
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.lock().starts.now -= 1;
    }
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    vpses: BTreeMap<VpsId, SimVps>,
    templates: Vec<String>,
    settings: Option<HostSettings>,
    networks: HostNetworks,
    starts: Starts,
    events: VecDeque<Event>,
    failures: VecDeque<(Option<VpsId>, Effect, Fault)>,
}

/// A host that exists in memory only. Clones are the same host.
#[derive(Clone, Debug, Default)]
pub struct SimHost {
    state: Arc<Mutex<State>>,
    noticed: Arc<Notify>,
    consoles: console::Consoles,
    sessions: sessions::Sessions,
}

impl SimHost {
    /// An empty host.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        let host = Self::default();
        host.lock().behaviour = behaviour;
        host
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a test that misused the simulated host has failed before")
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.lock().behaviour);
    }

    /// Lets the next such effect (of this VPS, or of any) fail. Call it several times for several failures.
    pub fn fail(&self, id: Option<VpsId>, effect: Effect, fault: Fault) {
        self.lock().failures.push_back((id, effect, fault));
    }

    /// The guest ends by itself.
    pub fn end_guest(&self, id: VpsId, exit: Exit) {
        let mut state = self.lock();
        let Some(vps) = state.vpses.get_mut(&id) else { return };
        let Some(guest) = vps.found.guest.take() else { return };
        vps.found.last_exit = (exit != Exit::Lost).then_some((guest.boot_epoch, exit));
        vps.found.leftovers = true;
        state.events.push_back(Event::Ended(id));
        drop(state);
        self.consoles.close(id);
        self.sessions.close(id);
        self.noticed.notify_one();
    }

    /// Something happens to a running guest.
    pub fn happen(&self, id: VpsId, what: VpsHappening) {
        if let Some(vps) = self.lock().vpses.get_mut(&id) {
            let seq = vps.events.last().map_or(1, |last| last.seq + 1);
            vps.events.push(VpsEvent { seq, at: Utc::now(), what });
            let old = vps.events.len().saturating_sub(16);
            vps.events.drain(..old);
        }
    }

    /// So many bytes come into a VPS and leave it, in packets of a thousand.
    pub fn pass(&self, id: VpsId, in_bytes: i64, out_bytes: i64) {
        self.change(id, |vps| traffic::pass(&mut vps.traffic, in_bytes, out_bytes));
    }

    /// The same by its private networks.
    pub fn pass_privately(&self, id: VpsId, in_bytes: i64, out_bytes: i64) {
        self.change(id, |vps| traffic::pass(&mut vps.private_traffic, in_bytes, out_bytes));
    }

    /// The machine restarts: every guest is gone, and nobody saw how.
    pub fn lose_power(&self) {
        let mut state = self.lock();
        for (id, vps) in &mut state.vpses {
            self.consoles.close(*id);
            self.sessions.close(*id);
            vps.found.guest = None;
            vps.found.last_exit = None;
            vps.found.leftovers = false;
            traffic::begin_anew(&mut vps.traffic);
        }
        state.events.clear();
    }

    /// Puts a VPS here that no agent made, or changes what is there of one.
    pub fn put(&self, id: VpsId, found: Found) {
        self.lock().vpses.entry(id).or_default().found = found;
    }

    /// What is there of a VPS.
    #[must_use]
    pub fn look(&self, id: VpsId) -> Found {
        self.lock().vpses.get(&id).map(|v| v.found.clone()).unwrap_or_default()
    }

    /// What was done to a VPS since the host exists.
    #[must_use]
    pub fn counts(&self, id: VpsId) -> Counts {
        self.lock().vpses.get(&id).map(|v| v.counts).unwrap_or_default()
    }

    /// The VPSes that run.
    #[must_use]
    pub fn running(&self) -> Vec<VpsId> {
        let state = self.lock();
        state.vpses.iter().filter(|(_, v)| v.found.guest.is_some()).map(|(id, _)| *id).collect()
    }

    /// What was started since the host exists, or since this was asked last.
    #[must_use]
    pub fn take_starts(&self) -> Starts {
        let starts = &mut self.lock().starts;
        let taken = starts.clone();
        *starts = Starts { now: taken.now, most: taken.now, order: Vec::new() };
        taken
    }

    /// The settings that were applied last.
    #[must_use]
    pub fn settings(&self) -> Option<HostSettings> {
        self.lock().settings.clone()
    }

    /// The private networks that it was told of last.
    #[must_use]
    pub fn networks(&self) -> HostNetworks {
        self.lock().networks.clone()
    }

    fn refused(&self, id: VpsId, effect: Effect) -> Result<(), Fault> {
        let mut state = self.lock();
        let hit =
            |(of, what, _): &(Option<VpsId>, Effect, Fault)| *what == effect && of.is_none_or(|of| of == id);
        match state.failures.iter().position(hit).and_then(|at| state.failures.remove(at)) {
            Some((_, _, fault)) => Err(fault),
            None => Ok(()),
        }
    }

    fn change<T>(&self, id: VpsId, change: impl FnOnce(&mut SimVps) -> T) -> T {
        change(self.lock().vpses.entry(id).or_default())
    }

    fn behaviour(&self) -> Behaviour {
        self.lock().behaviour.clone()
    }
}

impl Host for SimHost {
    type Console = tokio::io::DuplexStream;

    async fn facts(&self) -> HostFacts {
        let Behaviour { underlay, wireguard, .. } = self.behaviour();
        HostFacts {
            kernel: "simulated".into(),
            os: "simulated".into(),
            arch: std::env::consts::ARCH.into(),
            cgroup_mode: "unified".into(),
            missing: Vec::new(),
            underlay,
            address: underlay.and_then(|ip| if let IpAddr::V4(ip) = ip { Some(ip) } else { None }),
            wireguard,
        }
    }

    async fn capacity(&self) -> Capacity {
        self.lock().behaviour.capacity
    }

    async fn metrics(&self) -> HostMetrics {
        let state = self.lock();
        let running = state.vpses.values().filter(|v| v.found.guest.is_some()).count();
        let running = i64::try_from(running).unwrap_or(i64::MAX);
        let capacity = state.behaviour.capacity;
        HostMetrics {
            cpu_busy: (f64::from(i32::try_from(running).unwrap_or(i32::MAX)) / 100.0).min(1.0),
            load1: 0.1,
            memory_used_bytes: running.saturating_mul(64 << 20).min(capacity.memory_bytes),
            memory_total_bytes: capacity.memory_bytes,
            disk_used_bytes: state.vpses.values().map(|v| v.disk_bytes).sum(),
            disk_total_bytes: capacity.disk_bytes,
        }
    }

    async fn configure(&self, settings: &HostSettings) -> Result<(), Fault> {
        self.lock().settings = Some(settings.clone());
        Ok(())
    }

    async fn connect_networks(&self, networks: &HostNetworks) -> Result<(), Fault> {
        self.lock().networks = networks.clone();
        Ok(())
    }

    async fn inventory(&self) -> Vec<VpsId> {
        let state = self.lock();
        let something = |v: &SimVps| v.found != Found::default();
        state.vpses.iter().filter(|(_, v)| something(v)).map(|(id, _)| *id).collect()
    }

    async fn find(&self, id: VpsId) -> Found {
        self.look(id)
    }

    async fn has_template(&self, sha256: &str) -> bool {
        let state = self.lock();
        !state.behaviour.needs_images || state.templates.iter().any(|t| t == sha256)
    }

    async fn templates(&self) -> Vec<String> {
        self.lock().templates.clone()
    }

    async fn unpack(&self, image: &ImageRef, archive: &Path) -> Result<(), Fault> {
        let size = std::fs::metadata(archive).map(|m| m.len()).unwrap_or_default();
        if i64::try_from(size) != Ok(image.size_bytes) {
            return Err(VpsFault::terminal("image_digest_mismatch", format!("{size} bytes")));
        }
        let mut state = self.lock();
        if !state.templates.contains(&image.sha256) {
            state.templates.push(image.sha256.clone());
        }
        Ok(())
    }

    async fn create_disk(&self, spec: &VpsSpec) -> Result<(), Fault> {
        if !self.has_template(&spec.image.sha256).await {
            return Err(VpsFault::passing("image_unavailable", "the template is not here"));
        }
        self.refused(spec.id, Effect::CreateDisk)?;
        let used: i64 = self.lock().vpses.values().map(|v| v.disk_bytes).sum();
        if used + spec.limits.disk_bytes > self.behaviour().capacity.disk_bytes {
            return Err(VpsFault::terminal("disk_pool_full", "the simulated disk pool is full"));
        }
        self.change(spec.id, |v| v.found.leftovers = true);
        tokio::time::sleep(self.behaviour().create).await;
        self.change(spec.id, |v| {
            assert!(!v.found.disk, "VPS {} has a disk already", spec.id);
            v.found.leftovers = false;
            v.found.disk = true;
            v.disk_bytes = spec.limits.disk_bytes;
            v.counts.creates += 1;
        });
        Ok(())
    }

    async fn start(&self, spec: &VpsSpec) -> Result<Guest, Fault> {
        self.refused(spec.id, Effect::Start)?;
        self.change(spec.id, |v| {
            assert!(v.found.disk && v.found.guest.is_none(), "VPS {}: {:?}", spec.id, v.found);
            v.found.last_exit = None;
            v.found.leftovers = true;
        });
        let starting = Starting::begin(self, spec.id);
        tokio::time::sleep(self.behaviour().start).await;
        drop(starting);
        let guest = Guest { boot_epoch: spec.boot_epoch, started_at: Utc::now(), frozen: false };
        self.change(spec.id, |v| {
            v.found.leftovers = false;
            v.found.guest = Some(guest.clone());
            v.limits = spec.limits;
            v.hits = spec.net.firewall.is_some().then(FirewallHits::default);
            v.private_hits = spec.net.private_firewall.is_some().then(FirewallHits::default);
            v.routed = addresses(spec);
            v.events.clear();
            v.counts.starts += 1;
        });
        Ok(guest)
    }

    async fn ask_to_stop(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Stop)?;
        self.change(id, |v| {
            v.counts.asks += 1;
            v.set_frozen(false);
        });
        if let Some(delay) = self.behaviour().stop {
            let (host, asked) = (self.clone(), self.look(id).guest);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                if host.look(id).guest.as_ref().map(|g| g.started_at) == asked.map(|g| g.started_at) {
                    host.end_guest(id, Exit::Halt);
                }
            });
        }
        Ok(())
    }

    async fn kill(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Stop)?;
        if self.look(id).guest.is_some() {
            self.change(id, |v| v.counts.kills += 1);
            self.end_guest(id, Exit::Signal(9));
        }
        self.change(id, |v| {
            v.found.unsure = false;
            v.found.leftovers = true;
        });
        Ok(())
    }

    async fn freeze(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Freeze)?;
        self.change(id, |v| v.counts.freezes += u32::from(v.set_frozen(true)));
        Ok(())
    }

    async fn thaw(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Freeze)?;
        self.change(id, |v| v.counts.thaws += u32::from(v.set_frozen(false)));
        Ok(())
    }

    async fn remove_leftovers(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Clear)?;
        self.change(id, |v| {
            assert!(v.found.guest.is_none(), "VPS {id} runs");
            v.found.leftovers = false;
        });
        Ok(())
    }

    async fn delete_disk(&self, id: VpsId) -> Result<(), Fault> {
        self.refused(id, Effect::Delete)?;
        self.change(id, |v| {
            assert!(v.found.guest.is_none() && !v.found.unsure, "VPS {id} may run");
            v.counts.deletes += u32::from(v.found.disk);
            v.found = Found::default();
            v.disk_bytes = 0;
        });
        Ok(())
    }

    async fn set_password(&self, spec: &VpsSpec) -> Result<(), Fault> {
        self.refused(spec.id, Effect::Password)?;
        let frozen = self.look(spec.id).guest.is_some_and(|g| g.frozen);
        assert!(!frozen, "VPS {} stands still and cannot be given a password", spec.id);
        self.change(spec.id, |v| v.counts.passwords += 1);
        Ok(())
    }

    async fn apply(&self, spec: &VpsSpec) -> Result<(), Fault> {
        self.refused(spec.id, Effect::Apply)?;
        self.change(spec.id, |v| {
            v.counts.applies += 1;
            v.limits = spec.limits;
            v.hits = spec.net.firewall.is_some().then(FirewallHits::default);
            v.private_hits = spec.net.private_firewall.is_some().then(FirewallHits::default);
            v.routed = addresses(spec);
        });
        Ok(())
    }

    async fn vps_metrics(&self, id: VpsId) -> Option<VpsMetrics> {
        let state = self.lock();
        let vps = state.vpses.get(&id)?;
        let guest = vps.found.guest.as_ref()?;
        let age = (Utc::now() - guest.started_at).num_milliseconds().max(0);
        let private = |f: fn(&TrafficCount) -> i64| vps.private_traffic.first().map_or(0, f);
        Some(VpsMetrics {
            cpu_usec: age.saturating_mul(10),
            memory_bytes: 64 << 20,
            pids: 12,
            disk_used_bytes: vps.disk_bytes / 10,
            disk_total_bytes: vps.disk_bytes,
            net_in_bytes: age,
            net_out_bytes: age,
            private_in_bytes: private(|p| p.in_bytes),
            private_out_bytes: private(|p| p.out_bytes),
            private_in_packets: private(|p| p.in_packets),
            private_out_packets: private(|p| p.out_packets),
            ..VpsMetrics::default()
        })
    }

    async fn vps_limits(&self, id: VpsId) -> Vec<LimitState> {
        let state = self.lock();
        let running = state.vpses.get(&id).filter(|vps| vps.found.guest.is_some());
        running.map(|vps| limits::held(&vps.limits)).unwrap_or_default()
    }

    async fn vps_events(&self, id: VpsId) -> Vec<VpsEvent> {
        let state = self.lock();
        let running = state.vpses.get(&id).filter(|vps| vps.found.guest.is_some());
        running.map(|vps| vps.events.clone()).unwrap_or_default()
    }

    async fn count_traffic(&self) {}

    async fn vps_traffic(&self, id: VpsId) -> Vec<TrafficCount> {
        self.lock().vpses.get(&id).map(|vps| vps.traffic.clone()).unwrap_or_default()
    }

    async fn vps_private_traffic(&self, id: VpsId) -> Vec<TrafficCount> {
        self.lock().vpses.get(&id).map(|vps| vps.private_traffic.clone()).unwrap_or_default()
    }

    async fn console(&self, id: VpsId) -> Result<tokio::io::DuplexStream, Fault> {
        match self.look(id).guest {
            Some(_) => Ok(self.consoles.open(id)),
            None => Err(VpsFault::passing("no_console", "the server has no console now: it is not running")),
        }
    }

    async fn resize_console(&self, id: VpsId, cols: u16, rows: u16) {
        self.consoles.print(id, &format!("window {cols}x{rows}\r\n"));
    }

    async fn session(
        &self,
        id: VpsId,
        start: &SessionStart,
    ) -> Result<Session<tokio::io::DuplexStream>, Fault> {
        match self.look(id).guest {
            Some(_) => self.sessions.open(id, start),
            None => Err(VpsFault::passing("not_running", "the server is not running")),
        }
    }

    async fn change_session(&self, id: VpsId, session: &str, change: SessionChange) -> Result<(), Fault> {
        self.sessions.change(id, session, change)
    }

    async fn vps_hits(&self, id: VpsId) -> Option<FirewallHits> {
        let state = self.lock();
        state.vpses.get(&id).filter(|vps| vps.found.guest.is_some()).and_then(|vps| vps.hits.clone())
    }

    async fn vps_private_hits(&self, id: VpsId) -> Option<FirewallHits> {
        let state = self.lock();
        state.vpses.get(&id).filter(|vps| vps.found.guest.is_some()).and_then(|vps| vps.private_hits.clone())
    }

    async fn vps_routed(&self, id: VpsId) -> Option<Vec<IpAddr>> {
        let state = self.lock();
        let running = state.vpses.get(&id).filter(|vps| vps.found.guest.is_some());
        Some(running.map(|vps| vps.routed.clone()).unwrap_or_default())
    }

    async fn serve_metadata(&self, _: Arc<dyn Facts>) {
        std::future::pending().await // simulated guests ask nothing
    }

    async fn next_event(&self) -> Event {
        loop {
            let noticed = self.noticed.notified();
            if let Some(event) = self.lock().events.pop_front() {
                return event;
            }
            noticed.await;
        }
    }
}

fn addresses(spec: &VpsSpec) -> Vec<IpAddr> {
    let single = spec.net.ipv4.iter().chain(&spec.net.floating).map(|ip| IpAddr::V4(*ip));
    single.chain(spec.net.floating6.iter().map(|net| IpAddr::V6(net.network()))).collect()
}
