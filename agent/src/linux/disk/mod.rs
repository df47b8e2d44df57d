//! Disk images: one sparse ext4 image file a VPS, of the plan's size.
//!
//! Formatting takes longer than a start may, so a formatted blank of each size is made once and a new disk is a copy of
//! its few MiB of data. A disk appears under its name by rename when it is whole and on stable storage: what has the
//! name is a disk, what has not is swept. Images are never opened as file systems here; the monitor mounts them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_proto::{Limits, VpsFault, VpsId};
use tokio::sync::Mutex;

use super::make_private_dir;
use crate::host::Fault;

mod blank;
pub(super) mod grow;
mod sparse;

/// Least room that must be left in the pool, beyond the reserve, for a disk to be made: its formatted blank and what a
/// guest writes while it starts for the first time.
const ROOM_FOR_ONE: u64 = 64 << 20;

/// The disk images of this host.
#[derive(Clone, Debug)]
pub struct Disks {
    state: PathBuf,
    reserve: u64,
    blanks: Arc<Mutex<()>>,
}

/// What a disk is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Bytes, as `df` shows them.
    pub bytes: i64,
    /// Files and directories; 0 for what a disk of this size usually has.
    pub inodes: i64,
}

impl Size {
    /// What a plan asks for.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self { bytes: limits.disk_bytes, inodes: limits.inodes }
    }
}

/// How full the file system with the images is, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// In all, without what the file system keeps for root.
    pub total: u64,
    /// In use, by whomever.
    pub used: u64,
    /// What can still be written.
    pub free: u64,
}

impl Disks {
    /// The images below a state directory, of which `reserve` bytes of its file system stay free.
    #[must_use]
    pub fn new(state: &Path, reserve: u64) -> Self {
        Self { state: state.to_owned(), reserve, blanks: Arc::default() }
    }

    /// Where the image of a VPS is, or would be.
    #[must_use]
    pub fn path(&self, id: VpsId) -> PathBuf {
        self.dir(id).join("disk.img")
    }

    /// Whether a VPS has a whole disk.
    #[must_use]
    pub fn exists(&self, id: VpsId) -> bool {
        self.path(id).is_file()
    }

    /// Makes the disk of a VPS; one that is there stays as it is.
    ///
    /// # Errors
    /// `disk_pool_full` when there is no room; `internal` when the pool cannot be written. Nothing is left behind.
    pub async fn create(&self, id: VpsId, size: Size) -> Result<(), Fault> {
        if self.exists(id) {
            return Ok(());
        }
        self.has_room()?;
        let blank = self.blank(size).await?;
        let (partial, whole) = (self.dir(id).join("disk.img.new"), self.path(id));
        let copied = on_thread(move || {
            make_private_dir(partial.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            let made = sparse::copy(&blank, &partial).and_then(|()| std::fs::rename(&partial, &whole));
            made.inspect_err(|_| drop(std::fs::remove_file(&partial)))
        });
        copied.await.map_err(|e| self.fault("making a disk", &e))
    }

    /// Makes the image of a VPS's disk as long as a disk of so many bytes is; never shorter. The file system inside is
    /// grown by whoever has it mounted, or by [`Self::grow_unmounted`].
    ///
    /// # Errors
    /// `disk_pool_full` when there is no room; `internal` when the image cannot be written.
    pub async fn lengthen(&self, id: VpsId, bytes: i64) -> Result<(), Fault> {
        let (blank, image) = (self.blank(Size { bytes, inodes: 0 }).await?, self.path(id));
        let missing = grow::missing(&image, &blank, bytes).map_err(|e| self.fault("measuring a disk", &e))?;
        if missing == 0 {
            return Ok(());
        }
        self.has_room()?;
        on_thread(move || grow::lengthen(&image, missing)).await.map_err(|e| self.fault("growing a disk", &e))
    }

    /// Grows the file system of a disk that nobody has mounted to the length of its image.
    ///
    /// # Errors
    /// `disk_pool_full` when there is no room; `internal` when the file system is damaged or cannot be written.
    pub async fn grow_unmounted(&self, id: VpsId) -> Result<(), Fault> {
        let image = self.path(id);
        on_thread(move || grow::file_system(&image)).await.map_err(|e| self.fault("growing a disk", &e))
    }

    /// The formatted blank of a size, made now if it is not there.
    async fn blank(&self, size: Size) -> Result<PathBuf, Fault> {
        let inodes = u64::try_from(size.inodes).unwrap_or(0);
        let bytes = u64::try_from(size.bytes)
            .map_err(|_| VpsFault::terminal("internal", "a disk of negative size was asked for"))?;
        let _one_at_a_time = self.blanks.lock().await;
        let dir = self.state.join("blanks");
        let made = on_thread(move || blank::of_size(&dir, bytes, inodes)).await;
        made.map_err(|e| self.fault("formatting a disk", &e))
    }

    /// Deletes the disk of a VPS, half a disk too.
    ///
    /// # Errors
    /// `internal` when a file cannot be removed.
    pub async fn delete(&self, id: VpsId) -> Result<(), Fault> {
        let files = [self.path(id), self.dir(id).join("disk.img.new"), self.path(id).with_extension("undo")];
        let removed = on_thread(move || files.iter().try_for_each(|f| gone(std::fs::remove_file(f))));
        removed.await.map_err(|e| self.fault("deleting a disk", &e))
    }

    /// Removes what a create that did not end left.
    ///
    /// # Errors
    /// `internal` when the file cannot be removed.
    pub async fn discard_half_made(&self, id: VpsId) -> Result<(), Fault> {
        let half = self.dir(id).join("disk.img.new");
        on_thread(move || gone(std::fs::remove_file(half)))
            .await
            .map_err(|e| self.fault("deleting a disk", &e))
    }

    /// Whether half a disk of a VPS is left from a create that did not end.
    #[must_use]
    pub fn half_made(&self, id: VpsId) -> bool {
        self.dir(id).join("disk.img.new").exists()
    }

    /// Every VPS that has a disk here, half a disk too.
    #[must_use]
    pub fn list(&self) -> Vec<VpsId> {
        let entries = std::fs::read_dir(self.state.join("vps")).into_iter().flatten().flatten();
        let ids = entries.filter_map(|e| Some(VpsId(e.file_name().to_str()?.parse().ok()?)));
        ids.filter(|id| self.exists(*id) || self.half_made(*id)).collect()
    }

    /// How full the pool is; zero when that cannot be told.
    #[must_use]
    pub fn pool(&self) -> Pool {
        let nearest = self.state.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
        let Ok(fs) = nix::sys::statvfs::statvfs(nearest) else { return Pool::default() };
        let block = fs.fragment_size();
        let used = (fs.blocks() - fs.blocks_free()) * block;
        let free = fs.blocks_available() * block;
        Pool { total: used + free, used, free }
    }

    fn has_room(&self) -> Result<(), Fault> {
        let free = self.pool().free;
        if free >= self.reserve + ROOM_FOR_ONE {
            return Ok(());
        }
        Err(full(
            &self.state,
            &format!(
                "{} MiB are free, of which {} MiB are reserved for the host",
                free >> 20,
                self.reserve >> 20
            ),
        ))
    }

    fn fault(&self, what: &str, e: &io::Error) -> Fault {
        if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return full(&self.state, &e.to_string());
        }
        VpsFault::passing("internal", format!("{what} failed: {e}"))
    }

    fn dir(&self, id: VpsId) -> PathBuf {
        self.state.join("vps").join(id.to_string())
    }
}

fn full(state: &Path, detail: &str) -> Fault {
    VpsFault::terminal(
        "disk_pool_full",
        format!(
            "the host's disk pool {} is full ({detail}); delete a server on this host, add disk to it, or cordon it",
            state.display()
        ),
    )
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)))
}

#[cfg(test)]
mod tests;
