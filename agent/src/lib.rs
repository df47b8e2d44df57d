//! Berth's agent: keeps one host as the control plane wants it.
//!
//! Level-triggered: `link` brings desired specs, `store` keeps them on disk, `plan` (pure) compares them with what is
//! there, `reconcile` runs the steps, `host` is the one seam to the machine: [`linux`] is the real one, [`sim`] the
//! simulated one. VPSes do not need the control plane, nor the agent process, to run.

pub mod doctor;
pub mod failpoint;
pub mod host;
pub mod linux;
pub mod monitor;
pub mod plan;
pub mod record;
pub mod store;
#[cfg(test)]
mod testing;
