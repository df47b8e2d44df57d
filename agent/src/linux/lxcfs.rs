//! lxcfs: lets `free`, `uptime` and `top` inside a guest tell the plan's figures.
//!
//! A host's own lxcfs is used where there is one. Otherwise the agent starts one that outlives it, so that no running
//! guest loses the files that are bound from it; the next agent finds it by its mount. Without lxcfs guests run all the
//! same and see the host's figures: `doctor` says so.
//!
//! When an lxcfs dies, whoever's it was, the files that guests have bound from it give errors, and only a mount from
//! another one helps. [`keep`] waits for that end. It has every monitor take away what is dead in its guest, which then
//! sees the host's figures, starts ours, and has its files bound. So reads fail for as long as a process needs to enter
//! each guest. A file that a program opened before stays dead: the program has to open it again. One of ours that hangs
//! is ended: only what is dead can be repaired.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use berth_proto::VpsId;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;

use super::monitors::{AskError, Monitors};
use crate::monitor::sys::{pidfd_open, pidfd_send_signal};
use crate::monitor::wire::Request;

/// Where a distribution's service mounts it.
const SYSTEM: &str = "/var/lib/lxcfs";
/// Where that service notes its process.
const SYSTEM_PID: &str = "/run/lxcfs.pid";
/// How often it is looked at when its end cannot be waited for, or something is still to be repaired.
const LOOK: Duration = Duration::from_secs(2);
/// How often one that runs is asked whether it still answers.
const CHECK: Duration = Duration::from_secs(30);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a guest may take to let its files be bound anew.
const REPAIR: Duration = Duration::from_secs(15);

/// Finds an lxcfs or starts ours; returns where it is mounted, none where the host has none.
///
/// Ours comes first: it is there because the host had none, or because the host's died, and then guests are on ours.
pub async fn ensure(run_dir: &Path) -> Option<PathBuf> {
    let own = run_dir.join("lxcfs");
    for mount in [&own, Path::new(SYSTEM)] {
        if answers(mount).await {
            return Some(mount.into());
        }
    }
    match start(run_dir, &own).await {
        Ok(()) => Some(own),
        Err(e) => {
            tracing::warn!(error = %e, "lxcfs cannot be started; guests will see the host's memory and CPU figures");
            None
        }
    }
}

/// Keeps an lxcfs running and guests bound to a living one, for ever.
pub(super) async fn keep(
    run_dir: PathBuf,
    monitors: Monitors,
    state: Arc<tokio::sync::Mutex<Option<Instant>>>,
) {
    loop {
        let Some(mount) = super::lxcfs_once(&state, &run_dir).await else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let repaired = repair(&monitors, Some(&mount)).await;
        let end = ended(&mount, &run_dir);
        if repaired {
            end.await;
            tracing::warn!(mount = %mount.display(), "lxcfs has ended; starting another and binding it into guests");
            end_own(&mount, &run_dir);
            repair(&monitors, None).await;
        } else {
            let _ = tokio::time::timeout(LOOK, end).await; // what was not repaired is tried again
        }
    }
}

/// Has every monitor take away what is dead in its guest, and bind this lxcfs. False if one should be asked again.
async fn repair(monitors: &Monitors, mount: Option<&Path>) -> bool {
    let request = Request::Lxcfs { path: mount.map(Path::to_owned) };
    let repairs = monitors.list().into_iter().map(|id| repair_one(monitors, id, &request));
    futures_util::future::join_all(repairs).await.into_iter().all(|done| done)
}

async fn repair_one(monitors: &Monitors, id: VpsId, request: &Request) -> bool {
    match monitors.ask_patiently(id, request, REPAIR).await {
        Ok(_) | Err(AskError::Gone) => true,
        Err(AskError::Silent(_)) => false, // starting, ending, or very busy
        Err(AskError::Refused(why)) => {
            // A monitor of an older release does not know the request: its guest has to be restarted.
            tracing::warn!(vps = %id, why, "its /proc cannot be bound to the new lxcfs");
            !why.contains("another change")
        }
    }
}

/// Returns when the lxcfs that is mounted there has ended, or does not answer any more.
async fn ended(mount: &Path, run_dir: &Path) {
    let end = end_of(mount, run_dir);
    #[expect(deprecated, reason = "what replaces it is unsafe; an owned descriptor is what it is safe with")]
    let process = end.and_then(|pidfd| AsyncFd::with_interest(pidfd, Interest::READABLE).ok());
    loop {
        match &process {
            // Readable means that the process has ended, and it is up to its parent to collect it.
            Some(process) => {
                if let Ok(Ok(_)) = tokio::time::timeout(CHECK, process.readable()).await {
                    return;
                }
            }
            None => tokio::time::sleep(LOOK).await,
        }
        if !answers(mount).await {
            return;
        }
    }
}

/// Ends ours. One that hangs holds up every reader in every guest, and can only be replaced when it is dead.
fn end_own(mount: &Path, run_dir: &Path) {
    if mount != Path::new(SYSTEM)
        && let Some(process) = end_of(mount, run_dir)
    {
        let _ = pidfd_send_signal(process.as_fd(), libc::SIGKILL); // fails only when it is gone
    }
}

/// A descriptor of the process that serves this mount, if its pid file tells.
fn end_of(mount: &Path, run_dir: &Path) -> Option<OwnedFd> {
    let file = if mount == Path::new(SYSTEM) { SYSTEM_PID.into() } else { run_dir.join("lxcfs.pid") };
    let pid: i32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let process = pidfd_open(pid).ok()?;
    // The number may have been given to another since.
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let ours = command.split(|byte| *byte == 0).any(|word| word == mount.as_os_str().as_bytes());
    ours.then_some(process)
}

/// Stops the lxcfs that we started. Only when no guest runs.
pub async fn stop(run_dir: &Path) {
    let own = run_dir.join("lxcfs");
    if own.exists() {
        let _ = nix::mount::umount2(&own, nix::mount::MntFlags::MNT_DETACH); // lxcfs ends with its mount
        let _ = std::fs::remove_dir(&own);
        let _ = std::fs::remove_file(run_dir.join("lxcfs.pid"));
        let _ = std::fs::remove_file(run_dir.join("lxcfs.log"));
    }
    let _ = std::fs::remove_dir(run_dir); // if nothing else is in it
}

async fn start(run_dir: &Path, mount: &Path) -> io::Result<()> {
    end_own(mount, run_dir);
    let _ = nix::mount::umount2(mount, nix::mount::MntFlags::MNT_DETACH); // what a dead one left
    super::make_private_dir(run_dir)?;
    std::fs::create_dir_all(mount)?;
    let log = std::fs::File::create(run_dir.join("lxcfs.log"))?;
    let mut lxcfs = Command::new("lxcfs")
        .args(["--enable-loadavg", "--enable-cfs", "--pidfile"])
        .arg(run_dir.join("lxcfs.pid"))
        .arg(mount)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !answers(mount).await {
        if let Some(status) = lxcfs.try_wait()? {
            let said = std::fs::read_to_string(run_dir.join("lxcfs.log")).unwrap_or_default();
            return Err(io::Error::other(format!("lxcfs ended ({status}): {}", said.trim())));
        }
        if Instant::now() > deadline {
            let _ = lxcfs.start_kill();
            return Err(io::ErrorKind::TimedOut.into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // reaps it should it end while this agent lives
    tokio::spawn(async move { lxcfs.wait().await });
    Ok(())
}

/// Whether a live lxcfs is mounted there; a dead one's mount gives an error on every access, and a hanging one none.
async fn answers(mount: &Path) -> bool {
    let file = mount.join("proc/uptime");
    let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(file).is_ok());
    matches!(tokio::time::timeout(ANSWER, read).await, Ok(Ok(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ours_is_started_found_again_and_stopped() {
        if !nix::unistd::geteuid().is_root() || answers(Path::new(SYSTEM)).await {
            eprintln!("SKIPPED: needs root and a host without a running lxcfs");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let own = ensure(dir.path()).await.unwrap();
        assert!(own.starts_with(dir.path()));
        let pid = std::fs::read_to_string(dir.path().join("lxcfs.pid")).unwrap();
        assert_eq!(ensure(dir.path()).await.unwrap(), own);
        assert_eq!(
            std::fs::read_to_string(dir.path().join("lxcfs.pid")).unwrap(),
            pid,
            "it was not started twice"
        );
        stop(dir.path()).await;
        assert!(!own.exists());
    }
}
