//! What root inside a guest may not do to its host or to its neighbours, tried from inside, in a Debian 12 and in a
//! Debian 13. Each attack is a known way out of containers, or a way to look at the host; SECURITY.md has their list, with
//! the wall that stops each, and [`listed`] holds the two together.
//!
//! Commands run as a service of the guest's own systemd, so that the filter of system calls, the capabilities and the
//! keyring are those of every process there; a process that the test lets in from outside has none of these.

mod attacks;
mod calls;
mod checker;
mod joining;
mod listed;
mod neighbours;
mod packets;
mod seen;
mod sweep;

use std::fmt::Write as _;

use base64::Engine as _;
use berth_proto::VpsId;

use self::attacks::{END, PRELUDE, REFUSED};
use crate::images;
use crate::world::{self, World};

/// Runs a script as a service of the guest; what it printed.
fn as_a_service(world: &World, id: VpsId, script: &str) -> String {
    let script = base64::prelude::BASE64_STANDARD.encode(script);
    let run = "systemd-run --quiet --wait --pipe --collect --property=RuntimeMaxSec=300 sh";
    let file = format!("/root/script-{:x}", rand::random::<u64>());
    world.in_guest(id, &format!("echo {script} | base64 -d > {file}; {run} {file} 2>&1; rm {file}"))
}

#[test]
fn root_of_a_debian_12_reaches_nothing_outside() {
    root_reaches_nothing_outside(12);
}

#[test]
fn root_of_a_debian_13_reaches_nothing_outside() {
    root_reaches_nothing_outside(13);
}

fn root_reaches_nothing_outside(debian: u32) {
    let Some(image) = images::debian(debian) else { return };
    world::run(async move |world| {
        let spec = world.spec(&image);
        let id = spec.id;
        world.boot(&spec).await;
        assert_eq!(world.booted(id), "running");

        assert_eq!(as_a_service(world, id, "id -u; echo works > /tmp/file && cat /tmp/file"), "0\nworks");
        attacks_fail(world, id);
        if cfg!(target_arch = "x86_64") {
            calls::are_refused(world, id);
            calls::of_32_bits_are_refused(world, id);
        }
        sweep::settings(world, id);
        sweep::knobs(world, id);
        sweep::file_systems(world, id);
        sweep::devices(world, id);
        seen::nothing_of_the_host(world, id);
        seen::what_a_computer_can_do(world, id);
    });
}

fn attacks_fail(world: &World, id: VpsId) {
    let mut script = format!("{PRELUDE}\n");
    // One that must get through, to see that this can tell.
    for (what, attack) in REFUSED.iter().chain(&[("a wall that is not there", "echo x > /tmp/x")]) {
        writeln!(script, "echo \">>> {what}\"\nif (\n{attack}\n) </dev/null; then echo GOT THROUGH; fi")
            .unwrap();
    }
    writeln!(script, "{END}").unwrap();
    let said = as_a_service(world, id, &script);
    let through: Vec<&str> = said.split(">>> ").filter(|part| part.contains("GOT THROUGH")).collect();
    assert_eq!(through.len(), 1, "{through:#?}\n{said}");
    assert!(through[0].starts_with("a wall that is not there"), "{said}");
    assert_eq!(said.matches(">>> ").count(), REFUSED.len() + 1, "{said}");
}
