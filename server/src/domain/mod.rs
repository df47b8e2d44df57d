//! Decisions and values that need no database and no transport: parsing, placement, what a state is called.
//!
//! Everything here is a pure function or a validated value whose only constructor is `parse`; all faces (API, pages,
//! operators' API and CLI) and the SQL in `db/` use the same ones.

pub mod acting;
pub mod amount;
pub mod announcement;
pub mod bgp;
pub mod console;
pub mod family;
pub mod firewall;
pub mod grants;
pub mod guard;
pub mod headroom;
pub mod ip_names;
pub mod labels;
pub mod life;
pub mod limits;
pub mod names;
pub mod network;
pub mod placement;
pub mod ports;
pub mod power;
pub mod price;
pub mod quota;
pub mod reach;
pub mod reverse;
pub mod roles;
pub mod scopes;
pub mod selector;
pub mod ssh;
pub mod status;
pub mod traffic;
pub mod webhook;
