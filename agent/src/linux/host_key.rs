//! An ssh host key for a guest, in OpenSSH's own format.
//!
//! Images come without host keys, and a guest that made its own would spend its first second on that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_ED25519};

const KIND: &[u8] = b"ssh-ed25519";

/// A fresh ed25519 key: the private file and the public line. None if no key can be made.
pub(super) fn fresh(comment: &str) -> Option<(String, String)> {
    let key = KeyPair::generate_for(&PKCS_ED25519).ok()?;
    let der = key.serialize_der();
    // PKCS#8: the seed is an octet string of 32 bytes inside an octet string.
    let at = der.windows(4).position(|window| window == [0x04, 0x22, 0x04, 0x20])? + 4;
    let seed: &[u8; 32] = der.get(at..at + 32)?.try_into().ok()?;
    let public: &[u8; 32] = key.public_key_raw().try_into().ok()?;
    Some((private_file(seed, public, comment, rand::random()), public_line(public, comment)))
}

fn public_blob(public: &[u8; 32]) -> Vec<u8> {
    let mut blob = Vec::new();
    put(&mut blob, KIND);
    put(&mut blob, public);
    blob
}

fn public_line(public: &[u8; 32], comment: &str) -> String {
    format!("ssh-ed25519 {} {comment}\n", STANDARD.encode(public_blob(public)))
}

/// The format of PROTOCOL.key in OpenSSH's sources, without a passphrase.
fn private_file(seed: &[u8; 32], public: &[u8; 32], comment: &str, check: u32) -> String {
    let mut secret = Vec::new();
    // The same number twice shows a reader that decryption worked.
    secret.extend_from_slice(&check.to_be_bytes());
    secret.extend_from_slice(&check.to_be_bytes());
    put(&mut secret, KIND);
    put(&mut secret, public);
    put(&mut secret, &[seed.as_slice(), public.as_slice()].concat());
    put(&mut secret, comment.as_bytes());
    for pad in (1_u8..=8).take(secret.len().next_multiple_of(8) - secret.len()) {
        secret.push(pad);
    }

    let mut file = b"openssh-key-v1\0".to_vec();
    put(&mut file, b"none");
    put(&mut file, b"none");
    put(&mut file, b"");
    file.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut file, &public_blob(public));
    put(&mut file, &secret);

    let text = STANDARD.encode(file);
    let mut out = String::from("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(70));
        out.push_str(line);
        out.push('\n');
        rest = after;
    }
    out.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    out
}

fn put(to: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys are short");
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn openssh_reads_it_and_finds_the_same_public_key() {
        let (private, public) = fresh("root@web-1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, private).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let Ok(output) = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&path).output() else {
            eprintln!("SKIPPED: needs ssh-keygen");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), public);
    }
}
