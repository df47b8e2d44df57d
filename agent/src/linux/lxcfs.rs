//! lxcfs: lets `free`, `uptime` and `top` inside a guest tell the plan's figures.
//!
//! A host's own lxcfs is used where there is one. Otherwise the agent starts one that outlives it, so that no running
//! guest loses the files that are bound from it; the next agent finds it by its mount. Without lxcfs guests run all the
//! same and see the host's figures: `doctor` says so.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

/// Where a distribution's service mounts it.
const SYSTEM: &str = "/var/lib/lxcfs";

/// Finds an lxcfs or starts ours; returns where it is mounted, none where the host has none.
pub async fn ensure(run_dir: &Path) -> Option<PathBuf> {
    if answers(Path::new(SYSTEM)) {
        return Some(SYSTEM.into());
    }
    let own = run_dir.join("lxcfs");
    if answers(&own) {
        return Some(own);
    }
    match start(run_dir, &own).await {
        Ok(()) => Some(own),
        Err(e) => {
            tracing::warn!(error = %e, "lxcfs cannot be started; guests will see the host's memory and CPU figures");
            None
        }
    }
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
    while !answers(mount) {
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

/// Whether a live lxcfs is mounted there; a dead one's mount gives an error on every access.
fn answers(mount: &Path) -> bool {
    std::fs::read_to_string(mount.join("proc/uptime")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ours_is_started_found_again_and_stopped() {
        if !nix::unistd::geteuid().is_root() || answers(Path::new(SYSTEM)) {
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
