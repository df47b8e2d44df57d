//! Copies a sparse file: its extents of data, not its holes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::copy_file_range;
use nix::unistd::{Whence, lseek};

/// Copies `from` to a new file `to` and writes it to stable storage. What is left of a failed copy is the caller's.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::create(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let end = offset(length)?;
    let mut at = 0;
    while at < end {
        at = match lseek(source.as_fd(), at, Whence::SeekData) {
            Err(Errno::ENXIO) => break, // only holes are left
            found => found?,
        };
        let stop = lseek(source.as_fd(), at, Whence::SeekHole)?;
        copy_extent(&source, &target, at, stop)?;
        at = stop;
    }
    target.sync_data()
}

fn copy_extent(source: &File, target: &File, from: i64, to: i64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (from, from);
    while read_at < to {
        let rest = usize::try_from(to - read_at).map_err(io::Error::other)?;
        if copy_file_range(source, Some(&mut read_at), target, Some(&mut write_at), rest)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn offset(length: u64) -> io::Result<i64> {
    i64::try_from(length).map_err(io::Error::other)
}
