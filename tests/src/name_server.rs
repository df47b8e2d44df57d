//! A real `named` for one test: a zone of reverse names, two keys, a port of 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::client::DEADLINE;
use crate::wait::until;

/// The key that may change PTR records, and one that the server knows and that may change nothing.
const KEY: &str = "berth";
const STRANGER: &str = "stranger";

/// Base64 of 32 bytes.
pub const SECRET: &str = "YmVydGgncyB0ZXN0cyB1c2UgdGhpcyBrZXksIDMyYnk=";

/// Base64 of 32 other bytes.
pub const WRONG: &str = "bm90aGluZyBhbmQgbm9ib2R5IGtub3dzIHRoaXMga2U=";

/// A name server.
#[derive(Debug)]
pub struct NameServer {
    dir: tempfile::TempDir,
    port: u16,
    zone: String,
    running: Option<Child>,
}

impl NameServer {
    /// Starts one that has this zone, which has no names yet.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(zone: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the name server");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = free.local_addr().expect("it has a port").port();
        drop(free);
        let mut server = Self { dir, port, zone: zone.to_owned(), running: None };
        server.configure();
        server.again().await;
        server
    }

    fn configure(&self) {
        let (dir, port, zone) = (self.dir.path().display(), self.port, &self.zone);
        let conf = format!(
            r#"options {{
    directory "{dir}"; managed-keys-directory "{dir}"; pid-file "{dir}/named.pid"; session-keyfile "{dir}/session.key";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
    recursion no; dnssec-validation no; notify no; allow-query {{ any; }};
}};
controls {{ }};
key "{KEY}" {{ algorithm hmac-sha256; secret "{SECRET}"; }};
key "{STRANGER}" {{ algorithm hmac-sha512; secret "{SECRET}"; }};
zone "{zone}" {{ type primary; file "{dir}/zone"; update-policy {{ grant {KEY} subdomain {zone}. PTR; }}; }};
"#
        );
        let records = format!(
            "$TTL 60\n@ SOA ns.{zone}. root.{zone}. 1 3600 600 86400 60\n@ NS ns.{zone}.\nns A 127.0.0.1\n"
        );
        std::fs::write(self.conf(), conf).expect("a file of ours");
        std::fs::write(self.dir.path().join("zone"), records).expect("a file of ours");
    }

    fn conf(&self) -> std::path::PathBuf {
        self.dir.path().join("named.conf")
    }

    /// Starts it again, after [`Self::stop`]; it has the names that it had.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn again(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a file of ours");
        let mut command = Command::new(program("named"));
        command.args(["-g", "-4", "-n", "1", "-c"]).arg(self.conf());
        if locks().await {
            command.args(["-X", "none"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.running = Some(command.spawn().expect("named starts: apt-get install bind9"));
        until("named to answer", DEADLINE, async || match self.ask(&["SOA", &self.zone]).await {
            Some(said) if !said.is_empty() => Ok(()),
            _ => Err(std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()),
        })
        .await;
    }

    /// Ends it; nobody answers then.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn stop(&mut self) {
        let mut running = self.running.take().expect("it runs");
        let pid = running.id().and_then(|id| i32::try_from(id).ok()).expect("it runs");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)
            .expect("it is ours");
        tokio::time::timeout(DEADLINE, running.wait()).await.expect("it ends in time").expect("it ends");
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What an operator says of it.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({"server": self.address().to_string(), "zones": [self.zone], "key_name": KEY, "key_secret": SECRET})
    }

    /// The same with a key that it knows, and that may change nothing.
    #[must_use]
    pub fn settings_of_a_stranger(&self) -> Value {
        let mut settings = self.settings();
        settings["key_name"] = json!(STRANGER);
        settings["key_algorithm"] = json!("hmac-sha512");
        settings
    }

    /// The names that an address leads to, sorted, without the last dots; none when it does not answer.
    pub async fn names(&self, ip: &str) -> Option<Vec<String>> {
        let said = self.ask(&["-x", ip]).await?;
        let mut names: Vec<String> = said.lines().map(|line| line.trim_end_matches('.').to_owned()).collect();
        names.sort();
        Some(names)
    }

    /// Waits until an address leads to this name alone, or to none.
    ///
    /// # Panics
    /// When it does not come to that.
    pub async fn has(&self, ip: &str, name: Option<&str>) {
        let wanted: Vec<String> = name.into_iter().map(str::to_owned).collect();
        until(&format!("{ip} to lead to {name:?}"), DEADLINE, async || match self.names(ip).await {
            Some(names) if names == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
    }

    async fn ask(&self, question: &[&str]) -> Option<String> {
        let mut dig = Command::new("dig");
        dig.args(["@127.0.0.1", "-p", &self.port.to_string(), "+tcp", "+short", "+time=2", "+tries=1"]);
        let output = dig.args(question).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(30), output).await.ok()?;
        let output = output.expect("dig starts: apt-get install bind9-dnsutils");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether only one may run on a machine unless it is told otherwise; from 9.20 on there is no such lock.
async fn locks() -> bool {
    let output = Command::new(program("named")).arg("-v").output().await.expect("named starts");
    String::from_utf8_lossy(&output.stdout).contains("BIND 9.18.")
}

/// Debian keeps it where an ordinary user's path does not lead.
fn program(name: &str) -> String {
    let full = format!("/usr/sbin/{name}");
    if Path::new(&full).exists() { full } else { name.to_owned() }
}
