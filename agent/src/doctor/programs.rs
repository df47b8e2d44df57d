//! Programs that the agent runs, and what they can do on this kernel.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Check;
use crate::linux::LinuxConfig;

pub(super) fn checks(config: &LinuxConfig) -> Vec<Check> {
    vec![monitor(config), mkfs(), nft(), tc(), bird(), lxcfs(config)]
}

/// Where a program is, as a shell of root would find it.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from));
    places.into_iter().map(|place| place.join(name)).find(|file| file.is_file())
}

fn describe(found: Option<&Path>, name: &str) -> String {
    found.map_or_else(|| format!("no {name}"), |path| path.display().to_string())
}

fn monitor(config: &LinuxConfig) -> Check {
    let found = config.monitor().ok().filter(|path| path.is_file());
    let detail = describe(found.as_deref(), "berth-monitor");
    Check::needed(
        "berth-monitor",
        found.is_some(),
        detail,
        "no guest can be started; install it beside berth-agent",
    )
}

fn mkfs() -> Check {
    let found = find("mkfs.ext4");
    let detail = describe(found.as_deref(), "mkfs.ext4");
    Check::needed("mkfs.ext4", found.is_some(), detail, "disks cannot be made; install e2fsprogs")
}

/// Asks nft whether this kernel would take the kind of rules that the agent needs. Nothing is changed.
fn nft() -> Check {
    let consequence = "guests cannot be connected: source address checks and NAT need nftables with fib and masquerade; \
                       install nftables";
    let Some(nft) = find("nft") else {
        return Check::needed("nftables", false, "no nft", consequence);
    };
    let rules = "table inet berth_doctor {
        chain a { type filter hook prerouting priority raw; fib saddr . iif oif missing drop; }
        chain b { type nat hook postrouting priority srcnat; masquerade; }
    }";
    let (ok, detail) = match dry_run(&nft, rules) {
        Ok(()) => (true, nft.display().to_string()),
        Err(said) => (false, said),
    };
    Check::needed("nftables", ok, detail, consequence)
}

fn tc() -> Check {
    let found = find("tc");
    let detail = describe(found.as_deref(), "tc");
    Check::wanted("tc", found.is_some(), detail, "bandwidth cannot be limited; install iproute2")
}

fn bird() -> Check {
    let found = find("bird");
    let detail = describe(found.as_deref(), "bird");
    Check::wanted("bird", found.is_some(), detail, "addresses cannot be announced by BGP; install bird2")
}

fn dry_run(nft: &Path, rules: &str) -> Result<(), String> {
    use std::io::Write;
    let mut child = Command::new(nft)
        .args(["--check", "--file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let written = child.stdin.take().map(|mut input| input.write_all(rules.as_bytes()));
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() && written.is_some_and(|result| result.is_ok()) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().next().unwrap_or("nft failed").to_owned())
}

fn lxcfs(config: &LinuxConfig) -> Check {
    let consequence = "guests see the host's memory, CPUs and uptime in /proc; install lxcfs";
    if !config.lxcfs {
        return Check::wanted("lxcfs", false, "switched off by the setting lxcfs", consequence);
    }
    let running = Path::new("/var/lib/lxcfs/proc/uptime").exists();
    let found = find("lxcfs");
    let detail = if running { "/var/lib/lxcfs".to_owned() } else { describe(found.as_deref(), "lxcfs") };
    Check::wanted("lxcfs", running || found.is_some(), detail, consequence)
}
