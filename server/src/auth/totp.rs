//! Codes of authenticators: TOTP (RFC 6238) as all of them know it, SHA-1, six digits, thirty seconds. A code of the step
//! before or after is taken too, since clocks differ; that none is taken twice is the caller's to see to, by its step.

use anyhow::Context as _;
use totp_rs::{Builder, Secret};

use crate::error::Result;

/// Bytes of a secret, as RFC 4226 wants.
pub const SECRET_BYTES: usize = 20;

/// A new secret.
#[must_use]
pub fn secret() -> [u8; SECRET_BYTES] {
    rand::random()
}

/// The step of the code, if it is right at this time (seconds since 1970).
pub fn step(secret: &[u8], code: &str, now: u64) -> Result<Option<i64>> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let totp = Builder::new().with_secret(secret.to_vec()).build().context("a secret of the database")?;
    Ok(totp.check(&code, now).and_then(|step| i64::try_from(step).ok()))
}

/// The code of this time, as an authenticator shows it.
pub fn code(secret: &[u8], now: u64) -> Result<String> {
    let totp = Builder::new().with_secret(secret.to_vec()).build().context("a secret")?;
    Ok(totp.generate(now).to_string())
}

/// A secret as people type it.
#[must_use]
pub fn base32(secret: &[u8]) -> String {
    Secret::from(secret.to_vec()).to_base32()
}

/// What an authenticator reads from the picture.
#[must_use]
pub fn url(secret: &[u8], email: &str) -> String {
    let encoded: String = email
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    format!("otpauth://totp/Berth:{encoded}?secret={}&issuer=Berth", base32(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: its secret and two of its times, the last six digits.
    #[test]
    fn as_the_standard_says() {
        let secret = b"12345678901234567890";
        for (now, wanted) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(code(secret, now).unwrap(), wanted);
            assert_eq!(step(secret, wanted, now).unwrap(), Some(i64::try_from(now / 30).unwrap()));
        }
        assert_eq!(step(secret, "287 082", 59 + 30).unwrap(), Some(1), "a step late, as people type it");
        assert_eq!(step(secret, "287082", 59 + 61).unwrap(), None);
        for bad in ["", "28708", "2870822", "28708x", "٢٨٧٠٨٢"] {
            assert_eq!(step(secret, bad, 59).unwrap(), None, "{bad}");
        }
        assert!(
            url(secret, "a b@c.example")
                .starts_with("otpauth://totp/Berth:a%20b%40c.example?secret=GEZDGNBV")
        );
    }
}
