//! Root passwords of VPSes: made here, shown once, kept only as a crypt(3) hash that the guest understands.

use anyhow::Context as _;
use rand::Rng as _;
use sha_crypt::{PasswordHasher as _, ShaCrypt};

use super::secret::Secret;
use crate::error::Result;

/// Letters and digits that nobody mixes up when reading them aloud.
const ALPHABET: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Length of a password; about 140 bits.
const LENGTH: usize = 24;

/// A new root password and its `$6$` hash. The work is done off the async threads.
pub async fn generate() -> Result<(Secret, String)> {
    let task = tokio::task::spawn_blocking(|| {
        let mut rng = rand::rng();
        let password: String =
            (0..LENGTH).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect();
        let salt: [u8; 12] = rng.random();
        let hash = ShaCrypt::SHA512
            .hash_password_with_salt(password.as_bytes(), &salt)
            .map_err(|e| anyhow::anyhow!("hashing a root password: {e}"))?;
        anyhow::Ok((Secret::new(password), hash.to_string()))
    });
    Ok(task.await.context("hashing a root password")??)
}

#[cfg(test)]
mod tests {
    use sha_crypt::PasswordVerifier as _;

    use super::*;

    #[tokio::test]
    async fn the_hash_is_one_that_crypt_reads() {
        let (password, hash) = generate().await.unwrap();
        assert_eq!(password.expose().len(), LENGTH);
        let parts: Vec<_> = hash.split('$').collect();
        assert_eq!(
            (parts[1], parts[2], parts[3].len(), parts[4].len()),
            ("6", "rounds=5000", 16, 86),
            "{hash}"
        );
        let parsed = sha_crypt::PasswordHash::new(hash.as_str()).unwrap();
        assert!(ShaCrypt::SHA512.verify_password(password.expose().as_bytes(), &parsed).is_ok());
        assert!(ShaCrypt::SHA512.verify_password(b"other", &parsed).is_err());
    }
}
