//! The two families of public addresses. Of IPv4 a project holds single addresses; of IPv6 it holds a /64 each, of which
//! the first host address is configured in the guest and all others are the guest's to use.

use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use crate::error::{Error, Result};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address or network.
    #[must_use]
    pub fn of(net: IpNet) -> Self {
        match net {
            IpNet::V4(_) => Self::V4,
            IpNet::V6(_) => Self::V6,
        }
    }

    /// Its number, as `family()` of Postgres says it.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Its name in the hcloud API.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// Reads the hcloud API's name; the field of a wrong one is `type`.
    pub fn parse(code: &str) -> Result<Self> {
        let both = [Self::V4, Self::V6];
        let found = both.into_iter().find(|family| family.code() == code);
        found.ok_or_else(|| Error::invalid("type", "must be 'ipv4' or 'ipv6'"))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// What a project can hold that has this address in it: the address itself, or its /64.
#[must_use]
pub fn holding(ip: IpAddr) -> IpNet {
    match ip {
        IpAddr::V4(_) => ip.into(),
        IpAddr::V6(ip) => Ipv6Net::new_assert(ip, 64).trunc().into(),
    }
}

/// An address or a /64 as clients see it: `192.0.2.7`, `2001:db8::/64`.
#[must_use]
pub fn shown(net: IpNet) -> String {
    match net {
        IpNet::V4(net) => net.addr().to_string(),
        IpNet::V6(net) => net.to_string(),
    }
}

/// Reads an address, or a /64 as [`shown`] writes it; gives what a project can hold of it.
pub fn parse_held(field: &str, text: &str) -> Result<IpNet> {
    let address = text.strip_suffix("/64").filter(|rest| rest.contains(':')).unwrap_or(text);
    let ip = address.parse().map_err(|_| Error::invalid(field, "must be an address such as 192.0.2.7"))?;
    Ok(holding(ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for (text, held) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:db8:0:7::/64", "2001:db8:0:7::/64"),
            ("2001:db8:0:7::", "2001:db8:0:7::/64"),
            ("2001:db8:0:7::5", "2001:db8:0:7::/64"),
        ] {
            assert_eq!(shown(parse_held("ip", text).unwrap()), held, "{text}");
        }
        for wrong in ["", "ten", "192.0.2.7/64", "192.0.2.0/24", "2001:db8::/48", "::1/64/64"] {
            assert!(parse_held("ip", wrong).is_err(), "{wrong}");
        }
        assert_eq!(Family::parse("ipv6").unwrap(), Family::V6);
        assert!(Family::parse("IPv6").is_err());
    }
}
