//! Requests per hour and project, and the headers that tell clients about it.
//!
//! A bucket of `limit` requests that refills evenly over an hour (3600 = one a second), per replica: an exact count
//! across replicas would cost a write per request and buy nothing. Keys are ids of projects that exist, because a
//! request is only counted after its token was found, so the map cannot grow without bound.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::ids::ProjectId;

type Limiter =
    RateLimiter<ProjectId, DefaultKeyedStateStore<ProjectId>, DefaultClock, StateInformationMiddleware>;

/// Limits requests by project. Cheap to clone; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct RateLimits(Option<Arc<PerHour>>);

#[derive(Debug)]
struct PerHour {
    limit: u32,
    period: Duration,
    limiter: Limiter,
    clock: DefaultClock,
}

/// How a project stands, after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the request may go on.
    pub allowed: bool,
    limit: u32,
    remaining: u32,
    full_in: Duration,
}

impl RateLimits {
    /// So many requests an hour; 0 for no limit.
    #[must_use]
    pub fn new(per_hour: u32) -> Self {
        let Some(limit) = NonZeroU32::new(per_hour) else {
            return Self::default();
        };
        let period = Duration::from_secs(3600) / per_hour;
        let quota = Quota::with_period(period).expect("an hour through a u32 is not zero").allow_burst(limit);
        let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Self(Some(Arc::new(PerHour { limit: per_hour, period, limiter, clock: DefaultClock::default() })))
    }

    /// Counts a request. None when there is no limit.
    #[must_use]
    pub fn count(&self, project: ProjectId) -> Option<Standing> {
        let PerHour { limit, period, limiter, clock } = &**self.0.as_ref()?;
        Some(match limiter.check_key(&project) {
            Ok(snapshot) => {
                let remaining = snapshot.remaining_burst_capacity();
                let full_in = *period * limit.saturating_sub(remaining);
                Standing { allowed: true, limit: *limit, remaining, full_in }
            }
            Err(until) => {
                let full_in = until.wait_time_from(clock.now()) + *period * limit.saturating_sub(1);
                Standing { allowed: false, limit: *limit, remaining: 0, full_in }
            }
        })
    }
}

impl Standing {
    /// Writes `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since the epoch at which all is refilled).
    pub fn write(&self, headers: &mut HeaderMap) {
        let reset = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.full_in;
        for (name, value) in [
            ("ratelimit-limit", u64::from(self.limit)),
            ("ratelimit-remaining", u64::from(self.remaining)),
            ("ratelimit-reset", reset.as_secs()),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_runs_out_and_others_do_not() {
        let limits = RateLimits::new(3);
        let left: Vec<_> = (0..3).map(|_| limits.count(ProjectId(1)).unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        let over = limits.count(ProjectId(1)).unwrap();
        assert!(!over.allowed && over.full_in > Duration::from_secs(3000), "{over:?}");
        assert!(limits.count(ProjectId(2)).unwrap().allowed);
    }

    #[test]
    fn zero_means_no_limit() {
        assert_eq!(RateLimits::new(0).count(ProjectId(1)), None);
    }

    #[test]
    fn the_headers() {
        let mut headers = HeaderMap::new();
        RateLimits::new(3600).count(ProjectId(1)).unwrap().write(&mut headers);
        assert_eq!(headers["RateLimit-Limit"], "3600");
        assert_eq!(headers["RateLimit-Remaining"], "3599");
        let reset: u64 = headers["RateLimit-Reset"].to_str().unwrap().parse().unwrap();
        assert!(reset > 1_700_000_000);
    }
}
