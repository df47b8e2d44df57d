//! `berth-agent`: see `berth_agent::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(&e.into()),
    };
    let code = runtime.block_on(Box::pin(berth_agent::cli::main()));
    runtime.shutdown_timeout(berth_agent::cli::LAST_PATIENCE);
    code.unwrap_or_else(|e| failed(&e))
}

fn failed(e: &anyhow::Error) -> ExitCode {
    eprintln!("berth-agent: {e:#}");
    ExitCode::FAILURE
}
