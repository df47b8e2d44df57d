//! What operators tell: values that their API, command line and page share.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::Title;
use crate::error::{Error, Result};

/// Characters of a text.
const LONGEST: usize = 4000;

/// What sort of news it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[schema(as = berth::AnnouncementKind)]
pub enum Kind {
    /// Something to know.
    #[default]
    Info,
    /// Something is wrong, or will be.
    Warning,
    /// Something will be worked on.
    Maintenance,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Maintenance];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Maintenance => "maintenance",
        }
    }

    /// The kind of this name; the error names the field `kind`.
    pub fn parse(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|kind| kind.name() == name);
        known.ok_or_else(|| Error::invalid("kind", "must be info, warning or maintenance"))
    }
}

/// A text of some lines, 1 to 4000 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Checks a text; the error names the field `text`.
    pub fn parse(raw: &str) -> Result<Self> {
        let text = raw.trim();
        let odd = |c: char| c.is_control() && c != '\n';
        if text.is_empty() || text.chars().count() > LONGEST || text.contains(odd) {
            return Err(Error::invalid("text", format!("must be text of 1 to {LONGEST} characters")));
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The time in which something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From then.
    pub from: DateTime<Utc>,
    /// Until then.
    pub until: DateTime<Utc>,
}

impl Span {
    /// From a time, or from now, until another that is later, and not over.
    ///
    /// # Errors
    /// The error names the field `until`.
    pub fn new(from: Option<DateTime<Utc>>, until: DateTime<Utc>, now: DateTime<Utc>) -> Result<Self> {
        let from = from.unwrap_or(now);
        if until <= now {
            return Err(Error::invalid("until", "is over already"));
        }
        if until <= from {
            return Err(Error::invalid("until", "must be later than from"));
        }
        Ok(Self { from, until })
    }
}

/// What is to be told.
#[derive(Clone, Debug)]
pub struct New {
    /// In a few words.
    pub title: Title,
    /// In more.
    pub text: Text,
    /// What sort of news it is.
    pub kind: Kind,
    /// When it is shown.
    pub span: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_have_lines_and_nothing_odd() {
        assert_eq!(Text::parse(" a\nb ").unwrap().as_str(), "a\nb");
        for bad in ["", " \n ", "a\0", "a\u{1b}[2J", &"x".repeat(4001)] {
            assert!(Text::parse(bad).is_err(), "{bad:?}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()).ok(), Some(kind));
        }
        assert!(Kind::parse("news").is_err());
    }

    #[test]
    fn a_span_is_not_over_and_not_turned_round() {
        let at = |hour: i64| DateTime::from_timestamp(hour * 3600, 0).unwrap();
        assert_eq!(Span::new(None, at(11), at(10)).unwrap(), Span { from: at(10), until: at(11) });
        assert!(Span::new(Some(at(12)), at(13), at(10)).is_ok(), "later");
        assert!(Span::new(Some(at(5)), at(11), at(10)).is_ok(), "begun already");
        for (from, until) in [(Some(12), 11), (Some(12), 12), (Some(5), 9), (None, 10)] {
            assert!(Span::new(from.map(at), at(until), at(10)).is_err(), "{from:?} {until}");
        }
    }
}
