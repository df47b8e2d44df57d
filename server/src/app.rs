//! The state that every handler shares.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::Notify;

use crate::auth::passkey::RelyingParty;
use crate::auth::password::Hasher;
use crate::auth::provider::Provider;
use crate::auth::rate::RateLimits;
use crate::config::Config;
use crate::console::Consoles;
use crate::mail::Mailer;
use crate::post::Poster;
use crate::seats::Seats;
use crate::wake::Wake;

/// Shared by both listeners and the background tasks; cheap to clone.
#[derive(Clone, Debug)]
pub struct App {
    /// The inventory.
    pub db: PgPool,
    /// Configuration, parsed once.
    pub config: Arc<Config>,
    /// Wakes watchers and event streams after a commit.
    pub wake: Wake,
    /// Hashes and verifies passwords of people.
    pub passwords: Hasher,
    /// What this Berth is to passkeys, or why it has none.
    pub passkeys: Arc<Result<RelyingParty, String>>,
    /// Where people can sign in besides, if an operator named it.
    pub provider: Option<Provider>,
    /// How mail leaves, if it does.
    pub mailer: Option<Mailer>,
    /// Posts to webhooks.
    pub poster: Poster,
    /// Counts requests by project.
    pub rate: RateLimits,
    /// Consoles that are open at this replica.
    pub consoles: Consoles,
    /// Counts event streams that are open at this replica.
    pub seats: Seats,
    /// Wakes the task that tells name servers.
    pub names: Arc<Notify>,
}

impl App {
    /// Puts the state together; there is one a process.
    ///
    /// # Errors
    /// When the settings of mail are none.
    pub fn new(db: PgPool, config: Config) -> anyhow::Result<Self> {
        let rate = RateLimits::new(config.rate_limit);
        let mailer = Mailer::new(&config)?;
        let poster = Poster::new(&config.webhook_networks)?;
        let provider = Provider::new(&config)?;
        let passkeys = Arc::new(RelyingParty::new(config.base()));
        Ok(Self {
            db,
            config: Arc::new(config),
            wake: Wake::default(),
            passwords: Hasher::default(),
            passkeys,
            provider,
            mailer,
            poster,
            rate,
            consoles: Consoles::default(),
            seats: Seats::default(),
            names: Arc::default(),
        })
    }
}
