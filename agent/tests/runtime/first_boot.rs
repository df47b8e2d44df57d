//! The first boot: user data with and without cloud-init, run once.

use std::time::{Duration, Instant};

use berth_agent::host::Host;
use berth_proto::Exit;

use crate::boot::answers_ssh;
use crate::console::Console;
use crate::images;
use crate::inits::{REBOOTS, ended};
use crate::world::{self, World, wait_for};

#[test]
fn a_script_runs_once_without_cloud_init() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        // As long as it may be.
        let mut script = REBOOTS.to_owned();
        while script.len() < 32 << 10 {
            script.push('#');
        }
        spec.user_data = Some(script);
        let id = spec.id;
        world.boot(&spec).await;
        assert_eq!(ended(world, &mut spec).await, Exit::Reboot);
        assert_eq!(world.booted(id), "running");
        assert_eq!(world.in_guest(id, "cat /root/ran"), "ran");
        let log = world.in_guest(id, "cat /var/log/berth-user-data.log");
        assert!(log.contains(&format!("hello from user data on {}", spec.hostname)), "{log}");
        assert_eq!(world.in_guest(id, "stat -c '%a %U' /var/log/berth-user-data.log"), "600 root");
    });
}

#[test]
fn a_script_is_seen_on_the_console_and_may_leave_a_service_behind() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        spec.user_data = Some("#!/bin/bash\nsleep 1000 &\necho shown; false\n".into());
        world.boot(&spec).await;
        let mut console = Console::open(world, spec.id);
        console.until("berth: the user data ended with status 1");
        assert!(console.seen.contains("shown"), "{}", console.seen);
        assert_eq!(world.booted(spec.id), "running");
        world.in_guest(spec.id, "pgrep -x sleep");
    });
}

#[test]
fn what_needs_cloud_init_is_said_where_there_is_none() {
    let Some(image) = images::debian(12) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        spec.user_data = Some("#cloud-config\nruncmd: [touch /root/ran]\n".into());
        world.boot(&spec).await;
        Console::open(world, spec.id).until("was NOT applied");
        let log = world.in_guest(spec.id, "cat /var/log/berth-user-data.log");
        assert!(log.contains("cloud-init") && log.contains("NOT applied"), "{log}");
    });
}

/// Waits until cloud-init has done everything.
fn cloud_init_is_done(world: &World, id: berth_proto::VpsId) {
    let mut said = String::new();
    wait_for("cloud-init", Duration::from_secs(300), || {
        said = world.try_in_guest(id, "cloud-init status --long").1;
        ["status: done", "status: error"].iter().any(|end| said.contains(end))
    });
    assert!(said.contains("status: done"), "{said}");
}

#[test]
fn cloud_init_gets_its_seed_and_leaves_the_network() {
    let Some(image) = images::built("cloud-init") else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        spec.user_data = Some(
            "#cloud-config\nwrite_files:\n- path: /root/written\n  content: by cloud-init\n\
             runcmd:\n- echo ran >>/root/ran\n"
                .into(),
        );
        let id = spec.id;
        world.boot(&spec).await;
        cloud_init_is_done(world, id);
        assert_eq!(world.in_guest(id, "cat /root/written"), "by cloud-init");
        assert_eq!(world.in_guest(id, "cat /root/ran"), "ran");
        assert_eq!(world.in_guest(id, "cat /run/cloud-init/cloud-id"), "nocloud");
        assert_eq!(world.in_guest(id, "cat /etc/hostname"), spec.hostname);
        assert!(!world.in_guest(id, "cat /root/.ssh/authorized_keys").contains("command="));
        assert!(world.in_guest(id, "ip -4 route").contains("default via 172.31.1.1"));
        assert!(world.in_guest(id, "ip -4 -o address show eth0").contains("/32"));
        answers_ssh(&spec, Instant::now());

        world.in_guest(id, "systemctl reboot");
        assert_eq!(ended(world, &mut spec).await, Exit::Reboot);
        cloud_init_is_done(world, id);
        assert_eq!(world.in_guest(id, "cat /root/ran"), "ran", "not again");
        answers_ssh(&spec, Instant::now());

        // A script is cloud-init's to run as well, and ours is not beside it.
        let mut spec = world.spec(&image);
        spec.user_data = Some("#!/bin/sh\necho script >>/root/ran\n".into());
        world.boot(&spec).await;
        cloud_init_is_done(world, spec.id);
        assert_eq!(world.in_guest(spec.id, "cat /root/ran"), "script");
        assert!(!world.try_in_guest(spec.id, "ls /var/lib/berth").0);
        world.host.kill(spec.id).await.unwrap();
    });
}
