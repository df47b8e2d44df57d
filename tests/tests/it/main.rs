//! The control plane against simulated hosts: a real server, a real Postgres, the real protocol between them.
mod harness; // the harness itself
