//! The limits that were asked for of a running guest, beside its monitor's socket.
//!
//! What is told of limits is told beside what was asked for, and shares are weighed against those of others; an agent
//! that has just been started must know both of guests that it did not start. The file goes when the guest does.

use std::io;
use std::path::{Path, PathBuf};

use berth_proto::Limits;

fn file(run_dir: &Path) -> PathBuf {
    run_dir.join("limits.json")
}

/// Notes what is about to be put in force.
pub(super) fn save(run_dir: &Path, limits: &Limits) -> io::Result<()> {
    let partial = file(run_dir).with_extension("new");
    std::fs::write(&partial, serde_json::to_vec(limits)?)?;
    std::fs::rename(partial, file(run_dir))
}

/// What was asked for last; none for a guest that an agent of an older release started.
pub(super) fn load(run_dir: &Path) -> Option<Limits> {
    serde_json::from_slice(&std::fs::read(file(run_dir)).ok()?).ok()
}
