//! Configuration of the control plane: parsed once, from flags and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `berth-server serve` needs to know.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Postgres 15 or newer. Unset: a private cluster in the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where images and the embedded Postgres live.
    #[arg(long, env = "BERTH_DATA_DIR", default_value = "/var/lib/berth/server")]
    pub data_dir: PathBuf,
    /// Listener 1: API and dashboard, HTTP.
    #[arg(long, env = "BERTH_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Listener 2: agents, mutual TLS.
    #[arg(long, env = "BERTH_AGENT_LISTEN", default_value = "127.0.0.1:8443")]
    pub agent_listen: SocketAddr,
    /// Names and addresses by which agents reach listener 2; they go into its certificate.
    #[arg(long, env = "BERTH_AGENT_NAMES", value_delimiter = ',', default_value = "localhost,127.0.0.1")]
    pub agent_names: Vec<String>,
    /// The URL that browsers and API clients use, for links and the cookie's Secure flag.
    #[arg(long, env = "BERTH_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
    /// Requests per hour and project; 0 for no limit.
    #[arg(long, env = "BERTH_RATE_LIMIT", default_value_t = 3600)]
    pub rate_limit: u32,
}
