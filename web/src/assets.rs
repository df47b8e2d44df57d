//! Script, styles, icons and font, embedded in the binary.
//!
//! File names carry the hash of their content, so a browser may keep them for ever. A debug build reads `dist/` from
//! disk. Without a build of the assets (`npm run build`) the manifest is empty: links lead nowhere and pages are plain.

use std::collections::HashMap;
use std::sync::LazyLock;

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "dist"]
struct Dist;

static MANIFEST: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    Dist::get("manifest.json").and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default()
});

/// How an asset's bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// gzip.
    Gzip,
    /// Brotli.
    Brotli,
}

impl Encoding {
    /// The value of `Content-Encoding`, if one is needed.
    #[must_use]
    pub fn header(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Brotli => Some("br"),
        }
    }
}

/// An asset as it goes over the wire.
#[derive(Debug)]
pub struct Asset {
    /// The bytes, packed as `encoding` says.
    pub bytes: std::borrow::Cow<'static, [u8]>,
    /// How the bytes are packed.
    pub encoding: Encoding,
    /// The media type.
    pub mime: String,
}

/// The URL of the asset with this plain name (`style.css`).
#[must_use]
pub fn url(name: &str) -> String {
    format!("/assets/{}", MANIFEST.get(name).map_or(name, String::as_str))
}

/// The asset of this hashed file name, in the best packing that `accept_encoding` allows.
#[must_use]
pub fn get(file: &str, accept_encoding: &str) -> Option<Asset> {
    if !MANIFEST.values().any(|known| known == file) {
        return None; // the manifest itself, the packed variants and whatever else lies in dist/
    }
    let accepts = |name: &str| {
        accept_encoding.split(',').any(|part| {
            let mut pieces = part.split(';').map(str::trim);
            pieces.next() == Some(name)
                && !pieces.any(|q| matches!(q, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    let packed = [("br", Encoding::Brotli), ("gzip", Encoding::Gzip)]
        .into_iter()
        .filter(|(name, _)| accepts(name))
        .find_map(|(name, encoding)| {
            let suffix = if name == "br" { "br" } else { "gz" };
            Dist::get(&format!("{file}.{suffix}")).map(|found| (found.data, encoding))
        });
    let plain = Dist::get(file)?;
    let mime = plain.metadata.mimetype().to_owned();
    let (bytes, encoding) = packed.unwrap_or((plain.data, Encoding::Identity));
    Some(Asset { bytes, encoding, mime })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_manifest_are_served() {
        assert!(get("manifest.json", "").is_none());
        assert!(get("../Cargo.toml", "").is_none());
        assert!(get("", "").is_none());
    }

    #[test]
    fn packed_when_the_browser_takes_it() {
        let Some(file) = MANIFEST.get("style.css") else { return }; // the assets are not built
        assert_eq!(get(file, "gzip, deflate, br").map(|a| a.encoding), Some(Encoding::Brotli));
        assert_eq!(get(file, "gzip;q=1.0, br;q=0").map(|a| a.encoding), Some(Encoding::Gzip));
        assert_eq!(get(file, "").map(|a| a.encoding), Some(Encoding::Identity));
        assert_eq!(get(file, "").map(|a| a.mime), Some("text/css".to_owned()));
    }
}
