//! What an operator carries from the control plane to a new host: one string that holds all that the host needs.
//!
//! `berth1.` and then base64url (no padding) of JSON. It says where the agents' listener is, which CA to believe (so
//! that the very first connection is already authenticated) and the one-time secret.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Prefix of the string; the number is the format's version.
const PREFIX: &str = "berth1.";

/// An enrolment token. Shown as one string, see [`fmt::Display`] and [`FromStr`]; `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolToken {
    /// Base URL of the agents' listener, `https://host:port`, without a path.
    pub url: String,
    /// Lower-case hex SHA-256 of the DER of the CA certificate that signs the listener's certificate. The listener
    /// sends that CA certificate after its own in the handshake, because a new host has nothing but this fingerprint:
    /// it takes the certificate with this hash from the chain as its only root and verifies as usual from there.
    pub ca_sha256: String,
    /// The one-time secret; goes into [`crate::EnrolRequest::token`].
    pub secret: String,
}

/// Why a string is not an enrolment token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadEnrolToken {
    /// It does not start with `berth1.`.
    Prefix,
    /// The rest is not base64url of the expected JSON; most often a part was lost when it was copied.
    Content,
    /// The URL is not `https://…`, or the fingerprint is not 64 hexadecimal digits, or the secret is empty.
    Value,
}

impl fmt::Display for BadEnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prefix => "not an enrolment token: it must start with \"berth1.\"",
            Self::Content => "the enrolment token is damaged; copy it again, whole",
            Self::Value => {
                "the enrolment token holds an impossible URL, fingerprint or secret; make a new one"
            }
        })
    }
}

impl std::error::Error for BadEnrolToken {}

impl fmt::Debug for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolToken")
            .field("url", &self.url)
            .field("ca_sha256", &self.ca_sha256)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for EnrolToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(json))
    }
}

impl FromStr for EnrolToken {
    type Err = BadEnrolToken;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let rest = s.trim().strip_prefix(PREFIX).ok_or(BadEnrolToken::Prefix)?;
        let json = URL_SAFE_NO_PAD.decode(rest).map_err(|_| BadEnrolToken::Content)?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| BadEnrolToken::Content)?;
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let good = token.url.len() > "https://".len()
            && token.url.starts_with("https://")
            && token.ca_sha256.len() == 64
            && token.ca_sha256.bytes().all(hex)
            && !token.secret.is_empty();
        if good { Ok(token) } else { Err(BadEnrolToken::Value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> EnrolToken {
        EnrolToken {
            url: "https://control.example:8443".into(),
            ca_sha256: "0123456789abcdef".repeat(4),
            secret: "s3cret-of-one-use".into(),
        }
    }

    #[test]
    fn survives_the_way_through_a_terminal() {
        let shown = token().to_string();
        assert!(shown.starts_with("berth1."));
        assert!(shown.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)), "{shown}");
        assert_eq!(format!(" {shown}\n").parse(), Ok(token()));
    }

    #[test]
    fn says_what_is_wrong() {
        let shown = token().to_string();
        assert_eq!("berth2.abc".parse::<EnrolToken>(), Err(BadEnrolToken::Prefix));
        assert_eq!("".parse::<EnrolToken>(), Err(BadEnrolToken::Prefix));
        assert_eq!(shown[..shown.len() - 9].parse::<EnrolToken>(), Err(BadEnrolToken::Content));
        for bad in [
            EnrolToken { url: "http://control.example".into(), ..token() },
            EnrolToken { ca_sha256: "ABC".into(), ..token() },
            EnrolToken { ca_sha256: "0123456789ABCDEF".repeat(4), ..token() },
            EnrolToken { secret: String::new(), ..token() },
        ] {
            assert_eq!(bad.to_string().parse::<EnrolToken>(), Err(BadEnrolToken::Value), "{bad:?}");
        }
    }

    #[test]
    fn debug_keeps_the_secret() {
        assert!(!format!("{:?}", token()).contains("s3cret"));
    }
}
