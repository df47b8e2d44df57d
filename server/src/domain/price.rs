//! Money as a decimal text. Berth never computes with money outside Postgres, whose `numeric` is exact.

use std::fmt;

use crate::error::{Error, Result};

/// A price: up to nine digits, and up to ten after the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price(String);

impl Price {
    /// Checks a price; the error names `field`.
    pub fn parse(field: &str, raw: &str) -> Result<Self> {
        let digits =
            |s: &str, most: usize| !s.is_empty() && s.len() <= most && s.bytes().all(|c| c.is_ascii_digit());
        let (whole, part) = raw.split_once('.').unwrap_or((raw, "0"));
        if digits(whole, 9) && digits(part, 10) {
            Ok(Self(raw.into()))
        } else {
            Err(Error::invalid(field, "must be a decimal number such as 0.0060"))
        }
    }

    /// The text, which Postgres reads as `numeric`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices() {
        for good in ["0", "4.5", "0.0060", "999999999.9999999999"] {
            assert!(Price::parse("price", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "1,5", "NaN", "1000000000", "0.00000000001"] {
            assert!(Price::parse("price", bad).is_err(), "{bad}");
        }
    }
}
