//! Other inits than systemd: Debian with sysvinit and with OpenRC, and a whole system of busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::{Duration, Instant};

use berth_agent::host::{Event, Host};
use berth_proto::{ArchiveFormat, Exit, ImageId, ImageRef, VpsSpec};

use crate::boot::answers_ssh;
use crate::console::Console;
use crate::images;
use crate::world::{self, World, sh, wait_for};

/// Runs once, though it reboots.
pub(crate) const REBOOTS: &str = "#!/bin/sh\necho hello from user data on $(hostname)\n\
    echo ran >>/root/ran\necho \"to stderr\" >&2\nreboot\n";

/// Waits for the guest's end, and starts it again if it wanted to.
pub(crate) async fn ended(world: &World, spec: &mut VpsSpec) -> Exit {
    let event = tokio::time::timeout(Duration::from_secs(120), world.host.next_event()).await;
    assert_eq!(event.expect("the guest ends"), Event::Ended(spec.id));
    let (_, exit) = world.host.find(spec.id).await.last_exit.unwrap();
    world.host.remove_leftovers(spec.id).await.unwrap();
    if exit == Exit::Reboot {
        spec.boot_epoch += 1;
        world.host.start(spec).await.unwrap();
    }
    exit
}

/// A guest of this image boots, has its network, its console and its user data, reboots and stops when it is asked.
async fn lives(world: &World, image: &ImageRef, ssh: bool) {
    let mut spec = world.spec(image);
    spec.user_data = Some(REBOOTS.into());
    let id = spec.id;
    world.boot(&spec).await;
    assert_eq!(ended(world, &mut spec).await, Exit::Reboot, "the user data reboots");

    let mut console = Console::open(world, id);
    console.until("login:");
    assert_eq!(world.in_guest(id, "cat /root/ran"), "ran");
    let log = world.in_guest(id, "cat /var/log/berth-user-data.log");
    assert!(log.contains(&format!("hello from user data on {}", spec.hostname)), "{log}");
    assert!(log.contains("to stderr"), "{log}");
    console.enter("root");
    console.until("assword:");

    // The network is as it was configured from outside, whatever the init's own scripts did.
    let ip = spec.net.ipv4.unwrap();
    wait_for("the network", Duration::from_secs(60), || {
        sh(&format!("ping -c1 -W2 {ip} || true")).contains("1 received")
            && world.try_in_guest(id, "ping -c1 -W2 172.31.1.1").0
    });
    assert!(world.in_guest(id, "ip route").contains("default via 172.31.1.1"));
    assert_eq!(world.in_guest(id, "hostname"), spec.hostname);
    if ssh {
        answers_ssh(&spec, Instant::now());
    }

    let began = Instant::now();
    world.host.ask_to_stop(id).await.unwrap();
    assert_eq!(ended(world, &mut spec).await, Exit::Stopped);
    eprintln!("stopped in {:?}", began.elapsed());
    world.assert_no_traces(id);
}

#[test]
fn sysvinit_is_at_home() {
    let Some(image) = images::built("sysvinit") else { return };
    world::run(async move |world| lives(world, &image, true).await);
}

#[test]
fn openrc_is_at_home() {
    let Some(image) = images::built("openrc") else { return };
    world::run(async move |world| lives(world, &image, true).await);
}

#[test]
fn busybox_is_at_home() {
    let Some(busybox) = images::file("busybox") else { return };
    world::run(async move |world| {
        let mut image = busybox_root(world, &busybox);
        lives(world, &image, false).await;
        // The image may name its signal; this one is busybox's own for "power off".
        image.stop_signal = Some("SIGUSR2".into());
        lives(world, &image, false).await;
    });
}

/// A template that is busybox and nothing else.
fn busybox_root(world: &World, busybox: &std::path::Path) -> ImageRef {
    let sha256 = hex::encode(rand::random::<[u8; 32]>());
    let root = world.config.state_dir.join("templates").join(&sha256);
    for dir in ["etc", "usr/bin", "usr/sbin", "bin", "sbin", "root", "tmp", "var/log", "var/lib"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    let applets = Command::new(busybox).arg("--list-full").output().unwrap();
    for applet in String::from_utf8_lossy(&applets.stdout).lines() {
        let place = root.join(applet);
        if !place.exists() && place.symlink_metadata().is_err() {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            symlink("/bin/busybox", place).unwrap();
        }
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    ImageRef {
        id: ImageId(3),
        sha256,
        size_bytes: 1,
        format: ArchiveFormat::Tar,
        cloud_init: false,
        stop_signal: None,
        default_user: None,
    }
}
