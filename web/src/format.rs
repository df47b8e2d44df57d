//! Figures as people read them: sizes with binary units (a plan's GB is 2^30 bytes, as the hcloud API's), money, times.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub i64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in ["KB", "MB", "GB", "TB", "PB"] {
            if value.abs() < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        if unit == "B" || value >= 99.95 || (value.fract() < 0.05) {
            write!(f, "{value:.0} {unit}")
        } else {
            write!(f, "{value:.1} {unit}")
        }
    }
}

/// CPU in thousandths of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores(pub i64);

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = self.0 as f64 / 1000.0;
        let word = if self.0 == 1000 { "core" } else { "cores" };
        if self.0 % 1000 == 0 { write!(f, "{cores:.0} {word}") } else { write!(f, "{cores:.1} {word}") }
    }
}

/// An amount of money as the database writes it: a decimal number and a currency code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Money {
    /// Decimal number, for instance `4.9000000000`.
    pub amount: String,
    /// ISO 4217 code, for instance `EUR`.
    pub currency: String,
}

impl Money {
    /// Whether nothing is charged.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        !self.amount.bytes().any(|b| (b'1'..=b'9').contains(&b))
    }
}

impl fmt::Display for Money {
    /// Two places at least, and as many as the amount has; digits are cut from text, never rounded through a float.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, places) = self.amount.split_once('.').unwrap_or((&self.amount, ""));
        let places = places.trim_end_matches('0');
        let whole = if whole.is_empty() { "0" } else { whole };
        match self.currency.as_str() {
            "EUR" => write!(f, "€{whole}.{places:0<2}"),
            "USD" => write!(f, "${whole}.{places:0<2}"),
            "GBP" => write!(f, "£{whole}.{places:0<2}"),
            other => write!(f, "{whole}.{places:0<2} {other}"),
        }
    }
}

/// A moment, told as its distance from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    at: DateTime<Utc>,
    now: DateTime<Utc>,
}

impl When {
    /// `at`, as seen at `now`.
    #[must_use]
    pub fn new(at: DateTime<Utc>, now: DateTime<Utc>) -> Self {
        Self { at, now }
    }

    /// For `<time datetime>`.
    #[must_use]
    pub fn iso(&self) -> String {
        self.at.to_rfc3339_opts(SecondsFormat::Secs, true)
    }

    /// For the title: the moment itself.
    #[must_use]
    pub fn utc(&self) -> String {
        self.at.format("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// The distance without a direction: `3 days`.
    #[must_use]
    pub fn span(&self) -> String {
        let seconds = (self.now - self.at).num_seconds().abs();
        let (count, word) = match seconds {
            0..60 => return "less than a minute".to_owned(),
            60..3_600 => (seconds / 60, "minute"),
            3_600..86_400 => (seconds / 3_600, "hour"),
            _ => (seconds / 86_400, "day"),
        };
        format!("{count} {word}{}", if count == 1 { "" } else { "s" })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = (self.now - self.at).num_seconds();
        if seconds.abs() < 60 {
            f.write_str(if seconds >= 0 { "just now" } else { "in a moment" })
        } else if seconds > 0 {
            write!(f, "{} ago", self.span())
        } else {
            write!(f, "in {}", self.span())
        }
    }
}

/// How much of something is in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// What it is: `CPU`.
    pub label: &'static str,
    /// In use, in per cent; may pass 100 where more is sold than there is.
    pub percent: f64,
    /// The figure beside the bar.
    pub text: String,
}

impl Load {
    /// `used` of `all`. Without a whole there is no share.
    #[must_use]
    pub fn of(label: &'static str, used: f64, all: f64, text: String) -> Self {
        Self { label, percent: if all > 0.0 { (used / all * 100.0).max(0.0) } else { 0.0 }, text }
    }

    /// Width of the bar, 0 to 100.
    #[must_use]
    pub fn width(&self) -> String {
        format!("{:.1}", self.percent.clamp(0.0, 100.0))
    }

    /// The class that gives the colour.
    #[must_use]
    pub fn tone(&self) -> &'static str {
        match self.percent {
            p if p > 95.0 => "over",
            p if p > 80.0 => "high",
            _ => "",
        }
    }
}

/// What was typed into a field of a form, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// As typed.
    pub value: String,
    /// What is wrong with it.
    pub error: Option<String>,
}

impl Field {
    /// A field that holds this.
    pub fn new(value: impl Into<String>) -> Self {
        Self { value: value.into(), error: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let told: Vec<_> = [0, 512, 1024, 1536, 2 << 30, 20 << 30, 1 << 40, (1 << 30) - 1]
            .map(|n| Bytes(n).to_string())
            .to_vec();
        assert_eq!(told, ["0 B", "512 B", "1 KB", "1.5 KB", "2 GB", "20 GB", "1 TB", "1024 MB"]);
    }

    #[test]
    fn cores() {
        assert_eq!(Cores(1000).to_string(), "1 core");
        assert_eq!(Cores(4000).to_string(), "4 cores");
        assert_eq!(Cores(500).to_string(), "0.5 cores");
    }

    #[test]
    fn money_keeps_every_place_and_at_least_two() {
        let told = |amount: &str| Money { amount: amount.into(), currency: "EUR".into() }.to_string();
        assert_eq!(told("4.9000000000"), "€4.90");
        assert_eq!(told("0.0080000000"), "€0.008");
        assert_eq!(told("12"), "€12.00");
        assert_eq!(Money { amount: "1.5".into(), currency: "CHF".into() }.to_string(), "1.50 CHF");
        assert!(Money { amount: "0.0000".into(), currency: "EUR".into() }.is_zero());
        assert!(!Money { amount: "0.0001".into(), currency: "EUR".into() }.is_zero());
    }

    #[test]
    fn distances() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let told = |seconds| When::new(now - chrono::Duration::seconds(seconds), now).to_string();
        assert_eq!(told(5), "just now");
        assert_eq!(told(60), "1 minute ago");
        assert_eq!(told(7_200), "2 hours ago");
        assert_eq!(told(86_400 * 3), "3 days ago");
        assert_eq!(told(-600), "in 10 minutes");
    }

    #[test]
    fn a_load_of_nothing_is_nothing() {
        assert_eq!(Load::of("CPU", 3.0, 0.0, String::new()).width(), "0.0");
        assert_eq!(Load::of("CPU", 3.0, 2.0, String::new()).width(), "100.0");
        assert_eq!(Load::of("CPU", 3.0, 2.0, String::new()).tone(), "over");
    }
}
