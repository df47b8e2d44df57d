//! Ports of a host's own address that lead to a guest with a private one.

use serde::{Deserialize, Serialize};

/// A range of ports, both ends included. TCP to the first one leads to port 22 of the guest; everything else, of TCP and
/// UDP, to the guest's port of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// The first port, which leads to the guest's SSH.
    pub first: u16,
    /// The last port, not below the first.
    pub last: u16,
}

#[cfg(test)]
mod tests {
    use crate::NetSpec;

    #[test]
    fn what_an_older_server_says_is_understood() {
        let spec: NetSpec = serde_json::from_str(r#"{"mac": "02:00:00:00:00:01"}"#).unwrap();
        assert_eq!(spec.ports, None);
        assert!(
            !serde_json::to_string(&spec).unwrap().contains("\"ports\""),
            "nor is an older agent told of any"
        );
    }
}
