//! Names that addresses lead to, and the zones that they are in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::labels::is_dns_label;
use crate::error::{Error, Result};

/// A host name by RFC 1123, at most 253 characters, without the last dot; upper and lower case stay as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// Checks a name; the error names `field`. A dot at the end is taken away.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let name = raw.strip_suffix('.').unwrap_or(raw);
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|b| b.is_ascii_digit()); // what ends so is taken for an address
        if name.len() <= 253 && !is_number && name.split('.').all(|part| is_dns_label(part, true)) {
            return Ok(Self(name.into()));
        }
        let rule = "must be a host name such as www.example.com: at most 253 letters, digits, hyphens and dots, each part \
                    of at most 63 beginning and ending with a letter or digit, the last one not only digits";
        Err(Error::invalid(field, rule))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a TSIG key: a name as above, in which underscores are common too. Without the last dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Checks a name; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let name = raw.strip_suffix('.').unwrap_or(raw);
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let part = |part: &str| (1..=63).contains(&part.len()) && part.bytes().all(good);
        if name.len() <= 253 && name.split('.').all(part) {
            return Ok(Self(name.into()));
        }
        let rule = "must be the name of a key: at most 253 letters, digits, hyphens, underscores and dots between them";
        Err(Error::invalid(field, rule))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What stands for the address in a [`Template`].
const PLACE: &str = "{ip-with-dashes}";

/// The name of addresses that nobody has named, such as `static.{ip-with-dashes}.example.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(String);

impl Template {
    /// Checks a template; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        if !raw.contains(PLACE) {
            return Err(Error::invalid(field, format!("must hold {PLACE}, where the address comes")));
        }
        let template = Self(raw.strip_suffix('.').unwrap_or(raw).into());
        for longest in [IpAddr::V4(Ipv4Addr::BROADCAST), IpAddr::V6(Ipv6Addr::from(u128::MAX))] {
            HostName::parse(field, &template.fill(longest))?;
        }
        Ok(template)
    }

    /// One that was checked when it was written.
    pub(crate) fn known(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of an address: `192-0-2-7`, or all eight groups of IPv6 with four digits each.
    #[must_use]
    pub fn fill(&self, ip: IpAddr) -> String {
        let text = match ip {
            IpAddr::V4(ip) => ip.to_string().replace('.', "-"),
            IpAddr::V6(ip) => ip.segments().map(|group| format!("{group:04x}")).join("-"),
        };
        self.0.replace(PLACE, &text)
    }
}

/// The name that is wanted of an address that is a row of its own (`whole`) or part of an IPv6 network. Only the former has
/// a default: nobody wants 2⁶⁴ records.
#[must_use]
pub fn wanted(chosen: Option<&str>, default: Option<&Template>, ip: IpAddr, whole: bool) -> Option<String> {
    let default = || default.filter(|_| whole).map(|template| template.fill(ip));
    chosen.map(str::to_owned).or_else(default)
}

/// A zone of reverse names, such as `2.0.192.in-addr.arpa`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    net: IpNet,
}

impl Zone {
    /// Reads a zone; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let name = raw.strip_suffix('.').unwrap_or(raw).to_ascii_lowercase();
        let net = if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
            net_v4(octets).map(IpNet::V4)
        } else if let Some(nibbles) = name.strip_suffix(".ip6.arpa") {
            net_v6(nibbles).map(IpNet::V6)
        } else {
            None
        };
        let rule = "must be a zone of reverse names such as 2.0.192.in-addr.arpa";
        net.map(|net| Self { name, net }).ok_or_else(|| Error::invalid(field, rule))
    }

    /// Its name, without the last dot.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name of an address is in it.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        self.net.contains(&ip)
    }

    /// The innermost of some zones that the name of an address is in.
    #[must_use]
    pub fn of(all: &[Self], ip: IpAddr) -> Option<&Self> {
        all.iter().filter(|zone| zone.has(ip)).max_by_key(|zone| zone.net.prefix_len())
    }

    /// Whether the names of all addresses of a network are in some of these zones.
    #[must_use]
    pub fn cover(all: &[Self], net: IpNet) -> bool {
        let nets = all.iter().map(|zone| zone.net).filter(|zone| zone.contains(&net) || net.contains(zone));
        let nets = IpNet::aggregate(&nets.collect());
        nets.iter().any(|whole| whole.contains(&net))
    }
}

fn net_v4(octets: &str) -> Option<Ipv4Net> {
    let parts: Vec<u8> = octets.rsplit('.').map(|part| canonical(part, 10)).collect::<Option<_>>()?;
    let mut address = [0; 4];
    address.get_mut(..parts.len())?.copy_from_slice(&parts);
    Ipv4Net::new(address.into(), u8::try_from(parts.len() * 8).ok()?).ok()
}

fn net_v6(nibbles: &str) -> Option<Ipv6Net> {
    let parts: Vec<u8> =
        nibbles.rsplit('.').map(|part| canonical(part, 16).filter(|n| *n < 16)).collect::<Option<_>>()?;
    if parts.len() > 32 {
        return None;
    }
    let bits =
        parts.iter().enumerate().fold(0_u128, |bits, (n, part)| bits | (u128::from(*part) << (124 - 4 * n)));
    Ipv6Net::new(bits.into(), u8::try_from(parts.len() * 4).ok()?).ok()
}

/// A number that is written as it is in the DNS: without a sign or leading zeros.
fn canonical(part: &str, radix: u32) -> Option<u8> {
    let plain = part == "0" || !part.starts_with(['0', '+']);
    u8::from_str_radix(part, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in
            ["www.example.com", "a", "WWW.Example.com", "xn--bcher-kva.example", "1.2.3.x1", &long(253)]
        {
            assert_eq!(HostName::parse("dns_ptr", good).expect(good).as_str(), good);
        }
        assert_eq!(HostName::parse("dns_ptr", "a.example.").unwrap().as_str(), "a.example");
        for bad in [
            "",
            ".",
            "a..b",
            "-a.b",
            "a-.b",
            "a_b.c",
            "a b",
            "bücher.example",
            "192.0.2.7",
            "a.1",
            "a.b..",
            "*.a",
            "a\0b",
            "a\n",
            &long(254),
            &format!("{}.b", "a".repeat(64)),
        ] {
            assert!(HostName::parse("dns_ptr", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn key_names() {
        for good in ["berth", "ddns_key.example.com.", "_", "1"] {
            assert_eq!(KeyName::parse("key_name", good).expect(good).as_str(), good.trim_end_matches('.'));
        }
        for bad in ["", ".", "a..b", "a b", "a/b", "ü", &"a".repeat(64), &long(254)] {
            assert!(KeyName::parse("key_name", bad).is_err(), "{bad:?}");
        }
    }

    fn long(length: usize) -> String {
        let mut name = "a.".repeat(length / 2);
        name.push_str(&"b".repeat(length - name.len()));
        if name.ends_with('.') {
            name.replace_range(name.len() - 2.., "bb")
        }
        name
    }

    #[test]
    fn templates_name_every_address() {
        let template = Template::parse("default_name", "static.{ip-with-dashes}.example.com").unwrap();
        assert_eq!(template.fill("192.0.2.7".parse().unwrap()), "static.192-0-2-7.example.com");
        let v6 = template.fill("2001:db8::7".parse().unwrap());
        assert_eq!(v6, "static.2001-0db8-0000-0000-0000-0000-0000-0007.example.com");
        for bad in
            ["static.example.com", "{ip}.example.com", "{ip-with-dashes}.{x}.com", "_{ip-with-dashes}", ""]
        {
            assert!(Template::parse("default_name", bad).is_err(), "{bad}");
        }
        let ip = "192.0.2.7".parse().unwrap();
        assert_eq!(wanted(Some("a.b"), Some(&template), ip, true).as_deref(), Some("a.b"));
        assert_eq!(wanted(None, Some(&template), ip, true), Some(template.fill(ip)));
        assert_eq!(wanted(None, Some(&template), ip, false), None);
        assert_eq!(wanted(None, None, ip, true), None);
    }

    #[test]
    fn zones_hold_networks() {
        let zone = |name: &str| Zone::parse("zones", name).expect(name);
        for (name, net) in [
            ("2.0.192.in-addr.arpa", "192.0.2.0/24"),
            ("10.in-addr.arpa.", "10.0.0.0/8"),
            ("0.8.B.D.0.1.0.0.2.ip6.arpa", "2001:db8::/36"),
        ] {
            assert_eq!(zone(name).net, net.parse::<IpNet>().unwrap(), "{name}");
        }
        for bad in [
            "",
            "example.com",
            "in-addr.arpa",
            ".in-addr.arpa",
            "256.in-addr.arpa",
            "02.0.192.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "0/25.2.0.192.in-addr.arpa",
            "10.ip6.arpa",
            "+1.in-addr.arpa",
        ] {
            assert!(Zone::parse("zones", bad).is_err(), "{bad}");
        }
        let halves = [zone("0.10.in-addr.arpa"), zone("1.10.in-addr.arpa"), zone("7.0.10.in-addr.arpa")];
        let cover = |net: &str| Zone::cover(&halves, net.parse().unwrap());
        assert!(cover("10.0.3.0/24") && cover("10.0.0.0/15") && cover("10.1.0.0/16"));
        assert!(!cover("10.0.0.0/14") && !cover("10.2.0.0/24") && !cover("2001:db8::/32"));
        let of = |ip: &str| Zone::of(&halves, ip.parse().unwrap()).map(Zone::name);
        assert_eq!(of("10.0.7.1"), Some("7.0.10.in-addr.arpa"));
        assert_eq!(of("10.0.8.1"), Some("0.10.in-addr.arpa"));
        assert_eq!(of("10.2.8.1"), None);
    }
}
