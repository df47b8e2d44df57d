//! A world for one test: a network namespace, a directory, names of its own, and a [`LinuxHost`] in it.
//!
//! When the test is over, whether it passed or not, everything is taken down the way an agent would, and then the
//! machine is searched for what should not be there any more.

use std::cell::Cell;
use std::fs;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use berth_agent::host::Host;
use berth_agent::linux::{LinuxConfig, LinuxHost};
use berth_agent::monitor::wire::{Answer, Request};
use berth_proto::{
    Access, Guard, HostSettings, ImageRef, Limits, NetSpec, Power, RestartPolicy, StopMode, VpsId, VpsSpec,
};
use futures_util::FutureExt;

use crate::images;
use crate::outside::{self, Outside};

/// Memory, disk and CPU of the plan that tests use.
pub(crate) const PLAN: Limits = Limits {
    cpu_milli: 1000,
    memory_bytes: 512 << 20,
    swap_bytes: 0,
    disk_bytes: 3 << 30,
    pids: 2000,
    bandwidth_mbit: 0,
    cpu_weight: 0,
    cpu_guarantee_milli: 0,
    memory_high_bytes: 0,
    memory_guarantee_bytes: 0,
    disk_read_bps: 0,
    disk_write_bps: 0,
    disk_read_iops: 0,
    disk_write_iops: 0,
    inodes: 0,
    open_files: 0,
};

/// Worlds of this process get different numbers for their VPSes.
static WORLDS: AtomicI64 = AtomicI64::new(0);

/// One test's world.
pub(crate) struct World {
    /// The host under test; replaced when the test plays an agent that is restarted.
    pub(crate) host: LinuxHost,
    /// What lies behind its uplink.
    pub(crate) outside: Outside,
    /// Its settings.
    pub(crate) config: LinuxConfig,
    /// Holds everything.
    pub(crate) dir: PathBuf,
    next: Cell<i64>,
}

/// Runs a test in a world of its own; explains and returns where that cannot be.
pub(crate) fn run<F: AsyncFnOnce(&mut World)>(test: F) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none(), "the runtime's tests need root, and on CI they must run");
        eprintln!("SKIPPED: needs root to make namespaces, mounts and cgroups");
        return;
    }
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    outside::home();
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    sh("ip link set lo up");
    let outside = Outside::connect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::Builder::new().prefix("berth-runtime-").tempdir().unwrap();
        let number = WORLDS.fetch_add(100, Ordering::Relaxed);
        let config = config(dir.path(), number);
        let host = LinuxHost::new(config.clone()).await.unwrap();
        let first = i64::from(std::process::id()) * 10_000 + number;
        let mut world = World { host, outside, config, dir: dir.path().to_owned(), next: Cell::new(first) };
        let settings = HostSettings { nat_pools: vec!["10.77.0.0/16".into()], ..HostSettings::default() };
        world.host.configure(&settings).await.unwrap();
        let outcome = AssertUnwindSafe(test(&mut world)).catch_unwind().await;
        if outcome.is_err() {
            world.show_logs();
        }
        let cleaned = AssertUnwindSafe(world.end()).catch_unwind().await;
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
        cleaned.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn config(dir: &Path, world: i64) -> LinuxConfig {
    // Tests that run at the same time have process ids or numbers that are near each other.
    let slot = 100 + (std::process::id() + u32::try_from(world / 100).unwrap()) % 500;
    let letters: String = (0..3).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    LinuxConfig {
        state_dir: dir.join("state"),
        run_dir: dir.join("run"),
        cgroup_parent: format!("berth-rt-{letters}"),
        iface_prefix: format!("t{letters}"),
        nft_table: format!("berth_rt_{letters}"),
        monitor_path: Some(env!("CARGO_BIN_EXE_berth-monitor").into()),
        id_base: 65536 * 100 * slot,
        disk_reserve_bytes: 0,
        ..LinuxConfig::default()
    }
}

impl World {
    /// A spec for a new VPS of this image.
    pub(crate) fn spec(&self, image: &ImageRef) -> VpsSpec {
        let id = self.next.replace(self.next.get() + 1);
        let last = u8::try_from(id % 100).unwrap();
        VpsSpec {
            id: VpsId(id),
            generation: 1,
            hostname: format!("vps-{last}"),
            uuid: format!("0192f0aa-1111-7222-8333-{id:012}"),
            power: Power::Running,
            boot_epoch: 1,
            stop_mode: StopMode::Graceful { timeout_s: 30 },
            image: image.clone(),
            limits: PLAN,
            net: NetSpec {
                ipv4: Some(Ipv4Addr::new(10, 77, 0, last + 2)),
                ipv6: None,
                floating: Vec::new(),
                floating6: Vec::new(),
                mac: format!("02:00:00:00:00:{last:02x}"),
                firewall: None,
                private_firewall: None,
                guard: Guard::default(),
                private: Vec::new(),
                announce_epoch: 0,
                ports: None,
            },
            access: Access {
                ssh_keys: vec![images::public_key()],
                root_password_hash: None,
                password_epoch: 1,
            },
            user_data: None,
            frozen: false,
            restart: RestartPolicy::OnFailure,
            autostart_order: 0,
        }
    }

    /// Makes the template, disk and guest of a spec.
    pub(crate) async fn boot(&self, spec: &VpsSpec) {
        self.template(&spec.image).await;
        self.host.create_disk(spec).await.unwrap();
        self.host.start(spec).await.unwrap();
    }

    /// Makes the template of an image, once for all tests.
    pub(crate) async fn template(&self, image: &ImageRef) {
        let place = self.config.state_dir.join("templates").join(&image.sha256);
        if !place.exists() {
            let cached = images::template(image);
            std::os::unix::fs::symlink(cached, place).unwrap();
        }
    }

    /// A second agent's host, after the first died.
    pub(crate) async fn restart_agent(&mut self) {
        self.host = LinuxHost::new(self.config.clone()).await.unwrap();
    }

    /// Asks a monitor as the agent does.
    pub(crate) fn ask(&self, id: VpsId, request: &Request) -> Option<Answer> {
        use std::io::{BufRead, BufReader, Write};
        let socket = self.config.run_dir.join(id.to_string()).join("ctl.sock");
        let mut stream = std::os::unix::net::UnixStream::connect(socket).ok()?;
        writeln!(stream, "{}", serde_json::to_string(request).unwrap()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// PID 1 of a guest, in the host's numbering.
    pub(crate) fn pid(&self, id: VpsId) -> i32 {
        match self.ask(id, &Request::Status) {
            Some(Answer::Status { pid, .. }) => pid,
            other => panic!("no status: {other:?}"),
        }
    }

    /// The host's number for root of a guest.
    pub(crate) fn host_uid(&self, spec: &VpsSpec) -> u32 {
        fs::read_to_string(self.config.state_dir.join("ids").join(spec.id.to_string()))
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The monitor of a guest.
    pub(crate) fn monitor_pid(&self, id: VpsId) -> i32 {
        let lock = self.config.run_dir.join(id.to_string()).join("lock");
        fs::read_to_string(lock).unwrap().trim().parse().unwrap()
    }

    /// Runs a command inside a guest; what it wrote, and whether it succeeded.
    pub(crate) fn try_in_guest(&self, id: VpsId, command: &str) -> (bool, String) {
        let pid = self.pid(id).to_string();
        // Namespaces are joined by nsenter; groups, which limits and lxcfs go by, are joined before.
        let join = "v2=unified; [ -d /sys/fs/cgroup/$v2 ] || v2=.
            while IFS=: read -r _ hierarchy path; do : ${hierarchy:=$v2}; echo $$ >/sys/fs/cgroup/${hierarchy#name=}$path/cgroup.procs; done </proc/$0/cgroup
            exec nsenter -t $0 -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C sh -c \"$1\"";
        let output = Command::new("sh").args(["-c", join, &pid, command]).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
    }

    /// Runs a command inside a guest, which must succeed.
    pub(crate) fn in_guest(&self, id: VpsId, command: &str) -> String {
        let (ok, said) = self.try_in_guest(id, command);
        assert!(ok, "{command}: {said}");
        said
    }

    /// Waits until a guest's systemd has finished starting, and says how.
    pub(crate) fn booted(&self, id: VpsId) -> String {
        let mut state = String::new();
        wait_for("the guest's systemd to finish starting", Duration::from_secs(90), || {
            state = self.try_in_guest(id, "systemctl is-system-running").1;
            ["running", "degraded", "maintenance"].contains(&state.as_str())
        });
        state
    }

    /// Asserts that nothing of a VPS is left but, maybe, its disk.
    pub(crate) fn assert_no_traces(&self, id: VpsId) {
        let traces = self.traces(Some(id));
        assert!(traces.is_empty(), "left of VPS {id}: {traces:#?}");
    }

    /// Everything of this world that is found on the machine, outside its directory.
    pub(crate) fn traces(&self, id: Option<VpsId>) -> Vec<String> {
        let mut traces = Vec::new();
        let id = id.map(|id| id.to_string());
        for hierarchy in
            ["unified", "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", ""]
        {
            let parent = Path::new("/sys/fs/cgroup").join(hierarchy).join(&self.config.cgroup_parent);
            let group = id.as_ref().map_or(parent.clone(), |id| parent.join(id));
            if group.exists() {
                traces.push(format!("cgroup {}", group.display()));
            }
        }
        let wanted = format!("{}{}", self.config.iface_prefix, id.clone().unwrap_or_default());
        for link in sh("ip -o link").lines().filter(|line| line.contains(&wanted)) {
            traces.push(format!("interface {link}"));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let dir = match &id {
            Some(id) => self.config.state_dir.join("vps").join(id).display().to_string(),
            None => self.dir.display().to_string(),
        };
        traces.extend(mounts.lines().filter(|line| line.contains(&dir)).map(|line| format!("mount {line}")));
        for device in fs::read_dir("/sys/block").unwrap().flatten() {
            let backing = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            if backing.contains(&dir) {
                traces.push(format!("loop device {} of {backing}", device.path().display()));
            }
        }
        traces.extend(self.processes(id.as_deref()));
        if id.is_none() && sh("nft list tables").contains(&self.config.nft_table) {
            traces.push("nft table".into());
        }
        traces
    }

    /// Monitors, and processes with ids of this world's guests.
    fn processes(&self, id: Option<&str>) -> Vec<String> {
        let mut found = Vec::new();
        let base = self.config.id_base;
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
            let ours = match id {
                Some(id) => {
                    command.contains("berth-monitor vps") && command.trim_end().ends_with(&format!(" {id}"))
                }
                None => {
                    let status = String::from_utf8_lossy(&read("status")).into_owned();
                    let uid = status
                        .lines()
                        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok());
                    let in_range = uid.is_some_and(|uid: u32| uid >= base && uid - base < 100 * 65536);
                    let monitor = (self.next.get() / 100 * 100..self.next.get()).any(|id| {
                        command.contains("berth-monitor vps")
                            && command.trim_end().ends_with(&format!(" {id}"))
                    });
                    in_range || monitor
                }
            };
            if ours && !String::from_utf8_lossy(&read("stat")).contains(") Z ") {
                found.push(format!("process {} {command}", entry.path().display()));
            }
        }
        found
    }

    fn show_logs(&self) {
        for vps in fs::read_dir(self.config.state_dir.join("vps")).into_iter().flatten().flatten() {
            let log = fs::read_to_string(vps.path().join("monitor.log")).unwrap_or_default();
            eprintln!("--- {}\n{log}", vps.path().display());
        }
    }

    /// Takes everything down and searches for leaks.
    async fn end(&self) {
        for id in self.host.inventory().await {
            self.host.kill(id).await.unwrap();
            self.host.remove_leftovers(id).await.unwrap();
            self.host.delete_disk(id).await.unwrap();
        }
        assert_eq!(self.host.inventory().await, []);
        self.host.shutdown_support().await.unwrap();
        let mut traces = Vec::new();
        // lxcfs ends a moment after its mount.
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            traces = self.traces(None);
            if traces.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(traces.is_empty(), "leaked: {traces:#?}");
        let left: Vec<_> =
            fs::read_dir(self.config.state_dir.join("vps")).into_iter().flatten().flatten().collect();
        assert!(left.is_empty(), "records are left: {left:?}");
    }
}

/// Runs a command in the test's namespaces, which must succeed.
pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Waits until a condition holds.
pub(crate) fn wait_for(what: &str, patience: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
