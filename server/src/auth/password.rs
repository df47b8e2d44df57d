//! Passwords of people: argon2id.
//!
//! One hash takes 19 MiB and some tens of milliseconds, so hashing runs on the blocking threads, and only as many at
//! once as there are processors: a flood of sign-ins waits instead of eating the memory. Verifying takes the same work
//! when there is no such user, so that the time does not tell who exists.

use std::sync::{Arc, LazyLock};

use anyhow::Context as _;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use crate::domain::names::Password;
use crate::error::Result;

/// What is verified against when there is no such user; no password has this hash.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    phc(super::secret::Secret::token().expose()).expect("argon2 works with its own defaults")
});

/// Hashes and verifies passwords. Cheap to clone; clones share the limit.
#[derive(Clone, Debug)]
pub struct Hasher(Arc<Semaphore>);

impl Default for Hasher {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

impl Hasher {
    /// The PHC string of a password.
    pub async fn hash(&self, password: &Password) -> Result<String> {
        let password = password.expose().to_owned();
        Ok(self.run(move || phc(&password)).await??)
    }

    /// The PHC string of a password that was taken as such before, whatever the rules for new ones are.
    pub(crate) async fn hash_again(&self, password: &str) -> Result<String> {
        let password = password.to_owned();
        Ok(self.run(move || phc(&password)).await??)
    }

    /// Whether a hash was made with other parameters than new ones are.
    #[must_use]
    pub fn is_old(hash: &str) -> bool {
        parameters(hash) != parameters(&NOBODY)
    }

    /// Whether the password has this hash. Without a hash the answer is no, after the same work.
    pub async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool> {
        let (password, known, hash) =
            (password.to_owned(), hash.is_some(), hash.map_or_else(|| NOBODY.clone(), str::to_owned));
        let same = self
            .run(move || {
                let hash = PasswordHash::new(&hash).map_err(|e| anyhow::anyhow!("stored hash: {e}"))?;
                anyhow::Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await??;
        Ok(same && known)
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        let permit = self.0.clone().acquire_owned().await.context("the semaphore is never closed")?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        task.await.context("hashing a password")
    }
}

/// Everything before the salt: `$argon2id$v=19$m=19456,t=2,p=1`.
fn parameters(hash: &str) -> Option<&str> {
    hash.rsplitn(3, '$').nth(2)
}

fn phc(password: &str) -> anyhow::Result<String> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|e| anyhow::anyhow!("hashing a password: {e}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_and_its_hash() {
        let hasher = Hasher::default();
        let hash = hasher.hash(&Password::parse("correct horse").unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(!Hasher::is_old(&hash));
        assert!(Hasher::is_old(&hash.replace("t=2", "t=1")) && Hasher::is_old(""));
        assert!(hasher.verify("correct horse", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("correct house", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("correct horse", None).await.unwrap());
        assert!(hasher.verify("x", Some("not a hash")).await.is_err());
    }
}
