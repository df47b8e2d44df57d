//! One host of a cell: a network namespace with an agent of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cell::Failpoint;
use super::guest::first_processes;
use super::netns::{Netns, run};
use super::process::{Process, binary};
use super::snapshot::{Places, Snapshot};
use super::sweep::sweep;
use crate::proxy::Proxy;
use crate::wait::until_blocking;

/// Ids of guests begin here; each host has 1024 ranges of its own.
const ID_BASE: u32 = 0x5000_0000;

/// A host.
pub struct CellHost {
    /// Its id in the inventory.
    pub id: i64,
    /// Its network.
    pub netns: Netns,
    /// The agent's way to the server.
    pub link: Proxy,
    /// The agent's state directory.
    pub state: PathBuf,
    /// Parent of its cgroups.
    pub cgroup: String,
    run: PathBuf,
    log: PathBuf,
    number: usize,
    agent: Option<Process>,
    empty: Snapshot,
}

impl CellHost {
    pub(super) fn new(id: i64, number: usize, cell: &str, dir: &Path, netns: Netns, link: Proxy) -> Self {
        Self {
            id,
            netns,
            link,
            state: dir.join(format!("h{number}/state")),
            run: dir.join(format!("h{number}/run")),
            log: dir.join(format!("log/agent-{number}.log")),
            cgroup: format!("{cell}-h{number}"),
            number,
            agent: None,
            empty: Snapshot::default(),
        }
    }

    /// Trades the one-time token for a certificate.
    pub(super) fn enrol(&self, token: &str) {
        let mut command = self.command();
        run(command.args(["enrol", "--token", token]));
    }

    /// Starts the agent.
    pub fn start_agent(&mut self, failpoint: Option<&Failpoint>) {
        assert!(self.agent.is_none(), "one agent a host");
        let mut command = self.command();
        command.arg("run");
        if let Some(failpoint) = failpoint {
            failpoint.arm(&mut command);
        }
        self.agent = Some(Process::start("berth-agent", command, &self.log));
    }

    /// Kills the agent as if the plug were pulled.
    ///
    /// # Panics
    /// When it was not running.
    pub fn kill_agent(&mut self) {
        self.agent.take().expect("the agent runs").kill9();
    }

    /// Asks the agent to end and waits for it. Guests run on.
    pub fn stop_agent(&mut self) {
        self.agent.take().map(Process::stop);
    }

    /// What a power cut does: agent, monitors and guests are gone at once, and what the kernel held of them.
    pub fn power_cut(&mut self) {
        if let Some(agent) = self.agent.take() {
            agent.kill9();
        }
        sweep(&self.root(), &self.cgroup);
    }

    /// Everything of this host that exists now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (state, runtime) = (self.state.as_path(), self.run.as_path());
        Snapshot::take(Places { state, runtime, cgroup: &self.cgroup, netns: &self.netns })
    }

    /// Remembers what there is without any VPS.
    pub fn mark(&mut self) {
        self.empty = self.snapshot();
    }

    /// Waits until there is nothing here that was not in `before`: what the kernel frees late (namespaces) is given
    /// time, what is leaked never goes.
    ///
    /// # Panics
    /// When something stays.
    pub fn holds_no_more_than(&self, before: &Snapshot) {
        until_blocking(&format!("nothing to be left on {}", self.cgroup), Duration::from_secs(15), || {
            let more = self.snapshot().more_than(before);
            if more.is_empty() { Ok(()) } else { Err(format!("{more:#?}")) }
        });
    }

    /// As [`Self::holds_no_more_than`], compared with the host before its first VPS.
    pub fn holds_no_more_than_at_the_start(&self) {
        self.holds_no_more_than(&self.empty);
    }

    /// PID 1 of the guests of this VPS, with start times.
    #[must_use]
    pub fn first_processes(&self, vps: i64) -> Vec<(u32, u64)> {
        first_processes(&self.cgroup, vps)
    }

    /// What the agent printed last.
    #[must_use]
    pub fn agent_log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The agent's process.
    #[must_use]
    pub fn agent(&mut self) -> Option<&mut Process> {
        self.agent.as_mut()
    }

    pub(super) fn clear(&mut self) {
        drop(self.agent.take());
        sweep(&self.root(), &self.cgroup);
    }

    fn root(&self) -> PathBuf {
        self.state.parent().expect("it lies in the host's directory").to_owned()
    }

    /// The agent with this host's settings.
    fn command(&self) -> Command {
        let mut command = self.netns.command(binary("berth-agent"));
        // Interfaces end in the VPS's number, so the prefix ends with a letter; ids of guests must not overlap.
        let letter = char::from(b'a' + u8::try_from(self.number).expect("a few hosts"));
        command.env("BERTH_AGENT_STATE_DIR", &self.state).env("BERTH_AGENT_RUN_DIR", &self.run);
        command.env("BERTH_AGENT_CGROUP_PARENT", &self.cgroup);
        command.env("BERTH_AGENT_IFACE_PREFIX", format!("t{letter}"));
        command.env("BERTH_AGENT_NFT_TABLE", format!("berth_t{letter}"));
        let id_base = ID_BASE + 0x0400_0000 * u32::try_from(self.number).expect("a few hosts");
        command.env("BERTH_AGENT_ID_BASE", id_base.to_string()).env("BERTH_LOG", "info");
        command
    }
}
