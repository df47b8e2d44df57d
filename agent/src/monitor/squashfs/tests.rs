//! Tests on what `mksquashfs` makes (where it is installed), whole and with bytes changed.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use super::*;

fn unpack_into(image: impl AsRef<Path>, root: &Path) -> io::Result<()> {
    let mut budget = Budget::of(&File::open(root).unwrap()).unwrap();
    unpack(File::open(image).unwrap(), root, &mut budget)
}

/// A small tree as a squashfs with this compressor; none where there is no `mksquashfs`.
fn packed(compressor: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    for place in ["etc", "usr/bin", "deep/er/still"] {
        fs::create_dir_all(tree.join(place)).unwrap();
    }
    fs::write(tree.join("etc/small"), "small").unwrap();
    fs::write(tree.join("etc/empty"), "").unwrap();
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(tree.join("usr/large"), &large).unwrap();
    let sparse = File::create(tree.join("usr/sparse")).unwrap();
    sparse.set_len(5 << 20).unwrap();
    fs::write(tree.join("usr/bin/su"), "program").unwrap();
    fs::set_permissions(tree.join("usr/bin/su"), Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(tree.join("usr/bin/su"), tree.join("usr/bin/su-too")).unwrap();
    symlink("/etc/small", tree.join("usr/link")).unwrap();
    nix::unistd::mkfifo(&tree.join("etc/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for n in 0..600 {
        fs::write(tree.join(format!("deep/er/still/{n}")), n.to_string()).unwrap();
    }
    let _ = xattr::set(tree.join("usr/large"), "user.note", b"kept");
    let image = dir.path().join("image");
    let made = Command::new("mksquashfs")
        .args([&tree, &image])
        .args(["-quiet", "-no-progress", "-processors", "1", "-comp", compressor])
        .output();
    let Ok(made) = made else {
        eprintln!("SKIPPED: no mksquashfs (squashfs-tools)");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some((dir, image))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root() // others cannot give files away
}

#[test]
fn all_of_a_tree_comes_back() {
    if !is_root() {
        return;
    }
    for compressor in ["gzip", "xz", "zstd"] {
        let Some((dir, image)) = packed(compressor) else { return };
        let out = tempfile::tempdir().unwrap();
        unpack_into(image, out.path()).unwrap();
        let (was, is) = (dir.path().join("tree"), out.path());
        for file in ["etc/small", "etc/empty", "usr/large", "usr/sparse", "usr/bin/su", "deep/er/still/599"] {
            assert!(fs::read(was.join(file)).unwrap() == fs::read(is.join(file)).unwrap(), "{file}");
            let (a, b) = (fs::metadata(was.join(file)).unwrap(), fs::metadata(is.join(file)).unwrap());
            assert_eq!((a.mode(), a.uid(), a.mtime()), (b.mode(), b.uid(), b.mtime()), "{file}");
        }
        assert_eq!(fs::read_dir(is.join("deep/er/still")).unwrap().count(), 600);
        assert_eq!(fs::metadata(is.join("usr/bin/su-too")).unwrap().nlink(), 2);
        assert!(fs::metadata(is.join("usr/sparse")).unwrap().blocks() < 100, "holes stay holes");
        assert_eq!(fs::read_link(is.join("usr/link")).unwrap().to_str(), Some("/etc/small"));
        assert!(!is.join("etc/fifo").exists());
        if xattr::get(was.join("usr/large"), "user.note").ok().flatten().is_some() {
            assert_eq!(xattr::get(is.join("usr/large"), "user.note").unwrap().unwrap(), b"kept");
        }
    }
}

#[test]
fn changed_bytes_are_refused_or_harmless_but_never_a_crash() {
    if !is_root() {
        return;
    }
    let Some((_dir, image)) = packed("gzip") else { return };
    let whole = fs::read(&image).unwrap();
    let scratch = tempfile::NamedTempFile::new().unwrap();
    // Pseudo-random, and the same each time.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap()
    };
    for round in 0..32 {
        let mut bytes = whole.clone();
        if round % 4 == 0 {
            bytes.truncate(random() % whole.len());
        } else {
            // The superblock, or the tables behind the data.
            let from = if round % 4 == 1 { 4 } else { whole.len() - whole.len() / 8 };
            let span = if round % 4 == 1 { 92 } else { whole.len() / 8 };
            for _ in 0..4 {
                bytes[from + random() % span] = u8::try_from(random() % 256).unwrap();
            }
        }
        fs::write(scratch.path(), &bytes).unwrap();
        let out = tempfile::tempdir().unwrap();
        let _ = unpack_into(scratch.path(), out.path());
    }
}

#[test]
fn a_directory_that_holds_itself_is_refused() {
    let Some((_dir, image)) = packed("gzip") else { return };
    // Plain tables, so that they can be edited: a directory of one entry, whose inode is made that of the root.
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("tree/a")).unwrap();
    let file = dir.path().join("loop");
    let made = Command::new("mksquashfs")
        .args([&dir.path().join("tree"), &file])
        .args(["-quiet", "-no-progress", "-noI", "-noD"])
        .status();
    assert!(made.unwrap().success());
    drop(image);
    let mut bytes = fs::read(&file).unwrap();
    let root = u64::from_le_bytes(bytes[32..40].try_into().unwrap());
    let directories = usize::try_from(u64::from_le_bytes(bytes[72..80].try_into().unwrap())).unwrap();
    // Header of the metadata block, then the list's own (its second field is the inodes' block), then the entry.
    let entry = directories + 2;
    bytes[entry + 4..entry + 8].copy_from_slice(&u32::try_from(root >> 16).unwrap().to_le_bytes());
    bytes[entry + 12..entry + 14].copy_from_slice(&u16::try_from(root & 0xffff).unwrap().to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let out = tempfile::tempdir().unwrap();
    let error = unpack_into(&file, out.path()).unwrap_err();
    assert!(error.to_string().contains("loop"), "{error}");
}

#[test]
fn what_is_none_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    for content in [&b""[..], b"hsqs", &[0; 96]] {
        fs::write(&file, content).unwrap();
        let error = unpack_into(&file, dir.path()).unwrap_err();
        assert!(error.to_string().contains("squashfs"), "{error}");
    }
}
