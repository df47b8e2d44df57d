//! Archives: digests, formats, and those that were made to write elsewhere.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use berth_agent::host::Host;
use berth_proto::{ArchiveFormat, ImageRef, VpsFault};
use tar::{Builder, EntryType, Header};

use crate::images;
use crate::world::{self, World, sh};

/// Writes an archive of a minimal root, with more in it.
fn archive(world: &World, name: &str, more: impl FnOnce(&mut Builder<fs::File>)) -> PathBuf {
    let path = world.dir.join(name);
    let mut builder = Builder::new(fs::File::create(&path).unwrap());
    for dir in ["etc/", "usr/", "usr/bin/"] {
        add(&mut builder, dir, EntryType::Directory, "", 0o755, b"");
    }
    add(&mut builder, "usr/bin/su", EntryType::Regular, "", 0o4755, b"program");
    more(&mut builder);
    builder.finish().unwrap();
    path
}

/// Adds an entry with exactly this name, however bad.
fn add(builder: &mut Builder<fs::File>, name: &str, kind: EntryType, link: &str, mode: u32, content: &[u8]) {
    let mut header = Header::new_gnu();
    let place = &mut header.as_gnu_mut().unwrap().name;
    place[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(7);
    header.set_gid(8);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

async fn unpack(world: &World, archive: &Path, format: ArchiveFormat) -> Result<PathBuf, VpsFault> {
    let image = images::image(archive, format);
    let result = world.host.unpack(&image, archive).await;
    assert_eq!(world.host.has_template(&image.sha256).await, result.is_ok());
    let templates = world.config.state_dir.join("templates");
    let partial = fs::read_dir(&templates)
        .unwrap()
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().contains(".new"));
    assert!(!partial, "half a template is left");
    result.map(|()| templates.join(&image.sha256))
}

#[test]
fn all_formats_give_the_same_template() {
    world::run(async |world| {
        let plain = archive(world, "root.tar", |_| {});
        let formats = [
            (ArchiveFormat::Tar, "cat"),
            (ArchiveFormat::TarGz, "gzip -c"),
            (ArchiveFormat::TarXz, "xz -c"),
            (ArchiveFormat::TarZst, "zstd -qc"),
        ];
        for (format, program) in formats {
            let packed = world.dir.join("packed");
            sh(&format!("{program} {} >{}", plain.display(), packed.display()));
            let template = unpack(world, &packed, format).await.unwrap();
            let meta = fs::metadata(template.join("usr/bin/su")).unwrap();
            assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o4755, 7, 8), "{format:?}");
            assert_eq!(fs::read(template.join("usr/bin/su")).unwrap(), b"program");
        }
        assert_eq!(world.host.templates().await.len(), 4);
        let packed = world.dir.join("squashfs");
        sh(&format!(
            "cd {} && mkdir tree && tar -xpf {} -C tree --numeric-owner && mknod tree/etc/disk b 8 0 && \
             mksquashfs tree {} -quiet -no-progress -comp xz",
            world.dir.display(),
            plain.display(),
            packed.display()
        ));
        let template = unpack(world, &packed, ArchiveFormat::Squashfs).await.unwrap();
        let meta = fs::metadata(template.join("usr/bin/su")).unwrap();
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o4755, 7, 8));
        assert!(!template.join("etc/disk").exists(), "device nodes are left out");
        let mode = fs::metadata(world.config.state_dir.join("templates")).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700, "users of the host do not reach set-user-id files of images");
    });
}

#[test]
fn an_archive_with_another_digest_is_refused() {
    world::run(async |world| {
        let path = archive(world, "root.tar", |_| {});
        let image = ImageRef { sha256: "ab".repeat(32), ..images::image(&path, ArchiveFormat::Tar) };
        let fault = world.host.unpack(&image, &path).await.unwrap_err();
        assert_eq!((fault.code.as_str(), fault.terminal), ("image_digest_mismatch", true));
        assert_eq!(world.host.templates().await, [] as [String; 0]);
    });
}

#[test]
fn hostile_archives_write_nothing_elsewhere() {
    world::run(async |world| {
        let outside = world.dir.join("outside");
        fs::create_dir(&outside).unwrap();
        let precious = outside.join("precious");
        fs::write(&precious, "precious").unwrap();
        let target = outside.to_str().unwrap().to_owned();
        let file = precious.to_str().unwrap().to_owned();

        let through_link = archive(world, "a.tar", |tar| {
            add(tar, "etc/out", EntryType::Symlink, &target, 0o777, b"");
            add(tar, "etc/out/precious", EntryType::Regular, "", 0o644, b"overwritten");
        });
        let over_link = archive(world, "b.tar", |tar| {
            add(tar, "etc/out", EntryType::Symlink, &file, 0o777, b"");
            add(tar, "etc/out", EntryType::Regular, "", 0o644, b"overwritten");
        });
        let absolute = archive(world, "c.tar", |tar| {
            add(tar, &file, EntryType::Regular, "", 0o644, b"overwritten");
        });
        let hard_link = archive(world, "d.tar", |tar| {
            add(tar, "etc/out", EntryType::Link, &file, 0o644, b"");
        });
        let dots = archive(world, "e.tar", |tar| {
            add(
                tar,
                "../../../../../../../../tmp/berth-escaped",
                EntryType::Regular,
                "",
                0o644,
                b"overwritten",
            );
        });
        let chmod = archive(world, "f.tar", |tar| {
            add(tar, "etc/out", EntryType::Symlink, &target, 0o777, b"");
            add(tar, "etc/out/", EntryType::Directory, "", 0o777, b"");
        });
        let before = fs::metadata(&outside).unwrap().mode();
        for path in [through_link, over_link, absolute, hard_link, dots, chmod] {
            // Refused or made harmless: either will do.
            let _ = unpack(world, &path, ArchiveFormat::Tar).await;
            assert_eq!(fs::read(&precious).unwrap(), b"precious", "{}", path.display());
            assert_eq!(fs::metadata(&precious).unwrap().nlink(), 1, "{}", path.display());
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{}", path.display());
        }
        assert_eq!(fs::metadata(&outside).unwrap().mode(), before);
        assert!(!Path::new("/tmp/berth-escaped").exists());
    });
}

#[test]
fn device_nodes_are_left_out_and_nonsense_is_refused() {
    world::run(async |world| {
        let devices = archive(world, "devices.tar", |tar| {
            add(tar, "etc/disk", EntryType::Block, "", 0o666, b"");
            add(tar, "etc/mem", EntryType::Char, "", 0o666, b"");
        });
        let template = unpack(world, &devices, ArchiveFormat::Tar).await.unwrap();
        assert_eq!(fs::read_dir(template.join("etc")).unwrap().count(), 0);

        let nonsense = world.dir.join("nonsense");
        fs::write(&nonsense, "nothing like an archive").unwrap();
        for format in [
            ArchiveFormat::Tar,
            ArchiveFormat::TarGz,
            ArchiveFormat::TarXz,
            ArchiveFormat::TarZst,
            ArchiveFormat::Squashfs,
            ArchiveFormat::Unknown,
        ] {
            let fault = unpack(world, &nonsense, format).await.unwrap_err();
            assert_eq!((fault.code.as_str(), fault.terminal), ("image_unavailable", true), "{format:?}");
        }
        let empty = world.dir.join("empty");
        Builder::new(fs::File::create(&empty).unwrap()).finish().unwrap();
        let fault = unpack(world, &empty, ArchiveFormat::Tar).await.unwrap_err();
        assert!(fault.message.contains("root file system"), "{fault:?}");
    });
}
