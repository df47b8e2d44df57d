//! What was asked for, and how often an answer may be given.
//!
//! A question is heard by all hosts of an Ethernet. So a host to which a /64 comes knows of which of its addresses
//! neighbours have heard, and can tell them that these are here now: few of each /64, and of so many /64s.
//!
//! Whoever scans a /64 has the router ask for each of its addresses, and keep each answer. So only so many are answered.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv6Addr;
use std::time::Instant;

use ipnet::Ipv6Net;

/// /64s that are kept.
const MOST_NETS: usize = 4096;
/// Addresses of each that are kept.
const MOST_ASKED: usize = 16;
/// Answers a second for one /64, and how many at once.
const OF_ONE: (f64, f64) = (32.0, 128.0);
/// The same for all together.
const OF_ALL: (f64, f64) = (1000.0, 1000.0);

#[derive(Debug)]
pub(super) struct Heard {
    nets: HashMap<Ipv6Net, OfNet>,
    all: Bucket,
}

#[derive(Debug)]
struct OfNet {
    bucket: Bucket,
    /// The newest last.
    asked: VecDeque<Ipv6Addr>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn take(&mut self, (rate, most): (f64, f64), now: Instant) -> bool {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + since * rate).min(most);
        self.at = now;
        let enough = self.left >= 1.0;
        self.left -= if enough { 1.0 } else { 0.0 };
        enough
    }
}

impl Heard {
    pub(super) fn new(now: Instant) -> Self {
        Self { nets: HashMap::new(), all: Bucket { left: OF_ALL.1, at: now } }
    }

    /// Takes notice of a question for an address of a /64, and says whether it may be answered.
    pub(super) fn asked(&mut self, net: Ipv6Net, target: Ipv6Addr, now: Instant) -> bool {
        if !self.all.take(OF_ALL, now) {
            return false;
        }
        if self.nets.len() >= MOST_NETS && !self.nets.contains_key(&net) {
            // any of them
            if let Some(one) = self.nets.keys().next().copied() {
                self.nets.remove(&one);
            }
        }
        let fresh = || OfNet { bucket: Bucket { left: OF_ONE.1, at: now }, asked: VecDeque::new() };
        let of_net = self.nets.entry(net).or_insert_with(fresh);
        if !of_net.bucket.take(OF_ONE, now) {
            return false;
        }
        of_net.asked.retain(|known| *known != target);
        of_net.asked.push_back(target);
        if of_net.asked.len() > MOST_ASKED {
            of_net.asked.pop_front();
        }
        true
    }

    /// The addresses of a /64 that were asked for last.
    pub(super) fn of(&self, net: Ipv6Net) -> Vec<Ipv6Addr> {
        self.nets.get(&net).map(|of_net| of_net.asked.iter().copied().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn net(n: u16) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, 0), 64)
    }

    fn address(n: u16, host: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, n, 0, 0, 0, host)
    }

    #[test]
    fn the_newest_are_kept_and_a_scan_is_answered_slowly() {
        let begun = Instant::now();
        let mut heard = Heard::new(begun);
        let answered = (0..1000).filter(|n| heard.asked(net(1), address(1, *n), begun)).count();
        assert_eq!(answered, 128);
        assert!(!heard.asked(net(1), address(1, 1), begun));
        let later = begun + Duration::from_secs(2);
        assert!(heard.asked(net(2), address(2, 1), later), "others are answered");
        assert!(heard.asked(net(1), address(1, 120), later), "and so is it again");
        let known = heard.of(net(1));
        assert_eq!((known.len(), known.last()), (16, Some(&address(1, 120))));
        assert_eq!(known.iter().filter(|ip| **ip == address(1, 120)).count(), 1);
        assert!(heard.of(net(3)).is_empty());
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut now = Instant::now();
        let mut heard = Heard::new(now);
        for n in 0..u16::MAX {
            now += Duration::from_millis(2);
            heard.asked(net(n), address(n, 1), now);
        }
        assert_eq!(heard.nets.len(), MOST_NETS);
    }
}
