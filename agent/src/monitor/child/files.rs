//! Files that a guest finds when it starts: most only at its first boot, because afterwards they are the guest's.

use std::fmt::Write;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, fstatat, mkdirat};

use super::init::{self, Init};
use super::{accounts, netconf, shadow, user_data};
use crate::monitor::failure::{Failure, Step};
use crate::monitor::tree::{Attributes, Tree};
use crate::monitor::wire::{FirstBoot, Start};

/// The mark of a disk that has booted once.
const BOOTED: &str = "booted";

/// Writes them; what people should know about them, if anything.
pub(super) fn write(tree: &Tree, disk: BorrowedFd<'_>, start: &Start) -> Result<Option<String>, Failure> {
    every_boot(tree, start).step("writing the guest's runtime configuration")?;
    if has_booted(disk)? {
        return Ok(None);
    }
    let notice = first_boot(tree, start).fatal("writing the guest's first files")?;
    mkdirat(disk, BOOTED, Mode::S_IRWXU).step("noting the first boot")?;
    Ok(notice)
}

/// Whether this disk has had its first boot. The mark lies beside the overlay's layers, where the guest cannot see it,
/// and in the same journal as the files it speaks of: a crash loses both or neither.
fn has_booted(disk: BorrowedFd<'_>) -> Result<bool, Failure> {
    match fstatat(disk, BOOTED, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(error) => Err(error).step("looking for the mark of the first boot"),
    }
}

/// In `/run`, which is new at every boot.
fn every_boot(tree: &Tree, start: &Start) -> io::Result<()> {
    if start.net.is_some() || start.net6.is_some() {
        netconf::every_boot(tree, start)?;
    }
    netconf::leave_private_alone(tree)?;
    // Distributions that put /tmp into memory size it by the machine; half of the plan's memory is meant.
    let directory = "/run/systemd/system/tmp.mount.d";
    tree.directory(directory, 0o755)?;
    let options = format!(
        "[Mount]\nOptions=mode=1777,strictatime,nosuid,nodev,size={},nr_inodes=1m\n",
        start.memory_bytes / 2
    );
    tree.write(&format!("{directory}/berth.conf"), options.as_bytes(), Attributes::root(0o644))
}

fn first_boot(tree: &Tree, start: &Start) -> io::Result<Option<String>> {
    let first = &start.first_boot;
    let public = Attributes::root(0o644);
    tree.directory("/etc", 0o755)?;
    tree.write("/etc/hostname", format!("{}\n", start.hostname).as_bytes(), public)?;
    let hosts = tree.read("/etc/hosts").ok().flatten().map(|(bytes, _)| bytes).unwrap_or_default();
    let hosts = hosts_file(&String::from_utf8_lossy(&hosts), &start.hostname);
    tree.write("/etc/hosts", hosts.as_bytes(), public)?;
    tree.write("/etc/machine-id", machine_id(&start.uuid).as_bytes(), Attributes::root(0o444))?;
    if !start.resolvers.is_empty() {
        tree.write("/etc/resolv.conf", resolv_conf(&start.resolvers).as_bytes(), public)?;
    }
    shadow::set_root_password(tree, first.root_password_hash.as_deref())?;
    if !first.ssh_keys.is_empty() {
        tree.directory("/root", 0o700)?;
        tree.directory("/root/.ssh", 0o700)?;
        let keys = authorized_keys(&first.ssh_keys);
        tree.write("/root/.ssh/authorized_keys", keys.as_bytes(), Attributes::root(0o600))?;
        if let Some(user) = &first.default_user {
            // Not all images have the user that their description names, or a home for it.
            let _ = accounts::authorize(tree, user, &keys);
        }
    }
    if tree.exists("/etc/ssh/sshd_config.d") {
        tree.write("/etc/ssh/sshd_config.d/50-berth.conf", SSHD.as_bytes(), public)?;
    }
    if let Some((private, public_key)) = &first.host_key
        && tree.exists("/usr/sbin/sshd")
        && !has_host_key(tree)
    {
        tree.write("/etc/ssh/ssh_host_ed25519_key", private.as_bytes(), Attributes::root(0o600))?;
        tree.write("/etc/ssh/ssh_host_ed25519_key.pub", public_key.as_bytes(), public)?;
    }
    if start.net.is_some() || start.net6.is_some() {
        netconf::first_boot(tree, start)?;
    }
    provision(tree, first)
}

/// Makes the image's init at home, and gives the user data to whoever will act on it.
fn provision(tree: &Tree, first: &FirstBoot) -> io::Result<Option<String>> {
    let init = Init::of(tree);
    let placed = match &first.cloud_init {
        Some(seed) if user_data::has_cloud_init(tree) => {
            user_data::seed(tree, seed)?;
            user_data::Placed::default()
        }
        _ => user_data::place(tree, init, first.user_data.as_deref().unwrap_or_default())?,
    };
    let adapted = init::adapt(tree, init, placed.once);
    // Without what runs it the script would lie there in silence; else an odd file is the image's own affair.
    let unheard = adapted.err().filter(|_| placed.once.is_some());
    Ok(unheard.map(|error| format!("the user data was NOT run: {error}")).or(placed.notice))
}

/// OpenSSH refuses root's password by default, but here it is what a tenant without a key is given. It is random and
/// long; of a VPS that has none the password is locked, so this opens nothing there.
const SSHD: &str = "# Written once, at first boot; yours from then on.\nPermitRootLogin yes\n";

/// Whether sshd would find a key of any kind.
fn has_host_key(tree: &Tree) -> bool {
    let kinds = ["ed25519", "ecdsa", "rsa"];
    kinds.iter().any(|kind| tree.exists(&format!("/etc/ssh/ssh_host_{kind}_key")))
}

/// The machine id is the VPS's uuid without dashes: stable, unique, and the same in inventory and guest.
fn machine_id(uuid: &str) -> String {
    let mut id: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    id.make_ascii_lowercase();
    id.push('\n');
    id
}

/// Keeps what the image says, and lets the guest know itself by name.
fn hosts_file(old: &str, hostname: &str) -> String {
    let mut out = String::new();
    if !old.lines().any(|line| line.split_whitespace().next() == Some("127.0.0.1")) {
        out.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    }
    for line in old.lines().filter(|line| line.split_whitespace().next() != Some("127.0.1.1")) {
        out.push_str(line);
        out.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = writeln!(out, "127.0.1.1\t{hostname}");
    out
}

fn resolv_conf(resolvers: &[IpAddr]) -> String {
    resolvers.iter().map(|address| format!("nameserver {address}\n")).collect()
}

/// One key a line; a key with a line break in it would be two.
fn authorized_keys(keys: &[String]) -> String {
    let lines =
        keys.iter().flat_map(|key| key.lines().take(1)).map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids_are_32_digits() {
        assert_eq!(machine_id("0192F0AA-1111-7222-8333-444455556666"), "0192f0aa111172228333444455556666\n");
    }

    #[test]
    fn hosts_keeps_the_images_lines() {
        let old = "127.0.0.1 localhost\n127.0.1.1 builder\n10.0.0.1 db\n";
        assert_eq!(hosts_file(old, "web-1"), "127.0.0.1 localhost\n10.0.0.1 db\n127.0.1.1\tweb-1\n");
        assert!(hosts_file("", "web-1").starts_with("127.0.0.1\tlocalhost\n"));
    }

    #[test]
    fn a_key_cannot_smuggle_a_second_line() {
        let keys = ["ssh-ed25519 AAAA me\ncommand=\"x\" ssh-rsa BBBB".to_owned(), String::new()];
        assert_eq!(authorized_keys(&keys), "ssh-ed25519 AAAA me\n");
    }

    #[test]
    fn first_files_reach_a_hostile_tree_safely() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        let image = tempfile::tempdir().unwrap();
        std::fs::create_dir(image.path().join("root")).unwrap();
        symlink(outside.path(), image.path().join("root/.ssh")).unwrap();
        let tree = Tree::new(std::fs::File::open(image.path()).unwrap().into());
        let start = start();
        // It cannot be made right, so it is refused, and nothing is written elsewhere.
        assert!(first_boot(&tree, &start).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    fn start() -> Start {
        Start {
            vps: berth_proto::VpsId(1),
            boot_epoch: 1,
            hostname: "web-1".into(),
            uuid: "0192f0aa-1111-7222-8333-444455556666".into(),
            run_dir: "/".into(),
            exit_file: "/".into(),
            lock_file: "/".into(),
            image: "/".into(),
            template: "/".into(),
            id_base: 0,
            id_count: 65_536,
            memory_bytes: 1 << 30,
            open_files: 0,
            cgroups_v1: Vec::new(),
            cgroup_v2: "/".into(),
            net: None,
            net6: None,
            resolvers: Vec::new(),
            lxcfs: None,
            devices: None,
            stop_signal: None,
            first_boot: FirstBoot {
                ssh_keys: vec!["ssh-ed25519 AAAA".into()],
                root_password_hash: None,
                host_key: None,
                cloud_init: None,
                user_data: None,
                default_user: None,
            },
        }
    }
}
