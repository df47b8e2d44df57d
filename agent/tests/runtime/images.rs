//! What guests are made from: Debian as the tests' scripts build it, and tiny hostile ones made here.
//!
//! `BERTH_TEST_IMAGES` names a directory with `debian-12.tar.zst` and `debian-13.tar.zst`; without it `target/images` of
//! the workspace is used, where `deploy/test-images.sh` puts them.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use berth_proto::{ArchiveFormat, ImageId, ImageRef};
use sha2::{Digest, Sha256};

/// Where the archives are.
fn archives() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/images");
    std::env::var_os("BERTH_TEST_IMAGES").map_or(default, PathBuf::from)
}

/// A Debian image; none, with an explanation, when it has not been built.
pub(crate) fn debian(version: u32) -> Option<ImageRef> {
    built(&format!("debian-{version}"))
}

/// An image by its name; none, with an explanation, when it has not been built.
pub(crate) fn built(name: &str) -> Option<ImageRef> {
    Some(image(&file(&format!("{name}.tar.zst"))?, ArchiveFormat::TarZst))
}

/// A file that the scripts made; none, with an explanation, when it is not there.
pub(crate) fn file(name: &str) -> Option<PathBuf> {
    let archive = archives().join(name);
    if !archive.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{} is missing: run deploy/test-images.sh",
            archive.display()
        );
        eprintln!("SKIPPED: {} is missing: run deploy/test-images.sh", archive.display());
        return None;
    }
    Some(archive)
}

/// A reference to an archive.
pub(crate) fn image(archive: &Path, format: ArchiveFormat) -> ImageRef {
    let bytes = fs::read(archive).unwrap();
    ImageRef {
        id: ImageId(1),
        sha256: hex::encode(Sha256::digest(&bytes)),
        size_bytes: bytes.len() as i64,
        format,
        cloud_init: false,
        stop_signal: None,
        default_user: None,
    }
}

/// The archive of an image.
pub(crate) fn archive(image: &ImageRef) -> PathBuf {
    let all = fs::read_dir(archives()).unwrap().flatten().map(|entry| entry.path());
    let mut archives = all.filter(|path| path.extension().is_some_and(|e| e == "zst"));
    archives.find(|path| image_size(path) == image.size_bytes).expect("the archive of an image made from it")
}

fn image_size(path: &Path) -> i64 {
    fs::metadata(path).map_or(-1, |meta| meta.len() as i64)
}

/// The unpacked template of an image, made once for all tests, by the program that the agent uses.
pub(crate) fn template(image: &ImageRef) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("templates");
    fs::create_dir_all(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let whole = dir.join(&image.sha256);
    if !whole.exists() {
        let partial = dir.join("partial");
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir(&partial).unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_berth-monitor"))
            .args(["unpack", "tar_zst"])
            .arg(&partial)
            .stdin(Stdio::from(File::open(archive(image)).unwrap()))
            .status()
            .unwrap();
        assert!(status.success());
        fs::set_permissions(&partial, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&partial, &whole).unwrap();
    }
    whole
}

/// Private half of the key that tests log in with.
pub(crate) fn key_file() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = dir.join("id_ed25519");
    let lock = File::create(dir.join("id.lock")).unwrap();
    lock.lock().unwrap();
    if !path.exists() {
        let status =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
        assert!(status.unwrap().success());
    }
    path
}

/// Its public half.
pub(crate) fn public_key() -> String {
    fs::read_to_string(key_file().with_extension("pub")).unwrap().trim().to_owned()
}
