//! Unpacks a squashfs file system into this process's root directory.
//!
//! Read here and neither mounted nor given to `unsquashfs`: the kernel trusts a file system that root mounts, a program
//! in C would have to be brought into the empty root that confines this process, and the crates that read squashfs know
//! no extended attributes, without which programs lose their file capabilities.
//!
//! The file may be hostile. Every offset and size in it is checked where it is used; a directory that is met twice ends
//! the work, so there are no loops; memory is bounded by one directory and a cache, and disk by the disk. Each directory
//! is made here and must be new, and files are made new in those, so no link of the image is ever followed, even inside
//! the root that this process is confined to. Device nodes, sockets and pipes are left out.

mod blocks;
mod inode;
mod table;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, FileTimes, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use self::inode::{Content, Data, Inode};
use self::table::{Image, damaged};

/// More files than this are no root file system.
const MAX_FILES: u64 = 8 << 20;
/// Deeper than this is no root file system.
const MAX_DEPTH: usize = 256;

/// A directory that is being filled.
struct Level {
    path: PathBuf,
    attributes: Inode,
    left: std::vec::IntoIter<inode::Entry>,
}

/// Unpacks all of it below `root`, which is a directory of this process's own.
pub(super) fn unpack(file: File, root: &Path) -> io::Result<()> {
    let mut image = Image::open(file)?;
    let root_inode = image.root;
    let top = Inode::read(&mut image, root_inode)?;
    let mut seen = HashSet::from([root_inode]);
    let mut links = HashMap::new();
    let mut files = 0_u64;
    let mut levels = vec![descend(&mut image, root.to_owned(), top)?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.left.next() else {
            finish_directory(&image, level)?;
            levels.pop();
            continue;
        };
        let path = level.path.join(&entry.name);
        files += 1;
        if files > MAX_FILES {
            return Err(io::Error::other(format!("the image has more than {MAX_FILES} files")));
        }
        let inode = Inode::read(&mut image, entry.inode)?;
        if !matches!(inode.content, Content::Directory { .. }) {
            make(&mut image, &path, &inode, &mut links)?;
            continue;
        }
        if !seen.insert(entry.inode) || levels.len() > MAX_DEPTH {
            return Err(damaged("its directories form a loop"));
        }
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|e| at(&path, &e))?;
        levels.push(descend(&mut image, path, inode)?);
    }
    Ok(())
}

fn descend(image: &mut Image, path: PathBuf, attributes: Inode) -> io::Result<Level> {
    let left = attributes.entries(image)?.into_iter();
    Ok(Level { path, attributes, left })
}

/// Modes and times of directories come last: filling them changes both.
fn finish_directory(image: &Image, level: &Level) -> io::Result<()> {
    let inode = &level.attributes;
    chown(&level.path, Some(image.id(inode.uid)?), Some(image.id(inode.gid)?))?;
    let directory = File::open(&level.path)?;
    directory.set_permissions(Permissions::from_mode(inode.mode))?;
    directory.set_times(times(inode))
}

/// Makes whatever is no directory.
fn make(image: &mut Image, path: &Path, inode: &Inode, links: &mut HashMap<u32, PathBuf>) -> io::Result<()> {
    let (uid, gid) = (image.id(inode.uid)?, image.id(inode.gid)?);
    match &inode.content {
        Content::File(data) => {
            if let Some(first) = links.get(&inode.number) {
                return fs::hard_link(first, path).map_err(|e| at(path, &e));
            }
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(path);
            let file = file.as_mut().map_err(|e| at(path, e))?;
            write(image, file, data).map_err(|e| at(path, &e))?;
            fchown(&*file, Some(uid), Some(gid))?;
            file.set_permissions(Permissions::from_mode(inode.mode))?;
            // After the owner, whose change takes file capabilities away.
            for (name, value) in inode.attributes(image)? {
                // A file system below that has none of a kind keeps the file all the same.
                let _ = xattr::set(path, &name, &value);
            }
            file.set_times(times(inode))?;
            if inode.links > 1 {
                links.insert(inode.number, path.to_owned());
            }
            Ok(())
        }
        Content::Link(target) => {
            symlink(target, path).map_err(|e| at(path, &e))?;
            lchown(path, Some(uid), Some(gid))
        }
        Content::Directory { .. } | Content::Other => Ok(()),
    }
}

/// Writes a file's content; what is not stored becomes a hole.
fn write(image: &mut Image, file: &mut File, data: &Data) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    let mut blocks = data.blocks(image)?;
    let mut left = data.size;
    while left > 0 {
        let wanted = left.min(u64::from(image.block_size));
        match blocks.next(image, wanted)? {
            Some(bytes) => file.write_all(&bytes)?,
            None => {
                file.seek(SeekFrom::Current(wanted.cast_signed()))?;
            }
        }
        left -= wanted;
    }
    file.set_len(data.size)
}

fn times(inode: &Inode) -> FileTimes {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(inode.modified));
    FileTimes::new().set_modified(at).set_accessed(at)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
