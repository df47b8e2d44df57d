//! What an archive may ask of the host at most.
//!
//! A few kilobytes can name terabytes, millions of files, a name that fills memory, or a path so deep that nothing can
//! delete it again. Sizes are counted as the archive names them, before a byte of them is written.

use std::io::{self, Read};
use std::path::Path;

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::statvfs::fstatvfs;

/// Bytes of all files of an image.
const MAX_BYTES: u64 = 64 << 30;
/// Files, links and directories of an image.
const MAX_ENTRIES: u64 = 4_000_000;
/// Directories above a file. What takes a template away holds a descriptor for each.
const MAX_DEPTH: usize = 128;
/// Memory of the process that unpacks: names, and the window of a decompressor.
const MAX_MEMORY: u64 = 1 << 30;
/// Of the pool's free bytes, one part in so many is left for the guests that are there.
const LEFT_FREE: u64 = 20;

/// What is still allowed.
#[derive(Debug)]
pub(in crate::monitor) struct Budget {
    bytes: u64,
    entries: u64,
}

impl Budget {
    /// For an archive that is unpacked to where `destination` is.
    pub(in crate::monitor) fn of(destination: &std::fs::File) -> io::Result<Self> {
        let fs = fstatvfs(destination)?;
        let free = fs.blocks_available() * fs.fragment_size();
        Ok(Self { bytes: MAX_BYTES.min(free - free / LEFT_FREE), entries: MAX_ENTRIES })
    }

    /// Bounds the decompressed archive itself: its headers too can be without end.
    pub(in crate::monitor) fn metered<R: Read>(&self, archive: R) -> Metered<R> {
        Metered { archive, left: self.bytes + self.entries * 2048 }
    }

    /// Counts one more entry.
    pub(in crate::monitor) fn take(&mut self, path: &Path, size: u64) -> io::Result<()> {
        if path.components().count() > MAX_DEPTH {
            return Err(io::Error::other(format!(
                "the archive has a path with more than {MAX_DEPTH} directories"
            )));
        }
        let bytes = self.bytes.checked_sub(size).ok_or_else(|| {
            let limit = MAX_BYTES >> 30;
            io::Error::other(format!(
                "the archive's files are larger than {limit} GiB, or than this host has room for"
            ))
        })?;
        let entries = self.entries.checked_sub(1);
        let entries = entries
            .ok_or_else(|| io::Error::other(format!("the archive has more than {MAX_ENTRIES} files")))?;
        *self = Self { bytes, entries };
        Ok(())
    }
}

/// A reader that fails where its archive should have ended.
#[derive(Debug)]
pub(in crate::monitor) struct Metered<R> {
    archive: R,
    left: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.archive.read(buffer)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::other("the archive does not end where an image of a server should have ended")
        })?;
        Ok(n)
    }
}

/// Bounds this process's memory, for good.
pub(in crate::monitor) fn bound_memory() -> io::Result<()> {
    Ok(setrlimit(Resource::RLIMIT_AS, MAX_MEMORY, MAX_MEMORY)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Budget = Budget { bytes: 100, entries: 3 };

    #[test]
    fn sizes_add_up() {
        let mut budget = FRESH;
        budget.take(Path::new("a"), 60).unwrap();
        assert!(budget.take(Path::new("b"), 41).unwrap_err().to_string().contains("GiB"));
        budget.take(Path::new("b"), 40).unwrap();
        assert!(budget.take(Path::new("c"), u64::MAX).is_err());
    }

    #[test]
    fn entries_are_counted() {
        let mut budget = FRESH;
        (0..3).for_each(|_| budget.take(Path::new("a"), 0).unwrap());
        assert!(budget.take(Path::new("a"), 0).unwrap_err().to_string().contains("files"));
    }

    #[test]
    fn depth_is_bounded() {
        let mut budget = FRESH;
        budget.take(Path::new(&"a/".repeat(MAX_DEPTH)), 0).unwrap();
        assert!(budget.take(Path::new(&"a/".repeat(MAX_DEPTH + 1)), 0).is_err());
    }

    #[test]
    fn no_more_than_the_pool_has() {
        let here = std::fs::File::open(std::env::temp_dir()).unwrap();
        let budget = Budget::of(&here).unwrap();
        assert!(budget.bytes <= MAX_BYTES);
    }

    #[test]
    fn an_archive_without_end_is_an_error_and_not_an_end() {
        let mut archive = FRESH.metered(io::repeat(0));
        let mut all = Vec::new();
        assert!(archive.read_to_end(&mut all).unwrap_err().to_string().contains("end"));
        assert!(all.len() as u64 <= 100 + 3 * 2048);
    }
}
