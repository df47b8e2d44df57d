//! Webhooks: where news may be posted to, which ones, and how a receiver knows that they are ours.
//!
//! A tenant chooses the URL, and the server calls it from inside the provider's network: so only addresses of the public
//! internet are called ([`is_public`]), and those that the operator adds. They are looked at after the name was resolved,
//! for each call anew.
//!
//! Signed as <https://www.standardwebhooks.com> has it: HMAC-SHA256 over `id.timestamp.body`, so any library for it
//! verifies them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ipnet::IpNet;
use reqwest::Url;
use sha2::Sha256;

use crate::error::{Error, Result};

/// Longest URL.
const MAX_URL: usize = 2000;
/// Most kinds that one webhook names.
const MAX_KINDS: usize = 50;
/// What begins a secret.
const PREFIX: &str = "whsec_";

/// Where news are posted to: http or https, without a user and without a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads a URL. Whether its name leads to the public internet is only known when it is called.
    ///
    /// # Errors
    /// `invalid_input`.
    pub fn parse(raw: &str, besides: &[IpNet]) -> Result<Self> {
        let wrong = |message: &str| Error::invalid("url", message);
        if raw.len() > MAX_URL {
            return Err(wrong("must have at most 2000 characters"));
        }
        let url = Url::parse(raw.trim()).map_err(|e| wrong(&format!("is no URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold a user; requests are signed, so the receiver needs none"));
        }
        if url.fragment().is_some() {
            return Err(wrong("must not hold a fragment (#)"));
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        if host.is_empty() || literal.is_ok_and(|address| !may_call(address, besides)) {
            return Err(wrong("must be an address of the public internet"));
        }
        Ok(Self(url))
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

/// Which news a webhook wants: all of a thing (`server`) or one kind (`action.error`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind(String);

impl Kind {
    /// Reads one.
    ///
    /// # Errors
    /// `invalid_input` in this field.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let (thing, what) = raw.split_once('.').map_or((raw, None), |(thing, what)| (thing, Some(what)));
        if raw.len() > 60 || !word(thing) || what.is_some_and(|what| !word(what)) {
            let shown: String = raw.chars().take(60).collect();
            return Err(Error::invalid(
                field,
                format!("'{shown}' is no kind of event; 'server' and 'action.error' are"),
            ));
        }
        Ok(Self(raw.to_owned()))
    }

    /// Reads a list.
    ///
    /// # Errors
    /// `invalid_input` in this field.
    pub fn parse_all<'a>(field: &str, raw: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>> {
        let mut all = raw.into_iter().map(|kind| Self::parse(field, kind)).collect::<Result<Vec<_>>>()?;
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.dedup();
        if all.len() > MAX_KINDS {
            return Err(Error::invalid(field, "must be at most 50 kinds"));
        }
        Ok(all)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A new secret: 32 random bytes, as the standard spells it.
#[must_use]
pub fn new_secret() -> String {
    format!("{PREFIX}{}", STANDARD.encode(rand::random::<[u8; 32]>()))
}

/// The header `webhook-signature`. None when this is no secret of [`new_secret`].
#[must_use]
pub fn signature(secret: &str, id: &str, timestamp: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether this address may be called: it is public, or the operator allows it.
#[must_use]
pub fn may_call(address: IpAddr, besides: &[IpNet]) -> bool {
    let address = address.to_canonical();
    is_public(address) || besides.iter().any(|net| net.contains(&address))
}

/// Whether an address is of the public internet (IANA's special-purpose registries, and what can hide an IPv4 address).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    !(v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || a == 0
        || a >= 224
        || (a, b & 0xc0) == (100, 64)
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a, b & 0xfe) == (198, 18))
}

/// Only what is given out (2000::/3), without documentation, benchmarks, Teredo and 6to4.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    first & 0xe000 == 0x2000
        && !(first == 0x2001 && second < 0x200)
        && !(first == 0x2001 && second == 0xdb8)
        && first != 0x2002
        && first & 0xfff0 != 0x3ff0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_called() {
        for inside in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "100.128.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
        let besides = ["10.1.0.0/16".parse().unwrap()];
        assert!(may_call("10.1.2.3".parse().unwrap(), &besides));
        assert!(may_call("::ffff:10.1.2.3".parse().unwrap(), &besides));
        assert!(!may_call("10.2.2.3".parse().unwrap(), &besides));
    }

    #[test]
    fn urls_that_lead_nowhere_good_are_refused() {
        for bad in [
            "",
            "example.com",
            "ftp://example.com/",
            "file:///etc/passwd",
            "https://",
            "https://me:secret@example.com/",
            "https://example.com/#x",
            "http://127.0.0.1/",
            "http://0x7f.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:169.254.169.254]/",
            "http://0/",
        ] {
            assert!(Target::parse(bad, &[]).is_err(), "{bad}");
        }
        for good in ["https://example.com/hook?x=1", "http://example.com:8080/", "https://1.1.1.1/"] {
            assert!(Target::parse(good, &[]).is_ok(), "{good}");
        }
        assert!(Target::parse(&format!("https://example.com/{}", "x".repeat(2000)), &[]).is_err());
    }

    #[test]
    fn kinds_are_words() {
        for good in ["server", "action.error", "guest.oom_kill"] {
            assert_eq!(Kind::parse("kinds", good).unwrap().to_string(), good);
        }
        for bad in ["", ".", "server.", ".error", "a.b.c", "Server", "server *", "%"] {
            assert!(Kind::parse("kinds", bad).is_err(), "{bad}");
        }
        let kinds = Kind::parse_all("kinds", ["b", "a", "b"]).unwrap();
        assert_eq!(kinds.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a", "b"]);
    }

    /// The example of the standard's reference implementations.
    #[test]
    fn signatures_are_the_standards() {
        let signed = signature(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        assert_eq!(signature("nonsense", "", 0, ""), None);
        assert!(signature(&new_secret(), "", 0, "").is_some());
    }
}
