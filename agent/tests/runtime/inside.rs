//! What a tenant does with a real computer, done in real guests: servers, container engines, systems in systems.
//!
//! One guest for each Debian version, from an image with the packages in it, and one script for each row of the table in
//! `docs/works-inside.md`. A script ends with an error when something does not work. All of them run, whatever fails, so
//! that one run tells everything.

use std::time::{Duration, Instant};

use berth_agent::host::Host;
use berth_proto::VpsSpec;

use crate::boot::answers_ssh;
use crate::tiny::{self, STAYS};
use crate::world::{self, World, sh, wait_for};
use crate::{images, outside};

const PRELUDE: &str = include_str!("inside/prelude.sh");

/// Rows of the table, and what runs for them. The first makes what the others use; the job that the last waits for is
/// planned by it.
const CHECKS: [(&str, &str); 12] = [
    ("prepare", include_str!("inside/prepare.sh")),
    ("docker", include_str!("inside/docker.sh")),
    ("podman", include_str!("inside/podman.sh")),
    ("rootless", include_str!("inside/rootless.sh")),
    ("services", include_str!("inside/services.sh")),
    ("user-units", include_str!("inside/user-units.sh")),
    ("namespaces", include_str!("inside/namespaces.sh")),
    ("nspawn", include_str!("inside/nspawn.sh")),
    ("lxc", include_str!("inside/lxc.sh")),
    ("fuse", include_str!("inside/fuse.sh")),
    ("tun", include_str!("inside/tun.sh")),
    ("cron", include_str!("inside/cron.sh")),
];

/// Needs a package mirror as well.
const APT: &str = include_str!("inside/apt.sh");

fn works_inside(version: u32) {
    let Some(image) = images::debian_inside(version) else { return };
    world::run(async move |world| {
        let mut spec = world.spec(&image);
        spec.limits.memory_bytes = 1 << 30;
        spec.limits.disk_bytes = 6 << 30;
        let began = Instant::now();
        world.boot(&spec).await;
        let id = spec.id;
        let state = world.booted(id);
        let failed = world.in_guest(id, "systemctl --failed --no-legend --plain");
        assert_eq!(state, "running", "{failed}");

        let mut broken = Vec::new();
        let mut check = |name: &str, script: &str| {
            let clock = Instant::now();
            let (works, said) = world.try_in_guest(id, &format!("{PRELUDE}\n{script}"));
            eprintln!(
                "Debian {version}: {name} {} after {:?}",
                if works { "works" } else { "FAILS" },
                clock.elapsed()
            );
            if !works {
                broken.push(format!("{name}: {said}"));
            }
        };
        if world.outside.relay("deb.debian.org:80") {
            let hosts = format!("echo {} deb.debian.org security.debian.org >>/etc/hosts", outside::ADDRESS);
            world.in_guest(id, &hosts);
            check("apt", APT);
        } else {
            eprintln!("SKIPPED: apt: no package mirror can be reached from here");
        }
        CHECKS.iter().for_each(|(name, script)| check(name, script));
        assert!(broken.is_empty(), "Debian {version}: {}", broken.join("\n---\n"));

        // Published ports are reached from outside, and the guest's own sshd is.
        let ip = spec.net.ipv4.unwrap();
        for port in [8080, 8082] {
            assert_eq!(sh(&format!("curl -fsS -m 20 http://{ip}:{port}/")), "hello");
        }
        answers_ssh(&spec, began);
        shows_a_resize(world, &mut spec).await;
    });
}

#[test]
fn a_real_computers_software_works_in_debian_12() {
    works_inside(12);
}

#[test]
fn a_real_computers_software_works_in_debian_13() {
    works_inside(13);
}

/// The figures that programs go by, right after the plan has changed under them.
async fn shows_a_resize(world: &World, spec: &mut VpsSpec) {
    let id = spec.id;
    for (cpus, memory) in [(2, 1536_i64 << 20), (1, 1 << 30)] {
        spec.limits.cpu_milli = cpus * 1000;
        spec.limits.memory_bytes = memory;
        world.host.apply(spec).await.unwrap();
        let number = |command: &str| world.in_guest(id, command).parse::<i64>().unwrap();
        for count in [
            "nproc",
            "getconf _NPROCESSORS_ONLN",
            "grep -c ^processor /proc/cpuinfo",
            "grep -c '^cpu[0-9]' /proc/stat",
        ] {
            assert_eq!(number(count), cpus, "{count}");
        }
        assert_eq!(number("free -b | awk '/^Mem:/ {print $2}'"), memory);
        assert_eq!(number("awk '/^MemTotal:/ {print $2 * 1024}' /proc/meminfo"), memory);
        assert_eq!(number("awk '/^SwapTotal:/ {print $2}' /proc/meminfo"), 0);
        assert_eq!(number("tail -n +2 /proc/swaps | wc -l"), 0);
        let top = world.in_guest(id, "top -bn1 | awk '/^MiB Mem/ {print int($4)}'");
        assert_eq!(top.parse::<i64>().unwrap(), memory >> 20, "top");
        assert!(number("cut -d. -f1 /proc/uptime") < 3600, "the guest's own uptime");
        world.in_guest(id, "grep -Eq '^[0-9.]+ [0-9.]+ [0-9.]+ [0-9]+/[0-9]+ [0-9]+$' /proc/loadavg");
        world.in_guest(id, "cat /proc/diskstats");
    }
    let disk = world.in_guest(id, "df -B1 --output=size / | tail -1").parse::<i64>().unwrap();
    assert!((disk - spec.limits.disk_bytes).abs() <= spec.limits.disk_bytes / 100, "df says {disk}");
}

#[test]
fn the_table_in_the_documentation_is_what_is_tested() {
    let table =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/works-inside.md")).unwrap();
    let mut listed: Vec<_> =
        table.lines().filter_map(|l| Some(l.strip_prefix("| ")?.split_once("`inside/")?.1)).collect();
    listed = listed.iter().filter_map(|rest| Some(rest.split_once(".sh`")?.0)).collect();
    let mut tested: Vec<_> = CHECKS.iter().map(|(name, _)| *name).filter(|name| *name != "prepare").collect();
    tested.push("apt");
    listed.sort_unstable();
    tested.sort_unstable();
    assert_eq!(listed, tested);
}

#[test]
fn guests_survive_the_death_of_lxcfs_while_they_read() {
    world::run(async |world| {
        let spec = world.spec(&tiny::template(world, STAYS, |_| {}));
        let id = spec.id;
        world.boot(&spec).await;
        let pid_file = world.config.run_dir.join("lxcfs.pid");
        let lxcfs = || std::fs::read_to_string(&pid_file).unwrap_or_default().trim().to_owned();
        if lxcfs().is_empty() {
            eprintln!("SKIPPED: needs a host without a running lxcfs, and lxcfs installed");
            return;
        }
        let total = format!("MemTotal: {:>14} kB", spec.limits.memory_bytes / 1024);
        let is_told = |world: &World| {
            let (ok, said) =
                world.try_in_guest(id, "cat /proc/meminfo /proc/uptime; ls /sys/devices/system/cpu");
            ok && said.contains(&total)
        };
        assert!(is_told(world), "{}", world.in_guest(id, "cat /proc/meminfo"));
        // Reads without end, and counts what succeeded and what did not.
        let reader = "while :; do if cat /proc/meminfo /proc/stat /proc/uptime >/dev/null 2>&1; then echo y; else echo n; fi; done >/tmp/reads & echo $!";
        let reader = world.in_guest(id, &format!("({reader}) 2>/dev/null"));
        for _ in 0..3 {
            let (before, killed) = (lxcfs(), Instant::now());
            sh(&format!("kill -9 {before}"));
            wait_async("another lxcfs to serve the guest", || lxcfs() != before && is_told(world)).await;
            eprintln!("lxcfs killed; the guest is told its plan again after {:?}", killed.elapsed());
        }
        world.in_guest(id, &format!("kill -0 {reader}"));
        let reads = world.in_guest(id, "cat /tmp/reads");
        let failed = reads.lines().filter(|line| *line == "n").count();
        eprintln!("{} reads meanwhile, of which {failed} failed", reads.lines().count());
        assert!(reads.lines().count() > failed, "it never read");

        // One that hangs is replaced as well: by the next agent at the latest.
        sh(&format!("kill -STOP {}", lxcfs()));
        let before = lxcfs();
        world.restart_agent().await;
        wait_async("a hanging lxcfs to be replaced", || lxcfs() != before).await;
        wait_async("the guest to be told its plan", || is_told(world)).await;

        // While no agent is there nobody repairs it; the next agent does.
        let config = world.config.clone();
        world.config.lxcfs = false;
        world.restart_agent().await;
        let before = lxcfs();
        sh(&format!("kill -9 {before}"));
        wait_for("the guest to notice", Duration::from_secs(30), || !is_told(world));
        world.config = config;
        world.restart_agent().await;
        wait_async("the next agent to repair it", || lxcfs() != before && is_told(world)).await;
    });
}

/// Waits for something that the host under test does meanwhile, on this thread.
async fn wait_async(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
