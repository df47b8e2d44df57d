//! Ports of hosts that VPSes with private addresses are reached by: which of them a pool may give out.
//!
//! A host's own programs listen on some, and its own connections, and those of guests that leave by it, come from others.
//! The kernel never gives one connection's packets to another, so overlapping with the latter breaks nothing that stands;
//! but a program of the host that waits for answers without a connection (some resolvers do) may miss them.

use std::fmt;

use crate::error::{Error, Result};

/// Ports that only the host's own programs have.
const LOWEST: u16 = 1024;
/// From which ports of their own programs connect, unless the machine's `ip_local_port_range` says otherwise.
const EPHEMERAL: (u16, u16) = (32_768, 60_999);
/// By which hosts exchange packets of private networks, encrypted and in clear.
const AMONG_HOSTS: [u16; 2] = [4788, 4789];
/// What a VPS gets where the operator says nothing.
pub const PER_VPS: u16 = 20;

/// Which ports of each host a pool gives out, and how many in a row a VPS gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPlan {
    first: u16,
    last: u16,
    per_vps: u16,
}

impl PortPlan {
    /// Reads `10000-29999`. `own` are ports of the control plane, which may run on a host itself; with `force` these, and
    /// those that programs connect from, are given out all the same.
    ///
    /// # Errors
    /// `invalid_input` for `ports` or `ports_per_vps`; the text says what to do.
    pub fn parse(text: &str, per_vps: u16, own: &[u16], force: bool) -> Result<Self> {
        let invalid = |why: String| Err(Error::invalid("ports", why));
        let ends = text.split_once('-').and_then(|(first, last)| Some((port(first)?, port(last)?)));
        let Some((first, last)) = ends.filter(|(first, last)| first <= last) else {
            return invalid("must be a range of ports, such as 10000-29999".into());
        };
        let plan = Self { first, last, per_vps };
        if per_vps == 0 || u32::from(per_vps) > plan.size() {
            let why = format!("must be from 1 to the {} ports that there are", plan.size());
            return Err(Error::invalid("ports_per_vps", why));
        }
        if first < LOWEST {
            return invalid(format!("ports below {LOWEST} are for the hosts' own programs, such as SSH's"));
        }
        if let Some(port) = AMONG_HOSTS.iter().find(|port| plan.has(**port)) {
            return invalid(format!("hosts exchange packets of private networks by port {port}"));
        }
        if force {
            return Ok(plan);
        }
        if first <= EPHEMERAL.1 && last >= EPHEMERAL.0 {
            let (from, to) = EPHEMERAL;
            return invalid(format!(
                "hosts' own connections come from ports {from} to {to}: choose others, or force it if hosts have another \
                 net.ipv4.ip_local_port_range"
            ));
        }
        if let Some(own) = own.iter().find(|own| plan.has(**own)) {
            return invalid(format!(
                "the control plane listens on port {own}: choose others, or force it if it runs on no host"
            ));
        }
        Ok(plan)
    }

    /// The first port.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The last port.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.last
    }

    /// Ports that a VPS gets.
    #[must_use]
    pub fn per_vps(&self) -> u16 {
        self.per_vps
    }

    fn size(&self) -> u32 {
        u32::from(self.last - self.first) + 1
    }

    fn has(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl fmt::Display for PortPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Digits only: `u16` would read `+7` too.
fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_strictly() {
        let plan = PortPlan::parse("10000-29999", 20, &[8080, 0], false).unwrap();
        assert_eq!(
            (plan.first(), plan.last(), plan.per_vps(), plan.to_string()),
            (10_000, 29_999, 20, "10000-29999".into())
        );
        assert!(PortPlan::parse("61000-65535", 4536, &[], false).is_ok(), "all of it for one");
        assert!(PortPlan::parse("1024-1024", 1, &[], false).is_ok());
        for (text, per_vps, field, why) in [
            ("", 1, "ports", "such as"),
            ("10000", 1, "ports", "such as"),
            ("10000-", 1, "ports", "such as"),
            ("+10000-10001", 1, "ports", "such as"),
            ("10000-70000", 1, "ports", "such as"),
            ("10001-10000", 1, "ports", "such as"),
            ("10000-10009", 0, "ports_per_vps", "from 1"),
            ("10000-10009", 11, "ports_per_vps", "the 10 ports"),
            ("22-10009", 1, "ports", "below 1024"),
            ("0-65535", 1, "ports", "below 1024"),
            ("4789-5000", 1, "ports", "4789"),
            ("10000-32768", 1, "ports", "ip_local_port_range"),
            ("60999-61010", 1, "ports", "ip_local_port_range"),
            ("8000-9000", 1, "ports", "8443"),
        ] {
            let refused = PortPlan::parse(text, per_vps, &[8443], false);
            let Err(Error::InvalidInput { field: named, message }) = refused else {
                panic!("{text} is taken")
            };
            assert!(named == field && message.contains(why), "{text}: {named}: {message}");
        }
    }

    #[test]
    fn force_takes_what_is_only_unwise() {
        for (text, taken) in
            [("10000-40000", true), ("8000-9000", true), ("1000-2000", false), ("4700-4800", false)]
        {
            assert_eq!(PortPlan::parse(text, 20, &[8443], true).is_ok(), taken, "{text}");
        }
    }
}
