//! Tiny root file systems from a few programs of this machine, to start guests that misbehave in a chosen way.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use berth_proto::{ArchiveFormat, ImageId, ImageRef};

use crate::world::World;

/// Programs that the tests' init scripts use.
const PROGRAMS: [&str; 12] = [
    "/bin/sh",
    "/bin/sleep",
    "/bin/cat",
    "/bin/ls",
    "/bin/mkdir",
    "/bin/mknod",
    "/bin/ln",
    "/usr/bin/id",
    "/usr/bin/env",
    "/bin/stty",
    "/bin/mv",
    "/bin/rm",
];

/// Runs until it is killed.
pub(crate) const STAYS: &str = "#!/bin/sh\nwhile :; do sleep 1; done\n";

/// A template below the world's state directory, with this init; `change` makes it hostile.
pub(crate) fn template(world: &World, init: &str, change: impl FnOnce(&Path)) -> ImageRef {
    let sha256 = hex::encode(rand::random::<[u8; 32]>());
    let root = world.config.state_dir.join("templates").join(&sha256);
    for dir in ["etc", "usr", "root", "sbin", "tmp", "bin", "usr/bin"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    for program in PROGRAMS {
        add(&root, program);
    }
    let path = root.join("sbin/init");
    fs::write(&path, init).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    change(&root);
    ImageRef {
        id: ImageId(2),
        sha256,
        size_bytes: 1,
        format: ArchiveFormat::Tar,
        cloud_init: false,
        stop_signal: None,
        default_user: None,
    }
}

/// Adds a program of this machine, and the libraries that it needs.
pub(crate) fn add(root: &Path, program: &str) {
    copy(root, Path::new(program));
    let output = Command::new("ldd").arg(program).output().unwrap();
    for word in
        String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        copy(root, Path::new(word));
    }
}

fn copy(root: &Path, file: &Path) {
    let to: PathBuf = root.join(file.strip_prefix("/").unwrap());
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(file, to).unwrap();
}
