//! A published checker for ways out of containers, run against guests. It knows no user namespaces and takes a guest for
//! a container that shares its users with the host, so it finds things; SECURITY.md has to explain each.
//!
//! The checker (`deploy/checker.sh escape` installs it) runs on the host and calls `docker exec` for its probes; here a
//! small program of that name runs them as services of the guest.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::listed;
use crate::images;
use crate::world::{self, World};

#[test]
fn an_escape_checker_finds_nothing_unexplained_in_a_debian_12() {
    check(12);
}

#[test]
fn an_escape_checker_finds_nothing_unexplained_in_a_debian_13() {
    check(13);
}

fn check(debian: u32) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/escape-checker/bin/cepheus");
    let Some(image) = images::debian(debian) else { return };
    if !program.exists() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{} is missing: run deploy/checker.sh escape",
            program.display()
        );
        eprintln!("SKIPPED: {} is missing: run deploy/checker.sh escape", program.display());
        return;
    }
    world::run(async move |world| {
        let spec = world.spec(&image);
        world.boot(&spec).await;
        assert_eq!(world.booted(spec.id), "running");
        let report = world.dir.join("report.json");
        let output = Command::new(&program)
            .args([
                "verify",
                "--container-id",
                "guest",
                "--timeout",
                "120",
                "--parallel",
                "1",
                "--format",
                "json",
                "--output",
            ])
            .arg(&report)
            .env("PATH", path_with_docker(world, world.pid(spec.id)))
            .env("HOME", &world.dir)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let report = fs::read(&report).unwrap_or_else(|e| panic!("{e}: {said}"));
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let findings = report["results"].as_array().unwrap();
        let probed = |finding: &&serde_json::Value| {
            ["CONFIRMED", "NOT_CONFIRMED"].contains(&finding["outcome"].as_str().unwrap())
        };
        assert!(findings.iter().filter(probed).count() >= 5, "it does not work: {report:#}");
        let explained = listed::findings();
        let unexplained: Vec<_> = findings
            .iter()
            .filter(|finding| finding["outcome"] != "NOT_CONFIRMED")
            .filter(|finding| !explained.contains(finding["technique_id"].as_str().unwrap()))
            .collect();
        assert!(unexplained.is_empty(), "SECURITY.md does not explain: {unexplained:#?}");
        let errors = findings.iter().filter(|finding| finding["outcome"] == "ERROR").count();
        assert_eq!(errors, 0, "{report:#}");
    });
}

/// A directory with a `docker` whose `exec` enters this guest, before the usual ones.
fn path_with_docker(world: &World, pid: i32) -> String {
    let dir = world.dir.join("bin");
    fs::create_dir(&dir).unwrap();
    let docker = dir.join("docker");
    // exec [-i] -- NAME sh [-c COMMAND]: what is to be run comes by standard input, where nothing expands it.
    let script = format!(
        "#!/bin/sh
        shift; [ \"$1\" != -i ] || shift; shift 2
        run() {{ exec nsenter -t {pid} -a env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin systemd-run --quiet --wait --pipe --collect sh; }}
        if [ \"$2\" = -c ]; then printf '%s\\n' \"$3\" | run; else run; fi\n"
    );
    fs::write(&docker, script).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", dir.display())
}
