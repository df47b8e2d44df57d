//! Growing a disk: first its image, which is sparse and costs nothing, then the file system inside.
//!
//! The file system grows by the kernel, mounted and journalled: the monitor asks for it when the plan changes under a
//! running guest, and when it attaches a disk that was resized while it was off. That needs `CAP_SYS_RESOURCE`. An agent
//! without it (in a container, say) has the file system grown by resize2fs before the guest starts. resize2fs is not
//! safe against a crash in the middle, so it writes what it overwrites to a file of its own first, and a start that
//! finds such a file puts everything back and begins anew.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use super::gone;
use crate::ext4::Superblock;

/// Bit of the capability, from linux/capability.h.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Bytes that an image lacks to be as long as a disk of so many bytes is, of which there is a blank.
pub(super) fn missing(image: &Path, blank: &Path, bytes: i64) -> io::Result<u64> {
    let (have, like) = (Superblock::read(&File::open(image)?)?, Superblock::read(&File::open(blank)?)?);
    let long = if have.inodes_per_group() == like.inodes_per_group() {
        fs::metadata(blank)?.len()
    } else {
        // made with a number of inodes of its own, and every group that it gets has as many again
        have.length_for(u64::try_from(bytes).unwrap_or(0))
    };
    Ok(long.saturating_sub(fs::metadata(image)?.len()))
}

/// Makes an image longer by so many bytes.
pub(super) fn lengthen(image: &Path, by: u64) -> io::Result<()> {
    let file = File::options().write(true).open(image)?;
    file.set_len(file.metadata()?.len() + by)?;
    file.sync_all()
}

/// Grows the file system in an image that is not mounted to the image's length, if it is shorter.
pub(super) fn file_system(image: &Path) -> io::Result<()> {
    let undo = image.with_extension("undo");
    if undo.exists() {
        run(Command::new("e2undo").arg(&undo).arg(image), 0)?;
        fs::remove_file(&undo)?;
    }
    let file = File::open(image)?;
    if !Superblock::read(&file)?.is_smaller_than(file.metadata()?.len()) {
        return Ok(());
    }
    // resize2fs asks for it; 1 means that the journal was replayed or something else was put right.
    run(Command::new("e2fsck").args(["-fp"]).arg(image), 1)?;
    run(Command::new("resize2fs").arg("-z").arg(&undo).arg(image), 0)?;
    file.sync_all()?;
    gone(fs::remove_file(&undo))
}

/// Whether the kernel lets this process grow a file system that is mounted.
pub(in crate::linux) fn mounted_is_allowed() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|c| c & CAP_SYS_RESOURCE != 0)
}

fn run(command: &mut Command, worst: i32) -> io::Result<()> {
    let output = command.output()?;
    if output.status.code().is_some_and(|code| code <= worst) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let name = command.get_program().to_string_lossy().into_owned();
    if said.contains("No space left") {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Err(io::Error::other(format!("{name} failed ({}): {}", output.status, said.trim())))
}
