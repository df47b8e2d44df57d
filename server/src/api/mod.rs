//! The tenant API, compatible with the hcloud API v1.

mod envelope;
