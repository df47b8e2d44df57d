//! A file that is being written: removed when dropped, unless it was finished.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// A temporary file beside its destination.
pub(super) struct Partial {
    path: PathBuf,
    file: tokio::fs::File,
    finished: bool,
}

impl Partial {
    /// Creates one in `dir`, and `dir` (0700) if it is not there.
    pub(super) async fn create(dir: &Path) -> anyhow::Result<Self> {
        tokio::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .await
            .with_context(|| format!("making {}", dir.display()))?;
        let path = dir.join(format!(".partial-{}", uuid::Uuid::new_v4()));
        let file = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .await
            .with_context(|| format!("making {}", path.display()))?;
        Ok(Self { path, file, finished: false })
    }

    pub(super) fn file(&mut self) -> &mut tokio::fs::File {
        &mut self.file
    }

    /// Makes it durable under its final name.
    pub(super) async fn finish(mut self, to: &Path) -> anyhow::Result<()> {
        self.file.sync_all().await.context("writing the image to disk")?;
        tokio::fs::rename(&self.path, to).await.with_context(|| format!("naming {}", to.display()))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            let _ = std::fs::remove_file(&self.path); // already gone: fine
        }
    }
}
