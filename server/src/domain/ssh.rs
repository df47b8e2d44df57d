//! SSH public keys: parsed, so that nothing but one key of one line ever reaches a guest's `authorized_keys`.

use md5::{Digest as _, Md5};

use crate::error::{Error, Result};

/// Longest key that is read; a 16384-bit RSA key has less than 3 KiB.
const MAX_LENGTH: usize = 8192;

/// A public key in OpenSSH's format, with the fingerprint that the hcloud API shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    line: String,
    fingerprint: String,
}

impl PublicKey {
    /// Reads a key; the error names the field `public_key`. Options before the key are refused.
    pub fn parse(raw: &str) -> Result<Self> {
        let bad = |why: &str| Error::invalid("public_key", why);
        let line = raw.trim();
        if line.len() > MAX_LENGTH {
            return Err(bad("is too long"));
        }
        if line.chars().any(char::is_control) {
            return Err(bad("must be one line"));
        }
        let key = ssh_key::PublicKey::from_openssh(line)
            .map_err(|_| bad("is not an OpenSSH public key, such as 'ssh-ed25519 AAAA… comment'"))?;
        let blob = key.to_bytes().map_err(|_| bad("cannot be encoded"))?;
        let digest = Md5::digest(&blob);
        let fingerprint = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
        Ok(Self { line: line.into(), fingerprint })
    }

    /// The key as one line, comment included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.line
    }

    /// MD5 of the key, in hex with colons.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqt user@example.com";

    #[test]
    fn a_key_and_its_fingerprint() {
        let key = PublicKey::parse(&format!("  {KEY}\n")).unwrap();
        assert_eq!(key.as_str(), KEY);
        assert_eq!(key.fingerprint(), "9e:05:e1:ee:9c:c0:fa:4d:70:04:b6:ea:16:2d:ac:bd");
        let other_comment = PublicKey::parse(&KEY.replace("user@", "other@")).unwrap();
        assert_eq!(other_comment.fingerprint(), key.fingerprint());
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let with_options = format!("command=\"sh\" {KEY}");
        let two = format!("{KEY}\n{KEY}");
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----";
        for bad in
            ["", "ssh-ed25519", "ssh-ed25519 AAAA", private, &with_options, &two, &"a".repeat(MAX_LENGTH + 1)]
        {
            assert_eq!(PublicKey::parse(bad).unwrap_err().code(), "invalid_input", "{bad}");
        }
    }
}
