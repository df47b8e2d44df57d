//! How long to wait before trying again. Pure; the randomness is a parameter.
//!
//! Three cases: an effect that failed, a guest that ended by itself, and a call to the control plane that failed.

use std::time::Duration;

use berth_proto::Exit;
use chrono::TimeDelta;

/// After giving a generation up, a start of a VPS that has run before is still tried this often.
pub const GIVEN_UP: Duration = Duration::from_secs(300);

/// No wait for a guest that ended is longer; what [`restart`] says is at most [`GIVEN_UP`].
pub const LONGEST_HOLD: TimeDelta = TimeDelta::seconds(300);

/// A guest that ran this long is healthy: its next end counts as the first.
pub const HEALTHY: Duration = Duration::from_secs(60);

/// Reboots in a row, each within [`HEALTHY`], that are not slowed down.
const FREE_REBOOTS: u32 = 5;

/// `base` doubled for each attempt after the first, up to `cap`, and from that the upper half at random, so that many
/// that failed together do not try together. `random` is in 0..1.
#[must_use]
pub fn doubled(base: Duration, cap: Duration, attempt: u32, random: f64) -> Duration {
    let factor = 2u32.saturating_pow(attempt.saturating_sub(1).min(31));
    let whole = base.saturating_mul(factor).min(cap);
    whole.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

/// The wait before an effect that failed `attempts` times is tried again.
#[must_use]
pub fn effect(attempts: u32, random: f64) -> Duration {
    doubled(Duration::from_millis(500), Duration::from_secs(60), attempts, random)
}

/// The wait before the control plane is asked again after `failures` in a row: any time up to the whole delay. Quick at
/// first, because a server that restarts is back within seconds; at most 5 s for about a minute, then 30 s.
#[must_use]
pub fn link(failures: u32, random: f64) -> Duration {
    let cap = Duration::from_secs(if failures <= 25 { 5 } else { 30 });
    let factor = 2u32.saturating_pow(failures.saturating_sub(1).min(31));
    Duration::from_millis(100).saturating_mul(factor).min(cap).mul_f64(random.clamp(0.0, 1.0))
}

/// The wait before a guest that ended by itself is started again, when `in_a_row` guests (this one included) ended soon
/// after their start. Keeps one that ends again and again from taking the host with it.
///
/// Reboots are what guests do, so some are free. A loss is the host's doing, and after a power failure all guests are
/// lost: the first costs nothing.
#[must_use]
pub fn restart(exit: Exit, in_a_row: u32) -> Duration {
    let slower_after = |free: u32, base: Duration| match in_a_row.saturating_sub(free) {
        0 => Duration::ZERO,
        more => doubled(base, GIVEN_UP, more, 1.0),
    };
    match exit {
        Exit::Halt | Exit::Stopped => Duration::ZERO,
        Exit::Reboot => slower_after(FREE_REBOOTS, Duration::from_secs(5)),
        Exit::Lost => slower_after(1, Duration::from_secs(1)),
        Exit::Code(_) | Exit::Signal(_) | Exit::Oom | Exit::Unknown => {
            slower_after(0, Duration::from_secs(1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(d: Duration) -> f64 {
        d.as_secs_f64()
    }

    #[test]
    fn waits_double_up_to_a_cap() {
        let at = |n| secs(effect(n, 1.0));
        assert_eq!([at(1), at(2), at(3), at(4)], [0.5, 1.0, 2.0, 4.0]);
        assert_eq!(at(99), 60.0);
        assert_eq!(secs(effect(2, 0.0)), 0.5);
        assert_eq!([secs(link(1, 1.0)), secs(link(20, 1.0))], [0.1, 5.0]);
        assert_eq!(secs(link(u32::MAX, 1.0)), 30.0);
        assert_eq!(secs(link(9, 0.0)), 0.0);
    }

    #[test]
    fn reboots_are_free_until_they_are_a_loop() {
        let waits: Vec<f64> = (1..=8).map(|n| secs(restart(Exit::Reboot, n))).collect();
        assert_eq!(waits, [0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn crashes_are_slowed_down_from_the_first_and_losses_from_the_second() {
        for exit in [Exit::Code(1), Exit::Signal(11), Exit::Oom] {
            let waits: Vec<f64> = (1..=4).map(|n| secs(restart(exit, n))).collect();
            assert_eq!(waits, [1.0, 2.0, 4.0, 8.0], "{exit:?}");
        }
        let waits: Vec<f64> = (1..=4).map(|n| secs(restart(Exit::Lost, n))).collect();
        assert_eq!(waits, [0.0, 1.0, 2.0, 4.0]);
        assert_eq!(restart(Exit::Code(1), u32::MAX), GIVEN_UP);
        assert!(TimeDelta::from_std(GIVEN_UP).is_ok_and(|longest| longest <= LONGEST_HOLD));
        assert_eq!(restart(Exit::Halt, 50), Duration::ZERO);
    }
}
