//! A real guest, as the person who rented it sees it (by ssh), and as the host's kernel sees it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::netns::{Netns, run};
use super::process::{Process, start_time};
use crate::wait::until_blocking;

/// How long a guest may take to boot and answer on a busy machine.
pub const BOOT: Duration = Duration::from_secs(90);

/// A key pair made for one test.
#[derive(Debug)]
pub struct Key {
    private: PathBuf,
    /// `ssh-ed25519 AAAA… comment`.
    pub public: String,
}

impl Key {
    /// Makes one in `dir`.
    ///
    /// # Panics
    /// When `ssh-keygen` fails.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        let private = dir.join("id_ed25519");
        run(Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
            .arg(&private));
        let public = std::fs::read_to_string(private.with_extension("pub")).expect("ssh-keygen wrote it");
        Self { private, public: public.trim().to_owned() }
    }
}

/// Where a guest is and how to get in.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The namespace of its host.
    pub netns: &'a Netns,
    /// Its address.
    pub ip: IpAddr,
    /// A key of root's.
    pub key: &'a Key,
}

const SSH: [&str; 12] = [
    "-o",
    "StrictHostKeyChecking=no",
    "-o",
    "UserKnownHostsFile=/dev/null",
    "-o",
    "LogLevel=ERROR",
    "-o",
    "ConnectTimeout=5",
    "-o",
    "ServerAliveInterval=2",
    "-o",
    "ServerAliveCountMax=5",
];

impl Guest<'_> {
    /// Waits until ssh lets us in, then runs a shell command and returns what it prints.
    ///
    /// # Panics
    /// When there is no way in, or the command fails.
    pub fn ssh(&self, command: &str) -> String {
        until_blocking(&format!("ssh to {} for `{command}`", self.ip), BOOT, || self.try_ssh(command))
    }

    /// Runs a shell command, once.
    ///
    /// # Errors
    /// When there is no way in, or the command fails.
    pub fn try_ssh(&self, command: &str) -> Result<String, String> {
        let mut ssh = self.netns.command("ssh");
        ssh.args(SSH).args(["-o", "BatchMode=yes", "-i"]).arg(&self.key.private);
        finish(ssh.arg(format!("root@{}", self.ip)).arg(command))
    }

    /// As [`Self::try_ssh`], with a password instead of the key.
    ///
    /// # Errors
    /// When there is no way in, or the command fails.
    pub fn try_password(&self, password: &str, command: &str) -> Result<String, String> {
        let mut ssh = self.netns.command("sshpass");
        ssh.args(["-e", "ssh"]).env("SSHPASS", password).args(SSH);
        ssh.args([
            "-o",
            "PreferredAuthentications=password,keyboard-interactive",
            "-o",
            "PubkeyAuthentication=no",
        ]);
        finish(ssh.arg(format!("root@{}", self.ip)).arg(command))
    }

    /// Waits until systemd says that it has booted, and returns what it says (`running`, `degraded`).
    ///
    /// # Panics
    /// When it does not come that far.
    pub fn boot_state(&self) -> String {
        until_blocking(&format!("{} to have booted", self.ip), BOOT, || {
            let state = self.try_ssh("systemctl is-system-running || true")?;
            if matches!(state.trim(), "running" | "degraded") {
                Ok(state.trim().to_owned())
            } else {
                Err(state)
            }
        })
    }

    /// An ssh session that prints a line ten times a second for as long as its connection stands.
    #[must_use]
    pub fn ticking(&self, log: &Path) -> Process {
        self.session("while sleep 0.1; do echo tick; done", log)
    }

    /// An ssh session that runs a command, with what it prints in `log`.
    #[must_use]
    pub fn session(&self, command: &str, log: &Path) -> Process {
        let mut ssh = self.netns.command("ssh");
        ssh.args(SSH).args(["-o", "BatchMode=yes", "-i"]).arg(&self.key.private);
        ssh.arg(format!("root@{}", self.ip)).arg(command);
        Process::start("ssh session", ssh, log)
    }
}

fn finish(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(std::process::Stdio::null()).output().map_err(|e| e.to_string())?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    Err(format!("{}: {out}{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// PID 1 of each guest of this VPS that runs, with its start time. More than one would be a catastrophe.
#[must_use]
pub fn first_processes(cgroup_parent: &str, vps: i64) -> Vec<(u32, u64)> {
    let place = format!("/{cgroup_parent}/{vps}/");
    let pids = super::process::all().into_iter().filter(|(pid, _)| is_first_process(*pid, &place));
    pids.filter_map(|(pid, _)| Some((pid, start_time(pid)?))).collect()
}

fn is_first_process(pid: u32, place: &str) -> bool {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = read("status");
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    // In two pid namespaces, and the first of the inner one; a zombie runs no more.
    let first = line("NSpid:").is_some_and(|pids| {
        let pids: Vec<_> = pids.split_whitespace().collect();
        pids.len() == 2 && pids[1] == "1"
    });
    first && !line("State:").is_some_and(|state| state.starts_with('Z')) && read("cgroup").contains(place)
}
