//! The only place with SQL: a file a resource, each function takes the owner.
//!
//! # Rules
//!
//! * What belongs to a project is only found through its project's id; there is no function that finds it by its own id
//!   alone, except those for agents' reports and operators.
//! * Races are decided by constraints and row locks, never by look-then-write; constraint names are translated to errors.
//! * **Lock order: project row (where firewalls or quotas matter), network rows (by id), host row, then VPS row (by id), then
//!   addresses (which stand for their primary IPs too), their names, and actions.** Every transaction that changes a VPS
//!   takes its host's row first, because it raises `hosts.seq`; reports do the same. Whoever keeps to this cannot
//!   deadlock.
//! * Functions that change what a host should hold take the whole [`App`](crate::app::App), because they wake the host
//!   after the commit. Functions that take a [`Tx`] are steps of somebody else's transaction, who commits and wakes.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};

use crate::audit::{forget, tell};

pub mod accounts;
pub mod acting;
pub mod actions;
pub mod addresses;
pub mod announcements;
pub mod audit;
pub mod closing;
pub mod console;
pub mod directory;
pub mod enrol;
pub mod events;
pub mod export;
pub mod factors;
pub mod feed;
pub mod firewalls;
pub mod floating_ips;
pub mod gateways;
pub mod grants;
pub mod graphs;
pub mod hosts;
pub mod identities;
pub mod images;
pub mod ladder;
pub mod locations;
pub mod mails;
pub mod members;
pub mod networks;
pub mod page;
pub mod passkeys;
pub mod plans;
pub mod policies;
pub mod pools;
pub mod ports;
pub mod primary_ips;
pub mod projects;
pub mod quotas;
pub mod report;
pub mod reverse;
pub mod samples;
mod selector;
mod serving;
pub mod sessions;
pub mod settings;
pub mod ssh_keys;
pub mod streams;
pub mod sums;
pub mod suspension;
pub mod tokens;
pub mod top;
pub mod traffic;
pub mod trouble;
pub mod users;
pub mod vps;
pub mod watch;
pub mod webhooks;

/// A transaction of somebody else.
pub type Tx = Transaction<'static, Postgres>;

/// Opens a pool. No statement may take longer than half a minute, and no transaction may sit idle: one stuck request must
/// not hold a host's row for ever. Nothing is compiled by Postgres: that takes seconds, for queries that take milliseconds.
pub async fn connect(url: &str) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(url)
        .context("the database URL")?
        .application_name("berth-server")
        .options([
            ("statement_timeout", "30s"),
            ("lock_timeout", "15s"),
            ("idle_in_transaction_session_timeout", "60s"),
            ("jit", "off"),
        ]);
    PgPoolOptions::new()
        .max_connections(20)
        .acquire_timeout(Duration::from_secs(10))
        .after_connect(|connection, _| Box::pin(tell(connection)))
        .before_acquire(|connection, _| Box::pin(async { tell(connection).await.map(|()| true) }))
        .after_release(|connection, _| Box::pin(async { forget(connection).await.map(|()| true) }))
        .connect_with(options)
        .await
        .context("connecting to Postgres")
}

/// Brings the schema up to date. Safe to run from many processes at once: sqlx holds an advisory lock meanwhile.
pub async fn migrate(db: &PgPool) -> anyhow::Result<()> {
    let mut connection = db.acquire().await.context("connecting to Postgres")?;
    sqlx::query("set statement_timeout = 0").execute(&mut *connection).await?;
    sqlx::query("set lock_timeout = 0").execute(&mut *connection).await?;
    let done = sqlx::migrate!("../migrations").run(&mut *connection).await.context("migrating the database");
    connection.close().await?; // its settings are not those of the pool
    done
}
