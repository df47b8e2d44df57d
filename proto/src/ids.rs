//! Identifiers. 64-bit integers, because clients of the hcloud API need that; newtypes, so that they cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// A VPS. Positive; never reused, also not after deletion.
    VpsId
);
id!(
    /// A host that runs VPSes.
    HostId
);
id!(
    /// An image (template) that VPSes start from.
    ImageId
);
id!(
    /// A private network. Never reused, also not after deletion.
    NetworkId
);
