//! `berth-server`: `serve` runs the control plane, `migrate` brings a database up to date, `admin` is the operators' API
//! as commands.

#![forbid(unsafe_code)]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use berth_server::config::Config;
use berth_server::{admin, serve};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(clap::Parser)]
#[command(name = "berth-server", version, about = "Berth's control plane")]
struct Cli {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, for the time of the program")]
enum Command {
    /// Run the control plane.
    Serve,
    /// Bring the database's schema up to date, and leave.
    Migrate,
    /// What operators do: the commands of the operators' API, directly on the database.
    Admin(admin::cli::Admin),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = !matches!(cli.command, Command::Serve);
    log(if quiet { "warn,sqlx=error" } else { "info,sqlx=warn,sqlx::postgres::notice=error" });
    let done = match cli.command {
        Command::Serve => run(cli.config).await,
        Command::Migrate => migrate(&cli.config).await,
        Command::Admin(command) => admin::cli::run(&cli.config, command).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to stderr; `RUST_LOG` chooses, and JSON is written unless somebody is looking.
fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() { log.init() } else { log.json().init() }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = tokio::select! {
        server = serve::start(config) => server?,
        _ = term.recv() => return Ok(()),
        _ = int.recv() => return Ok(()),
    };
    if let Some(first) = &server.first_start {
        println!("First start. Sign in at {} as the operator:", server.app.config.public_url);
        println!("  e-mail    {}", first.email);
        println!("  password  {}", first.password);
        println!("The password is shown only this once.");
    }
    tracing::info!(api = %server.api_addr, agents = %server.agent_addr, "berth-server is ready");
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("berth-server stops");
    server.stop().await;
    Ok(())
}

async fn migrate(config: &Config) -> anyhow::Result<()> {
    let (app, postgres) = serve::open(config, true).await?;
    serve::close(Some(&app), postgres).await;
    println!("The database is up to date.");
    Ok(())
}
