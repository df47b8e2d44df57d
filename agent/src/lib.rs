//! Berth's agent: keeps one host as the control plane wants it.
//!
//! Level-triggered: `link` brings desired specs, `store` keeps them on disk, `plan` (pure) compares them with what is
//! there, `reconcile` runs the steps, `host` is the one seam to the machine: [`linux`] is the real one, [`sim`] the
//! simulated one. VPSes do not need the control plane, nor the agent process, to run.

pub mod agent;
pub mod backoff;
pub mod board;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod enrol;
pub mod failpoint;
pub mod host;
pub mod images;
pub mod link;
pub mod linux;
pub mod monitor;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod report;
pub mod sim;
pub mod stop_all;
pub mod store;
pub mod tasks;
#[cfg(test)]
mod testing;

/// This agent's version, as the control plane is told.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
