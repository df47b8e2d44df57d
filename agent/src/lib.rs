//! Berth's agent: keeps one host as the control plane wants it.
//!
//! Level-triggered: the line brings whole specs, never commands, and whatever is lost, late or repeated is repaired by
//! the next look. VPSes need neither the control plane nor the agent process to run.
//!
//! ```text
//!   control plane                                    this machine
//!        │  watch ┌────────┐      ┌────────────────┐      ┌──────┐
//!        ├───────▶│        │─────▶│ a worker for   │─────▶│ host │ linux: the real one
//!        │        │ board  │      │ every VPS      │      │      │ sim:   in memory
//!        │◀───────│        │◀─────│ look plan do   │◀─────│      │
//!        │ report └────────┘      └───────┬────────┘      └──────┘
//!                                         │
//!                                 store: spec.json, record.json
//! ```
//!
//! * [`agent`] puts the parts together; [`cli`] and [`config`] are the commands around it.
//! * [`link`], [`enrol`], [`images`]: the line to the control plane, who we are on it, and what is fetched by it.
//! * [`board`]: where the line and the workers meet. [`report`]: what is said of a VPS (pure).
//! * [`plan`] and [`record`]: what to do next, and what must be remembered for that (pure).
//! * [`reconcile`]: runs the plans, and is the only place that retries, with the waits of [`backoff`].
//! * [`streams`]: consoles, programs and files, which the control plane asks for and the agent opens. [`frames`]: a
//!   program's bytes between agent and monitor.
//! * [`store`]: what is on disk. [`host`]: the one seam to the machine, with [`linux`] and [`sim`] behind it.
//! * [`monitor`]: the other program, parent of one VPS. [`doctor`]: what the machine lacks. [`failpoint`]: where tests
//!   kill us.

pub mod agent;
pub mod backoff;
pub mod board;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod enrol;
mod ext4;
pub mod failpoint;
pub mod frames;
pub mod host;
pub mod images;
pub mod link;
pub mod linux;
pub mod metadata;
pub mod monitor;
pub mod plan;
pub mod reconcile;
pub mod record;
pub mod report;
pub mod sim;
pub mod stop_all;
pub mod store;
pub mod streams;
pub mod tasks;
#[cfg(test)]
mod testing;

/// This agent's version, as the control plane is told.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
