//! stub
use crate::config::Config;
/// Operators' commands.
#[derive(Debug, clap::Args)]
pub struct Admin {}
/// Runs one.
pub async fn run(_config: &Config, _admin: Admin) -> anyhow::Result<()> {
    Ok(())
}
