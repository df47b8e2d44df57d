//! Who is asking, and whether they may.
//!
//! Three ways in: a browser session (cookie), a token of a project (tenant API) and a token without a project
//! (operators' API). Secrets that people choose are hashed with argon2id, off the async threads; secrets that we choose
//! are long and random and kept as SHA-256. Both are shown once, or never.

mod bearer;
pub mod passkey;
pub mod password;
pub mod provider;
pub mod rate;
pub mod root_password;
pub mod secret;
pub mod totp;

pub use bearer::{Operator, Tenant, tenant};
