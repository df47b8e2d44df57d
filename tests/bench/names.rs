//! Names of what is measured of both systems, so that the figures stand beside each other.

pub(crate) const CREATED: &str = "create: request -> done";
pub(crate) const CREATED_SSH: &str = "create: request -> ssh answers";
pub(crate) const REBOOTED_SSH: &str = "reboot: request -> ssh answers";
pub(crate) const STOPPED: &str = "stop (asked): request -> off";
pub(crate) const STARTED: &str = "start: request -> done";
pub(crate) const STARTED_SSH: &str = "start: request -> ssh answers";
pub(crate) const DELETED: &str = "delete a running one: request -> gone";
pub(crate) const BURST: &str = "burst of 20: first request -> last done";
pub(crate) const BURST_SSH: &str = "burst of 20: first request -> last ssh";
