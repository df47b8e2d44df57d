//! Archives of root file systems: kept by digest, given to agents.
//!
//! An archive is one file, `<data>/images/<sha256>`, that appears by rename only when it is whole and its digest is
//! known: a reader never sees half of one, and a failed import leaves nothing. What an archive is packed with is read
//! from its first bytes, not from its name. Nothing is ever unpacked here; that happens on the hosts, confined.

use std::path::{Path, PathBuf};

use berth_proto::ArchiveFormat;
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::{Error, Result};

pub mod debian;
pub mod metadata;
mod partial;
pub mod simplestreams;
pub mod source;

use partial::Partial;

/// Largest archive that is taken, bytes.
pub const MAX_ARCHIVE_BYTES: u64 = 16 << 30;

/// Where archives are kept.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
}

/// An archive that stands in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Lower-case hex SHA-256 of the archive; its name in the store.
    pub sha256: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How it is packed.
    pub format: ArchiveFormat,
}

impl Store {
    /// The store inside the server's data directory.
    #[must_use]
    pub fn in_data_dir(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("images") }
    }

    /// Path of the archive with this digest, whether or not it is there; none if that is no digest.
    #[must_use]
    pub fn path(&self, sha256: &str) -> Option<PathBuf> {
        is_digest(sha256).then(|| self.dir.join(sha256))
    }

    /// Takes an archive from a file of the operator's.
    ///
    /// # Errors
    /// `invalid_input` when it cannot be read, is no archive, or is not the one `expected` names.
    pub async fn import_file(&self, path: &Path, expected: Option<&str>) -> Result<Stored> {
        let file = tokio::fs::File::open(path)
            .await
            .map_err(|e| Error::invalid("path", format!("cannot read {}: {e}", path.display())))?;
        self.import(file, expected).await
    }

    /// Takes an archive from a URL. `expected` is not optional: what comes over a network is named before it is fetched.
    ///
    /// # Errors
    /// `invalid_input` when it cannot be fetched, is no archive, or is not the one `expected` names.
    pub async fn import_url(&self, http: &reqwest::Client, url: &str, expected: &str) -> Result<Stored> {
        let failed = |e: reqwest::Error| {
            Error::invalid("url", format!("cannot fetch the image: {e}; check the URL and the mirror"))
        };
        let response = http.get(url).send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        let body = response.bytes_stream().map_err(std::io::Error::other);
        self.import(tokio_util::io::StreamReader::new(body), Some(expected)).await
    }

    /// Takes an archive from any reader, in one pass.
    ///
    /// # Errors
    /// `invalid_input` when reading fails, when it is no archive, larger than [`MAX_ARCHIVE_BYTES`], or not the one
    /// that `expected` names; internal when the data directory cannot be written.
    pub async fn import(&self, reader: impl AsyncRead + Unpin, expected: Option<&str>) -> Result<Stored> {
        self.take(reader, expected, None).await
    }

    /// Takes an archive of which size and digest are known.
    ///
    /// # Errors
    /// As [`Store::import`], and `invalid_input` when it is larger or smaller than `size` bytes.
    pub async fn import_exact(
        &self,
        reader: impl AsyncRead + Unpin,
        sha256: &str,
        size: u64,
    ) -> Result<Stored> {
        self.take(reader, Some(sha256), Some(size)).await
    }

    async fn take(
        &self,
        reader: impl AsyncRead + Unpin,
        expected: Option<&str>,
        size: Option<u64>,
    ) -> Result<Stored> {
        if let Some(digest) = expected.filter(|d| !is_digest(d)) {
            return Err(Error::invalid("sha256", format!("'{digest}' is not 64 lower-case hex digits")));
        }
        let mut partial = Partial::create(&self.dir).await?;
        // One byte more is enough to see that there is more.
        let reader = reader.take(size.unwrap_or(MAX_ARCHIVE_BYTES).saturating_add(1));
        let (sha256, size_bytes, format) = copy(reader, partial.file()).await?;
        if let Some(wanted) = size.filter(|wanted| *wanted != size_bytes) {
            let than = if size_bytes > wanted { "larger" } else { "smaller" };
            let message = format!(
                "the archive is {than} than the {wanted} bytes that were announced; it was not imported"
            );
            return Err(Error::invalid("image", message));
        }
        if let Some(wanted) = expected.filter(|d| *d != sha256) {
            return Err(Error::invalid(
                "sha256",
                format!("the archive's digest is {sha256}, not {wanted}; it was not imported"),
            ));
        }
        partial.finish(&self.dir.join(&sha256)).await?;
        Ok(Stored { sha256, size_bytes, format })
    }
}

/// Whether this is how a digest is written.
#[must_use]
pub fn is_digest(s: &str) -> bool {
    s.len() == 64 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// How an archive is packed, by its first bytes (262 are enough).
#[must_use]
pub fn detect(head: &[u8]) -> Option<ArchiveFormat> {
    if head.starts_with(&[0x1f, 0x8b]) {
        Some(ArchiveFormat::TarGz)
    } else if head.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        Some(ArchiveFormat::TarXz)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Some(ArchiveFormat::TarZst)
    } else if head.starts_with(b"hsqs") {
        Some(ArchiveFormat::Squashfs)
    } else if head.get(257..262) == Some(b"ustar") {
        Some(ArchiveFormat::Tar)
    } else {
        None
    }
}

async fn copy(
    mut reader: impl AsyncRead + Unpin,
    out: &mut tokio::fs::File,
) -> Result<(String, u64, ArchiveFormat)> {
    let mut hash = Sha256::new();
    let mut head = Vec::with_capacity(512);
    let mut size = 0u64;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = reader.read(&mut buffer).await.map_err(|e| {
            Error::invalid("image", format!("the transfer broke off after {size} bytes: {e}"))
        })?;
        if n == 0 {
            break;
        }
        let chunk = &buffer[..n];
        size += n as u64;
        if size > MAX_ARCHIVE_BYTES {
            return Err(Error::invalid(
                "image",
                format!("the archive is larger than {MAX_ARCHIVE_BYTES} bytes"),
            ));
        }
        if head.len() < 512 {
            head.extend_from_slice(&chunk[..n.min(512 - head.len())]);
        }
        hash.update(chunk);
        out.write_all(chunk).await.map_err(anyhow::Error::from)?;
    }
    let format = detect(&head).ok_or_else(|| {
        Error::invalid(
            "image",
            "this is neither a tar archive, plain or packed with gzip, xz or zstd, nor a squashfs",
        )
    })?;
    Ok((hex::encode(hash.finalize()), size, format))
}

#[cfg(test)]
mod tests;
