//! Clears away whatever a test left, after it was looked for: the next test must not trip over it, and the machine must
//! be as it was. Touches nothing but what lies under the given places.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::process;

/// Ends every process of a test host and removes its mounts, loop devices and cgroups. Carries on over errors; what
/// could not be removed is said on stderr.
pub fn sweep(dir: &Path, cgroup_parent: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while end_processes(dir, cgroup_parent) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    unmount(dir);
    detach_loops(dir);
    for hierarchy in hierarchies() {
        remove_cgroup(&hierarchy.join(cgroup_parent), deadline);
    }
}

/// Kills what runs there; returns how many there were.
fn end_processes(dir: &Path, cgroup_parent: &str) -> usize {
    let ours = dir.display().to_string();
    let in_group = format!(":/{cgroup_parent}/");
    let mut found = 0;
    for (pid, line) in process::all() {
        let group = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let zombie = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')));
        if pid != std::process::id() && !zombie && (line.contains(&ours) || group.contains(&in_group)) {
            found += 1;
            if let Ok(pid) = i32::try_from(pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL); // it may just have ended
            }
        }
    }
    found
}

fn unmount(dir: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let ours = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(dir));
    for point in ours.collect::<Vec<_>>().into_iter().rev() {
        say(point, Command::new("umount").args(["--lazy", point]).status());
    }
}

fn detach_loops(dir: &Path) {
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim()).starts_with(dir) {
            let device = Path::new("/dev").join(entry.file_name());
            say(&device.display().to_string(), Command::new("losetup").arg("-d").arg(&device).status());
        }
    }
}

fn hierarchies() -> Vec<std::path::PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    mounts.lines().filter(cgroup).filter_map(|line| Some(line.split(' ').nth(4)?.into())).collect()
}

fn remove_cgroup(dir: &Path, deadline: Instant) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path(), deadline);
        }
    }
    while dir.is_dir() {
        match std::fs::remove_dir(dir) {
            Ok(()) => return,
            Err(e) if Instant::now() > deadline => return eprintln!("{} is left: {e}", dir.display()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)), // processes are still leaving
        }
    }
}

fn say(what: &str, result: std::io::Result<std::process::ExitStatus>) {
    if !result.as_ref().is_ok_and(std::process::ExitStatus::success) {
        eprintln!("{what} is left: {result:?}");
    }
}
