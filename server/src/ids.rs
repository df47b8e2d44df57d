//! Typed ids of the inventory's rows. 64-bit integers, because clients of the hcloud API need that; newtypes, so that a
//! project's id is never taken for a user's. Those that travel to agents live in `berth_proto`.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use berth_proto::{HostId, ImageId, NetworkId, VpsId};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl From<i64> for $name {
            fn from(id: i64) -> Self {
                Self(id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A tenant's project: owner of VPSes, keys, tokens and actions.
    ProjectId
);
id!(
    /// Somebody who signs in to the dashboard.
    UserId
);
id!(
    /// An API token.
    TokenId
);
id!(
    /// A webhook of a project.
    WebhookId
);
id!(
    /// An SSH key of a project.
    SshKeyId
);
id!(
    /// A location.
    LocationId
);
id!(
    /// A data centre of a location.
    DatacenterId
);
id!(
    /// A plan ("server type").
    PlanId
);
id!(
    /// An action.
    ActionId
);
id!(
    /// A firewall of a project.
    FirewallId
);
id!(
    /// A primary IP of a project.
    PrimaryIpId
);
id!(
    /// A floating IP of a project.
    FloatingIpId
);
