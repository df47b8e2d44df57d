//! Guessing passwords is slowed down.
//!
//! Failures are counted by the pair of address and account, so that somebody who guesses at another's account from
//! elsewhere does not lock its owner out; and, with more patience, by address alone, against one password tried on many
//! accounts. After a few failures every further one doubles the wait, up to [`LONGEST`]. Per replica and in memory: it
//! slows guessing down, and argon2id does the rest.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LONGEST: Duration = Duration::from_secs(300);
const FORGET: Duration = Duration::from_secs(3600);
/// Failures without a wait: of one account from one address, and of one address in all.
const FREE: [u32; 2] = [5, 50];
/// More pairs than this are not remembered; the oldest are forgotten first.
const MOST: usize = 20_000;

type Key = (IpAddr, Option<String>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Remembers failures. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttle(Arc<Mutex<HashMap<Key, Failures>>>);

impl Throttle {
    /// How long this account must wait at this address; none when it may try.
    pub(super) fn wait(&self, address: IpAddr, account: &str, now: Instant) -> Option<Duration> {
        let seen = self.0.lock().expect("no code panics while holding this lock");
        keys(address, account)
            .into_iter()
            .zip(FREE)
            .filter_map(|(key, free)| {
                let failures = seen.get(&key)?;
                let over = failures.count.checked_sub(free)?;
                let wait = Duration::from_secs(4 << over.min(16)).min(LONGEST);
                wait.checked_sub(now.saturating_duration_since(failures.last)).filter(|rest| !rest.is_zero())
            })
            .max()
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr, account: &str, now: Instant) {
        let mut seen = self.0.lock().expect("no code panics while holding this lock");
        if seen.len() >= MOST {
            seen.retain(|_, failures| now.saturating_duration_since(failures.last) < FORGET);
        }
        if seen.len() >= MOST {
            let oldest = seen.iter().min_by_key(|(_, failures)| failures.last).map(|(key, _)| key.clone());
            oldest.map(|key| seen.remove(&key));
        }
        for key in keys(address, account) {
            let failures = seen.entry(key).or_insert(Failures { count: 0, last: now });
            if now.saturating_duration_since(failures.last) >= FORGET {
                failures.count = 0;
            }
            *failures = Failures { count: failures.count.saturating_add(1), last: now };
        }
    }

    /// Forgets the failures of an account whose password was right.
    pub(super) fn succeeded(&self, address: IpAddr, account: &str) {
        let [pair, _] = keys(address, account);
        self.0.lock().expect("no code panics while holding this lock").remove(&pair);
    }
}

fn keys(address: IpAddr, account: &str) -> [Key; 2] {
    let account: String = account.trim().to_lowercase().chars().take(254).collect();
    [(address, Some(account)), (address, None)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn waits_double_and_end() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(throttle.wait(HERE, "a@b", start), None);
            throttle.failed(HERE, "a@b", start);
        }
        assert_eq!(throttle.wait(HERE, " A@B ", start), Some(Duration::from_secs(4)));
        throttle.failed(HERE, "a@b", start);
        assert_eq!(throttle.wait(HERE, "a@b", start), Some(Duration::from_secs(8)));
        assert_eq!(throttle.wait(HERE, "a@b", start + Duration::from_secs(8)), None);
        for _ in 0..100 {
            throttle.failed(HERE, "a@b", start);
        }
        assert_eq!(throttle.wait(HERE, "a@b", start), Some(LONGEST));
        throttle.failed(HERE, "a@b", start + FORGET);
        assert_eq!(throttle.wait(HERE, "a@b", start + FORGET), None, "an hour later all is forgotten");
    }

    #[test]
    fn nobody_is_locked_out_from_elsewhere() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..40 {
            throttle.failed(HERE, "a@b", now);
        }
        assert!(throttle.wait(HERE, "a@b", now).is_some());
        assert_eq!(throttle.wait(ELSEWHERE, "a@b", now), None);
        assert_eq!(throttle.wait(HERE, "c@d", now), None);
    }

    #[test]
    fn many_accounts_from_one_address_are_slowed_down() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for i in 0..60 {
            throttle.failed(HERE, &format!("{i}@b"), now);
        }
        assert!(throttle.wait(HERE, "fresh@b", now).is_some());
    }

    #[test]
    fn the_right_password_clears_and_memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..9 {
            throttle.failed(HERE, "a@b", now);
        }
        throttle.succeeded(HERE, "a@b");
        assert_eq!(throttle.wait(HERE, "a@b", now), None);
        for i in 0..(MOST + 50) {
            throttle.failed(HERE, &format!("{i}"), now);
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST + 1);
    }
}
