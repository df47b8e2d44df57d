//! Users of a guest, as its own `/etc/passwd` and `/etc/group` name them.

use std::io;

use crate::monitor::tree::Tree;

/// Somebody to run a program as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
    pub(super) shell: String,
}

impl User {
    /// Finds a user by name or number; none: root, who is there also where the files are not.
    pub(super) fn find(tree: &Tree, wanted: Option<&str>) -> io::Result<Self> {
        let wanted = wanted.unwrap_or("root");
        let passwd = text(tree, "/etc/passwd");
        let found = passwd.as_deref().ok().and_then(|text| in_passwd(text, wanted));
        let mut user = match found {
            Some(user) => user,
            None if matches!(wanted, "root" | "0") => Self::root(),
            None => {
                passwd?;
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("there is no user '{wanted}' in the server"),
                ));
            }
        };
        user.groups = groups_of(&text(tree, "/etc/group").unwrap_or_default(), &user.name);
        Ok(user)
    }

    fn root() -> Self {
        let (home, shell) = ("/root".into(), "/bin/sh".into());
        Self { name: "root".into(), uid: 0, gid: 0, groups: Vec::new(), home, shell }
    }
}

fn text(tree: &Tree, path: &str) -> io::Result<String> {
    let read = tree.read(path).map_err(|e| io::Error::new(e.kind(), format!("reading {path}: {e}")))?;
    let bytes = read.map(|(bytes, _)| bytes).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line that fits wins, as in the C library; a name before a number.
fn in_passwd(passwd: &str, wanted: &str) -> Option<User> {
    let users = || passwd.lines().filter_map(parse);
    let number = wanted.parse::<u32>().ok();
    users().find(|user| user.name == wanted).or_else(|| users().find(|user| Some(user.uid) == number))
}

fn parse(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with(['+', '-', '#']))?;
    let mut numbers = fields.by_ref().skip(1).map(|field| field.parse::<u32>().ok());
    let (uid, gid) = (numbers.next()??, numbers.next()??);
    drop(numbers);
    let or = |field: Option<&str>, default: &str| match field {
        Some(text) if text.starts_with('/') => text.to_owned(),
        _ => default.to_owned(),
    };
    let home = or(fields.nth(1), "/");
    let shell = or(fields.next(), "/bin/sh");
    Some(User { name: name.to_owned(), uid, gid, groups: Vec::new(), home, shell })
}

/// More groups than the kernel takes would make the whole call fail.
const MOST_GROUPS: usize = 1024;

fn groups_of(group: &str, name: &str) -> Vec<u32> {
    let number = |line: &str| {
        let mut fields = line.split(':');
        let gid = fields.nth(2)?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == name).then_some(gid)
    };
    group.lines().filter_map(number).take(MOST_GROUPS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken\n+::::::\nuser:x:1000:100:A,,,:/home/user:/bin/zsh\n\
                          1000:x:7:7::/:\nodd:x:-1:0::/:\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let of = |wanted| in_passwd(PASSWD, wanted).map(|u| (u.name, u.uid, u.gid, u.home, u.shell));
        let user = |name: &str, uid, gid, home: &str, shell: &str| {
            Some((name.to_owned(), uid, gid, home.to_owned(), shell.to_owned()))
        };
        assert_eq!(of("root"), user("root", 0, 0, "/root", "/bin/bash"));
        assert_eq!(of("user"), user("user", 1000, 100, "/home/user", "/bin/zsh"));
        assert_eq!(of("1000"), user("1000", 7, 7, "/", "/bin/sh"), "a name goes before a number");
        assert_eq!(of("7").map(|u| u.0), Some("1000".into()));
        for nobody in ["", "odd", "broken", "+", "use", "99"] {
            assert_eq!(of(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn groups_are_those_that_name_the_user() {
        let group = "root:x:0:\nadm:x:4:syslog,user\nuser:x:1000:\nbad:x:x:user\nnouser:x:5:user2\ndocker:x:99:user\n";
        assert_eq!(groups_of(group, "user"), [4, 99]);
        assert_eq!(groups_of(group, "root"), Vec::<u32>::new());
    }

    #[test]
    fn root_is_there_without_files_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::new(std::fs::File::open(dir.path()).unwrap().into());
        assert_eq!(User::find(&tree, None).unwrap(), User::root());
        assert!(User::find(&tree, Some("user")).unwrap_err().to_string().contains("no user 'user'"));
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("etc/passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(
            User::find(&tree, Some("0")).unwrap(),
            User::root(),
            "whatever the guest did to its files"
        );
        assert!(User::find(&tree, Some("user")).is_err());
    }
}
