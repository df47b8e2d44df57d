//! Secrets that Berth makes: tokens, session cookies, enrolment secrets.
//!
//! They have so much entropy that a plain SHA-256 is enough to keep them, and looking them up by that hash needs no
//! comparison that takes equally long.

use std::fmt;

use rand::Rng as _;
use rand::distr::Alphanumeric;
use sha2::{Digest as _, Sha256};

/// Characters of an API token. The official hcloud clients refuse any other length.
pub const TOKEN_LENGTH: usize = 64;

/// A secret that is about to be shown to whom it belongs. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new token: letters and digits, about 380 bits.
    #[must_use]
    pub fn token() -> Self {
        Self(rand::rng().sample_iter(Alphanumeric).take(TOKEN_LENGTH).map(char::from).collect())
    }

    /// A new session: 32 random bytes in hex.
    #[must_use]
    pub fn session() -> Self {
        Self(hex::encode(rand::random::<[u8; 32]>()))
    }

    /// A secret made elsewhere.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is kept of a secret that somebody shows.
#[must_use]
pub fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_length_that_clients_want() {
        let token = Secret::token();
        assert_eq!(token.expose().len(), 64);
        assert!(token.expose().bytes().all(|c| c.is_ascii_alphanumeric()));
        assert_ne!(token, Secret::token());
        assert_eq!(token.hash(), hash(token.expose()));
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
