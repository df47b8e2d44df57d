//! Which init an image has, and what an init other than systemd has to be told about living in a guest.
//!
//! Systemd sees by itself that it is in a container. Others read files: `/etc/inittab` starts terminals that a guest
//! does not have and none on its console, and OpenRC believes itself on hardware. Both are put right at the first boot,
//! best effort: an image whose files cannot be edited boots as it is.

use std::io;

use super::inittab::{self, Flavour};
use crate::monitor::tree::{Attributes, Tree};

/// What runs as PID 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    /// systemd.
    Systemd,
    /// One that reads `/etc/inittab`.
    Inittab(Flavour),
    /// Anything else.
    Other,
}

/// Places of `init`, once `/sbin` may be a link itself.
const PLACES: [&str; 5] = ["/usr/sbin/init", "/sbin/init", "/usr/bin/init", "/bin/init", "/etc/init"];
const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];
const GETTIES: [&str; 4] = ["/usr/sbin/agetty", "/sbin/agetty", "/usr/sbin/getty", "/sbin/getty"];
const INITTAB: &str = "/etc/inittab";
const RC_CONF: &str = "/etc/rc.conf";

impl Init {
    /// That of an image.
    pub(super) fn of(tree: &Tree) -> Self {
        let links = PLACES.into_iter().filter_map(|place| tree.link(place));
        for target in links {
            if target.contains("systemd") {
                return Self::Systemd;
            }
            if target.contains("busybox") {
                return Self::Inittab(Flavour::Busybox);
            }
        }
        if let Some((table, _)) = read(tree, INITTAB) {
            return Self::Inittab(Flavour::of(&table));
        }
        if SYSTEMD.into_iter().any(|place| tree.exists(place)) { Self::Systemd } else { Self::Other }
    }
}

/// Makes the image's init at home in a guest; `once` is a program that it shall run when it has started everything.
pub(super) fn adapt(tree: &Tree, init: Init, once: Option<&str>) -> io::Result<()> {
    if let Init::Inittab(flavour) = init {
        let (old, attributes) = read(tree, INITTAB)
            .unwrap_or_else(|| (inittab::BUSYBOX_DEFAULT.to_owned(), Attributes::root(0o644)));
        let getty = GETTIES.into_iter().find(|place| tree.exists(place));
        tree.write(INITTAB, inittab::adapt(&old, flavour, getty, once).as_bytes(), attributes)?;
    }
    if let Some((old, attributes)) = read(tree, RC_CONF)
        && let Some(new) = rc_conf(&old)
    {
        tree.write(RC_CONF, new.as_bytes(), attributes)?;
    }
    Ok(())
}

/// OpenRC skips what only hardware needs when it knows that it is in a container. It knows LXC's guests, which are like
/// ours, by `container=lxc`; what is said here goes first.
fn rc_conf(old: &str) -> Option<String> {
    let said = old.lines().any(|line| line.trim_start().starts_with("rc_sys="));
    let openrc = old.contains("rc_");
    (openrc && !said).then(|| format!("{}\n\nrc_sys=\"lxc\"\n", old.trim_end()))
}

/// A text file of the image; none if it is not there, or is something else.
pub(super) fn read(tree: &Tree, path: &str) -> Option<(String, Attributes)> {
    let (bytes, attributes) = tree.read(path).ok().flatten()?;
    Some((String::from_utf8(bytes).ok()?, attributes))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn inits_are_told_apart() {
        let of = |make: &dyn Fn(&std::path::Path)| {
            let dir = tempfile::tempdir().unwrap();
            for place in ["etc", "usr/sbin", "usr/lib/systemd", "sbin"] {
                fs::create_dir_all(dir.path().join(place)).unwrap();
            }
            make(dir.path());
            Init::of(&Tree::new(File::open(dir.path()).unwrap().into()))
        };
        assert_eq!(of(&|_| {}), Init::Other);
        assert_eq!(
            of(&|root| symlink("/lib/systemd/systemd", root.join("sbin/init")).unwrap()),
            Init::Systemd
        );
        assert_eq!(of(&|root| fs::write(root.join("usr/lib/systemd/systemd"), "").unwrap()), Init::Systemd);
        let busybox = Init::Inittab(Flavour::Busybox);
        assert_eq!(of(&|root| symlink("/bin/busybox", root.join("sbin/init")).unwrap()), busybox);
        let sysv = Init::Inittab(Flavour::SysV);
        assert_eq!(of(&|root| fs::write(root.join("etc/inittab"), "id:2:initdefault:\n").unwrap()), sysv);
        // Systemd's files beside another init are only files.
        let both = |root: &std::path::Path| {
            fs::write(root.join("usr/lib/systemd/systemd"), "").unwrap();
            fs::write(root.join("etc/inittab"), "id:2:initdefault:\n").unwrap();
        };
        assert_eq!(of(&both), sysv);
    }

    #[test]
    fn openrc_is_told_once() {
        let told = rc_conf("#rc_sys=\"\"\nrc_parallel=NO\n").unwrap();
        assert!(told.ends_with("rc_parallel=NO\n\nrc_sys=\"lxc\"\n"), "{told}");
        assert_eq!(rc_conf(&told), None);
        assert_eq!(rc_conf("# BSD's\nhostname=x\n"), None);
    }
}
