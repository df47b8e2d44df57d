//! The agent's half of a start; the monitor's is in [`crate::monitor`].
//!
//! Cgroups are made while the monitor's process is being created; the interface is made while the monitor attaches the
//! disk. Until the agent says "go", its death ends the start. Whatever fails, everything that was made is taken back
//! here, and what a dead agent could not take back is found by name ([`LinuxHost::remove_leftovers`]).

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use berth_proto::{VpsFault, VpsSpec, own_ipv6};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use super::cgroup::Membership;
use super::fault::internal;
use super::ids::Range;
use super::{LinuxHost, asked, host_key, make_private_dir, net, resolvers};
use crate::failpoint;
use crate::host::{Fault, Guest, Host as _};
use crate::monitor::wire::{CloudInit, FirstBoot, FromMonitor, GuestNet, GuestNet6, Start, ToMonitor};
use crate::monitor::{self};

/// How long a start may take before it is given up; on a machine under heavy load it can take seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a monitor may take to say that the guest's first process has failed.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What must be known before anything is made.
struct Plan {
    template: PathBuf,
    ids: Range,
}

impl LinuxHost {
    /// Starts a VPS of which nothing runs.
    pub(super) async fn start_guest(&self, spec: &VpsSpec) -> Result<Guest, Fault> {
        let plan = self.plan_start(spec)?;
        self.fit_disk(spec).await;
        let started = tokio::time::timeout(PATIENCE, self.attempt(spec, plan)).await;
        let result = started.unwrap_or_else(|_| {
            let message = "PID 1 did not run within a minute; the host may be overloaded";
            Err(VpsFault::passing("start_failed", message))
        });
        if result.is_err() {
            // Its own failure would hide the one that matters; what it leaves is found again.
            let _ = self.kill(spec.id).await;
            let _ = self.remove_leftovers(spec.id).await;
        }
        result
    }

    fn plan_start(&self, spec: &VpsSpec) -> Result<Plan, Fault> {
        if !self.disks.exists(spec.id) {
            return Err(VpsFault::passing("disk_missing", "its disk is not there"));
        }
        let template = self
            .templates
            .path(&spec.image.sha256)
            .ok_or_else(|| VpsFault::passing("image_unavailable", "its image is not on this host yet"))?;
        Ok(Plan { template, ids: self.ids.range(spec.id)? })
    }

    async fn attempt(&self, spec: &VpsSpec, plan: Plan) -> Result<Guest, Fault> {
        let began = Instant::now();
        let run_dir = self.monitors.dir(spec.id);
        make_private_dir(&run_dir).map_err(|e| internal("making the run directory", &e))?;
        let _ = std::fs::remove_file(self.exit_file(spec.id));
        asked::save(&run_dir, &spec.limits).map_err(|e| internal("noting the limits", &e))?;
        self.happenings.begin(spec.id);
        self.forget_hits(spec.id);
        failpoint::hit_async("linux.start.begun").await;

        let (mut child, channel) = self.spawn_monitor(spec)?;
        let (groups, lxcfs) = tokio::join!(self.make_groups(spec, plan.ids.first), self.lxcfs());
        let result = match groups {
            Ok(groups) => {
                let grouped = began.elapsed();
                failpoint::hit_async("linux.start.groups").await;
                let start = self.describe(spec, plan, groups, lxcfs)?;
                self.converse(spec, start, channel, began, grouped).await
            }
            Err(fault) => Err(fault),
        };
        if result.is_err() {
            // It ends by itself when the channel is gone, unless it hangs.
            let _ = child.kill().await;
        }
        result
    }

    fn spawn_monitor(&self, spec: &VpsSpec) -> Result<(Child, BufReader<UnixStream>), Fault> {
        let spawn = || -> io::Result<_> {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let log = File::create(self.log_file(spec.id))?;
            let child = Command::new(&self.monitor)
                .args([monitor::VPS, &spec.id.to_string()])
                .stdin(OwnedFd::from(theirs))
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?;
            Ok((child, BufReader::new(UnixStream::from_std(ours)?)))
        };
        spawn().map_err(|e| internal(&format!("running {}", self.monitor.display()), &e))
    }

    async fn make_groups(&self, spec: &VpsSpec, id_base: u32) -> Result<Membership, Fault> {
        let (tree, id, limits) = (self.tree.clone(), spec.id, spec.limits);
        let made = tokio::task::spawn_blocking(move || tree.create(id, &limits, (id_base, id_base))).await;
        Ok(made.map_err(|e| VpsFault::passing("internal", e.to_string()))??)
    }

    fn describe(
        &self,
        spec: &VpsSpec,
        plan: Plan,
        groups: Membership,
        lxcfs: Option<PathBuf>,
    ) -> Result<Start, Fault> {
        let cgroup_v2 = groups.v2.ok_or_else(|| {
            let message = "the host has no cgroup2 mount; start it with systemd.unified_cgroup_hierarchy=1";
            VpsFault::terminal("kernel_feature_missing", message)
        })?;
        let mut resolvers = self.settings().resolvers;
        if resolvers.is_empty() {
            resolvers = resolvers::of_this_host();
        }
        Ok(Start {
            vps: spec.id,
            boot_epoch: spec.boot_epoch,
            hostname: spec.hostname.clone(),
            uuid: spec.uuid.clone(),
            run_dir: self.monitors.dir(spec.id),
            exit_file: self.exit_file(spec.id),
            lock_file: self.monitors.lock_file(spec.id),
            image: self.disks.path(spec.id),
            template: plan.template,
            id_base: plan.ids.first,
            id_count: plan.ids.count,
            memory_bytes: u64::try_from(spec.limits.memory_bytes).unwrap_or(0),
            open_files: u64::try_from(spec.limits.open_files).unwrap_or(0),
            cgroups_v1: groups.v1,
            cgroup_v2,
            net: spec.net.ipv4.map(|address| GuestNet { address, gateway: net::GATEWAY }),
            net6: spec
                .net
                .ipv6
                .filter(|_| net::knows_ipv6())
                .map(|prefix| GuestNet6 { address: own_ipv6(prefix), gateway: net::GATEWAY6 }),
            resolvers,
            lxcfs,
            devices: self.devices.clone(),
            stop_signal: spec.image.stop_signal.as_deref().and_then(berth_proto::stop_signal),
            first_boot: first_boot(spec),
        })
    }

    /// Talks with the monitor until PID 1 runs.
    async fn converse(
        &self,
        spec: &VpsSpec,
        start: Start,
        mut channel: BufReader<UnixStream>,
        began: Instant,
        grouped: Duration,
    ) -> Result<Guest, Fault> {
        say(&mut channel, &ToMonitor::Start(Box::new(start))).await?;
        let pid = match hear(&mut channel).await? {
            FromMonitor::Cloned { pid } => u32::try_from(pid).unwrap_or(0),
            other => return Err(refusal(other)),
        };
        let cloned = began.elapsed();
        failpoint::hit_async("linux.start.cloned").await;
        if let Err(fault) = self.net.attach(spec.id, pid, &spec.net).await {
            return Err(cause(&mut channel, fault.into()).await);
        }
        self.limit_bandwidth(spec).await;
        let connected = began.elapsed();
        failpoint::hit_async("linux.start.connected").await;
        say(&mut channel, &ToMonitor::Go).await?;
        match hear(&mut channel).await? {
            FromMonitor::Running { started_at, notice } => {
                self.limit_disk(spec).await?;
                let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
                tracing::info!(
                    vps = %spec.id,
                    boot_epoch = spec.boot_epoch,
                    groups_ms = ms(grouped),
                    cloned_ms = ms(cloned),
                    connected_ms = ms(connected),
                    running_ms = ms(began.elapsed()),
                    "started"
                );
                if let Some(notice) = notice {
                    tracing::warn!(vps = %spec.id, notice, "of this start");
                }
                Ok(Guest { boot_epoch: spec.boot_epoch, started_at, frozen: false })
            }
            other => Err(refusal(other)),
        }
    }
}

/// Why the interface could not be made: if the guest's first process had failed before, its namespace was gone, and the
/// monitor says why.
async fn cause(channel: &mut BufReader<UnixStream>, network: Fault) -> Fault {
    match tokio::time::timeout(LAST_WORDS, hear(channel)).await {
        Ok(Ok(failed @ FromMonitor::Failed { .. })) => refusal(failed),
        _ => network,
    }
}

async fn say(channel: &mut BufReader<UnixStream>, message: &ToMonitor) -> Result<(), Fault> {
    let mut line = serde_json::to_vec(message).map_err(|e| VpsFault::terminal("internal", e.to_string()))?;
    line.push(b'\n');
    channel.write_all(&line).await.map_err(|e| internal("speaking to the monitor", &e))
}

async fn hear(channel: &mut BufReader<UnixStream>) -> Result<FromMonitor, Fault> {
    let mut line = String::new();
    let read = channel.read_line(&mut line).await.map_err(|e| internal("hearing the monitor", &e))?;
    if read == 0 {
        return Err(VpsFault::passing("start_failed", "the monitor ended; its log is beside the VPS's disk"));
    }
    serde_json::from_str(&line).map_err(|e| VpsFault::terminal("internal", e.to_string()))
}

fn refusal(message: FromMonitor) -> Fault {
    match message {
        FromMonitor::Failed { message, terminal } => {
            let message = format!("the guest cannot be started: {message}");
            VpsFault { code: "start_failed".into(), message, terminal }
        }
        FromMonitor::Busy => VpsFault::passing("start_failed", "another monitor holds this VPS"),
        FromMonitor::Cloned { .. } | FromMonitor::Running { .. } => {
            VpsFault::terminal("internal", "agent and monitor do not understand each other")
        }
    }
}

fn first_boot(spec: &VpsSpec) -> FirstBoot {
    FirstBoot {
        ssh_keys: spec.access.ssh_keys.clone(),
        root_password_hash: spec.access.root_password_hash.clone(),
        host_key: host_key::fresh(&format!("root@{}", spec.hostname)),
        cloud_init: Some(seed(spec)),
        user_data: spec.user_data.clone(),
        default_user: spec.image.default_user.clone(),
    }
}

/// For cloud-init. Root's keys are in place already; these are for the user that the image makes.
fn seed(spec: &VpsSpec) -> CloudInit {
    let meta_data = serde_json::json!({
        "instance-id": spec.uuid,
        "local-hostname": spec.hostname,
        "public-keys": spec.access.ssh_keys,
    });
    CloudInit {
        meta_data: meta_data.to_string(), // JSON is YAML
        user_data: spec.user_data.clone().unwrap_or_else(|| "#cloud-config\n{}\n".into()),
    }
}
