//! Real Debian guests.

use std::time::{Duration, Instant};

use berth_agent::host::Host;

use crate::images;
use crate::outside;
use crate::world::{self, PLAN, World, sh, wait_for};

fn boots_to_running(version: u32) {
    let Some(image) = images::debian(version) else { return };
    world::run(async move |world| {
        let spec = world.spec(&image);
        world.template(&image).await;
        let began = Instant::now();
        world.host.create_disk(&spec).await.unwrap();
        let disk = began.elapsed();
        world.host.start(&spec).await.unwrap();
        eprintln!("create_disk {disk:?}, PID 1 after {:?}", began.elapsed());
        let state = world.booted(spec.id);
        let failed = world
            .in_guest(spec.id, "systemctl --failed --no-legend --plain; systemctl list-jobs --no-legend");
        assert_eq!(state, "running", "{failed}");
        eprintln!("running after {:?}", began.elapsed());
        shows_the_plan(world, spec.id);
        is_itself(world, &spec);
        answers_ssh(&spec, began);
    });
}

#[test]
fn debian_12_boots_to_running_and_shows_its_plan() {
    boots_to_running(12);
}

#[test]
fn debian_13_boots_to_running_and_shows_its_plan() {
    boots_to_running(13);
}

fn shows_the_plan(world: &World, id: berth_proto::VpsId) {
    let number = |command: &str| world.in_guest(id, command).parse::<i64>().unwrap();
    let disk = number("df -B1 --output=size / | tail -1");
    assert!((disk - PLAN.disk_bytes).abs() <= PLAN.disk_bytes / 100, "df says {disk}");
    assert_eq!(number("nproc"), 1);
    assert_eq!(number("getconf _NPROCESSORS_ONLN"), 1);
    assert_eq!(number("grep -c ^processor /proc/cpuinfo"), 1);
    let memory = number("free -b | awk '/^Mem:/ {print $2}'");
    assert_eq!(memory, PLAN.memory_bytes, "free");
    assert_eq!(number("free -b | awk '/^Swap:/ {print $2}'"), 0);
    let uptime = number("cut -d. -f1 /proc/uptime");
    assert!(uptime < 600, "uptime is the guest's: {uptime}");
    let shm = number("df -B1 --output=size /dev/shm | tail -1");
    assert!(shm <= PLAN.memory_bytes, "/dev/shm {shm}");
}

fn is_itself(world: &World, spec: &berth_proto::VpsSpec) {
    let id = spec.id;
    assert_eq!(world.in_guest(id, "hostname"), spec.hostname);
    assert_eq!(world.in_guest(id, "cat /etc/hostname"), spec.hostname);
    assert_eq!(world.in_guest(id, "cat /etc/machine-id"), spec.uuid.replace('-', ""));
    assert_eq!(world.in_guest(id, "getent ahostsv4 $(hostname) | head -1 | cut -d' ' -f1"), "127.0.1.1");
    assert_eq!(
        world.in_guest(id, "stat -c '%a %U' /root/.ssh /root/.ssh/authorized_keys | tr '\\n' ' '"),
        "700 root 600 root"
    );
    assert_eq!(world.in_guest(id, "stat -fc %T /sys/fs/cgroup"), "cgroup2fs");
    assert_eq!(world.in_guest(id, "grep ^0:: /proc/1/cgroup"), "0::/init.scope");
    assert_eq!(world.in_guest(id, "ls /sys/fs/cgroup/cgroup.procs"), "/sys/fs/cgroup/cgroup.procs");
    // Other boots, other guests and the host have other boot ids.
    let boot_id = world.in_guest(id, "cat /proc/sys/kernel/random/boot_id");
    assert_ne!(boot_id, sh("cat /proc/sys/kernel/random/boot_id"));
    assert_eq!(boot_id.len(), 36);
    assert!(
        world
            .in_guest(id, "ls /dev")
            .lines()
            .all(|name| !name.starts_with("loop") && !name.starts_with("vd"))
    );
    assert!(world.in_guest(id, "ping -c1 -W2 172.31.1.1").contains("1 received"));
    // Docker and its kin get a real file system for their layers.
    assert_eq!(world.in_guest(id, "stat -fc %T /var/lib/docker"), "ext2/ext3");
    // Nested containers may mount what the guest's own /proc hides.
    world.in_guest(id, "unshare -fmp --mount-proc true");
    // sudo and su work: no_new_privs is off, and set-user-id files keep their meaning.
    assert_eq!(world.in_guest(id, "grep NoNewPrivs /proc/1/status | cut -f2"), "0");
    assert_eq!(world.in_guest(id, "stat -c %a /usr/bin/passwd"), "4755");
    let console =
        world.in_guest(id, "systemctl is-active console-getty || systemctl is-enabled console-getty || true");
    eprintln!("console-getty: {console}");
}

/// Waits until root can log in by key.
pub(crate) fn answers_ssh(spec: &berth_proto::VpsSpec, began: Instant) {
    let ip = spec.net.ipv4.unwrap();
    let key = images::key_file();
    let ssh = format!(
        "ssh -F none -i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes -o LogLevel=ERROR \
         -o ConnectTimeout=5 root@{ip} hostname",
        key.display()
    );
    let mut said = String::new();
    wait_for("ssh to answer", Duration::from_secs(60), || {
        let output = std::process::Command::new("sh").args(["-c", &ssh]).output().unwrap();
        said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        output.status.success()
    });
    assert_eq!(said, spec.hostname);
    eprintln!("ssh answered after {:?}", began.elapsed());
}

#[test]
fn packages_can_be_updated_through_nat() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        if !world.outside.relay("deb.debian.org:80") {
            eprintln!("SKIPPED: no package mirror can be reached from here");
            return;
        }
        let spec = world.spec(&image);
        world.boot(&spec).await;
        world.booted(spec.id);
        let names = "deb.debian.org security.debian.org";
        world.in_guest(spec.id, &format!("echo {} {names} >>/etc/hosts", outside::ADDRESS));
        let said = world.in_guest(spec.id, "apt-get update 2>&1");
        assert!(said.contains("Reading package lists") && !said.contains("Err:"), "{said}");
        // The outside sees the host's address, not the guest's.
        assert!(
            world.in_guest(spec.id, &format!("ping -c1 -W2 {}", outside::ADDRESS)).contains("1 received")
        );
    });
}
