//! Files of a guest, touched from inside the guest's own namespaces and still with care.
//!
//! The tree was made by whoever made the image, and after the first boot by the guest. Nothing here can reach a file of
//! the host, because the process that does this has the guest's root and ids; the care is so that a hostile tree cannot
//! make it hang or work without end: no symbolic link is followed, nothing but regular files is read, and not more than
//! a set size of it. Files are replaced whole, so that a link, a fifo or a device with that name is replaced as well.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmod, fchmodat, fstat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, symlinkat, unlinkat};

/// Nothing that is edited here is larger in a sane guest.
const MAX_SIZE: u64 = 1 << 20;

/// The guest's root directory.
#[derive(Debug)]
pub(crate) struct Tree(OwnedFd);

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Attributes {
    /// Root's, with this mode.
    pub(crate) const fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0 }
    }
}

impl Tree {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self(root)
    }

    /// The tree of this process's root directory.
    pub(crate) fn of_this_root() -> io::Result<Self> {
        Ok(Self(File::open("/")?.into()))
    }

    fn open(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let resolve = ResolveFlag::RESOLVE_IN_ROOT
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        // openat2 refuses flags of opening where nothing is opened.
        let opening =
            if flags.contains(OFlag::O_PATH) { OFlag::empty() } else { OFlag::O_NONBLOCK | OFlag::O_NOCTTY };
        let flags = flags | opening;
        openat2(&self.0, relative(path), OpenHow::new().flags(flags).resolve(resolve))
    }

    /// A handle on something, without opening it: a place to mount on.
    pub(crate) fn handle(&self, path: &str) -> io::Result<OwnedFd> {
        Ok(self.open(path, OFlag::O_PATH)?)
    }

    /// A device, opened for reading and writing without waiting for anything.
    pub(crate) fn device(&self, path: &str) -> io::Result<OwnedFd> {
        Ok(self.open(path, OFlag::O_RDWR)?)
    }

    /// A directory, made with its parents if it is not there.
    pub(crate) fn directory(&self, path: &str, mode: u32) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        match self.open(path, flags) {
            Err(Errno::ENOENT) => {}
            result => return Ok(result?),
        }
        let (parent, name) = split(path);
        let parent = self.directory(parent, 0o755)?;
        match mkdirat(&parent, name, Mode::from_bits_truncate(mode)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // The creation mask may have taken bits away.
        fchmodat(&parent, name, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?;
        Ok(self.open(path, flags)?)
    }

    /// Whether there is something by this name (not: where a link by this name leads).
    pub(crate) fn exists(&self, path: &str) -> bool {
        self.open(path, OFlag::O_PATH).is_ok()
    }

    /// Where a symbolic link by this name leads; none if there is no such link.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        let link = self.open(path, OFlag::O_PATH).ok()?;
        readlinkat(&link, "").ok()?.into_string().ok()
    }

    /// Makes a symbolic link, whatever was there by that name before. Its directory must be there.
    pub(crate) fn symlink(&self, target: &str, path: &str) -> io::Result<()> {
        let (parent, name) = split(path);
        let directory = self.open(parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let tmp = format!(".{name}.berth-new");
        match unlinkat(&directory, tmp.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        symlinkat(target, &directory, tmp.as_str())?;
        Ok(renameat(&directory, tmp.as_str(), &directory, name)?)
    }

    /// A regular file's content, owner and mode; none if nothing is there.
    pub(crate) fn read(&self, path: &str) -> io::Result<Option<(Vec<u8>, Attributes)>> {
        let fd = match self.open(path, OFlag::O_RDONLY) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&fd)?;
        if kind(stat.st_mode) != SFlag::S_IFREG {
            return Err(io::Error::other(format!("{path} is not a regular file")));
        }
        let mut bytes = Vec::new();
        File::from(fd).take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SIZE {
            return Err(io::Error::other(format!("{path} is larger than {MAX_SIZE} bytes")));
        }
        let attributes = Attributes { mode: stat.st_mode & 0o7777, uid: stat.st_uid, gid: stat.st_gid };
        Ok(Some((bytes, attributes)))
    }

    /// Puts a file in place, whole, whatever was there by that name before. Its directory must be there.
    pub(crate) fn write(&self, path: &str, content: &[u8], attributes: Attributes) -> io::Result<()> {
        let (parent, name) = split(path);
        let directory = self.open(parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let tmp = format!(".{name}.berth-new");
        match unlinkat(&directory, tmp.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&directory, tmp.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut file = File::from(fd);
        file.write_all(content)?;
        fchown(&file, Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)))?;
        fchmod(&file, Mode::from_bits_truncate(attributes.mode))?;
        renameat(&directory, tmp.as_str(), &directory, name)?;
        Ok(())
    }
}

impl AsFd for Tree {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn relative(path: &str) -> &str {
    let path = path.trim_matches('/');
    if path.is_empty() { "." } else { path }
}

fn split(path: &str) -> (&str, &str) {
    relative(path).rsplit_once('/').unwrap_or((".", relative(path)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::Path;

    use nix::unistd::mkfifo;

    use super::*;

    fn tree(path: &Path) -> Tree {
        Tree::new(File::open(path).unwrap().into())
    }

    fn own(mode: u32) -> Attributes {
        Attributes { mode, uid: Uid::current().as_raw(), gid: Gid::current().as_raw() }
    }

    #[test]
    fn writes_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        tree.directory("/root/.ssh", 0o700).unwrap();
        tree.write("/root/.ssh/authorized_keys", b"key\n", own(0o600)).unwrap();
        let (content, attributes) = tree.read("/root/.ssh/authorized_keys").unwrap().unwrap();
        assert_eq!((content.as_slice(), attributes.mode), (b"key\n".as_slice(), 0o600));
        assert_eq!(std::fs::metadata(dir.path().join("root/.ssh")).unwrap().mode() & 0o777, 0o700);
        assert!(tree.read("/etc/shadow").unwrap().is_none());
    }

    #[test]
    fn a_link_is_replaced_and_its_target_left_alone() {
        let outside = tempfile::tempdir().unwrap();
        let target = outside.path().join("precious");
        std::fs::write(&target, "precious").unwrap();
        let dir = tempfile::tempdir().unwrap();
        symlink(&target, dir.path().join("hostname")).unwrap();
        let tree = tree(dir.path());
        assert!(tree.read("hostname").is_err());
        tree.write("hostname", b"guest\n", own(0o644)).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"precious");
        assert_eq!(std::fs::read(dir.path().join("hostname")).unwrap(), b"guest\n");
        assert!(dir.path().join("hostname").symlink_metadata().unwrap().is_file());
    }

    #[test]
    fn a_linked_directory_is_not_entered() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("etc")).unwrap();
        let tree = tree(dir.path());
        assert!(tree.write("etc/hostname", b"x", own(0o644)).is_err());
        assert!(tree.directory("etc/ssh", 0o755).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn links_are_read_and_made_but_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = tree(dir.path());
        assert_eq!(tree.link("init"), None);
        std::fs::write(dir.path().join("init"), "").unwrap();
        assert_eq!(tree.link("init"), None);
        tree.symlink("/bin/busybox", "init").unwrap();
        assert_eq!(tree.link("init").as_deref(), Some("/bin/busybox"));
        tree.symlink("elsewhere", "init").unwrap();
        assert_eq!(tree.link("/init").as_deref(), Some("elsewhere"));
        assert_eq!(tree.link("init/x"), None);
    }

    #[test]
    fn a_fifo_does_not_hang_it() {
        let dir = tempfile::tempdir().unwrap();
        mkfifo(&dir.path().join("shadow"), Mode::S_IRWXU).unwrap();
        let tree = tree(dir.path());
        assert!(tree.read("shadow").unwrap_err().to_string().contains("regular"));
        tree.write("shadow", b"root:*::::::::\n", own(0o640)).unwrap();
        assert!(tree.read("shadow").unwrap().is_some());
    }

    #[test]
    fn a_huge_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("shadow")).unwrap().set_len(1 << 40).unwrap();
        assert!(tree(dir.path()).read("shadow").unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn dots_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        std::fs::write(dir.path().join("out"), "x").unwrap();
        assert!(tree(&dir.path().join("in")).read("../out").unwrap().is_none());
    }
}
