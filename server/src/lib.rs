//! Berth's control plane.
//!
//! Stateless: everything that matters is in Postgres, any number of replicas may run, any replica answers any agent and
//! any browser. A request changes desired state in one transaction and returns; agents converge (`fleet/`).

#![forbid(unsafe_code)]

pub mod app;
pub mod config;
pub mod error;
pub mod images;
pub mod postgres;
pub mod tasks;
pub mod wake;
