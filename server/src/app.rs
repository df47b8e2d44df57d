//! The state that every handler shares.

use std::sync::Arc;

use sqlx::PgPool;

use crate::config::Config;
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
}
