//! Root's password in `/etc/shadow`.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::monitor::tree::{Attributes, Tree};

const SHADOW: &str = "/etc/shadow";

/// Sets root's password hash in a tree; none locks the password (logins by key still work).
pub(super) fn set_root_password(tree: &Tree, hash: Option<&str>) -> io::Result<()> {
    let hash = hash.unwrap_or("*");
    if hash.is_empty() || hash.contains([':', '\n', '\0']) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a crypt(3) hash"));
    }
    let read = tree.read(SHADOW)?;
    let (old, attributes) = read.unwrap_or_else(|| (Vec::new(), Attributes::root(0o600)));
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    tree.write(SHADOW, &with_root_hash(&old, hash, days), attributes)
}

/// The file with root's hash and day of change replaced, everything else as it was. The file need not be UTF-8.
fn with_root_hash(shadow: &[u8], hash: &str, today: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(shadow.len() + hash.len() + 32);
    let mut found = false;
    for line in shadow.split_inclusive(|byte| *byte == b'\n') {
        if !found && line.starts_with(b"root:") {
            found = true;
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let rest: Vec<&[u8]> = line.split(|byte| *byte == b':').skip(3).collect();
            out.extend_from_slice(format!("root:{hash}:{today}").as_bytes());
            for field in rest {
                out.push(b':');
                out.extend_from_slice(field);
            }
            out.push(b'\n');
        } else {
            out.extend_from_slice(line);
        }
    }
    if !found {
        if out.last().is_some_and(|byte| *byte != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(format!("root:{hash}:{today}:0:99999:7:::\n").as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use proptest::prelude::*;

    use super::*;

    const STOCK: &str = "root:*:19700:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\n";

    #[test]
    fn only_roots_hash_and_day_change() {
        let new = with_root_hash(STOCK.as_bytes(), "$6$salt$hash", 20_000);
        let expected = "root:$6$salt$hash:20000:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\n";
        assert_eq!(String::from_utf8(new).unwrap(), expected);
    }

    #[test]
    fn a_missing_root_is_added() {
        let new = with_root_hash(b"daemon:*:1:::::", "h", 7);
        assert_eq!(String::from_utf8(new).unwrap(), "daemon:*:1:::::\nroot:h:7:0:99999:7:::\n");
    }

    proptest! {
        #[test]
        fn every_other_line_stays(other in prop::collection::vec("[a-q]{1,8}:[^:\n]{0,12}:[0-9]{0,5}", 0..8)) {
            let mut text = other.join("\n");
            text.push_str("\nroot:x:1:0:99999:7:::\n");
            let new = String::from_utf8(with_root_hash(text.as_bytes(), "$6$x", 2)).unwrap();
            for line in &other {
                prop_assert!(new.lines().any(|l| l == line));
            }
            let roots: Vec<&str> = new.lines().filter(|l| l.starts_with("root:")).collect();
            prop_assert_eq!(roots, ["root:$6$x:2:0:99999:7:::"]);
        }
    }

    #[test]
    fn what_is_not_a_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new(File::open(dir.path()).unwrap().into());
        for bad in ["", "a:b", "a\nroot2::0"] {
            assert!(set_root_password(&tree, Some(bad)).is_err());
        }
    }
}
