//! Tests of the image store: what is refused leaves nothing behind.

use super::*;

const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0];

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::in_data_dir(dir.path());
    (dir, store)
}

fn files(store: &Store) -> usize {
    std::fs::read_dir(&store.dir).map_or(0, |d| d.count())
}

#[tokio::test]
async fn an_archive_is_kept_by_its_digest() {
    let (_dir, store) = store();
    let stored = store.import(GZIP, None).await.unwrap();
    assert_eq!(stored.sha256, hex::encode(Sha256::digest(GZIP)));
    assert_eq!((stored.size_bytes, stored.format), (8, ArchiveFormat::TarGz));
    assert_eq!(std::fs::read(store.path(&stored.sha256).unwrap()).unwrap(), GZIP);
    assert_eq!(store.import(GZIP, Some(&stored.sha256)).await.unwrap(), stored);
    assert_eq!(files(&store), 1);
}

#[tokio::test]
async fn another_digest_is_refused_and_leaves_nothing() {
    let (_dir, store) = store();
    let error = store.import(GZIP, Some(&"0".repeat(64))).await.unwrap_err();
    assert_eq!(error.code(), "invalid_input");
    assert!(error.to_string().contains("not imported"), "{error}");
    assert_eq!(files(&store), 0);
}

#[tokio::test]
async fn what_is_no_archive_is_refused_and_leaves_nothing() {
    let (_dir, store) = store();
    for junk in [&b""[..], b"hello", &[0; 600]] {
        assert_eq!(store.import(junk, None).await.unwrap_err().code(), "invalid_input");
    }
    assert_eq!(files(&store), 0);
}

#[tokio::test]
async fn a_transfer_that_breaks_off_leaves_nothing() {
    let (_dir, store) = store();
    let broken = futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(GZIP)),
        Err(std::io::Error::other("reset")),
    ]);
    let error = store.import(tokio_util::io::StreamReader::new(broken), None).await.unwrap_err();
    assert!(error.to_string().contains("broke off"), "{error}");
    assert_eq!(files(&store), 0);
}

#[test]
fn a_path_is_only_made_from_a_digest() {
    let (_dir, store) = store();
    for bad in ["", "../../etc/passwd", &"A".repeat(64), &"a".repeat(63)] {
        assert_eq!(store.path(bad), None, "{bad}");
    }
}

#[test]
fn formats_are_told_by_their_first_bytes() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert_eq!(detect(&tar), Some(ArchiveFormat::Tar));
    assert_eq!(detect(&[0xfd, b'7', b'z', b'X', b'Z', 0]), Some(ArchiveFormat::TarXz));
    assert_eq!(detect(&[0x28, 0xb5, 0x2f, 0xfd, 0]), Some(ArchiveFormat::TarZst));
    assert_eq!(detect(b"PK"), None);
}

#[tokio::test]
async fn a_mirror_that_is_no_url_is_refused_before_anything_runs() {
    let out = Path::new("/nonexistent/out");
    let error = debian::build(debian::Suite::Bookworm, "file:///etc", out).await.unwrap_err();
    assert_eq!(error.code(), "invalid_input");
}
