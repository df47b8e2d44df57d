//! From what went wrong on this machine to what the person who asked is told.

use std::io;

use berth_proto::VpsFault;

use super::cgroup::CgroupError;
use super::net::NetError;
use crate::host::Fault;

impl From<CgroupError> for VpsFault {
    fn from(error: CgroupError) -> Self {
        match error {
            CgroupError::NoController(_) => Self::terminal("kernel_feature_missing", error.to_string()),
            _ => Self::passing("start_failed", format!("limits cannot be set: {error}")),
        }
    }
}

impl From<NetError> for VpsFault {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Malformed(_) => Self::terminal("network_failed", error.to_string()),
            _ => Self::passing("network_failed", error.to_string()),
        }
    }
}

/// A fault that nobody but the operator can do something about.
pub(super) fn internal(what: &str, error: &io::Error) -> Fault {
    VpsFault::passing("internal", format!("{what}: {error}"))
}
