//! Durations, by what they are of and whose, and the table that is printed in the end.

use std::collections::BTreeMap;
use std::time::Duration;

/// Whose figures a table is of.
pub(crate) const BERTH: &str = "Berth";
/// The other system that is measured on the same machine.
pub(crate) const INCUS: &str = "Incus";

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    rows: BTreeMap<(String, &'static str), Vec<Duration>>,
    order: Vec<(String, &'static str)>,
}

impl Figures {
    /// Adds one measurement of Berth's.
    pub(crate) fn add(&mut self, what: &str, took: Duration) {
        self.add_of(BERTH, what, took);
    }

    /// Adds one measurement of somebody's.
    pub(crate) fn add_of(&mut self, whose: &'static str, what: &str, took: Duration) {
        let row = (what.to_owned(), whose);
        if !self.rows.contains_key(&row) {
            self.order.push(row.clone());
        }
        self.rows.entry(row).or_default().push(took);
    }

    /// Prints a line for each kind, in the order in which they came.
    pub(crate) fn print(&self) {
        if self.order.is_empty() {
            return;
        }
        println!("\n{:<56} {:>4} {:>11} {:>11} {:>11}", "", "n", "median", "p95", "max");
        for row in &self.order {
            let (what, whose) = row;
            let mut all = self.rows[row].clone();
            all.sort_unstable();
            let (median, p95) = (rank(&all, 0.5), rank(&all, 0.95));
            let max = all.last().copied().unwrap_or_default();
            let name = format!("{whose:<6} {what}");
            println!("{name:<56} {:>4} {:>11} {:>11} {:>11}", all.len(), ms(median), ms(p95), ms(max));
        }
    }

    /// Prints the medians of what was measured of both, one beside the other.
    pub(crate) fn print_beside(&self) {
        let median = |what: &str, whose| {
            let mut all = self.rows.get(&(what.to_owned(), whose))?.clone();
            all.sort_unstable();
            Some(rank(&all, 0.5))
        };
        if !self.order.iter().any(|(_, whose)| *whose == INCUS) {
            return;
        }
        println!("\n{:<40} {BERTH:>11} {INCUS:>11} {:>7}", "median", "ratio");
        for (what, _) in self.order.iter().filter(|(_, whose)| *whose == BERTH) {
            if let (Some(ours), Some(theirs)) = (median(what, BERTH), median(what, INCUS)) {
                let ratio = theirs.as_secs_f64() / ours.as_secs_f64().max(1e-9);
                println!("{what:<40} {:>11} {:>11} {ratio:>6.1}x", ms(ours), ms(theirs));
            }
        }
    }
}

/// For people.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The middle one; zero of none.
pub(crate) fn median(all: &[Duration]) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    rank(&sorted, 0.5)
}

/// The smallest value that is not below this part of all.
pub(crate) fn rank(sorted: &[Duration], part: f64) -> Duration {
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

    #[test]
    fn the_median_needs_no_order() {
        assert_eq!(median(&[3, 1, 2].map(Duration::from_secs)), Duration::from_secs(2));
    }
}
