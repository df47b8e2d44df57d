//! The commands of `berth-agent`.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use berth_proto::EnrolToken;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::agent::{self, Agent, AgentConfig};
use crate::config::{HostArgs, tokens};
use crate::doctor::{self, Check};
use crate::enrol;
use crate::host::Host as _;
use crate::link::tls;
use crate::linux::net::answer_neighbours;
use crate::linux::{LinuxConfig, LinuxHost};
use crate::sim::{Behaviour, SimHost};
use crate::stop_all;

/// Berth's host agent.
#[derive(Debug, Parser)]
#[command(name = "berth-agent", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look after this host's VPSes.
    Run(Box<Run>),
    /// Make this machine a host of a control plane, with a one-time token.
    Enrol(Box<Enrol>),
    /// Shut every VPS down as at the end of the machine; the next agent starts them again. Needs the agent stopped.
    StopAll(Box<StopAll>),
    /// Say what this machine has and lacks for VPSes, and what that costs.
    Doctor(Box<Doctor>),
    /// Answer neighbours' questions for guests' IPv6 addresses. The agent starts this by itself.
    #[command(hide = true)]
    AnswerNeighbours {
        /// Where it is told for which.
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Run {
    /// Enrol first, if this host has no certificate yet.
    #[arg(long, env = "BERTH_ENROL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    enrol_token: Option<EnrolToken>,
    /// The control plane's URL for agents, when it is not that of the token any more.
    #[arg(long, env = "BERTH_AGENT_SERVER_URL", value_name = "URL")]
    server_url: Option<String>,
    /// Be this many simulated hosts instead of a real one; their state goes to <state-dir>/1, /2, …
    #[arg(long, value_name = "N")]
    simulate: Option<usize>,
    /// One enrolment token per line, for the simulated hosts.
    #[arg(long, requires = "simulate", value_name = "FILE")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct Enrol {
    /// What the operator got from `berth-server admin hosts token`.
    #[arg(long, env = "BERTH_ENROL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: EnrolToken,
    /// Also when this host is enrolled already; its old certificate ends then.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct StopAll {
    /// Seconds that a VPS may take to shut down before it is killed.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Args)]
struct Doctor {
    /// For programs.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Runs what the command line says. Installs the process's TLS provider and log.
pub async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    tls::install_provider();
    log();
    match cli.command {
        Command::Run(run) => match run.simulate {
            Some(hosts) => simulate(*run, hosts).await,
            None => real(*run).await,
        },
        Command::Enrol(enrol) => enrol_host(*enrol).await,
        Command::StopAll(stop) => stop_guests(*stop).await,
        Command::Doctor(doctor) => examine(*doctor).await,
        Command::AnswerNeighbours { dir } => {
            answer_neighbours(&dir)
                .await
                .with_context(|| format!("answering neighbours in {}", dir.display()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// To stderr; `RUST_LOG` chooses, and JSON is written unless somebody is looking.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().init() }
}

async fn real(run: Run) -> anyhow::Result<ExitCode> {
    let settings = run.host.settings()?;
    settings.validate()?;
    let config = AgentConfig {
        enrol_token: run.enrol_token,
        server_url: run.server_url,
        start_parallelism: parallelism(&settings),
        ..AgentConfig::new(settings.state_dir.clone())
    };
    let host = LinuxHost::new(settings).await;
    let host = Arc::new(host.map_err(|fault| anyhow::anyhow!("{}: {}", fault.code, fault.message))?);
    for lack in host.facts().await.missing {
        let (feature, consequence) = (&lack.feature, &lack.consequence);
        if lack.fatal {
            tracing::error!(feature, consequence, "this host cannot run VPSes; see `berth-agent doctor`");
        } else {
            tracing::warn!(feature, consequence, "this host lacks something; see `berth-agent doctor`");
        }
    }
    let agent = Agent::start(config, host.clone()).await?;
    asked_to_stop().await?;
    agent.stop().await;
    host.count_traffic().await; // what passed until now is on disk, whatever becomes of the machine
    if let Err(fault) = host.shutdown_support().await {
        tracing::info!(why = fault.message, "what serves all VPSes stays");
    }
    Ok(ExitCode::SUCCESS)
}

fn parallelism(settings: &LinuxConfig) -> usize {
    let asked = settings.start_parallelism.and_then(|n| usize::try_from(n.get()).ok());
    asked.unwrap_or_else(agent::start_parallelism)
}

async fn simulate(run: Run, hosts: usize) -> anyhow::Result<ExitCode> {
    let settings = run.host.settings()?;
    let tokens = run.tokens.as_deref().map(tokens).transpose()?.unwrap_or_default();
    let mut agents = Vec::with_capacity(hosts);
    for n in 1..=hosts {
        let config = AgentConfig {
            enrol_token: tokens.get(n - 1).cloned(),
            server_url: run.server_url.clone(),
            start_parallelism: parallelism(&settings),
            ..AgentConfig::new(settings.state_dir.join(n.to_string()))
        };
        let host = Arc::new(SimHost::new(Behaviour::default()));
        let agent = Agent::start(config, host).await;
        agents.push(agent.with_context(|| format!("simulated host {n}"))?);
    }
    tracing::info!(hosts, "all simulated hosts run");
    asked_to_stop().await?;
    for agent in agents {
        agent.stop().await;
    }
    Ok(ExitCode::SUCCESS)
}

async fn enrol_host(enrol: Enrol) -> anyhow::Result<ExitCode> {
    let state_dir = enrol.host.settings()?.state_dir;
    if let Some(identity) = enrol::load(&state_dir)?
        && !enrol.again
    {
        bail!(
            "this machine is enrolled already, as host {}; to replace that, add --again",
            identity.host_name
        );
    }
    let identity = enrol::enrol(&state_dir, &enrol.token).await?;
    println!("enrolled as host {} ({}) of {}", identity.host_name, identity.host_id, identity.url);
    Ok(ExitCode::SUCCESS)
}

async fn stop_guests(stop: StopAll) -> anyhow::Result<ExitCode> {
    let settings = stop.host.settings()?;
    settings.validate()?;
    let state_dir = settings.state_dir.clone();
    let host = LinuxHost::new(settings).await;
    let host = Arc::new(host.map_err(|fault| anyhow::anyhow!("{}: {}", fault.code, fault.message))?);
    let stopped = stop_all::stop_all(&state_dir, &host, Duration::from_secs(stop.patience)).await;
    let stopped = stopped.with_context(|| format!("stopping the VPSes of {}", state_dir.display()))?;
    println!("shut down: {}, killed: {}", stopped.asked.len(), stopped.killed.len());
    for (id, why) in &stopped.failed {
        eprintln!("error: VPS {id}: {why}");
    }
    let support = host.shutdown_support().await;
    if let Err(fault) = &support {
        eprintln!("error: what serves all VPSes stays: {}", fault.message);
    }
    let clean = stopped.failed.is_empty() && support.is_ok();
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn examine(doctor: Doctor) -> anyhow::Result<ExitCode> {
    let settings = doctor.host.settings()?;
    let checks = doctor::examine(&settings).await;
    let fatal = checks.iter().any(|check| check.fatal && !check.ok);
    if doctor.json {
        println!("{}", serde_json::to_string_pretty(&checks.iter().map(as_json).collect::<Vec<_>>())?);
    } else {
        print!("{}", table(&checks));
    }
    Ok(if fatal { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_json(check: &Check) -> serde_json::Value {
    serde_json::json!({
        "feature": check.feature,
        "ok": check.ok,
        "detail": check.detail,
        "consequence": check.consequence,
        "fatal": check.fatal,
    })
}

/// One line a check, and below a lack what it costs.
fn table(checks: &[Check]) -> String {
    let width = checks.iter().map(|c| c.feature.len()).max().unwrap_or_default();
    let mut out = String::new();
    for check in checks {
        let verdict = match (check.ok, check.fatal) {
            (true, _) => "ok   ",
            (false, false) => "lacks",
            (false, true) => "FATAL",
        };
        out += &format!("{verdict}  {:width$}  {}\n", check.feature, check.detail);
        if !check.ok {
            out += &format!("       {:width$}  → {}\n", "", check.consequence);
        }
    }
    let fatal = checks.iter().filter(|c| !c.ok && c.fatal).count();
    out += match fatal {
        0 => "\nThis machine can run VPSes.\n",
        _ => "\nThis machine cannot run VPSes until what is marked FATAL is there.\n",
    };
    out
}

async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
    tracing::info!("the agent stops; VPSes go on");
    Ok(())
}

/// How long the runtime waits for threads that block when the process ends. What matters has been waited for before.
pub const LAST_PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_well_formed() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
        assert!(
            Cli::try_parse_from(["berth-agent", "run", "--tokens", "x"]).is_err(),
            "--tokens needs --simulate"
        );
        assert!(Cli::try_parse_from(["berth-agent", "enrol", "--token", "nonsense"]).is_err());
    }

    #[test]
    fn the_doctor_says_what_a_lack_costs() {
        let check = |feature, ok, fatal| Check {
            feature,
            ok,
            detail: "6.18".into(),
            consequence: "no private networks between hosts",
            fatal,
        };
        let fine = table(&[check("kernel", true, true), check("wireguard", false, false)]);
        assert!(fine.contains("ok     kernel") && fine.contains("→ no private networks"), "{fine}");
        assert!(fine.ends_with("This machine can run VPSes.\n"), "{fine}");
        let bad = table(&[check("loop", false, true)]);
        assert!(bad.contains("FATAL  loop") && bad.contains("cannot run VPSes"), "{bad}");
    }
}
