//! Berth's control plane.
//!
//! Stateless: everything that matters is in Postgres, any number of replicas may run, any replica answers any agent and
//! any browser. A request changes desired state in one transaction and returns; agents converge (`fleet/`).

#![forbid(unsafe_code)]

pub mod admin;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod config;
pub mod console;
pub mod db;
pub mod dns;
pub mod domain;
pub mod error;
pub mod failpoint;
pub mod first_start;
pub mod fleet;
pub mod ids;
pub mod images;
pub mod mail;
pub mod pages;
pub mod post;
pub mod postgres;
pub mod seats;
pub mod serve;
pub mod tasks;
pub mod wake;
