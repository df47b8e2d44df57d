//! Which host uids and gids belong to which VPS.
//!
//! Each VPS has 65,536 of its own, so that no two share a kernel account (process, inotify and key limits), and a file
//! that escaped would belong to nobody else. A range is noted on disk before anything uses it and is given to no other
//! VPS while the note is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use berth_proto::{VpsFault, VpsId};

use crate::host::Fault;

/// Ids of one VPS.
pub const RANGE: u32 = 65_536;

/// The ranges of this host.
#[derive(Debug)]
pub struct Ids {
    dir: PathBuf,
    base: u32,
    taken: Mutex<BTreeMap<VpsId, u32>>,
}

impl Ids {
    /// Reads the notes below a state directory. Ranges are given from `base` on.
    ///
    /// # Errors
    /// When the notes cannot be read, or one makes no sense: giving ranges without knowing them all would be unsafe.
    pub fn open(state: &Path, base: u32) -> io::Result<Self> {
        let dir = state.join("ids");
        super::make_private_dir(&dir)?;
        let mut taken = BTreeMap::new();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| !n.ends_with(".new")) else { continue };
            let text = std::fs::read_to_string(entry.path())?;
            let note = name.parse().ok().zip(text.trim().parse().ok());
            let (id, first) =
                note.ok_or_else(|| io::Error::other(format!("{} is damaged", entry.path().display())))?;
            taken.insert(VpsId(id), first);
        }
        Ok(Self { dir, base, taken: Mutex::new(taken) })
    }

    /// First id of a VPS's range, the same each time.
    ///
    /// # Errors
    /// When the host has no range left, or the note cannot be written.
    pub fn range(&self, id: VpsId) -> Result<u32, Fault> {
        let mut taken = self.taken.lock().expect("no code panics while holding this lock");
        if let Some(first) = taken.get(&id) {
            return Ok(*first);
        }
        let used: BTreeSet<_> = taken.values().collect();
        let first =
            (self.base..=u32::MAX - 2 * RANGE).step_by(RANGE as usize).find(|first| !used.contains(first));
        let first = first.ok_or_else(|| {
            VpsFault::terminal("internal", "this host has no user ids left for another VPS")
        })?;
        let (partial, note) = (self.dir.join(format!("{id}.new")), self.note(id));
        let written =
            std::fs::write(&partial, first.to_string()).and_then(|()| std::fs::rename(&partial, &note));
        written.map_err(|e| {
            VpsFault::passing("internal", format!("cannot note the user ids of VPS {id}: {e}"))
        })?;
        taken.insert(id, first);
        Ok(first)
    }

    /// Gives a range back, when nothing of the VPS is left.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn release(&self, id: VpsId) -> Result<(), Fault> {
        let mut taken = self.taken.lock().expect("no code panics while holding this lock");
        match std::fs::remove_file(self.note(id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(VpsFault::passing(
                    "internal",
                    format!("cannot give back the user ids of VPS {id}: {e}"),
                ));
            }
            _ => taken.remove(&id),
        };
        Ok(())
    }

    fn note(&self, id: VpsId) -> PathBuf {
        self.dir.join(id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u32 = 1 << 20;

    #[test]
    fn a_range_stays_with_its_vps_over_restarts_and_is_given_to_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let ids = Ids::open(dir.path(), BASE).unwrap();
        let (one, two) = (ids.range(VpsId(1)).unwrap(), ids.range(VpsId(2)).unwrap());
        assert_eq!((one, two), (BASE, BASE + RANGE));
        let ids = Ids::open(dir.path(), BASE).unwrap();
        assert_eq!(ids.range(VpsId(2)).unwrap(), two);
        assert_eq!(ids.range(VpsId(3)).unwrap(), two + RANGE);
        ids.release(VpsId(1)).unwrap();
        ids.release(VpsId(1)).unwrap();
        assert_eq!(ids.range(VpsId(4)).unwrap(), one);
    }

    #[test]
    fn a_damaged_note_stops_everything_rather_than_giving_a_range_twice() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ids")).unwrap();
        std::fs::write(dir.path().join("ids/7"), "").unwrap();
        assert!(Ids::open(dir.path(), BASE).unwrap_err().to_string().contains("damaged"));
    }

    #[test]
    fn ranges_end() {
        let dir = tempfile::tempdir().unwrap();
        let ids = Ids::open(dir.path(), u32::MAX - 3 * RANGE + 1).unwrap();
        ids.range(VpsId(1)).unwrap();
        assert!(ids.range(VpsId(2)).unwrap_err().terminal);
    }
}
