//! A whole Berth of real processes: a server, hosts with agents, real guests, and nothing left of it afterwards.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::guest::{Guest, Key};
use super::host::CellHost;
use super::netns::{Netns, run};
use super::process::{Process, binary};
use super::snapshot::machine;
use crate::check;
use crate::client::Api;
use crate::control::Control;
use crate::db::TestDb;
use crate::proxy::{Proxy, Upstream};
use crate::wait;

/// Where a process is to stop and wait to be killed.
#[derive(Clone, Debug)]
pub struct Failpoint {
    /// Its name in the sources.
    pub name: String,
    /// Where the file appears that says it was reached.
    pub dir: PathBuf,
}

impl Failpoint {
    pub(super) fn arm(&self, command: &mut Command) {
        std::fs::create_dir_all(&self.dir).expect("a directory for failpoints");
        // The child of a monitor marks its points as the guest's root.
        std::fs::set_permissions(&self.dir, std::fs::Permissions::from_mode(0o777)).expect("it is ours");
        let _ = std::fs::remove_file(self.dir.join(&self.name)); // of an earlier round
        command.env("BERTH_FAILPOINT", &self.name).env("BERTH_FAILPOINT_DIR", &self.dir);
    }

    /// The process that waits there, once one does.
    #[must_use]
    pub fn reached(&self) -> Option<u32> {
        std::fs::read_to_string(self.dir.join(&self.name)).ok()?.trim().parse().ok()
    }
}

/// The whole.
pub struct Cell {
    /// Short, random: part of every name that the kernel gets to see.
    pub name: String,
    /// Everything on disk.
    pub dir: PathBuf,
    /// The inventory.
    pub db: TestDb,
    /// A tenant.
    pub api: Api,
    /// The operator.
    pub control: Control,
    /// The tenant's key.
    pub key: Key,
    /// Hosts, each with a running agent unless a test stopped it.
    pub hosts: Vec<CellHost>,
    /// Names of the images that were imported.
    pub images: Vec<String>,
    /// Settings of the server beside the usual ones.
    settings: Vec<(&'static str, String)>,
    server: Option<Process>,
    listen: SocketAddr,
    agents: SocketAddr,
    /// None at the very end.
    fabric: Option<Netns>,
    before: BTreeSet<String>,
    finished: bool,
}

/// A server that runs, with what a test wants to know about it.
#[derive(Clone, Debug)]
pub struct Made {
    /// Its id.
    pub id: i64,
    /// Its address.
    pub ip: IpAddr,
    /// Index of its host in [`Cell::hosts`].
    pub host: usize,
    /// The root password, if there is one.
    pub password: Option<String>,
}

impl Cell {
    /// Starts a server and `hosts` hosts, which are enrolled and ready, with one image.
    ///
    /// # Panics
    /// When anything of that fails.
    pub async fn start(hosts: usize) -> Self {
        Self::with(hosts, 1, Vec::new()).await
    }

    /// As [`Self::start`], with these settings of the server's environment.
    ///
    /// # Panics
    /// When anything of that fails.
    pub async fn with_settings(hosts: usize, settings: Vec<(&'static str, String)>) -> Self {
        Self::with(hosts, 1, settings).await
    }

    /// As [`Self::start`], with all images that there are.
    ///
    /// # Panics
    /// When anything of that fails.
    pub async fn with_all_images(hosts: usize) -> Self {
        Self::with(hosts, usize::MAX, Vec::new()).await
    }

    /// As [`Self::start`], without any image: the test has its own.
    ///
    /// # Panics
    /// When anything of that fails.
    pub async fn without_images(hosts: usize) -> Self {
        Self::with(hosts, 0, Vec::new()).await
    }

    async fn with(hosts: usize, images: usize, settings: Vec<(&'static str, String)>) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "real guests need root");
        let before = machine();
        let name = format!("bt{:04x}", rand::random::<u16>());
        let dir = state_root().join(&name);
        std::fs::create_dir_all(dir.join("log")).expect("the state directory can be made");
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).expect("it is ours");

        let db = TestDb::new().await;
        let fabric = Netns::new(&format!("{name}-fabric"));
        fabric.ip(&["link", "add", "br0", "type", "bridge"]);
        fabric.ip(&["addr", "add", "10.99.0.1/24", "dev", "br0"]);
        fabric.ip(&["link", "set", "br0", "up"]);
        let (listen, agents) = (free_address(), free_address());
        let base = format!("http://{listen}");
        let mut cell = Self {
            key: Key::new(&dir),
            api: Api::new(&base),
            control: Control::new(Api::new(&base)),
            settings,
            server: None,
            hosts: Vec::new(),
            images: Vec::new(),
            finished: false,
            name,
            dir,
            db,
            listen,
            agents,
            fabric: Some(fabric),
            before,
        };
        cell.start_server(None).await;
        cell.furnish(images).await;
        for _ in 0..hosts {
            cell.add_host().await;
        }
        cell
    }

    /// Starts the server's process and waits until it answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start_server(&mut self, failpoint: Option<&Failpoint>) {
        let mut command = self.server_command();
        command.arg("serve");
        if let Some(failpoint) = failpoint {
            failpoint.arm(&mut command);
        }
        let mut process = Process::start("berth-server", command, &self.dir.join("log/server.log"));
        let api = self.api.without_token();
        wait::until("the server to answer", Duration::from_secs(30), async || {
            if let Some(status) = process.ended() {
                panic!("the server ended: {status}\n{}", process.tail());
            }
            api.try_send(reqwest::Method::GET, "/healthz", None).await.map(drop)
        })
        .await;
        self.server = Some(process);
    }

    /// Kills the server as if the plug were pulled.
    ///
    /// # Panics
    /// When it was not running.
    pub fn kill_server(&mut self) {
        self.server.take().expect("the server runs").kill9();
    }

    /// Kills the agents of all hosts in the same way.
    pub fn kill_agents(&mut self) {
        self.hosts.iter_mut().for_each(CellHost::kill_agent);
    }

    fn server_command(&self) -> Command {
        let mut command = Command::new(binary("berth-server"));
        command.env("DATABASE_URL", self.db.url()).env("BERTH_DATA_DIR", self.dir.join("server"));
        command
            .env("BERTH_LISTEN", self.listen.to_string())
            .env("BERTH_AGENT_LISTEN", self.agents.to_string());
        command.env("BERTH_AGENT_NAMES", "127.0.0.1").env("BERTH_URL", format!("http://{}", self.listen));
        command.env("BERTH_RATE_LIMIT", "0").env("BERTH_NAT_POOL", POOL).env("RUST_LOG", "info");
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A project, a token, a plan, a pool and the images.
    async fn furnish(&mut self, images: usize) {
        let mut cli = self.server_command();
        let token = run(cli.args(["admin", "tokens", "create", "--operator", "--name", "e2e"]));
        self.control = Control::new(self.api.with_token(token.trim()));
        let project = self.control.project("e2e").await;
        self.api = self.api.with_token(self.control.token(project, true).await);
        self.control.plan(PLAN, &json!({"cpu_milli": 1000, "memory_bytes": 512_i64 << 20, "disk_bytes": 4_i64 << 30, "price_hourly": "0.01", "price_monthly": "3"})).await;
        for file in image_files().into_iter().take(images) {
            let name = file.file_name().and_then(|n| n.to_str()).expect("images have plain names");
            let name = name.split_once('.').map_or(name, |(name, _)| name).to_owned();
            self.control.image(&name, &file).await;
            self.images.push(name);
        }
        self.api
            .post("/v1/ssh_keys", json!({"name": "e2e", "public_key": self.key.public}))
            .await
            .expect(201);
    }

    /// Somebody who runs all of this, with an account for the dashboard; their password.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn operator(&self, email: &str) -> String {
        let mut cli = self.server_command();
        run(cli.args(["admin", "users", "create", email, "--operator"])).trim().to_owned()
    }

    /// One more host: a network namespace on the fabric, and an agent in it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn add_host(&mut self) {
        let (id, token) = self.control.host(&format!("h{}", self.hosts.len() + 1)).await;
        self.adopt(id, &token).await;
    }

    /// One more host, which somebody made in the inventory: a network namespace on the fabric, and an agent in it.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn adopt(&mut self, id: i64, token: &str) {
        let n = self.hosts.len() + 1;
        let netns = Netns::new(&format!("{}-h{n}", self.name));
        netns.connect("up0", self.outside(), &format!("h{n}"));
        self.outside().ip(&["link", "set", &format!("h{n}"), "master", "br0"]);
        netns.ip(&["addr", "add", &format!("10.99.0.{}/24", n + 10), "dev", "up0"]);
        netns.ip(&["route", "add", "default", "via", "10.99.0.1"]);
        // The token names the server by name and port; inside, the same address leads to the proxy.
        let inside = netns.listen(SocketAddr::from(([127, 0, 0, 1], self.agents.port())));
        let link = Proxy::behind(inside, Upstream::Tcp(self.agents)).expect("the listener works");
        let mut host = CellHost::new(id, n, &self.name, &self.dir, netns, link);
        host.enrol(token);
        host.start_agent(None);
        self.control.host_is_ready(id, self.images.len()).await;
        host.mark();
        self.hosts.push(host);
    }

    /// The namespace that all hosts reach over the wire: what a guest gets to is seen here.
    #[must_use]
    pub fn outside(&self) -> &Netns {
        self.fabric.as_ref().expect("it is there until the end")
    }

    /// The way from an agent to the server, to be broken.
    #[must_use]
    pub fn link(&self, host: usize) -> &Proxy {
        &self.hosts[host].link
    }

    /// Creates a server from an image, with the tenant's key or, without it, with a password, and waits until it runs.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn create(&self, name: &str, image: &str, with_key: bool) -> Made {
        let created = self.api.post("/v1/servers", order(name, image, with_key)).await.expect(201);
        self.api.succeeded(&created["action"]).await;
        let id = created["server"]["id"].as_i64().expect("an id");
        let mut made = self.made(id).await;
        made.password = created["root_password"].as_str().map(str::to_owned);
        made
    }

    /// As [`Self::create`], with a name of its own to hold on to.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn create_named(&self, name: String, image: &str) -> Made {
        self.create(&name, image, true).await
    }

    /// Whether this process is one of ours: its environment names this cell's directory.
    #[must_use]
    pub fn owns(&self, pid: u32) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let place = self.dir.display().to_string();
        [environment, line].iter().any(|text| String::from_utf8_lossy(text).contains(&place))
    }

    /// A small archive that can be unpacked, unlike any other.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn tiny_image(&self, name: &str) -> PathBuf {
        let (root, file) = (self.dir.join(name), self.dir.join(format!("{name}.tar.zst")));
        for dir in ["sbin", "etc", "usr"] {
            std::fs::create_dir_all(root.join(dir)).expect("a directory of ours");
        }
        std::fs::write(root.join("sbin/init"), name).expect("a file of ours");
        let script = format!("tar -C {} -c . | zstd -q > {}", root.display(), file.display());
        run(Command::new("sh").args(["-c", &script]));
        std::fs::remove_dir_all(root).expect("it was ours");
        file
    }

    /// A guest of busybox alone that answers on port 80 with its name.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn small_image(&self) -> PathBuf {
        let (root, file) = (self.dir.join("busybox"), self.dir.join("busybox.tar.zst"));
        for dir in ["sbin", "etc", "usr/bin", "bin", "root", "tmp", "www"] {
            std::fs::create_dir_all(root.join(dir)).expect("a directory of ours");
        }
        let init = root.join("sbin/init");
        let script = "#!/bin/busybox sh\n/bin/busybox hostname > /www/index.html\nexec /bin/busybox httpd -f -p 80 -h /www\n";
        std::fs::write(&init, script).expect("a file of ours");
        std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let script = format!(
            "cp \"$(command -v busybox)\" {0}/bin/busybox && ln -s busybox {0}/bin/sh && tar -C {0} -c . | zstd -q > {1}",
            root.display(),
            file.display()
        );
        run(Command::new("sh").args(["-c", &script]));
        std::fs::remove_dir_all(root).expect("it was ours");
        file
    }

    /// Asks the server to end, and waits for it.
    ///
    /// # Panics
    /// When it was not running.
    pub fn stop_server(&mut self) {
        self.server.take().expect("the server runs").stop();
    }

    /// What is known of a server that exists.
    ///
    /// # Panics
    /// When it does not exist.
    pub async fn made(&self, id: i64) -> Made {
        let server = self.api.get(&format!("/v1/servers/{id}")).await.expect(200)["server"].take();
        let ip =
            server["public_net"]["ipv4"]["ip"].as_str().and_then(|ip| ip.parse().ok()).expect("an address");
        let host = check::host_of(&self.db.pool().await, id).await;
        let host = self.hosts.iter().position(|h| h.id == host).expect("it is on one of ours");
        Made { id, ip, host, password: None }
    }

    /// Deletes a server and waits until nothing of it is left.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn delete(&self, id: i64) {
        let answer = self.api.delete(&format!("/v1/servers/{id}")).await.expect(200);
        self.api.succeeded(&answer["action"]).await;
        self.api.server_is_gone(id).await;
    }

    /// Runs an action of a server to its successful end.
    ///
    /// # Panics
    /// When it fails.
    pub async fn act(&self, id: i64, what: &str) -> Value {
        let answer = self.api.post(&format!("/v1/servers/{id}/actions/{what}"), json!({})).await.expect(201);
        self.api.succeeded(&answer["action"]).await;
        answer
    }

    /// Who logs in to it.
    #[must_use]
    pub fn guest<'a>(&'a self, made: &Made) -> Guest<'a> {
        Guest { netns: &self.hosts[made.host].netns, ip: made.ip, key: &self.key }
    }

    /// Deletes what is left, and proves that nothing of it remains anywhere.
    ///
    /// # Panics
    /// When something does.
    pub async fn finish(mut self) {
        let list = self.api.get("/v1/servers?per_page=50").await.expect(200);
        for server in list["servers"].as_array().into_iter().flatten() {
            self.delete(server["id"].as_i64().expect("an id")).await;
        }
        check::consistent(&self.db.pool().await).await;
        check::holds(&self.db.pool().await, 0).await;
        for host in &mut self.hosts {
            host.holds_no_more_than_at_the_start();
            host.stop_agent();
        }
        self.server.take().map(Process::stop);
        self.finished = true;
        self.clear();
        let left: Vec<_> = machine().difference(&self.before).cloned().collect();
        // Other tests run on this machine at the same time: only our own names count.
        let ours: Vec<_> = left.into_iter().filter(|thing| thing.contains(&self.name)).collect();
        assert!(ours.is_empty(), "left on the machine: {ours:#?}");
    }

    /// Ends and removes everything, whatever state it is in. Namespaces go as their owners are dropped.
    fn clear(&mut self) {
        drop(self.server.take());
        for host in &mut self.hosts {
            host.clear();
        }
        self.hosts.clear();
        self.fabric = None;
        let keep = std::env::var_os("BERTH_TEST_KEEP").is_some() && !self.finished;
        if keep {
            eprintln!("kept: {}", self.dir.display());
        } else if let Err(e) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} is left: {e}", self.dir.display());
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if !self.finished {
            self.clear();
            assert!(std::thread::panicking(), "a test must end with Cell::finish");
        }
    }
}

/// Name of the plan that real guests get.
pub const PLAN: &str = "small";
/// Where their addresses come from.
pub const POOL: &str = "10.98.0.0/24";

/// The body of a create.
#[must_use]
pub fn order(name: &str, image: &str, with_key: bool) -> Value {
    let mut body = json!({"name": name, "server_type": PLAN, "image": image});
    if with_key {
        body["ssh_keys"] = json!(["e2e"]);
    }
    body
}

/// The archives that guests are made from: the plain Debians (`debian-12.tar.zst` …) of `BERTH_TEST_IMAGES` (a
/// directory), or of `target/images`. The others there are for tests of the runtime alone.
fn image_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is inside the repository");
    let dir = std::env::var_os("BERTH_TEST_IMAGES").map_or_else(|| root.join("target/images"), PathBuf::from);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("no images in {}: {e}", dir.display()));
    let is_image = |path: &PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let release = name.strip_prefix("debian-").and_then(|rest| rest.strip_suffix(".tar.zst"));
        release.is_some_and(|release| release.bytes().all(|c| c.is_ascii_digit()))
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(is_image).collect();
    files.sort();
    assert!(!files.is_empty(), "no debian-*.tar.zst in {}", dir.display());
    files
}

/// Guests run as users without rights, who must be able to reach this directory.
fn state_root() -> PathBuf {
    std::env::var_os("BERTH_TEST_STATE").map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// An address that nobody listens on. The port is kept over restarts of the server, so it cannot be 0.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it listens")
}
