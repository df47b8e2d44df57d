//! The index of an LXC image server ("simplestreams"): what it offers, and which files make one image.
//!
//! `streams/v1/index.json` names files with products; a product (a distribution, release, architecture and variant) has
//! versions by date, and a version has items, each with a path, a size and a digest. All of it comes from elsewhere and
//! is believed only as far as it can be checked here: paths stay below the server's root, digests and sizes are
//! required, and everything that is fetched later is held against them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{MAX_ARCHIVE_BYTES, is_digest};
use crate::error::{Error, Result};

/// Where the index is, below the root.
pub const INDEX: &str = "streams/v1/index.json";
/// Largest index that is read, bytes. That of a server with all distributions has a few megabytes.
pub const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Largest metadata file, bytes.
pub const MAX_METADATA_BYTES: u64 = 16 << 20;
/// How many names an error mentions.
const SHOWN: usize = 8;

#[derive(Deserialize)]
struct Index {
    index: BTreeMap<String, IndexEntry>,
}

#[derive(Deserialize)]
struct IndexEntry {
    path: String,
    #[serde(default)]
    datatype: String,
}

/// What `images.json` holds.
#[derive(Deserialize)]
struct Products {
    products: BTreeMap<String, Product>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    aliases: String,
    #[serde(default)]
    arch: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    release: String,
    #[serde(default)]
    variant: String,
    #[serde(default)]
    versions: BTreeMap<String, Version>,
}

#[derive(Deserialize)]
struct Version {
    #[serde(default)]
    items: BTreeMap<String, Item>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    ftype: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    size: u64,
}

/// Which image is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Alias (`alpine/3.19`) or product (`alpine:3.19:amd64:default`).
    pub image: &'a str,
    /// As the index spells it: `amd64`, `arm64`.
    pub architecture: &'a str,
    /// A version; the newest if none.
    pub version: Option<&'a str>,
}

/// A file of the image server, whose path, size and digest are well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Below the server's root.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// The files of one image, and what the index says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Name of the version.
    pub version: String,
    /// The root file system.
    pub root: Piece,
    /// An archive with `metadata.yaml`.
    pub metadata: Option<Piece>,
    /// Name of the system (`Alpine`).
    pub os: String,
    /// Its release.
    pub release: String,
    /// `default`, `cloud`, …
    pub variant: String,
}

/// Paths of the files that list products.
///
/// # Errors
/// `invalid_input` when this is no index.
pub fn lists(index: &[u8]) -> Result<Vec<String>> {
    let index: Index = parse(index, INDEX)?;
    let images =
        index.index.into_values().filter(|e| e.datatype == "image-downloads" || e.datatype.is_empty());
    let paths: Vec<String> =
        images.map(|entry| checked_path(&entry.path).map(str::to_owned)).collect::<Result<_>>()?;
    if paths.is_empty() {
        return Err(bad(format!("{INDEX} lists no images")));
    }
    Ok(paths)
}

/// Chooses from one list of products; none if it has no such image.
///
/// # Errors
/// `invalid_input` when the list is malformed, or has the image in no form that can be taken.
pub fn choose(list: &[u8], wanted: &Wanted<'_>) -> Result<Option<Choice>> {
    let products: Products = parse(list, "the list of images")?;
    let called = |key: &str, product: &Product| {
        let mut names = product.aliases.split(',').map(str::trim).chain([key]);
        product.arch == wanted.architecture && names.any(|name| name == wanted.image)
    };
    let Some((_, product)) = products.products.iter().find(|(key, product)| called(key, product)) else {
        return Ok(None);
    };
    let mut versions: Vec<(&String, &Version)> = product.versions.iter().collect();
    versions.sort_by_key(|(name, _)| std::cmp::Reverse(date(name)));
    if let Some(version) = wanted.version {
        versions.retain(|(name, _)| *name == version);
    }
    for (name, version) in versions {
        let Some(root) = root(version) else { continue };
        let metadata = version.items.iter().find(|(key, item)| is_metadata(key, item));
        return Ok(Some(Choice {
            version: name.clone(),
            root: piece(root, MAX_ARCHIVE_BYTES)?,
            metadata: metadata.map(|(_, item)| piece(item, MAX_METADATA_BYTES)).transpose()?,
            os: product.os.clone(),
            release: product.release.clone(),
            variant: product.variant.clone(),
        }));
    }
    let of = wanted.version.map_or_else(String::new, |version| format!(" in version {version}"));
    let message = format!(
        "the server has {} for {}{of}, but no root file system of it as a tarball or squashfs",
        wanted.image, wanted.architecture
    );
    Err(Error::invalid("image", message))
}

/// Names that a list has for an architecture, for whoever asked for one that it has not.
///
/// # Errors
/// `invalid_input` when the list is malformed.
pub fn names(list: &[u8], wanted: &Wanted<'_>) -> Result<Vec<String>> {
    let products: Products = parse(list, "the list of images")?;
    let of = products.products.into_values().filter(|product| product.arch == wanted.architecture);
    let name = of.filter_map(|p| p.aliases.split(',').next().map(|alias| alias.trim().to_owned()));
    let system = wanted.image.split('/').next().unwrap_or_default();
    let (mut near, far): (Vec<_>, Vec<_>) =
        name.filter(|n| !n.is_empty()).partition(|n| n.starts_with(system));
    near.extend(far);
    near.truncate(SHOWN);
    Ok(near)
}

/// Tarballs before squashfs, in the order of the items' names.
fn root(version: &Version) -> Option<&Item> {
    let items = || version.items.iter().filter(|(key, item)| !is_metadata(key, item));
    let tarball = |item: &Item| {
        let whole = !item.ftype.contains("combined") && !item.path.contains(".vcdiff");
        whole
            && ["tar", "tar.gz", "tar.xz", "tar.zst"]
                .iter()
                .any(|end| item.path.ends_with(&format!(".{end}")))
    };
    let squashfs = |item: &Item| item.path.ends_with(".squashfs");
    let (_, found) = items().find(|(_, i)| tarball(i)).or_else(|| items().find(|(_, i)| squashfs(i)))?;
    Some(found)
}

fn is_metadata(key: &str, item: &Item) -> bool {
    let names = ["lxd.tar.xz", "incus.tar.xz"];
    names.contains(&key) || names.contains(&item.ftype.as_str())
}

fn piece(item: &Item, largest: u64) -> Result<Piece> {
    let path = checked_path(&item.path)?.to_owned();
    if !is_digest(&item.sha256) {
        return Err(bad(format!("{path} has no sha256 in the index; without it nothing is imported")));
    }
    if item.size == 0 || item.size > largest {
        return Err(bad(format!("{path} has {} bytes by the index; 1 to {largest} are taken", item.size)));
    }
    Ok(Piece { path, size: item.size, sha256: item.sha256.clone() })
}

/// A path that stays below the server's root, and means the same in a URL as in a file system.
fn checked_path(path: &str) -> Result<&str> {
    let plain = path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/._-:+~=,@".contains(&c));
    let parts = path.split('/').all(|part| !["", ".", ".."].contains(&part));
    if plain && parts && path.len() <= 1024 {
        return Ok(path);
    }
    let shown: String = path.chars().take(100).collect();
    Err(bad(format!("the index names the path {shown:?}, which is not one below the server's root")))
}

/// Versions are dates with more behind them; those behind count as numbers too.
fn date(version: &str) -> Vec<u64> {
    let digits = version.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    digits.map(|run| run.parse().unwrap_or(u64::MAX)).collect()
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8], what: &str) -> Result<T> {
    serde_json::from_slice(json).map_err(|e| bad(format!("{what} cannot be read: {e}")))
}

fn bad(message: String) -> Error {
    Error::invalid("server", message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn item(ftype: &str, path: &str) -> Value {
        json!({"ftype": ftype, "path": path, "sha256": "ab".repeat(32), "size": 7})
    }

    fn list() -> Value {
        json!({"format": "products:1.0", "products": {
            "alpine:3.19:amd64:default": {
                "aliases": "alpine/3.19/default, alpine/3.19", "arch": "amd64", "os": "Alpine", "release": "3.19",
                "variant": "default", "versions": {
                    "20240109_13:00": {"items": {"root.tar.xz": item("root.tar.xz", "images/old/rootfs.tar.xz")}},
                    "20240110_13:00": {"items": {
                        "incus.tar.xz": item("incus.tar.xz", "images/a/incus.tar.xz"),
                        "lxd_combined.tar.gz": item("lxd_combined.tar.gz", "images/a/combined.tar.gz"),
                        "root.squashfs": item("squashfs", "images/a/20240110_13:00/rootfs.squashfs"),
                    }},
                    "20240111_13:00": {"items": {"disk.qcow2": item("disk-kvm.img", "images/b/disk.qcow2")}},
                }},
            "alpine:3.19:arm64:default": {"aliases": "alpine/3.19", "arch": "arm64", "versions": {}},
        }})
    }

    fn pick(list: &Value, image: &str, version: Option<&str>) -> Result<Option<Choice>> {
        choose(list.to_string().as_bytes(), &Wanted { image, architecture: "amd64", version })
    }

    #[test]
    fn the_newest_version_with_a_root_file_system_is_chosen() {
        for name in ["alpine/3.19", "alpine/3.19/default", "alpine:3.19:amd64:default"] {
            let choice = pick(&list(), name, None).unwrap().unwrap();
            assert_eq!(choice.version, "20240110_13:00");
            assert_eq!(choice.root.path, "images/a/20240110_13:00/rootfs.squashfs");
            assert_eq!(choice.metadata.unwrap().path, "images/a/incus.tar.xz");
            assert_eq!((choice.os.as_str(), choice.release.as_str()), ("Alpine", "3.19"));
        }
        let old = pick(&list(), "alpine/3.19", Some("20240109_13:00")).unwrap().unwrap();
        assert_eq!((old.root.path.as_str(), old.metadata), ("images/old/rootfs.tar.xz", None));
        assert!(pick(&list(), "alpine/3.19", Some("20240111_13:00")).is_err());
        assert_eq!(pick(&list(), "alpine/3.20", None).unwrap(), None);
    }

    #[test]
    fn versions_are_ordered_as_dates_with_numbers() {
        assert!(date("20240110.10") > date("20240110.9"));
        assert!(date("20240110.1") > date("20240110"));
        assert!(date("20240110_13:00") > date("20240110_07:42"));
    }

    #[test]
    fn what_is_near_is_named_first() {
        let wanted = Wanted { image: "alpine/9", architecture: "amd64", version: None };
        assert_eq!(names(list().to_string().as_bytes(), &wanted).unwrap(), ["alpine/3.19/default"]);
    }

    #[test]
    fn an_index_that_leads_elsewhere_is_refused() {
        let long = "a/".repeat(600);
        for path in [
            "/etc/passwd",
            "../secret",
            "a/../../b",
            "",
            "a//b",
            "a\\b",
            "http://x/y",
            "a%2e%2e/b",
            "a?b",
            "a/./b",
            "a\nb",
            &long,
        ] {
            let index = json!({"index": {"images": {"datatype": "image-downloads", "path": path}}});
            assert!(lists(index.to_string().as_bytes()).is_err(), "{path}");
            let mut list = list();
            list["products"]["alpine:3.19:amd64:default"]["versions"]["20240110_13:00"]["items"]["root.squashfs"]
                ["path"] = format!("{path}.squashfs").into();
            let chosen = pick(&list, "alpine/3.19", None);
            assert!(path.is_empty() || chosen.is_err(), "{path}");
        }
    }

    #[test]
    fn digests_and_sizes_are_required() {
        for (field, value) in [
            ("sha256", json!("")),
            ("sha256", json!("../../x")),
            ("size", json!(0)),
            ("size", json!(u64::MAX)),
            ("size", json!(-1)),
        ] {
            let mut list = list();
            list["products"]["alpine:3.19:amd64:default"]["versions"]["20240110_13:00"]["items"]["root.squashfs"]
                [field] = value;
            assert!(pick(&list, "alpine/3.19", None).is_err(), "{field}");
        }
    }

    proptest! {
        #[test]
        fn nonsense_is_an_error_and_no_crash(text in ".{0,200}") {
            prop_assert!(lists(text.as_bytes()).is_err());
            prop_assert!(pick(&Value::String(text), "a", None).is_err());
        }

        #[test]
        fn a_path_that_is_taken_stays_below(path in "[a-z./:%\\\\]{0,24}") {
            if let Ok(path) = checked_path(&path) {
                let parts = std::path::Path::new(path).components();
                prop_assert!(parts.clone().all(|p| matches!(p, std::path::Component::Normal(_))));
                prop_assert!(parts.count() > 0);
            }
        }
    }
}
