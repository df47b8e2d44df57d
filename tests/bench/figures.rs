//! Durations, by what they are of, and the table that is printed in the end.

use std::collections::BTreeMap;
use std::time::Duration;

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: BTreeMap<String, Vec<Duration>>,
    order: Vec<String>,
}

impl Figures {
    /// Adds one measurement.
    pub(crate) fn add(&mut self, what: &str, took: Duration) {
        if !self.rows.contains_key(what) {
            self.order.push(what.to_owned());
        }
        self.rows.entry(what.to_owned()).or_default().push(took);
    }

    /// Prints a line for each kind, in the order in which they came.
    pub(crate) fn print(&self) {
        println!("{:<48} {:>5} {:>10} {:>10} {:>10}", "", "n", "median", "p95", "max");
        for what in &self.order {
            let mut all = self.rows[what].clone();
            all.sort_unstable();
            let ms = |at: Duration| format!("{:.1} ms", at.as_secs_f64() * 1000.0);
            let (median, p95) = (rank(&all, 0.5), rank(&all, 0.95));
            let max = all.last().copied().unwrap_or_default();
            println!("{what:<48} {:>5} {:>10} {:>10} {:>10}", all.len(), ms(median), ms(p95), ms(max));
        }
    }
}

/// The smallest value that is not below this part of all.
fn rank(sorted: &[Duration], part: f64) -> Duration {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number")]
    let at = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(at.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let all: Vec<_> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(rank(&all, 0.5), Duration::from_millis(10));
        assert_eq!(rank(&all, 0.95), Duration::from_millis(19));
        assert_eq!(rank(&all[..1], 0.95), Duration::from_millis(1));
        assert_eq!(rank(&[], 0.5), Duration::ZERO);
    }
}
