//! Unpacks the archive of an image into a fresh template directory.
//!
//! The archive may be hostile. Before a byte of it is read, this process gives up the host's file tree: its root is the
//! destination. Device nodes are left out (a guest gets its `/dev` otherwise, and host root would make real ones);
//! links may point wherever they like, for there is nothing but the template to point to.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::chroot;
use std::path::{Component, Path};

use nix::unistd::{chdir, fchdir};
use tar::{Archive, EntryType};

use super::{squashfs, sys};

/// `unpack <format> <destination>`, with the archive on standard input.
pub(super) fn main(mut arguments: impl Iterator<Item = String>) -> io::Result<()> {
    sys::close_from(3)?;
    let (Some(format), Some(destination)) = (arguments.next(), arguments.next()) else {
        return Err(io::Error::other("usage: unpack <format> <destination>"));
    };
    let archive = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let destination = File::open(destination)?;
    fchdir(&destination)?;
    chroot(".")?;
    chdir("/")?;
    drop(destination);
    let reader: Box<dyn Read> = match format.as_str() {
        "squashfs" => {
            squashfs::unpack(archive, Path::new("/"))?;
            return looks_like_a_root();
        }
        "tar" => Box::new(io::BufReader::with_capacity(1 << 20, archive)),
        "tar_gz" => Box::new(flate2::read::MultiGzDecoder::new(archive)),
        "tar_xz" => Box::new(liblzma::read::XzDecoder::new_multi_decoder(archive)),
        "tar_zst" => Box::new(zstd::stream::read::Decoder::new(archive)?),
        other => {
            let why = format!("this release does not know the format {other}; update the agent");
            return Err(io::Error::other(why));
        }
    };
    unpack(reader)
}

fn unpack(reader: impl Read) -> io::Result<()> {
    let mut archive = Archive::new(reader);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.set_preserve_mtime(true);
    archive.set_unpack_xattrs(true);
    archive.set_overwrite(true);
    let root = Path::new("/");
    // Modes and times of directories are set last: a read-only directory could not be filled by less than root, and
    // filling it would change its time.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        match entry.header().entry_type() {
            EntryType::Char | EntryType::Block => {}
            EntryType::Directory => directories.push(entry),
            _ => {
                let path = entry.path()?.into_owned();
                if path.components().any(|part| part == Component::ParentDir) {
                    return Err(io::Error::other(format!(
                        "the archive has a path with ..: {}",
                        path.display()
                    )));
                }
                entry.unpack_in(root)?;
            }
        }
    }
    directories.sort_by(|a, b| b.path_bytes().cmp(&a.path_bytes()));
    for mut directory in directories {
        directory.unpack_in(root)?;
    }
    looks_like_a_root()
}

/// An archive that is not of a root file system would make a template that cannot boot.
fn looks_like_a_root() -> io::Result<()> {
    for place in ["/etc", "/usr"] {
        if !fs::symlink_metadata(place).is_ok_and(|meta| meta.is_dir()) {
            return Err(io::Error::other(format!(
                "the archive is not a root file system: it has no {place}"
            )));
        }
    }
    Ok(())
}
