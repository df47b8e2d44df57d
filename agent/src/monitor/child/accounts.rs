//! Login by key for the user that an image calls its default, beside root.

use std::io;

use super::init::read;
use crate::monitor::tree::{Attributes, Tree};

/// Who a user is and where it lives.
#[derive(Debug, PartialEq, Eq)]
struct Account<'a> {
    uid: u32,
    gid: u32,
    home: &'a str,
}

/// Lets whoever holds one of `keys` (a line each) in as `user`.
pub(super) fn authorize(tree: &Tree, user: &str, keys: &str) -> io::Result<()> {
    let Some((passwd, _)) = read(tree, "/etc/passwd") else { return Ok(()) };
    let Some(account) = find(&passwd, user) else { return Ok(()) };
    if !tree.exists(account.home) {
        return Ok(());
    }
    let Account { uid, gid, home } = account;
    let directory = tree.directory(&format!("{home}/.ssh"), 0o700)?;
    nix::unistd::fchown(&directory, Some(uid.into()), Some(gid.into()))?;
    tree.write(&format!("{home}/.ssh/authorized_keys"), keys.as_bytes(), Attributes { mode: 0o600, uid, gid })
}

fn find<'a>(passwd: &'a str, user: &str) -> Option<Account<'a>> {
    let of = |line: &'a str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else { return None };
        let named = name == user && uid != "0" && home.starts_with('/') && home.len() > 1;
        named.then_some(())?;
        Some(Account { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    };
    passwd.lines().find_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_user_with_a_home_is_found() {
        let passwd = "root:x:0:0::/root:/bin/sh\ndebian:x:1000:1001:,,,:/home/debian:/bin/bash\nodd:x:7:7::/:/bin/sh\nshort:x\n";
        assert_eq!(find(passwd, "debian"), Some(Account { uid: 1000, gid: 1001, home: "/home/debian" }));
        for user in ["root", "odd", "short", "nobody", ""] {
            assert_eq!(find(passwd, user), None, "{user}");
        }
    }
}
