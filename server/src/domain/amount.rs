//! Amounts as people type them: decimals of a unit (`1.5` GB), read and written exactly.

use crate::error::{Error, Result};

/// Digits after the point that are read and written.
const PLACES: usize = 10;

/// Reads a decimal number of units, not below zero; what is finer than the smallest part is rounded.
///
/// # Errors
/// Names `field`, when it is no such number or larger than anything can be.
pub fn parse(field: &str, raw: &str, unit: i64) -> Result<i64> {
    let wrong = |message: &str| Err(Error::invalid(field, message));
    let raw = raw.trim();
    let (whole, part) = raw.split_once('.').unwrap_or((raw, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return wrong("must be a number such as 2 or 0.5");
    }
    if whole.len() > 19 || part.len() > PLACES {
        return wrong("is too long a number");
    }
    let scale = 10_i128.pow(u32::try_from(part.len()).unwrap_or(0));
    let number = |text: &str| text.parse::<i128>().unwrap_or(0); // digits only, and few
    let parts = (number(whole) * scale + number(part)) * i128::from(unit);
    match i64::try_from((parts + scale / 2) / scale) {
        Ok(amount) => Ok(amount),
        Err(_) => wrong("is too large"),
    }
}

/// Writes an amount as [`parse`] reads it.
#[must_use]
pub fn tell(amount: i64, unit: i64) -> String {
    let (whole, mut rest) = (amount / unit, i128::from(amount % unit));
    let mut part = String::new();
    while rest > 0 && part.len() < PLACES {
        rest *= 10;
        part.push_str(&(rest / i128::from(unit)).to_string());
        rest %= i128::from(unit);
    }
    if part.is_empty() { whole.to_string() } else { format!("{whole}.{part}") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GIB: i64 = 1 << 30;

    #[test]
    fn numbers_are_read_strictly() {
        for (raw, amount) in [("2", 2 * GIB), ("0.5", GIB / 2), (" 1.25 ", GIB + GIB / 4), ("0", 0)] {
            assert_eq!(parse("x", raw, GIB).unwrap(), amount, "{raw}");
        }
        for raw in [
            "",
            "-1",
            "+1",
            "1,5",
            "1e3",
            ".5",
            "5.",
            "NaN",
            "0x10",
            "１",
            "99999999999",
            "9999999999999999999",
        ] {
            assert!(parse("x", raw, GIB).is_err(), "{raw}");
        }
        assert_eq!(tell(1500, 1000), "1.5");
        assert_eq!(tell(GIB / 8, GIB), "0.125");
        assert_eq!(tell(7, 1), "7");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(amount in 0..i64::MAX / 4, unit in prop_oneof![Just(1), Just(1000), Just(1 << 20), Just(GIB)]) {
            let read = parse("x", &tell(amount, unit), unit).unwrap();
            prop_assert_eq!(read, amount);
        }
    }
}
