//! What operators let nobody do: values that their API, command line and database share.

use berth_proto::{BlockedPort, FirewallProtocol};

use crate::error::{Error, Result};

/// Blocked ports of one plan.
pub const MOST_PORTS: usize = 64;
/// Characters of a reason.
const LONGEST_REASON: usize = 500;
/// Resolvers of one location.
pub const MOST_RESOLVERS: usize = 3;

/// Reads `tcp/25` and the like, each once.
///
/// # Errors
/// When one is something else, or there are more than [`MOST_PORTS`].
pub fn parse_ports(field: &str, texts: &[String]) -> Result<Vec<BlockedPort>> {
    let mut ports = Vec::with_capacity(texts.len());
    for text in texts {
        ports.push(parse_port(text).ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            Error::invalid(
                field,
                format!("'{shown}' is not of the form tcp/25 or udp/53, with a port of 1 to 65535"),
            )
        })?);
    }
    ports.sort_unstable();
    ports.dedup();
    if ports.len() > MOST_PORTS {
        return Err(Error::invalid(field, format!("more than {MOST_PORTS} ports")));
    }
    Ok(ports)
}

fn parse_port(text: &str) -> Option<BlockedPort> {
    let (protocol, port) = text.split_once('/')?;
    let protocol = match protocol {
        "tcp" => FirewallProtocol::Tcp,
        "udp" => FirewallProtocol::Udp,
        _ => return None,
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port: u16 = port.parse().ok().filter(|port| digits && *port > 0)?;
    Some(BlockedPort { protocol, port })
}

/// A blocked port as [`parse_ports`] reads it.
#[must_use]
pub fn port_text(blocked: &BlockedPort) -> String {
    let protocol = if blocked.protocol == FirewallProtocol::Udp { "udp" } else { "tcp" };
    format!("{protocol}/{}", blocked.port)
}

/// Why a VPS is isolated: a line for its tenant.
///
/// # Errors
/// When it is empty, longer than 500 characters, or has control characters.
pub fn parse_reason(text: &str) -> Result<String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_REASON || text.chars().any(char::is_control) {
        let message = format!("must be a line of 1 to {LONGEST_REASON} characters; the tenant reads it");
        return Err(Error::invalid("reason", message));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_strictly() {
        let read =
            |texts: &[&str]| parse_ports("x", &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        let ports = read(&["udp/53", "tcp/25", "tcp/25"]).unwrap();
        assert_eq!(ports.iter().map(port_text).collect::<Vec<_>>(), ["tcp/25", "udp/53"]);
        for bad in [
            "",
            "25",
            "tcp",
            "tcp/",
            "tcp/0",
            "tcp/65536",
            "tcp/+25",
            "tcp/ 25",
            "icmp/1",
            "TCP/25",
            "tcp/25 } drop",
        ] {
            assert!(read(&[bad]).is_err(), "{bad}");
        }
        let many: Vec<String> = (1..=65).map(|port| format!("tcp/{port}")).collect();
        assert!(parse_ports("x", &many).is_err());
    }

    #[test]
    fn a_reason_is_a_line() {
        assert_eq!(parse_reason("  sends spam ").unwrap(), "sends spam");
        for bad in ["", "  ", "a\nb", "a\u{0}", &"x".repeat(501)] {
            assert!(parse_reason(bad).is_err(), "{bad:?}");
        }
    }
}
