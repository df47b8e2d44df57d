//! Finds the Postgres that the distribution installed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The oldest major version that Berth works with.
const OLDEST: u32 = 15;

/// Directory with `initdb` and `postgres`: of the version that made the cluster in `data`, because no other can run it;
/// of the newest that is installed when there is no cluster yet.
pub(super) fn find(data: &Path) -> Result<PathBuf> {
    find_in(Path::new("/usr/lib/postgresql"), data)
}

fn find_in(root: &Path, data: &Path) -> Result<PathBuf> {
    if let Ok(version) = std::fs::read_to_string(data.join("PG_VERSION")) {
        let version = version.trim();
        let bin = root.join(version).join("bin");
        let there = bin.join("postgres").exists();
        return there.then_some(bin).with_context(|| {
            format!(
                "the cluster in {} was made by Postgres {version}, which is not installed any more; \
                 run: apt-get install postgresql-{version}, or move the cluster to a newer one with pg_upgrade",
                data.display()
            )
        });
    }
    newest_in(root).with_context(|| {
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
        // a cluster that is there already needs the version that made it
        let data = tempfile::tempdir().unwrap();
        assert_eq!(find_in(root.path(), data.path()).unwrap(), root.path().join("16/bin"));
        std::fs::write(data.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(find_in(root.path(), data.path()).unwrap(), root.path().join("15/bin"));
        std::fs::write(data.path().join("PG_VERSION"), "14\n").unwrap();
        let error = find_in(root.path(), data.path()).unwrap_err().to_string();
        assert!(error.contains("apt-get install postgresql-14"), "{error}");
    }
}
