//! Every path that a start touches inside a guest's tree, in every shape that it should not have.
//!
//! The table is the product of the two; a start either works or is refused in words, nothing of the host changes, and
//! nothing hangs. Templates are made past the unpacker, so that device nodes are in them too.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use berth_agent::host::Host;
use berth_proto::ImageRef;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::tiny::{self, STAYS};
use crate::world::{self, World, sh};

/// What the monitor and its child open, make, replace, mount on or execute inside a guest.
/// `the_list_of_paths_is_complete` holds it against their code.
pub(crate) const PATHS: &[&str] = &[
    "dev",
    "proc",
    "sys",
    "run",
    "dev/console",
    "dev/pts",
    "dev/shm",
    "dev/mqueue",
    "dev/.berth",
    "dev/null",
    "sys/fs/cgroup",
    "proc/sys",
    "run/systemd/network",
    "etc",
    "etc/hostname",
    "etc/hosts",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/.shadow.berth-new",
    "root",
    "root/.ssh",
    "root/.ssh/authorized_keys",
    "etc/ssh",
    "etc/ssh/sshd_config.d",
    "etc/ssh/sshd_config.d/50-berth.conf",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_ed25519_key.pub",
    "usr/sbin",
    "usr/sbin/sshd",
    "etc/cloud",
    "etc/cloud/cloud.cfg.d",
    "etc/inittab",
    "var",
    "var/lib",
    "var/lib/cloud",
    "var/lib/docker",
    "var/lib/containers",
    "sbin/init",
];

/// What looks like a path in the code and is none that the monitor goes to: words that are looked for in files, programs
/// that the guest itself executes, and places at which it is only asked whether something is there.
const NAMES: &[&str] = &[
    "sbin/agetty",
    "sbin/getty",
    "sh",
    "bin/sh",
    "{path}",
    "usr/bin/cloud-init",
    "usr/local/bin/cloud-init",
];

/// The attack's names in SECURITY.md, and how to make one: at a path, with a directory of the host that it would like
/// to reach.
type Shape = (&'static str, fn(&Path, &Path));

const TO_THE_HOST: &[Shape] = &[
    ("image: link to a directory of the host", |at, host| symlink(host, at).unwrap()),
    ("image: link to a file of the host", |at, host| symlink(host.join("file"), at).unwrap()),
    ("image: link that climbs", |at, host| {
        symlink(Path::new(&"../".repeat(40)).join(host.strip_prefix("/").unwrap()), at).unwrap();
    }),
];

const ASTRAY: &[Shape] = &[
    ("image: link to itself", |at, _| symlink(at.file_name().unwrap(), at).unwrap()),
    ("image: link through /proc to its monitor", |at, _| symlink("/proc/self/exe", at).unwrap()),
];

const WAITING: &[Shape] = &[
    ("image: fifo", |at, _| nix::unistd::mkfifo(at, Mode::S_IRWXU).unwrap()),
    ("image: socket", |at, _| {
        // The path of a socket must be short.
        let short = std::env::temp_dir().join(format!("berth-{:x}", rand::random::<u64>()));
        drop(UnixListener::bind(&short).unwrap());
        sh(&format!("mv {} {}", short.display(), at.display()));
    }),
];

const DEVICES: &[Shape] = &[
    ("image: disk as a device node", |at, _| {
        mknod(at, SFlag::S_IFBLK, Mode::from_bits_truncate(0o666), makedev(7, 0)).unwrap()
    }),
    ("image: kernel memory as a device node", |at, _| {
        mknod(at, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 1)).unwrap();
    }),
    ("image: device that fills whatever reads it", |at, _| {
        mknod(at, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 5)).unwrap();
    }),
];

const HUGE: &[Shape] = &[
    ("image: file without end", |at, _| File::create(at).unwrap().set_len(1 << 43).unwrap()),
    ("image: tree without end", |at, _| fs::create_dir_all(at.join("deep/".repeat(400))).unwrap()),
];

const ODD: &[Shape] = &[
    ("image: empty file", |at, _| drop(File::create(at).unwrap())),
    ("image: directory in place of a file", |at, _| fs::create_dir_all(at.join("and/more")).unwrap()),
    ("image: directory without rights", |at, _| {
        sh(&format!("mkdir -m 000 {}", at.display()));
    }),
    ("image: set-user-id program of the host's root", |at, _| {
        sh(&format!("cp /bin/true {0} && chmod 6777 {0}", at.display()));
    }),
];

/// All of them, for SECURITY.md.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    [TO_THE_HOST, ASTRAY, WAITING, DEVICES, HUGE, ODD].into_iter().flatten().map(|(name, _)| *name)
}

#[test]
fn links_to_the_host_harm_nothing() {
    try_all(TO_THE_HOST);
}

#[test]
fn links_that_lead_astray_harm_nothing() {
    try_all(ASTRAY);
}

#[test]
fn files_that_wait_for_somebody_harm_nothing() {
    try_all(WAITING);
}

#[test]
fn device_nodes_harm_nothing() {
    try_all(DEVICES);
}

#[test]
fn things_without_end_harm_nothing() {
    try_all(HUGE);
}

#[test]
fn odd_things_harm_nothing() {
    try_all(ODD);
}

fn try_all(shapes: &'static [Shape]) {
    world::run(async move |world| {
        let precious = world.dir.join("precious");
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("file"), "precious").unwrap();
        let base = tiny::template(world, STAYS, |root| {
            fs::create_dir_all(root.join("usr/sbin")).unwrap();
            fs::write(root.join("usr/sbin/sshd"), "").unwrap();
            fs::create_dir_all(root.join("etc/ssh/sshd_config.d")).unwrap();
        });
        let before = state(&precious);
        let (mut booted, mut refused) = (0, 0);
        for (shape, make) in shapes {
            for path in PATHS {
                match try_one(world, &base, path, |at| make(at, &precious)).await {
                    Ok(()) => booted += 1,
                    Err(message) => {
                        refused += 1;
                        assert!(message.len() > 10, "{shape} at {path}: {message}");
                    }
                }
                assert_eq!(state(&precious), before, "{shape} at {path}");
            }
        }
        eprintln!("{booted} started, {refused} were refused");
        assert!(
            booted > 0 && refused > 0,
            "the table does something: {booted} started, {refused} were refused"
        );
    });
}

/// Starts an image that has this in it, and takes it down again.
async fn try_one(world: &World, base: &ImageRef, path: &str, make: impl FnOnce(&Path)) -> Result<(), String> {
    let templates = world.config.state_dir.join("templates");
    let image = ImageRef { sha256: hex::encode(rand::random::<[u8; 32]>()), ..base.clone() };
    let root = templates.join(&image.sha256);
    sh(&format!("cp -al {} {}", templates.join(&base.sha256).display(), root.display()));
    let at = root.join(path);
    sh(&format!("rm -rf {0} && mkdir -p $(dirname {0})", at.display()));
    make(&at);

    let mut spec = world.spec(&image);
    spec.access.root_password_hash = Some("$6$salt$hash".into());
    let id = spec.id;
    world.host.create_disk(&spec).await.unwrap();
    let started = tokio::time::timeout(Duration::from_secs(120), world.host.start(&spec)).await;
    let started = started.unwrap_or_else(|_| panic!("{path}: the start hangs"));
    if started.is_ok() && fs::symlink_metadata(&at).is_ok_and(|m| m.mode() & 0o170_000 == libc::S_IFBLK) {
        // Where the guest has something of its own in that place (its console, say), there is no disk.
        let (ok, said) = world.try_in_guest(id, &format!("[ -b /{path} ] && cat /{path} | {{ read -r x; }}"));
        assert!(!ok, "{path}: a disk can be read: {said}");
    }
    world.host.kill(id).await.unwrap();
    world.host.remove_leftovers(id).await.unwrap();
    world.host.delete_disk(id).await.unwrap();
    world.assert_no_traces(id);
    sh(&format!("rm -rf {}", root.display()));
    started.map(|_| ()).map_err(|fault| {
        assert_eq!(fault.code, "start_failed", "{path}: {fault:?}");
        fault.message
    })
}

/// Everything about a directory of the host that a guest could change.
fn state(dir: &Path) -> Vec<(String, u32, u32, i64, Vec<u8>)> {
    let mut all = vec![dir.to_owned()];
    all.extend(fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
    all.sort();
    let describe = |path: &std::path::PathBuf| {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = if meta.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        (path.display().to_string(), meta.mode(), meta.uid(), meta.mtime_nsec() + meta.mtime(), content)
    };
    all.iter().map(describe).collect()
}

/// Absolute paths in the code that touches guests' trees are in the table, or lie below `/run` and `/dev`, which are
/// new file systems by then, or in the kernel's own.
#[test]
fn the_list_of_paths_is_complete() {
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/monitor/child");
    let mut missing = Vec::new();
    for file in fs::read_dir(code).unwrap().flatten().map(|entry| entry.path()) {
        let text = fs::read_to_string(&file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        for literal in text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(strings) {
            let Some(path) = literal.strip_prefix('/').filter(|path| !path.is_empty() && !path.contains(':'))
            else {
                continue;
            };
            let fresh = ["proc/", "sys/", "dev/", "run/"].iter().any(|place| path.starts_with(place));
            let init = ["/sbin/init", "/lib/systemd/systemd", "/etc/init", "/bin/init"]
                .iter()
                .any(|init| literal.ends_with(init));
            let known = NAMES.contains(&path)
                || PATHS.iter().any(|known| {
                    path == *known
                        || path.starts_with(&format!("{known}/"))
                        || path.starts_with("etc/ssh/ssh_host_")
                });
            if !fresh && !init && !known {
                missing.push(format!("{} in {}", literal, file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not tried in hostile shapes: {missing:#?}");
}

/// What stands between quotes in a line of code.
fn strings(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}
