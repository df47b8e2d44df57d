//! User data: given to cloud-init where the image has it, else run, if it is a script, by a program of ours.
//!
//! What the image has is seen in its tree and not believed of its description. The program is a few lines of shell that
//! the image's own init starts when everything else has been started; it makes a directory first, and whoever does not
//! make it does not run the script: not after a reboot, also not when the script itself asked for that reboot.

use std::io;

use super::init::Init;
use crate::monitor::tree::{Attributes, Tree};
use crate::monitor::wire::CloudInit;

/// Ours in the guest.
const DIRECTORY: &str = "/var/lib/berth";
const SCRIPT: &str = "/var/lib/berth/user-data";
/// What init runs.
const RUNNER: &str = "/var/lib/berth/run-user-data";
const UNIT: &str = "/etc/systemd/system/berth-user-data.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants";
const LOG: &str = "/var/log/berth-user-data.log";

/// The output goes through a pipe of the file system and not of the shell: a service that the script starts and that
/// keeps its output open must not keep this program waiting.
const RUN: &str = r#"#!/bin/sh
# Runs this server's user data, once. Written at the first boot; yours from then on.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/root
export PATH HOME
umask 077
mkdir /var/lib/berth/started 2>/dev/null || exit 0
log=/var/log/berth-user-data.log
pipe=/var/lib/berth/started/output
: >>"$log"
mkfifo "$pipe" || exit 1
tee -a "$log" <"$pipe" >/dev/console 2>/dev/null &
exec >"$pipe" 2>&1 </dev/null
rm "$pipe"
umask 022
cd /
echo "berth: running the user data; its output is kept in $log"
/var/lib/berth/user-data
echo "berth: the user data ended with status $?"
"#;

/// After what most scripts need. The target waits for it, so a system that has booted has had its user data.
const SERVICE: &str = "[Unit]
Description=User data of this server, once
Wants=network-online.target
After=network-online.target systemd-user-sessions.service console-getty.service dbus.service ssh.service sshd.service
ConditionPathExists=!/var/lib/berth/started

[Service]
Type=oneshot
RemainAfterExit=yes
KillMode=process
TimeoutSec=infinity
ExecStart=/var/lib/berth/run-user-data

[Install]
WantedBy=multi-user.target
";

/// Leaves the network as it is (it was configured from outside), root's login and host keys as Berth made them, and
/// looks for its data nowhere else: a guest's neighbour could pose as the metadata service of some cloud.
const CLOUD_CFG: &str = "# Written once, at first boot; yours from then on.
datasource_list: [NoCloud, None]
network: {config: disabled}
disable_root: false
ssh_deletekeys: false
";

/// What became of the user data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    /// A program that init has to run once; systemd knows it already.
    pub(super) once: Option<&'static str>,
    /// Why it will not be run, for people.
    pub(super) notice: Option<String>,
}

/// Whether cloud-init is in the image and may run.
pub(super) fn has_cloud_init(tree: &Tree) -> bool {
    let there = ["/usr/bin/cloud-init", "/usr/local/bin/cloud-init"].iter().any(|path| tree.exists(path));
    there && tree.exists("/etc/cloud/cloud.cfg") && !tree.exists("/etc/cloud/cloud-init.disabled")
}

/// Writes the NoCloud seed, and what cloud-init may not touch.
pub(super) fn seed(tree: &Tree, seed: &CloudInit) -> io::Result<()> {
    let directory = "/var/lib/cloud/seed/nocloud";
    tree.directory(directory, 0o755)?;
    for (name, content) in [("meta-data", &seed.meta_data), ("user-data", &seed.user_data)] {
        tree.write(&format!("{directory}/{name}"), content.as_bytes(), Attributes::root(0o600))?;
    }
    tree.directory("/etc/cloud/cloud.cfg.d", 0o755)?;
    tree.write("/etc/cloud/cloud.cfg.d/99-berth.cfg", CLOUD_CFG.as_bytes(), Attributes::root(0o644))
}

/// Puts a script where init will run it.
pub(super) fn place(tree: &Tree, init: Init, user_data: &str) -> io::Result<Placed> {
    if user_data.trim().is_empty() {
        return Ok(Placed::default());
    }
    if let Some(notice) = refusal(init, user_data) {
        tree.directory("/var/log", 0o755)?;
        let line = format!("berth: {notice}\n");
        tree.write(LOG, line.as_bytes(), Attributes::root(0o600))?;
        return Ok(Placed { once: None, notice: Some(notice) });
    }
    tree.directory(DIRECTORY, 0o755)?;
    tree.directory("/var/log", 0o755)?;
    tree.write(SCRIPT, user_data.as_bytes(), Attributes::root(0o700))?;
    tree.write(RUNNER, RUN.as_bytes(), Attributes::root(0o755))?;
    if init != Init::Systemd {
        return Ok(Placed { once: Some(RUNNER), notice: None });
    }
    tree.directory(WANTED, 0o755)?;
    tree.write(UNIT, SERVICE.as_bytes(), Attributes::root(0o644))?;
    tree.symlink(UNIT, &format!("{WANTED}/berth-user-data.service"))?;
    Ok(Placed::default())
}

/// Why user data cannot be run without cloud-init.
fn refusal(init: Init, user_data: &str) -> Option<String> {
    if user_data.starts_with("#cloud-config") {
        let why = "the user data is for cloud-init (#cloud-config), which this image does not have: it was NOT applied. \
                   Choose an image with cloud-init, or give a script that begins with #!";
        return Some(why.into());
    }
    if !user_data.starts_with("#!") {
        let why = "the user data is no script (it does not begin with #!) and this image has no cloud-init: \
                   it was NOT run";
        return Some(why.into());
    }
    (init == Init::Other).then(|| {
        "the user data was NOT run: this image has no cloud-init, and an init that is neither systemd nor reads \
         /etc/inittab"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::super::inittab::Flavour;
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc")).unwrap();
        let tree = Tree::new(File::open(dir.path()).unwrap().into());
        (dir, tree)
    }

    #[test]
    fn what_cannot_be_run_is_said_and_not_kept_for_later() {
        let sysv = Init::Inittab(Flavour::SysV);
        for (init, data, word) in [
            (Init::Systemd, "#cloud-config\nhostname: x\n", "cloud-init"),
            (sysv, "Content-Type: multipart/mixed", "no script"),
            (Init::Other, "#!/bin/sh\ntrue\n", "/etc/inittab"),
        ] {
            let why = refusal(init, data).unwrap();
            assert!(why.contains(word) && why.contains("NOT"), "{why}");
        }
        assert_eq!(refusal(sysv, "#!/bin/sh\n"), None);
        assert_eq!(refusal(Init::Systemd, "#!/usr/bin/env python3\n"), None);
    }

    #[test]
    fn no_data_leaves_no_files() {
        let (dir, tree) = tree();
        assert_eq!(place(&tree, Init::Systemd, " \n").unwrap(), Placed::default());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn cloud_init_that_is_switched_off_is_none() {
        let (dir, tree) = tree();
        assert!(!has_cloud_init(&tree));
        for path in ["usr/bin/cloud-init", "etc/cloud/cloud.cfg"] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "").unwrap();
        }
        assert!(has_cloud_init(&tree));
        fs::write(dir.path().join("etc/cloud/cloud-init.disabled"), "").unwrap();
        assert!(!has_cloud_init(&tree));
    }

    #[test]
    fn a_script_is_placed_for_root_only() {
        if !nix::unistd::geteuid().is_root() {
            return; // files are given to root
        }
        let (dir, tree) = tree();
        let placed = place(&tree, Init::Systemd, "#!/bin/sh\nsecret=1\n").unwrap();
        assert_eq!(placed, Placed::default());
        let script = fs::metadata(dir.path().join("var/lib/berth/user-data")).unwrap();
        assert_eq!(script.permissions().mode() & 0o777, 0o700);
        let wanted = dir.path().join("etc/systemd/system/multi-user.target.wants/berth-user-data.service");
        assert_eq!(fs::read_link(wanted).unwrap().to_str(), Some(UNIT));
    }
}
