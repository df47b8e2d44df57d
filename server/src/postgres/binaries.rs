//! Finds the Postgres that the distribution installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The oldest major version that Berth works with.
const OLDEST: u32 = 15;

/// Directory with `initdb` and `postgres` of the newest version that is installed.
pub(super) fn find() -> Result<PathBuf> {
    newest_in(Path::new("/usr/lib/postgresql")).with_context(|| {
        format!("no Postgres {OLDEST} or newer is installed; run: apt-get install postgresql (or set DATABASE_URL)")
    })
}

fn newest_in(root: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(root).ok()?;
    versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            let whole = bin.join("postgres").exists() && bin.join("initdb").exists();
            (version >= OLDEST && whole).then_some((version, bin))
        })
        .max()
        .map(|(_, bin)| bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_whole_installation_is_chosen() {
        let root = tempfile::tempdir().unwrap();
        for (version, programs) in [("13", 2), ("15", 2), ("16", 2), ("17", 1), ("common", 2)] {
            let bin = root.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for program in ["postgres", "initdb"].iter().take(programs) {
                std::fs::write(bin.join(program), "").unwrap();
            }
        }
        assert_eq!(newest_in(root.path()), Some(root.path().join("16/bin")));
        assert_eq!(newest_in(&root.path().join("13")), None);
    }
}
