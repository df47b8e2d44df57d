//! What operators do: `/admin/v1` and `berth-server admin`.

pub mod cli;
