//! Files that are fetched from a guest or put into it, by a process that has joined its user and mount namespaces.
//!
//! All paths are the guest's and are walked with its own root and ids, so a link leads where it would lead inside, and
//! nowhere else. Only regular files and directories are read; whatever else a guest has by that name is refused without
//! waiting for it. What is put in place is written beside it first and renamed when it is whole: when the other side
//! leaves, this process is sent SIGTERM before its input ends, and then takes its half file away.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use berth_proto::{FileHead, FileTask, LARGEST_FILE, check_path};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::signal::{SigSet, Signal as UnixSignal};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchdir, fchown, unlinkat};

use crate::monitor::barrier::{Barrier, Signal};
use crate::monitor::failure::{Failure, Step};
use crate::monitor::sys::is_pending;

/// Files that the kernel makes up as they are read have no size; none is larger than this.
const MADE_UP: u64 = 64 << 20;
/// Entries in the list of a directory.
const MOST_ENTRIES: usize = 10_000;
const PIECE: usize = 64 << 10;

/// Does it; the exit code. What goes wrong is written to the third pipe.
pub(crate) fn run(
    task: &FileTask,
    [input, output, error]: [BorrowedFd<'_>; 3],
    monitor: &Barrier,
) -> Result<i32, Failure> {
    SigSet::from(UnixSignal::SIGTERM).thread_block().step("preparing the transfer")?;
    monitor.send(Signal::Joined, "", &[]).step("beginning the transfer")?;
    let file = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from);
    let work = || match task {
        FileTask::Get { path } => get(path, file(output)?),
        FileTask::Put { path, mode } => put(path, *mode, file(input)?),
    };
    match work() {
        Ok(()) => Ok(0),
        Err(e) => {
            let _ = file(error).step("complaining")?.write_all(e.to_string().as_bytes());
            Ok(1)
        }
    }
}

fn refuse<T>(text: impl Into<String>) -> io::Result<T> {
    Err(io::Error::other(text.into()))
}

/// Opens something as the guest would, but for the links in `/proc` that lead to a process's own files.
fn open(root: &File, path: &str, flags: OFlag) -> io::Result<OwnedFd> {
    check_path(path).map_err(|wrong| io::Error::other(format!("path {wrong}")))?;
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    openat2(root, path, OpenHow::new().flags(flags).resolve(resolve)).map_err(|error| match error {
        Errno::ENOENT | Errno::ENOTDIR => io::Error::other("there is no such file"),
        Errno::ENXIO | Errno::ENODEV => io::Error::other("it is not a regular file"),
        error => io::Error::other(error.desc().to_owned()),
    })
}

fn kind(mode: u32) -> SFlag {
    SFlag::from_bits_truncate(mode) & SFlag::S_IFMT
}

fn get(path: &str, output: File) -> io::Result<()> {
    let fd = open(&File::open("/")?, path, OFlag::O_RDONLY)?;
    let stat = fstat(&fd)?;
    match kind(stat.st_mode) {
        SFlag::S_IFREG => {
            let size = u64::try_from(stat.st_size).ok().filter(|size| *size > 0);
            let head = FileHead::File { size, mode: stat.st_mode & 0o7777, modified: stat.st_mtime };
            begin(&output, head)?;
            copy(File::from(fd).take(size.unwrap_or(MADE_UP)), output).map(|_| ())
        }
        SFlag::S_IFDIR => {
            begin(&output, FileHead::Directory)?;
            list(&fd, path, BufWriter::new(output))
        }
        _ => refuse("it is neither a regular file nor a directory"),
    }
}

fn begin(mut output: &File, head: FileHead) -> io::Result<()> {
    let mut line = serde_json::to_vec(&head)?;
    line.push(b'\n');
    output.write_all(&line)
}

fn copy(mut from: impl Read, mut to: impl Write) -> io::Result<u64> {
    let mut bytes = vec![0; PIECE];
    let mut total = 0;
    loop {
        match from.read(&mut bytes) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                to.write_all(&bytes[..n])?;
                total += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// An entry of a directory.
#[derive(serde::Serialize)]
struct Entry {
    name: String,
    kind: &'static str,
    size: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: i64,
}

fn list(directory: &OwnedFd, path: &str, mut output: impl Write) -> io::Result<()> {
    fchdir(directory)?;
    write!(output, r#"{{"path":{},"entries":["#, serde_json::to_string(path)?)?;
    let mut written = 0;
    let mut truncated = false;
    for entry in fs::read_dir(".")? {
        let entry = entry?;
        // It was removed meanwhile.
        let Ok(meta) = entry.metadata() else { continue };
        if written == MOST_ENTRIES {
            truncated = true;
            break;
        }
        let kind = match kind(meta.mode()) {
            SFlag::S_IFREG => "file",
            SFlag::S_IFDIR => "directory",
            SFlag::S_IFLNK => "link",
            _ => "other",
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let (uid, gid, mode) = (meta.uid(), meta.gid(), meta.mode() & 0o7777);
        let entry = Entry { name, kind, size: meta.size(), mode, uid, gid, modified: meta.mtime() };
        let comma = if written > 0 { "," } else { "" };
        write!(output, "{comma}{}", serde_json::to_string(&entry)?)?;
        written += 1;
    }
    write!(output, r#"],"truncated":{truncated}}}"#)?;
    output.flush()
}

fn put(path: &str, mode: u32, input: File) -> io::Result<()> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    if matches!(name, "" | "." | "..") {
        return refuse("this does not name a file");
    }
    let parent = if parent.is_empty() { "/" } else { parent };
    let directory = open(&File::open("/")?, parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    match fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|stat| kind(stat.st_mode)) {
        // A link is replaced, not followed.
        Ok(SFlag::S_IFREG | SFlag::S_IFLNK) | Err(Errno::ENOENT) => {}
        Ok(_) => return refuse("what is there is not a regular file"),
        Err(error) => return refuse(error.desc().to_owned()),
    }
    let temporary = Temporary::new(&directory)?;
    let mut file = &temporary.file;
    let written = copy(input.take(LARGEST_FILE + 1), &mut file)?;
    if written > LARGEST_FILE {
        return refuse(format!("a file may have {LARGEST_FILE} bytes"));
    }
    if is_pending(UnixSignal::SIGTERM)? {
        return refuse("the other side left before the file was whole");
    }
    fchown(&temporary.file, Some(Uid::from_raw(0)), Some(Gid::from_raw(0)))?;
    fchmod(&temporary.file, Mode::from_bits_truncate(mode & 0o7777))?;
    temporary.file.sync_data()?;
    renameat(&directory, temporary.name.as_str(), &directory, name)?;
    Ok(())
}

/// A new file that is gone unless it was renamed.
struct Temporary<'a> {
    directory: &'a OwnedFd,
    name: String,
    file: File,
}

impl<'a> Temporary<'a> {
    fn new(directory: &'a OwnedFd) -> io::Result<Self> {
        let name = format!(".berth-{}-{}", std::process::id(), directory.as_raw_fd());
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let _ = unlinkat(directory, name.as_str(), UnlinkatFlags::NoRemoveDir); // of an earlier one that was killed
        let fd = openat(directory, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(Self { directory, name, file: File::from(fd) })
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // After the rename there is nothing by this name.
        let _ = unlinkat(self.directory.as_fd(), self.name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_json_whatever_the_names_are() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a\"\n"), "xyz").unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("pipe"), Mode::S_IRWXU).unwrap();
        let fd: OwnedFd = File::open(dir.path()).unwrap().into();
        let mut text = Vec::new();
        list(&fd, "/x\"y", &mut text).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let mut entries: Vec<_> = list["entries"].as_array().unwrap().clone();
        entries.sort_by_key(|entry| entry["name"].to_string());
        let kinds: Vec<_> = entries.iter().map(|e| e["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["file", "link", "other", "directory"]);
        assert_eq!((&entries[0]["size"], &list["truncated"]), (&3.into(), &false.into()));
        assert_eq!((entries[0]["name"].as_str(), list["path"].as_str()), (Some("a\"\n"), Some("/x\"y")));
    }
}
