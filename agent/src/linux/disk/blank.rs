//! Formatted blanks: for each size an ext4 image whose `df` shows that size.
//!
//! A file system keeps part of its device for itself, and how much depends on its size, so the image is made larger
//! until what remains is what was sold.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ext4::Superblock;

const MIB: u64 = 1 << 20;

/// A disk has at least one block for two inodes: more inodes than that would leave no room for files.
const BYTES_FOR_INODE: u64 = 8192;

/// A blank whose file system offers `bytes` and so many inodes (0 for the usual), made now if it is not there.
pub(super) fn of_size(dir: &Path, bytes: u64, inodes: u64) -> io::Result<PathBuf> {
    let inodes = inodes.min(bytes / BYTES_FOR_INODE);
    let name = if inodes == 0 { bytes.to_string() } else { format!("{bytes}-{inodes}") };
    let whole = dir.join(format!("{name}.ext4"));
    if whole.is_file() {
        return Ok(whole);
    }
    super::make_private_dir(dir)?;
    let partial = dir.join(format!("{name}.new"));
    let made = format_until_right(&partial, bytes, inodes).and_then(|()| std::fs::rename(&partial, &whole));
    made.inspect_err(|_| drop(std::fs::remove_file(&partial)))?;
    Ok(whole)
}

fn format_until_right(path: &Path, bytes: u64, inodes: u64) -> io::Result<()> {
    let mut size = bytes + bytes / 50 + 70 * MIB + inodes * 256;
    for _ in 0..4 {
        size = size.next_multiple_of(MIB);
        format(path, size, inodes)?;
        let usable = Superblock::read(&File::open(path)?)?.usable();
        if usable >= bytes && usable - bytes <= (bytes / 500).max(2 * MIB) {
            break;
        }
        size = size + bytes + MIB - usable;
    }
    File::open(path)?.sync_all()
}

fn format(path: &Path, size: u64, inodes: u64) -> io::Result<()> {
    File::create(path)?.set_len(size)?;
    let output = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-b", "4096", "-L", "berth"])
        .args([
            "-O",
            "^resize_inode,metadata_csum,64bit",
            "-E",
            "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0",
        ])
        .args((inodes > 0).then(|| format!("-N{inodes}")))
        .arg(path)
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("No space left") {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Err(io::Error::other(format!("mkfs.ext4 failed: {}", said.trim())))
}
