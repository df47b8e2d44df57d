//! What an image says about itself: `metadata.yaml` of an image server, or the names in a tarball.
//!
//! Of the YAML only the flat map `properties` is read, by hand: a parser of all of YAML can be made to work for ever by
//! the few lines that are of interest here. What is not understood is as if it were not there.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use berth_proto::{ArchiveFormat, stop_signal};

use super::simplestreams::MAX_METADATA_BYTES;
use crate::error::{Error, Result};

/// Longest value that is kept, bytes.
const MAX_VALUE: usize = 200;
/// As much of a tarball is looked through, unpacked.
const MAX_LOOKED_THROUGH: u64 = 16 << 30;

/// What is known of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// For people.
    pub description: Option<String>,
    /// Name of the system (`Alpine`).
    pub os: Option<String>,
    /// Its release.
    pub release: Option<String>,
    /// `cloud` means that cloud-init is inside.
    pub variant: Option<String>,
    /// Whether cloud-init is inside, where it is said outright.
    pub cloud_init: Option<bool>,
    /// Name of the signal that asks its init to stop.
    pub stop_signal: Option<String>,
    /// A user that the image has.
    pub default_user: Option<String>,
}

impl Properties {
    /// Whether cloud-init is inside, as far as this tells.
    #[must_use]
    pub fn has_cloud_init(&self) -> Option<bool> {
        self.cloud_init.or_else(|| (self.variant.as_deref() == Some("cloud")).then_some(true))
    }
}

/// Reads the metadata archive (`lxd.tar.xz`). Blocks.
///
/// # Errors
/// `invalid_input` when it is no tarball.
pub fn of_archive(archive: &[u8]) -> Result<Properties> {
    let yaml = yaml(archive)
        .map_err(|e| Error::invalid("server", format!("the image's metadata cannot be read: {e}")))?;
    Ok(yaml.map(|yaml| of_yaml(&yaml)).unwrap_or_default())
}

fn yaml(archive: &[u8]) -> io::Result<Option<String>> {
    let unpacked = liblzma::read::XzDecoder::new_multi_decoder(archive).take(4 * MAX_METADATA_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path_bytes().into_owned();
        if path == b"metadata.yaml" || path == b"./metadata.yaml" {
            let mut text = Vec::new();
            entry.by_ref().take(1 << 20).read_to_end(&mut text)?;
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}

/// Reads `metadata.yaml`.
#[must_use]
pub fn of_yaml(yaml: &str) -> Properties {
    let mut found = Properties::default();
    let inside = yaml.lines().skip_while(|line| line.trim_end() != "properties:").skip(1);
    for line in inside.take_while(|line| line.starts_with([' ', '\t', '#']) || line.trim().is_empty()) {
        let Some((key, value)) = line.trim().split_once(':') else { continue };
        let Some(value) = scalar(value) else { continue };
        match key.trim_matches(['"', '\'']) {
            "description" => found.description = Some(value),
            "os" => found.os = Some(value),
            "release" => found.release = Some(value),
            "variant" => found.variant = Some(value),
            "cloud_init" => found.cloud_init = value.parse().ok(),
            "stop_signal" => found.stop_signal = Some(value).filter(|name| stop_signal(name).is_some()),
            "default_user" => found.default_user = Some(value).filter(|name| is_user(name)),
            _ => {}
        }
    }
    found
}

fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    let quoted = |c| text.strip_prefix(c).and_then(|rest| rest.split_once(c)).map(|(inner, _)| inner);
    let plain = || text.split(" #").next().unwrap_or_default().trim_end();
    let value = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(plain);
    let fine = !value.is_empty() && value.len() <= MAX_VALUE && !value.contains(char::is_control);
    (fine && !value.starts_with(['[', '{', '|', '>', '&', '*'])).then(|| value.to_owned())
}

/// Whether a user may have this name, on any distribution.
#[must_use]
pub fn is_user(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_' || c == b'-';
    let first = name.bytes().next().is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
    first && name.len() <= 32 && name.bytes().all(inner)
}

/// Whether cloud-init is in a tarball, by the names in it; none when that cannot be told. Blocks, for seconds.
#[must_use]
pub fn finds_cloud_init(path: &Path, format: ArchiveFormat) -> Option<bool> {
    let file = BufReader::with_capacity(1 << 18, File::open(path).ok()?);
    let unpacked: Box<dyn Read> = match format {
        ArchiveFormat::Tar => Box::new(file),
        ArchiveFormat::TarGz => Box::new(flate2::read::MultiGzDecoder::new(file)),
        ArchiveFormat::TarXz => Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)),
        ArchiveFormat::TarZst => Box::new(zstd::stream::read::Decoder::with_buffer(file).ok()?),
        ArchiveFormat::Squashfs | ArchiveFormat::Unknown => return None,
    };
    let mut archive = tar::Archive::new(unpacked.take(MAX_LOOKED_THROUGH));
    for entry in archive.entries().ok()? {
        let entry = entry.ok()?;
        let path = entry.path_bytes();
        if path.strip_prefix(b"./").unwrap_or(&path) == b"usr/bin/cloud-init" {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_image_servers_write_is_read() {
        let yaml = "architecture: x86_64\ncreation_date: 1704892800\nexpiry_date: 1707484800\nproperties:\n  \
            architecture: amd64\n  description: Alpine 3.19 amd64 (20240110_13:00)\n  name: alpine-3.19\n  os: alpine\n  \
            release: \"3.19\"\n  serial: \"20240110_13:00\"\n  variant: cloud\ntemplates:\n  /etc/hostname:\n    os: wrong\n";
        let found = of_yaml(yaml);
        assert_eq!(found.os.as_deref(), Some("alpine"));
        assert_eq!(found.release.as_deref(), Some("3.19"));
        assert_eq!(found.description.as_deref(), Some("Alpine 3.19 amd64 (20240110_13:00)"));
        assert_eq!(found.has_cloud_init(), Some(true));
        assert_eq!((found.stop_signal, found.default_user), (None, None));
    }

    #[test]
    fn our_own_words_are_checked() {
        let found = of_yaml(
            "properties:\n stop_signal: SIGRTMIN+3\n default_user: 'debian' # yes\n cloud_init: false\n",
        );
        assert_eq!(found.stop_signal.as_deref(), Some("SIGRTMIN+3"));
        assert_eq!(found.default_user.as_deref(), Some("debian"));
        assert_eq!(found.has_cloud_init(), Some(false));
        let bad = "properties:\n stop_signal: SIGKILL\n default_user: ../root\n os: [a]\n description: |\n";
        assert_eq!(of_yaml(bad), Properties::default());
        assert_eq!(of_yaml("os: debian\n"), Properties::default());
    }

    #[test]
    fn an_archive_without_metadata_says_nothing() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        tar.append_data(&mut header, "templates/x", &b""[..]).unwrap();
        let mut packed = Vec::new();
        let bytes = tar.into_inner().unwrap();
        liblzma::read::XzEncoder::new(&bytes[..], 0).read_to_end(&mut packed).unwrap();
        assert_eq!(of_archive(&packed).unwrap(), Properties::default());
        assert!(of_archive(b"junk").is_err());
    }

    #[test]
    fn cloud_init_is_found_in_a_tarball() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        for (name, there) in [("./usr/bin/cloud-init", true), ("usr/bin/other", false)] {
            let mut tar = tar::Builder::new(File::create(&path).unwrap());
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            tar.append_data(&mut header, name, &b""[..]).unwrap();
            tar.finish().unwrap();
            assert_eq!(finds_cloud_init(&path, ArchiveFormat::Tar), Some(there));
        }
    }

    proptest! {
        #[test]
        fn nonsense_never_fails(text in "(properties:\n)?([ a-z_:\"'#\\[{|]{0,20}\n){0,8}") {
            let _ = of_yaml(&text);
        }
    }
}
