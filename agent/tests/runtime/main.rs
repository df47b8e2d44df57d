//! The runtime against the real kernel: guests are booted, disturbed and taken down, and nothing may be left.
//!
//! Needs root; says so and passes where it is not, except on CI. Each test is a world of its own ([`world`]), so they run
//! beside each other and beside a live agent.

#![expect(clippy::unwrap_used, reason = "in a test it fails the test, which is what should happen")]

mod archives;
mod boot;
mod console;
mod exec;
mod first_boot;
mod floods;
mod freeze;
mod hostile;
mod images;
mod inits;
mod inside;
mod life;
mod limits;
mod metadata;
mod outside;
mod shapes;
mod six;
mod small;
mod stops;
mod tiny;
mod traffic;
mod walls;
mod world;
