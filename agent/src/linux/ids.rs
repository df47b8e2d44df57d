//! Which host uids and gids belong to which VPS.
//!
//! Each VPS has 262,144 of its own, so that no two share a kernel account (process, inotify and key limits), and a file
//! that escaped would belong to nobody else. A range is noted on disk before anything uses it and is given to no other
//! VPS while the note is there.
//!
//! 65,536 would do for a distribution's own users, but distributions give each user of a machine 65,536 more for
//! containers, from 100,000 on: without them neither rootless podman nor docker's `userns-remap` works in a guest. A VPS
//! whose note says no count was made when there were 65,536, and keeps them: its neighbours' ranges follow at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use berth_proto::{VpsFault, VpsId};

use crate::host::Fault;

/// Ids of one VPS.
pub const RANGE: u32 = 4 * 65_536;

/// Ids of a VPS whose note says nothing else.
const OLD_RANGE: u32 = 65_536;

/// The ids of one VPS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first, its root.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Range {
    fn parse(note: &str) -> Option<Self> {
        let mut numbers = note.split_whitespace().map(str::parse);
        let first = numbers.next()?.ok()?;
        let count = numbers.next().unwrap_or(Ok(OLD_RANGE)).ok()?;
        Some(Self { first, count })
    }
}

/// The ranges of this host.
#[derive(Debug)]
pub struct Ids {
    dir: PathBuf,
    base: u32,
    taken: Mutex<BTreeMap<VpsId, Range>>,
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
            let note = name.parse().ok().zip(Range::parse(&text));
            let (id, range) =
                note.ok_or_else(|| io::Error::other(format!("{} is damaged", entry.path().display())))?;
            taken.insert(VpsId(id), range);
        }
        Ok(Self { dir, base, taken: Mutex::new(taken) })
    }

    /// A VPS's range, the same each time.
    ///
    /// # Errors
    /// When the host has no range left, or the note cannot be written.
    pub fn range(&self, id: VpsId) -> Result<Range, Fault> {
        let mut taken = self.taken.lock().expect("no code panics while holding this lock");
        if let Some(range) = taken.get(&id) {
            return Ok(*range);
        }
        let range = free(self.base, taken.values().copied().collect()).ok_or_else(|| {
            VpsFault::terminal("internal", "this host has no user ids left for another VPS")
        })?;
        let (partial, note) = (self.dir.join(format!("{id}.new")), self.note(id));
        let written = std::fs::write(&partial, format!("{} {}", range.first, range.count))
            .and_then(|()| std::fs::rename(&partial, &note));
        written.map_err(|e| {
            VpsFault::passing("internal", format!("cannot note the user ids of VPS {id}: {e}"))
        })?;
        taken.insert(id, range);
        Ok(range)
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

/// The first free range from `base` on.
fn free(base: u32, used: BTreeSet<Range>) -> Option<Range> {
    let mut first = base;
    for taken in used {
        if taken.first >= first.checked_add(RANGE)? {
            break;
        }
        first = first.max(taken.first.checked_add(taken.count)?);
    }
    (first <= u32::MAX - 2 * RANGE).then_some(Range { first, count: RANGE })
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
        assert_eq!((one.first, two.first, two.count), (BASE, BASE + RANGE, RANGE));
        let ids = Ids::open(dir.path(), BASE).unwrap();
        assert_eq!(ids.range(VpsId(2)).unwrap(), two);
        assert_eq!(ids.range(VpsId(3)).unwrap().first, two.first + RANGE);
        ids.release(VpsId(1)).unwrap();
        ids.release(VpsId(1)).unwrap();
        assert_eq!(ids.range(VpsId(4)).unwrap(), one);
    }

    #[test]
    fn a_range_from_before_keeps_its_size_and_new_ones_go_round_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ids")).unwrap();
        // Two old neighbours, of which the first is deleted: its place is too small for a new one.
        std::fs::write(dir.path().join("ids/7"), BASE.to_string()).unwrap();
        std::fs::write(dir.path().join("ids/8"), (BASE + OLD_RANGE).to_string()).unwrap();
        let ids = Ids::open(dir.path(), BASE).unwrap();
        assert_eq!(ids.range(VpsId(7)).unwrap(), Range { first: BASE, count: OLD_RANGE });
        ids.release(VpsId(7)).unwrap();
        assert_eq!(ids.range(VpsId(9)).unwrap().first, BASE + 2 * OLD_RANGE);
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
