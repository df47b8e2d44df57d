//! How far a token reaches: what it may do, until when, and from where.

use std::net::IpAddr;

use chrono::{DateTime, SecondsFormat, Utc};
use ipnet::IpNet;

use super::scopes::Scopes;
use crate::error::{Error, Result};

/// Networks that one token is taken from.
const MOST_SOURCES: usize = 32;

/// The bounds of a token; by itself there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// What it may do; none: what it says itself, reading or reading and writing.
    pub scopes: Option<Scopes>,
    /// Until when it is good.
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it may be used from; none: from anywhere.
    pub sources: Vec<IpNet>,
}

impl Reach {
    /// Whether it is good now, for somebody who comes from there. The right token at the wrong place is told so, but not
    /// which places would be right.
    ///
    /// # Errors
    /// `unauthorized` when its time is over, `forbidden` when it is used elsewhere, or it is not known where.
    pub fn check(&self, now: DateTime<Utc>, from: Option<IpAddr>) -> Result<()> {
        if let Some(end) = self.expires_at.filter(|end| *end <= now) {
            let end = end.to_rfc3339_opts(SecondsFormat::Secs, true);
            return Err(Error::TokenOver(format!("the token was good until {end}; make another one")));
        }
        if self.sources.is_empty() {
            return Ok(());
        }
        let from = from.map(|ip| ip.to_canonical());
        match from {
            Some(ip) if self.sources.iter().any(|net| net.contains(&ip)) => Ok(()),
            Some(ip) => Err(Error::Forbidden(format!("the token may not be used from {ip}"))),
            None => Err(Error::Forbidden("the token may not be used from here".into())),
        }
    }
}

/// Reads networks and single addresses, each once.
///
/// # Errors
/// When one is something else or has bits beyond its prefix, or there are too many; the error names `field`.
pub fn parse_sources<T: AsRef<str>>(field: &str, texts: &[T]) -> Result<Vec<IpNet>> {
    let mut all = Vec::new();
    for text in texts {
        let text = text.as_ref().trim();
        let net =
            text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
                let shown: String = text.chars().take(50).collect();
                Error::invalid(
                    field,
                    format!("'{shown}' is neither an address nor a network such as 192.0.2.0/24"),
                )
            })?;
        if net.trunc() != net {
            let message = format!("'{net}' has bits beyond its prefix; the network is {}", net.trunc());
            return Err(Error::invalid(field, message));
        }
        all.push(net);
    }
    all.sort_unstable();
    all.dedup();
    match all.len() {
        0..=MOST_SOURCES => Ok(all),
        _ => Err(Error::invalid(field, format!("must be at most {MOST_SOURCES} networks"))),
    }
}

/// Reads until when a token is to be good.
///
/// # Errors
/// When it is no time, or over already; the error names `field`.
pub fn parse_end(field: &str, text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    let end = DateTime::parse_from_rfc3339(text.trim());
    let end = end.map_err(|_| Error::invalid(field, "must be a time such as 2027-02-09T12:00:00Z"))?;
    future(field, end.with_timezone(&Utc), now)
}

/// Refuses a time that is over.
///
/// # Errors
/// The error names `field`.
pub fn future(field: &str, end: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    if end <= now { Err(Error::invalid(field, "is over already")) } else { Ok(end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_token_ends_at_its_moment() {
        let reach = Reach { expires_at: Some(at("2027-01-01T00:00:00Z")), ..Reach::default() };
        assert!(reach.check(at("2026-12-31T23:59:59Z"), None).is_ok());
        let error = reach.check(at("2027-01-01T00:00:00Z"), None).unwrap_err();
        assert_eq!((error.code(), error.status()), ("unauthorized", 401));
        assert!(error.to_string().contains("2027-01-01T00:00:00Z"));
        assert!(Reach::default().check(at("2100-01-01T00:00:00Z"), None).is_ok());
    }

    #[test]
    fn a_token_is_taken_from_its_networks_only() {
        let sources = parse_sources("sources", &["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]).unwrap();
        let reach = Reach { sources, ..Reach::default() };
        let may = |from| reach.check(at("2026-01-01T00:00:00Z"), from).is_ok();
        for there in ["192.0.2.255", "2001:db8:1::1", "198.51.100.7", "::ffff:192.0.2.1"] {
            assert!(may(ip(there)), "{there}");
        }
        for elsewhere in ["192.0.3.0", "198.51.100.8", "2001:db9::1", "::1", "::ffff:192.0.3.1"] {
            assert!(!may(ip(elsewhere)), "{elsewhere}");
        }
        assert!(!may(None));
        let error = reach.check(at("2026-01-01T00:00:00Z"), ip("192.0.3.1")).unwrap_err();
        assert_eq!(error.status(), 403);
        assert!(error.to_string().contains("192.0.3.1") && !error.to_string().contains("192.0.2"));
    }

    #[test]
    fn networks_and_times_are_read_strictly() {
        assert_eq!(parse_sources("sources", &["10.0.0.1", "10.0.0.1/32"]).unwrap().len(), 1);
        for bad in ["", "x", "192.0.2.1/24", "192.0.2.0/33", "192.0.2", "*", "example.com"] {
            assert!(parse_sources("sources", &[bad]).unwrap_err().to_string().contains("'sources'"), "{bad}");
        }
        let many: Vec<String> = (0..33).map(|n| format!("10.0.{n}.0/24")).collect();
        assert!(parse_sources("sources", &many).is_err());
        let now = at("2026-06-01T00:00:00Z");
        assert!(parse_end("expires_at", "2026-06-01T00:00:01Z", now).is_ok());
        for bad in ["", "tomorrow", "2026-06-01", "2026-06-01T00:00:00Z", "1999-01-01T00:00:00Z"] {
            assert!(parse_end("expires_at", bad, now).is_err(), "{bad}");
        }
    }
}
