//! Configuration of the control plane: parsed once, from flags and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _};
use ipnet::Ipv4Net;

/// What `berth-server` needs to know. Every command takes all of it, so that one environment file serves them all.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Postgres 15 or newer. Unset: a private cluster in the data directory.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true, help_heading = "Settings")]
    pub database_url: Option<String>,
    /// Where images and the embedded Postgres live.
    #[arg(
        long,
        env = "BERTH_DATA_DIR",
        default_value = "/var/lib/berth/server",
        global = true,
        help_heading = "Settings"
    )]
    pub data_dir: PathBuf,
    /// Listener 1: API and dashboard, HTTP.
    #[arg(
        long,
        env = "BERTH_LISTEN",
        default_value = "127.0.0.1:8080",
        global = true,
        help_heading = "Settings"
    )]
    pub listen: SocketAddr,
    /// Listener 2: agents, mutual TLS.
    #[arg(
        long,
        env = "BERTH_AGENT_LISTEN",
        default_value = "127.0.0.1:8443",
        global = true,
        help_heading = "Settings"
    )]
    pub agent_listen: SocketAddr,
    /// Names and addresses by which agents reach listener 2; they go into its certificate. Enrolment tokens name the
    /// first one.
    #[arg(
        long,
        env = "BERTH_AGENT_NAMES",
        value_delimiter = ',',
        default_value = "localhost,127.0.0.1",
        global = true,
        help_heading = "Settings"
    )]
    pub agent_names: Vec<String>,
    /// URL by which agents reach listener 2 of this very replica, for consoles that are opened here. Unset: the URL that
    /// each agent uses anyway, which is right for a single replica. Replicas behind one name each need one of their own.
    #[arg(long, env = "BERTH_AGENT_STREAM_URL", global = true, help_heading = "Settings")]
    pub agent_stream_url: Option<String>,
    /// The URL that browsers and API clients use, for links and the cookie's Secure flag.
    #[arg(
        long,
        env = "BERTH_URL",
        default_value = "http://127.0.0.1:8080",
        global = true,
        help_heading = "Settings"
    )]
    pub public_url: String,
    /// Requests per hour and project; 0 for no limit.
    #[arg(long, env = "BERTH_RATE_LIMIT", default_value_t = 3600, global = true, help_heading = "Settings")]
    pub rate_limit: u32,
    /// The mail server that mail leaves by: smtp://host:port (STARTTLS with ?tls=required), smtps://user:password@host. Unset:
    /// no mail leaves; links of invitations are shown, and nobody can sign up.
    #[arg(long, env = "BERTH_SMTP_URL", hide_env_values = true, global = true, help_heading = "Settings")]
    pub smtp_url: Option<String>,
    /// Whom mail comes from.
    #[arg(
        long,
        env = "BERTH_MAIL_FROM",
        default_value = "Berth <berth@localhost>",
        global = true,
        help_heading = "Settings"
    )]
    pub mail_from: String,
    /// A provider by which people can sign in besides (OpenID Connect): its issuer, https://…. Where it sends browsers back
    /// to is the public URL and /sign-in/provider/back.
    #[arg(long, env = "BERTH_OIDC_ISSUER", global = true, help_heading = "Settings")]
    pub oidc_issuer: Option<String>,
    /// What the provider knows this Berth as.
    #[arg(long, env = "BERTH_OIDC_CLIENT_ID", global = true, help_heading = "Settings")]
    pub oidc_client_id: Option<String>,
    /// The secret that the provider gave for it, if it did.
    #[arg(
        long,
        env = "BERTH_OIDC_CLIENT_SECRET",
        hide_env_values = true,
        global = true,
        help_heading = "Settings"
    )]
    pub oidc_client_secret: Option<String>,
    /// A file that holds that secret, instead.
    #[arg(long, env = "BERTH_OIDC_CLIENT_SECRET_FILE", global = true, help_heading = "Settings")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// What people know the provider as: "Sign in with …".
    #[arg(
        long,
        env = "BERTH_OIDC_NAME",
        default_value = "single sign-on",
        global = true,
        help_heading = "Settings"
    )]
    pub oidc_name: String,
    /// Networks beside the public internet that webhooks may reach, separated by commas.
    #[arg(
        long,
        env = "BERTH_WEBHOOK_NETWORKS",
        value_delimiter = ',',
        global = true,
        help_heading = "Settings"
    )]
    pub webhook_networks: Vec<ipnet::IpNet>,
    /// First start only: addresses for VPSes that leave their host by source NAT.
    #[arg(
        long,
        env = "BERTH_NAT_POOL",
        default_value_t = crate::first_start::DEFAULT_NAT_POOL,
        global = true,
        help_heading = "Settings"
    )]
    pub nat_pool: Ipv4Net,
    /// First start only: the address that the operator signs in with.
    #[arg(
        long,
        env = "BERTH_OPERATOR_EMAIL",
        default_value = "operator@berth.localhost",
        global = true,
        help_heading = "Settings"
    )]
    pub operator_email: String,
    /// First start only: also write the operator's address and password to this file (JSON, mode 0600).
    #[arg(long, env = "BERTH_FIRST_START_FILE", global = true, help_heading = "Settings")]
    pub first_start_file: Option<PathBuf>,
}

impl Default for Config {
    /// The defaults of the flags, whatever the environment says; tests set what matters to them.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Flags {
            #[command(flatten)]
            config: Config,
        }
        let command = Flags::command().mut_args(|arg| arg.env(clap::builder::Resettable::Reset));
        let matches = command.get_matches_from(["berth-server"]);
        Flags::from_arg_matches(&matches).expect("every flag is optional or has a default").config
    }
}

impl Config {
    /// [`Self::public_url`] without a slash at its end.
    #[must_use]
    pub fn base(&self) -> &str {
        self.public_url.trim_end_matches('/')
    }

    /// [`Self::public_url`] with the scheme of WebSockets.
    #[must_use]
    pub fn public_socket_url(&self) -> String {
        let url = self.base();
        match url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_valid() {
        let config = Config::default();
        assert_eq!(config.agent_names, ["localhost", "127.0.0.1"]);
        assert_eq!(config.nat_pool, crate::first_start::DEFAULT_NAT_POOL);
        assert_eq!(config.database_url, None);
        assert_eq!(config.agent_stream_url, None);
    }

    #[test]
    fn sockets_have_the_public_url_with_their_own_scheme() {
        let socket = |url: &str| Config { public_url: url.into(), ..Config::default() }.public_socket_url();
        assert_eq!(socket("http://127.0.0.1:8080"), "ws://127.0.0.1:8080");
        assert_eq!(socket("https://berth.example/"), "wss://berth.example");
    }
}
