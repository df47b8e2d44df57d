//! Templates: unpacked images, shared read-only by all VPSes of this host.
//!
//! A template is a directory named by the digest of its archive. It appears by rename when it is whole, so what has the
//! name can be used. Unpacking is done by a process of its own that has given up the host's file tree
//! ([`crate::monitor`]); only root may enter the directory above, because files in templates can be set-user-id.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use berth_proto::{ArchiveFormat, ImageRef, VpsFault};
use sha2::{Digest, Sha256};

use super::fault::internal;
use super::make_private_dir;
use crate::host::Fault;
use crate::monitor;

/// The templates of this host.
#[derive(Clone, Debug)]
pub(super) struct Templates {
    dir: PathBuf,
    monitor: PathBuf,
}

impl Templates {
    /// Those below a state directory. What an earlier process left half unpacked is removed.
    pub(super) fn open(state: &Path, monitor: &Path) -> io::Result<Self> {
        let dir = state.join("templates");
        make_private_dir(&dir)?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if entry.file_name().to_string_lossy().contains(".new-") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { dir, monitor: monitor.to_owned() })
    }

    /// Where the template of a digest is, if it stands ready.
    pub(super) fn path(&self, sha256: &str) -> Option<PathBuf> {
        let path = is_digest(sha256).then(|| self.dir.join(sha256))?;
        path.is_dir().then_some(path)
    }

    /// Digests of all that stand ready.
    pub(super) fn list(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut digests: Vec<String> = names.filter(|name| is_digest(name)).collect();
        digests.sort();
        digests
    }

    /// Unpacks an archive. Blocks.
    pub(super) fn unpack(&self, image: &ImageRef, archive: &Path) -> Result<(), Fault> {
        if self.path(&image.sha256).is_some() {
            return Ok(());
        }
        let mut file = File::open(archive)
            .map_err(|e| VpsFault::passing("image_unavailable", format!("{}: {e}", archive.display())))?;
        verify(&mut file, &image.sha256)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let partial = self.dir.join(format!("{}.new-{}", image.sha256, since.as_nanos()));
        let made = self.unpack_into(&partial, image.format, file).and_then(|()| {
            let whole = self.dir.join(&image.sha256);
            match std::fs::rename(&partial, &whole) {
                Err(_) if whole.is_dir() => std::fs::remove_dir_all(&partial),
                other => other,
            }
            .map_err(|e| internal("putting the template in place", &e))
        });
        if made.is_err() {
            let _ = std::fs::remove_dir_all(&partial);
        }
        made
    }

    fn unpack_into(&self, partial: &Path, format: ArchiveFormat, archive: File) -> Result<(), Fault> {
        make_private_dir(partial).map_err(|e| internal("making the template's directory", &e))?;
        let output = Command::new(&self.monitor)
            .args([monitor::UNPACK, format_name(format)])
            .arg(partial)
            .stdin(archive)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .map_err(|e| internal("running berth-monitor to unpack an image", &e))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            if said.contains("No space left") {
                let message = format!(
                    "the host's disk pool {} has no room for this image; add disk to it, or remove images",
                    self.dir.display()
                );
                return Err(VpsFault::terminal("disk_pool_full", message));
            }
            return Err(VpsFault::terminal(
                "image_unavailable",
                format!("the image cannot be unpacked: {said}; import it again"),
            ));
        }
        // The archive says how its root may be entered; a guest's own users must be able to.
        settle(partial).map_err(|e| internal("writing the template to the disk", &e))
    }
}

fn settle(template: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let dir = File::open(template)?;
    dir.set_permissions(std::fs::Permissions::from_mode(0o755))?;
    Ok(nix::unistd::syncfs(&dir)?)
}

/// Reads all of an archive, and again from its beginning is where it stands afterwards.
fn verify(file: &mut File, expected: &str) -> Result<(), Fault> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|e| internal("reading the image's archive", &e))? {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let found = hex::encode(hasher.finalize());
    if found != expected {
        return Err(VpsFault::terminal(
            "image_digest_mismatch",
            format!("the image's archive has sha256 {found} instead of {expected}; import the image again"),
        ));
    }
    file.rewind().map_err(|e| internal("reading the image's archive", &e))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn format_name(format: ArchiveFormat) -> &'static str {
    match format {
        ArchiveFormat::Tar => "tar",
        ArchiveFormat::TarGz => "tar_gz",
        ArchiveFormat::TarXz => "tar_xz",
        ArchiveFormat::TarZst => "tar_zst",
        ArchiveFormat::Squashfs => "squashfs",
        ArchiveFormat::Unknown => "unknown",
    }
}
