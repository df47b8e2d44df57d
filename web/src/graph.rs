//! Graphs drawn on the server: a series of evenly spaced values becomes an SVG path, so a graph needs no script and
//! follows the colour scheme. The same numbers travel in `data-graph` for reading a value under the pointer.
//!
//! A value that nobody reported is `None` and leaves a gap; it is never drawn as zero. All numbers in the paths are
//! ours, so nothing in them needs escaping.

use std::fmt::Write;

use askama::Template;
use chrono::DateTime;
use serde_json::json;

use crate::format::When;

/// Width of the drawing in its own units; it is stretched to the page.
const WIDTH: f64 = 600.0;
/// Height of the drawing in its own units.
const HEIGHT: f64 = 120.0;

/// The span that graphs show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Range {
    /// The last hour.
    #[default]
    Hour,
    /// The last six hours.
    SixHours,
    /// The last day.
    Day,
    /// The last seven days.
    Week,
    /// The last thirty days.
    Month,
}

impl Range {
    /// All of them, as the page offers them.
    pub const ALL: [Self; 5] = [Self::Hour, Self::SixHours, Self::Day, Self::Week, Self::Month];

    /// Reads what [`Range::name`] wrote; anything else is an hour.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.name() == name).unwrap_or_default()
    }

    /// Its name in the URL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// The word that the page shows.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Hour => "1 hour",
            Self::SixHours => "6 hours",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::SixHours => 21_600,
            Self::Day => 86_400,
            Self::Week => 7 * 86_400,
            Self::Month => 30 * 86_400,
        }
    }

    /// Seconds between two points. Reports come every ten seconds; an hour is shown finer than a day. From five minutes
    /// on a step is a multiple of five minutes, from an hour on one of hours, as the server keeps sums of these.
    #[must_use]
    pub fn step(self) -> i64 {
        match self {
            Self::Hour => 30,
            Self::SixHours => 120,
            Self::Day => 600,
            Self::Week => 3_600,
            Self::Month => 7_200,
        }
    }

    /// The marks under the graph, oldest first.
    #[must_use]
    pub fn marks(self) -> [&'static str; 4] {
        match self {
            Self::Hour => ["1 h ago", "40 min", "20 min", "now"],
            Self::SixHours => ["6 h ago", "4 h", "2 h", "now"],
            Self::Day => ["24 h ago", "16 h", "8 h", "now"],
            Self::Week => ["7 d ago", "4 d 16 h", "2 d 8 h", "now"],
            Self::Month => ["30 d ago", "20 d", "10 d", "now"],
        }
    }
}

/// What the values of a graph are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Per cent.
    Percent,
    /// Bytes.
    Bytes,
    /// Bytes per second.
    BytesPerSecond,
    /// Bits per second.
    BitsPerSecond,
    /// How often something happened in a step.
    Times,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Percent => "percent",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes_per_second",
            Self::BitsPerSecond => "bits_per_second",
            Self::Times => "times",
        }
    }

    /// The top of the scale for a greatest value: a round number above it, so that the graph does not jump about.
    fn top(self, greatest: f64) -> f64 {
        let base: f64 = if matches!(self, Self::Bytes | Self::BytesPerSecond) { 1024.0 } else { 1000.0 };
        let least = match self {
            Self::Percent => 1.0,
            Self::Times => 4.0,
            Self::Bytes => 1024.0 * 1024.0,
            Self::BytesPerSecond | Self::BitsPerSecond => 10.0 * base,
        };
        let wanted = greatest.max(least);
        let mut unit = 1.0;
        while wanted >= unit * base {
            unit *= base;
        }
        [1.0, 2.0, 4.0, 10.0, 20.0, 40.0, 100.0, 200.0, 400.0]
            .into_iter()
            .map(|n| n * unit)
            .find(|top| *top >= wanted)
            .unwrap_or(unit * base)
    }

    /// A value with its unit.
    #[must_use]
    pub fn tell(self, value: f64) -> String {
        let (base, names): (f64, &[&str]) = match self {
            Self::Percent => return format!("{} %", short(value)),
            Self::Times => (1000.0, &["times", "k times", "M times", "G times"]),
            Self::Bytes => (1024.0, &["B", "KB", "MB", "GB", "TB"]),
            Self::BytesPerSecond => (1024.0, &["B/s", "KB/s", "MB/s", "GB/s"]),
            Self::BitsPerSecond => (1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
        };
        let (mut value, mut unit) = (value, 0);
        while value >= base && unit + 1 < names.len() {
            value /= base;
            unit += 1;
        }
        format!("{} {}", short(value), names[unit])
    }
}

/// One line of a graph.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it is: `in`.
    pub label: &'static str,
    /// Evenly spaced values, oldest first; `None` where nobody reported.
    pub values: Vec<Option<f64>>,
}

impl Series {
    fn last(&self) -> Option<f64> {
        self.values.iter().rev().take(4).find_map(|v| *v)
    }

    fn now(&self, unit: &Unit) -> String {
        self.last().map_or_else(|| "–".to_owned(), |value| unit.tell(value))
    }
}

/// A graph.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/graph.html")]
pub struct Graph {
    /// Name in the page, unique there.
    pub id: &'static str,
    /// Heading.
    pub title: &'static str,
    /// What the values are.
    pub unit: Unit,
    /// The span shown.
    pub range: Range,
    /// Time of the first value, Unix seconds.
    pub start: i64,
    /// Top of the scale where there is a natural one (a limit); else it follows the values.
    pub limit: Option<f64>,
    /// One line, two or three.
    pub series: Vec<Series>,
}

/// Rows of the table that says the same as the drawing, at most.
const ROWS: usize = 12;

/// A row of that table.
struct TableRow {
    at: When,
    values: Vec<String>,
}

impl Graph {
    /// The lines, each with the class that gives it a colour of its own.
    fn drawn(&self) -> Vec<(&'static str, &Series)> {
        ["a", "b", "c"].into_iter().zip(&self.series).collect()
    }

    fn top(&self) -> f64 {
        let values = self.series.iter().flat_map(|s| s.values.iter().flatten());
        let greatest = values.fold(0.0_f64, |a, b| a.max(*b));
        self.limit
            .filter(|limit| *limit >= greatest && *limit > 0.0)
            .unwrap_or_else(|| self.unit.top(greatest))
    }

    fn scale(&self) -> [String; 3] {
        let top = self.top();
        [self.unit.tell(top), self.unit.tell(top / 2.0), String::from("0")]
    }

    fn is_empty(&self) -> bool {
        self.series.iter().all(|s| s.values.iter().all(Option::is_none))
    }

    /// The stroke of a series: one sub-path for each run of known values.
    fn line(&self, series: &Series) -> String {
        let mut path = String::new();
        for run in self.runs(series) {
            trace(&mut path, 'M', &run);
        }
        path
    }

    /// The area under a series.
    fn area(&self, series: &Series) -> String {
        let mut path = String::new();
        for run in self.runs(series) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let _ = write!(path, "M{:.1} {HEIGHT}", first.0);
            trace(&mut path, 'L', &run);
            let _ = write!(path, "L{:.1} {HEIGHT}Z", last.0);
        }
        path
    }

    /// Runs of known values as points of the drawing. A value alone gets a little width, or it would not be seen.
    fn runs(&self, series: &Series) -> Vec<Vec<(f64, f64)>> {
        let (top, count) = (self.top(), series.values.len().max(2) - 1);
        let point =
            |i: usize, v: f64| (i as f64 / count as f64 * WIDTH, HEIGHT - (v / top).clamp(0.0, 1.0) * HEIGHT);
        let mut runs: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut open = false;
        for (i, value) in series.values.iter().enumerate() {
            match (value, open) {
                (Some(v), true) => runs.last_mut().expect("a run is open").push(point(i, *v)),
                (Some(v), false) => runs.push(vec![point(i, *v)]),
                (None, _) => {}
            }
            open = value.is_some();
        }
        for run in &mut runs {
            if let [(x, y)] = run[..] {
                run.push((x + 1.5, y));
            }
        }
        runs
    }

    fn data(&self) -> String {
        let rounded = |v: &Option<f64>| v.map(|v| (v * 100.0).round() / 100.0);
        let series: Vec<_> = self
            .series
            .iter()
            .map(|s| json!({ "label": s.label, "values": s.values.iter().map(rounded).collect::<Vec<_>>() }))
            .collect();
        json!({ "start": self.start, "step": self.range.step(), "unit": self.unit.name(), "series": series })
            .to_string()
    }

    /// The values as a table of few rows: the time of the first value of each, and each series' average over it, or for
    /// things that happen how often they did.
    fn rows(&self) -> Vec<TableRow> {
        let count = self.series.first().map_or(0, |s| s.values.len());
        let size = count.div_ceil(ROWS).max(1);
        let slices = (0..count).step_by(size);
        let row = |begin: usize| {
            let at = self.start + i64::try_from(begin).unwrap_or_default() * self.range.step();
            let at = DateTime::from_timestamp(at, 0).unwrap_or_default();
            let values = self.series.iter().map(|s| self.condensed(s, begin, size)).collect();
            TableRow { at: When::new(at, at), values }
        };
        slices.map(row).collect()
    }

    fn condensed(&self, series: &Series, begin: usize, size: usize) -> String {
        let known: Vec<f64> = series.values.iter().skip(begin).take(size).flatten().copied().collect();
        let sum: f64 = known.iter().sum();
        match (known.len(), self.unit) {
            (0, _) => "no data".to_owned(),
            (_, Unit::Times) => self.unit.tell(sum),
            (count, unit) => unit.tell(sum / count as f64),
        }
    }

    /// What a screen reader is told.
    fn told(&self) -> String {
        let parts: Vec<_> = self
            .series
            .iter()
            .map(|s| match s.last() {
                Some(value) => format!("{} {}", s.label, self.unit.tell(value)),
                None => format!("{} without data", s.label),
            })
            .collect();
        format!("{} over the last {}. Now: {}", self.title, self.range.text(), parts.join(", "))
    }
}

/// One place for small values that need it, none for others.
fn short(value: f64) -> String {
    let text = format!("{:.*}", usize::from(value < 9.95), value);
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn trace(path: &mut String, first: char, points: &[(f64, f64)]) {
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { first } else { 'L' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(values: Vec<Option<f64>>, limit: Option<f64>) -> Graph {
        let series = vec![Series { label: "CPU", values }];
        Graph { id: "cpu", title: "CPU", unit: Unit::Percent, range: Range::Hour, start: 0, limit, series }
    }

    #[test]
    fn a_gap_parts_the_line() {
        let g = graph(vec![Some(0.0), Some(50.0), None, Some(100.0), Some(100.0)], Some(100.0));
        assert_eq!(g.line(&g.series[0]), "M0.0 120.0L150.0 60.0M450.0 0.0L600.0 0.0");
    }

    #[test]
    fn a_value_alone_is_seen_and_nothing_is_nothing() {
        let g = graph(vec![None, Some(50.0), None], Some(100.0));
        assert_eq!(g.line(&g.series[0]), "M300.0 60.0L301.5 60.0");
        let g = graph(vec![None, None], Some(100.0));
        assert!(g.is_empty());
        assert_eq!(g.line(&g.series[0]) + &g.area(&g.series[0]), "");
        assert!(graph(vec![], None).is_empty());
    }

    #[test]
    fn the_scale_holds_every_value() {
        for greatest in [0.0, 0.4, 1.0, 3.0, 55.0, 99.0, 400.0, 1023.0, 5e5, 1.5e6, 7e9, 3e13] {
            for unit in [Unit::Percent, Unit::Bytes, Unit::BytesPerSecond, Unit::BitsPerSecond, Unit::Times] {
                assert!(unit.top(greatest) >= greatest, "{unit:?} {greatest}");
            }
        }
        assert_eq!(Unit::BitsPerSecond.tell(Unit::BitsPerSecond.top(1.3e6)), "2 Mbit/s");
        assert_eq!(Unit::Percent.tell(Unit::Percent.top(55.0)), "100 %");
    }

    #[test]
    fn figures_are_short() {
        let told = [0.0, 0.04, 0.26, 8.03, 9.97, 31.4, 100.0].map(|v| Unit::Percent.tell(v));
        assert_eq!(told, ["0 %", "0 %", "0.3 %", "8 %", "10 %", "31 %", "100 %"]);
        assert_eq!(Unit::BitsPerSecond.tell(1_340_000.0), "1.3 Mbit/s");
        assert_eq!(Unit::Bytes.tell(1024.0 * 1024.0), "1 MB");
    }

    #[test]
    fn a_limit_below_the_values_gives_way() {
        assert!(graph(vec![Some(150.0)], Some(100.0)).top() >= 150.0);
    }

    #[test]
    fn the_table_says_what_the_drawing_shows() {
        let mut g = graph((0..120).map(|i| (i >= 10).then(|| f64::from(i / 10))).collect(), None);
        let told =
            |g: &Graph| g.rows().into_iter().map(|r| (r.at.utc(), r.values[0].clone())).collect::<Vec<_>>();
        let rows = told(&g);
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows[0], ("1970-01-01 00:00 UTC".to_owned(), "no data".to_owned()));
        assert_eq!(rows[1], ("1970-01-01 00:05 UTC".to_owned(), "1 %".to_owned()));
        g.unit = Unit::Times;
        assert_eq!(told(&g)[3].1, "30 times", "what happens is counted");
        assert!(graph(vec![], None).rows().is_empty());
    }

    #[test]
    fn ranges_come_back() {
        for range in Range::ALL {
            assert_eq!(Range::parse(range.name()), range);
            assert_eq!(range.seconds() % range.step(), 0);
            let span = if range.step() < 300 {
                1
            } else if range.step() < 3_600 {
                300
            } else {
                3_600
            };
            assert_eq!(range.step() % span, 0, "sums are kept for these spans");
        }
        assert_eq!(Range::parse("'\"><script>"), Range::Hour);
    }
}
