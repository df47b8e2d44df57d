//! Incus from Debian's packages, on the same machine, from the same root file system: something to compare with.
//!
//! It runs in namespaces of its own (`deploy/incus/inside.sh`), so that all of it dies with one process; only the
//! cgroups that liblxc makes are left then, and are removed by their name. What makes the comparison fair is said where
//! it is done: the same limits, a routed interface with a fixed address (no DHCP, no bridge to learn), lxcfs, keys that
//! are in the image, a btrfs pool (its fastest), requests by its own API.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use berth_tests::client::{Answer, Api};
use berth_tests::e2e::cell::{Cell, Made};
use berth_tests::e2e::guest::{Guest, Key};
use berth_tests::e2e::netns::{Netns, run};
use berth_tests::e2e::process::Process;
use berth_tests::proxy::{Proxy, Upstream};
use berth_tests::wait::until;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::figures::{Figures, INCUS};
use crate::life::{BURST, PATIENCE, rounds, ssh_answers};
use crate::neighbour::Side;
use crate::{memory, names};

/// A daemon of our own.
pub(crate) struct Incus<'a> {
    netns: Netns,
    key: &'a Key,
    api: Api,
    _proxy: Proxy,
    name: String,
    next: AtomicI64,
    dir: PathBuf,
    image: String,
    process: Option<Process>,
    _asked: Asked,
}

impl<'a> Incus<'a> {
    /// Starts it; none where `deploy/incus/fetch.sh` found no packages.
    pub(crate) async fn start(cell: &'a Cell) -> Option<Self> {
        let root =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is inside the repository");
        let packages = root.join("target/incus/root");
        if !packages.join(".complete").exists() {
            println!("\nno Incus to compare with: Debian's packages of it are not there");
            return None;
        }
        let dir = cell.dir.join("incus");
        std::fs::create_dir_all(&dir).expect("a directory of ours");
        let netns = Netns::new(&format!("{}-incus", cell.name));
        let mut command = netns.command("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child=SIGKILL"]);
        command.arg(root.join("deploy/incus/inside.sh")).arg(&packages).arg(&dir);
        let process = Process::start("incusd", command, &cell.dir.join("log/incus.log"));
        let proxy = Proxy::start(Upstream::Unix(dir.join("incus.sock"))).expect("a port is free");
        let api = Api::new(format!("http://{}", proxy.addr));
        let mut incus = Self {
            netns,
            key: &cell.key,
            api,
            _proxy: proxy,
            name: cell.name.clone(),
            next: AtomicI64::new(1),
            dir,
            image: String::new(),
            process: Some(process),
            _asked: Asked::set(),
        };
        until("incusd to answer", PATIENCE, async || incus.api.try_send(Method::GET, "/1.0", None).await)
            .await;
        let pool = json!({"name": "pool", "driver": "btrfs", "config": {"size": "30GiB"}});
        fine(incus.api.post("/1.0/storage-pools", pool).await);
        incus.image = incus.import(cell).await;
        Some(incus)
    }

    /// The archive that Berth's guests are made from, with what Berth puts in at the first boot.
    async fn import(&self, cell: &Cell) -> String {
        let (name, work) = (cell.images.first().expect("an image"), self.dir.join("image"));
        let archives = std::env::var("BERTH_TEST_IMAGES").expect("deploy/bench.sh says where the images are");
        std::fs::create_dir_all(work.join("more/etc/ssh")).expect("a directory of ours");
        std::fs::create_dir_all(work.join("more/root/.ssh")).expect("a directory of ours");
        let keys = work.join("more/root/.ssh/authorized_keys");
        std::fs::write(keys, format!("{}\n", cell.key.public)).expect("a file of ours");
        let metadata = "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: bench\n";
        std::fs::write(work.join("metadata.yaml"), metadata).expect("a file of ours");
        let script = r#"cd "$1"
            chmod 700 more/root/.ssh && chmod 600 more/root/.ssh/authorized_keys
            ssh-keygen -q -t ed25519 -N '' -f more/etc/ssh/ssh_host_ed25519_key
            zstd -q -d "$2" -o rootfs.tar
            tar -C more -rf rootfs.tar --owner=0 --group=0 ./root/.ssh ./etc/ssh/ssh_host_ed25519_key ./etc/ssh/ssh_host_ed25519_key.pub
            tar -cf metadata.tar metadata.yaml
            curl -sS --fail --unix-socket ../incus.sock http://incus/1.0/images -F metadata=@metadata.tar -F rootfs=@rootfs.tar"#;
        let archive = format!("{archives}/{name}.tar.zst");
        let said = run(Command::new("sh").args(["-ec", script, "sh"]).arg(&work).arg(archive));
        let said: Value = serde_json::from_str(&said).expect("incus answers in JSON");
        let done = self.done(&said).await;
        std::fs::remove_dir_all(work).expect("it was ours");
        done["metadata"]["fingerprint"].as_str().expect("an image has one").to_owned()
    }

    /// Waits for the operation that a request began.
    async fn done(&self, answer: &Value) -> Value {
        let operation = answer["operation"].as_str().unwrap_or_else(|| panic!("no operation: {answer}"));
        until(operation, PATIENCE, async || {
            let path = format!("{operation}/wait?timeout=20");
            let now = fine(self.api.get(&path).await)["metadata"].take();
            match now["status"].as_str() {
                Some("Success") => Ok(now),
                Some("Failure" | "Cancelled") => panic!("{now}"),
                _ => Err(now.to_string()), // null when it did not end within the request's time
            }
        })
        .await
    }

    async fn create(&self) -> Made {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let ip: IpAddr = format!("10.97.0.{}", 1 + id % 250).parse().expect("an address");
        let nic = json!({"type": "nic", "nictype": "routed", "name": "eth0", "ipv4.address": ip.to_string(),
            "ipv4.neighbor_probe": "false"});
        self.create_with(id, nic).await;
        Made { id, ip, host: 0, password: None }
    }

    /// One on a bridge, which is made with the first, at an address that is given from outside; and its first process.
    pub(crate) async fn bridged(&self, ip: &str) -> (i64, u32) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        if run(self.netns.command("ip").args(["-o", "link"])).contains(" bench0:") {
            // made with the first
        } else {
            self.netns.ip(&["link", "add", "bench0", "type", "bridge"]);
            self.netns.ip(&["link", "set", "bench0", "up"]);
        }
        let nic = json!({"type": "nic", "nictype": "bridged", "name": "eth0", "parent": "bench0"});
        self.create_with(id, nic).await;
        let state = fine(self.api.get(&format!("/1.0/instances/{}/state", self.instance(id))).await);
        let inner = state["metadata"]["pid"].as_u64().expect("a running instance has a first process");
        let first = first_process(inner).expect("it runs");
        let inside = format!("--net=/proc/{first}/ns/net");
        run(Command::new("nsenter").args([&inside, "ip", "addr", "add", &format!("{ip}/24"), "dev", "eth0"]));
        run(Command::new("nsenter").args([&inside, "ip", "link", "set", "eth0", "up"]));
        (id, first)
    }

    async fn create_with(&self, id: i64, nic: Value) {
        let body = json!({
            "name": self.instance(id), "type": "container", "start": true,
            "source": {"type": "image", "fingerprint": self.image},
            "config": {"limits.cpu": "1", "limits.cpu.allowance": "100ms/100ms", "limits.memory": "512MiB",
                "limits.processes": "2000", "security.nesting": "true"},
            "devices": {
                "root": {"type": "disk", "path": "/", "pool": "pool", "size": "1GiB"},
                "eth0": nic,
            },
        });
        self.done(&fine(self.api.post("/1.0/instances", body).await)).await;
    }

    async fn act(&self, id: i64, what: &str, force: bool) {
        let path = format!("/1.0/instances/{}/state", self.instance(id));
        let body = json!({"action": what, "timeout": 60, "force": force});
        self.done(&fine(self.api.put(&path, body).await)).await;
    }

    pub(crate) async fn delete(&self, id: i64) {
        self.act(id, "stop", true).await;
        let path = format!("/1.0/instances/{}", self.instance(id));
        self.done(&fine(self.api.delete(&path).await)).await;
    }

    fn instance(&self, id: i64) -> String {
        format!("{}-{id}", self.name)
    }

    fn of(&self, made: &Made) -> Guest<'_> {
        Guest { netns: &self.netns, ip: made.ip, key: self.key }
    }

    /// As [`crate::life::run`].
    pub(crate) async fn life(&self, table: &mut Figures) {
        println!("\nIncus: {} one after the other; {BURST} at once", rounds());
        let warm = self.create().await; // unpacks the image into the pool
        ssh_answers(&self.netns, warm.ip).await;
        self.delete(warm.id).await;
        for _ in 0..rounds() {
            self.one_after_the_other(table).await;
        }
        let empty = memory::Machine::without_caches();
        let clock = Instant::now();
        let made = join_all((0..BURST).map(|_| self.create())).await;
        table.add_of(INCUS, names::BURST, clock.elapsed());
        for guest in &made {
            ssh_answers(&self.netns, guest.ip).await;
        }
        table.add_of(INCUS, names::BURST_SSH, clock.elapsed());
        for guest in &made {
            self.of(guest).boot_state();
        }
        memory::settle().await;
        memory::report(INCUS, &empty, made.len());
        memory::processes_named("incusd", &self.dir.display().to_string());
        memory::processes_named("[lxc monitor]", &format!(" {}-", self.name));
        for guest in &made {
            self.delete(guest.id).await;
        }
    }

    async fn one_after_the_other(&self, table: &mut Figures) {
        let clock = Instant::now();
        let made = self.create().await;
        table.add_of(INCUS, names::CREATED, clock.elapsed());
        ssh_answers(&self.netns, made.ip).await;
        table.add_of(INCUS, names::CREATED_SSH, clock.elapsed());
        self.of(&made).boot_state();

        let clock = Instant::now();
        self.act(made.id, "restart", false).await;
        ssh_answers(&self.netns, made.ip).await;
        table.add_of(INCUS, names::REBOOTED_SSH, clock.elapsed());
        self.of(&made).boot_state();

        let clock = Instant::now();
        self.act(made.id, "stop", false).await;
        table.add_of(INCUS, names::STOPPED, clock.elapsed());

        let clock = Instant::now();
        self.act(made.id, "start", false).await;
        table.add_of(INCUS, names::STARTED, clock.elapsed());
        ssh_answers(&self.netns, made.ip).await;
        table.add_of(INCUS, names::STARTED_SSH, clock.elapsed());
        self.of(&made).boot_state();

        let clock = Instant::now();
        self.delete(made.id).await;
        table.add_of(INCUS, names::DELETED, clock.elapsed());
    }
}

/// Kills the first process of its pid namespace, and with it everything; then removes what liblxc left.
impl Drop for Incus<'_> {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = process.pid();
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(child), nix::sys::signal::Signal::SIGKILL);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while process.ended().is_none() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(process);
        let name = self.name.clone();
        let left = || groups(Path::new("/sys/fs/cgroup"), &name, 0);
        while !left().is_empty() && Instant::now() < deadline {
            left().iter().for_each(|group| remove(group));
            std::thread::sleep(Duration::from_millis(50)); // processes are still leaving
        }
        left().iter().for_each(|group| eprintln!("{} is left", group.display()));
        if let Err(e) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} is left: {e}", self.dir.display());
        }
    }
}

/// The process that is this one to the daemon, in a process namespace of which it is, and 1 to itself.
fn first_process(inner: u64) -> Option<u32> {
    berth_tests::e2e::process::all().into_iter().map(|(pid, _)| pid).find(|pid| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        numbers.len() == 3 && numbers[1] == inner.to_string() && numbers[2] == "1"
    })
}

/// The body of an answer that is no error.
fn fine(answer: Answer) -> Value {
    assert!(answer.status < 300, "{} answered {}", answer.request, answer.body);
    answer.body
}

/// Cgroups of our containers and their monitors, at whatever depth this process stands in a hierarchy.
fn groups(dir: &Path, name: &str, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let ours = ["lxc.payload.", "lxc.monitor."].iter().any(|prefix| {
            file.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(&format!("{name}-")))
        });
        if ours {
            found.push(path);
        } else if depth < 5 {
            found.extend(groups(&path, name, depth + 1));
        }
    }
    found
}

fn remove(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group); // tried again until it is gone
}

/// One of its instances beside another.
pub(crate) struct Theirs<'a> {
    incus: &'a Incus<'a>,
    neighbour: Made,
}

impl<'a> Theirs<'a> {
    /// Makes the neighbour.
    pub(crate) async fn new(incus: &'a Incus<'a>) -> Self {
        let neighbour = incus.create().await;
        incus.of(&neighbour).boot_state();
        Self { incus, neighbour }
    }

    /// Deletes the neighbour.
    pub(crate) async fn end(self) {
        self.incus.delete(self.neighbour.id).await;
    }
}

impl Side for Theirs<'_> {
    fn name(&self) -> &'static str {
        INCUS
    }

    fn neighbour(&self) -> Guest<'_> {
        self.incus.of(&self.neighbour)
    }

    async fn attacker(&self) -> Made {
        let made = self.incus.create().await;
        self.incus.of(&made).boot_state();
        made
    }

    fn guest(&self, made: &Made) -> Guest<'_> {
        self.incus.of(made)
    }

    async fn remove(&self, made: Made) {
        self.incus.delete(made.id).await;
    }

    /// Runs a program in it.
    async fn manage(&self) {
        let path = format!("/1.0/instances/{}/exec", self.incus.instance(self.neighbour.id));
        let body = json!({"command": ["true"], "wait-for-websocket": false, "interactive": false});
        self.incus.done(&fine(self.incus.api.post(&path, body).await)).await;
    }
}
