//! How fast a console is read. Reading costs the host's CPU, not the guest's: one that writes without end would have
//! more than its plan. When it is ahead, its writers wait, as on a serial line (which is a thousand times slower).

use std::time::{Duration, Instant};

/// What is read in one [`TICK`]: 8 MiB a second.
const PIECE: usize = 256 << 10;
const TICK: Duration = Duration::from_millis(32);

/// Counts what was read.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    read: usize,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), read: 0 }
    }

    /// Notes what was read.
    pub(super) fn count(&mut self, bytes: usize) {
        self.read += bytes;
    }

    /// How many milliseconds the console has to wait; none when it may be read.
    pub(super) fn wait(&mut self) -> Option<u16> {
        let passed = self.began.elapsed();
        if passed >= TICK {
            *self = Self::new();
        }
        let left = TICK.saturating_sub(passed).as_millis();
        (self.read >= PIECE).then(|| u16::try_from(left).unwrap_or(u16::MAX).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_waits_and_a_line_does_not() {
        let mut pace = Pace::new();
        pace.count(200);
        assert_eq!(pace.wait(), None);
        pace.count(PIECE);
        assert!(pace.wait().is_none_or(|ms| (1..=32).contains(&ms)));
        pace.began -= TICK;
        assert_eq!(pace.wait(), None, "a tick later it is read again");
        assert_eq!(pace.read, 0);
    }
}
