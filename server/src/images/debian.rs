//! Builds a Debian root file system with mmdebstrap: the recipe of the images that Berth makes itself.
//!
//! The image is stock Debian plus what makes a server reachable: init, ssh, dbus, network tools. What identifies a
//! machine (host keys, machine id, resolver) is not in it; the runtime gives every VPS its own at first boot.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::error::{Error, Result};

/// A Debian release that can be built.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// Debian 12.
    Bookworm,
    /// Debian 13.
    Trixie,
}

impl Suite {
    /// Name of the suite on a mirror.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Debian's version number.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::Bookworm => "12",
            Self::Trixie => "13",
        }
    }

    /// Name that the image gets unless another is asked for.
    #[must_use]
    pub fn image_name(self) -> String {
        format!("debian-{}", self.version())
    }
}

/// Debian's own mirror network.
pub const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";

/// What is installed beyond the essential packages.
const PACKAGES: &[&str] = &[
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "openssh-server",
    "iproute2",
    "iputils-ping",
    "procps",
    "kmod",
    "netbase",
    "ca-certificates",
    "cron",
    "less",
    "nano",
    "curl",
    "sudo",
];

/// Removes what must differ between machines, and what only the build needed.
const CUSTOMIZE: &[&str] = &[
    r#"rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/var/lib/dbus/machine-id"#,
    r#": > "$1"/etc/machine-id"#,
    r#"rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log "$1"/var/log/apt"#,
    r#"rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap"#,
];

/// Builds the suite's root file system into `archive` (a `.tar.zst`).
///
/// # Errors
/// `invalid_input` naming the mirror when the packages cannot be had; internal when mmdebstrap is missing.
pub async fn build(suite: Suite, mirror: &str, archive: &Path) -> Result<()> {
    if !(mirror.starts_with("http://") || mirror.starts_with("https://")) {
        return Err(Error::invalid("mirror", "the mirror must be an http or https URL"));
    }
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=minbase", "--format=tar"]);
    command.arg(format!("--include={}", PACKAGES.join(",")));
    command.args(["--aptopt=Acquire::Retries \"2\"", "--aptopt=Acquire::http::Timeout \"20\""]);
    for hook in CUSTOMIZE {
        command.arg(format!("--customize-hook={hook}"));
    }
    command.args([suite.name(), "-"]).args(sources(suite, mirror));
    let zstd = Command::new("zstd")
        .args(["-q", "-f", "-10", "-T0", "-o"])
        .arg(archive)
        .stdin(Stdio::piped())
        .spawn();
    let mut zstd = zstd.map_err(|e| missing("zstd", &e))?;
    let pipe: Stdio = zstd
        .stdin
        .take()
        .and_then(|stdin| stdin.try_into().ok())
        .ok_or_else(|| anyhow::anyhow!("zstd was started without a pipe"))?;
    let built = command.stdin(Stdio::null()).stdout(pipe).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let built = built.map_err(|e| missing("mmdebstrap", &e))?;
    drop(command); // holds our copy of the pipe; zstd ends when the last writer is gone
    let output = built.wait_with_output().await.map_err(anyhow::Error::from)?;
    let packed = zstd.wait().await.map_err(anyhow::Error::from)?;
    if output.status.success() && packed.success() {
        return Ok(());
    }
    let _ = tokio::fs::remove_file(archive).await; // may not exist
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = said.lines().filter(|l| l.starts_with("E:") || l.contains("Err")).take(5).collect();
    Err(Error::invalid(
        "mirror",
        format!(
            "building Debian {} from {mirror} failed ({}); check that the mirror answers",
            suite.version(),
            last.join("; ")
        ),
    ))
}

/// The package sources that the build uses and the image keeps: the release, its updates, its security fixes.
fn sources(suite: Suite, mirror: &str) -> [String; 3] {
    let suite = suite.name();
    let mirror = mirror.trim_end_matches('/');
    // Debian's mirrors carry the security archive beside the main one; of any other layout nothing is known.
    let security = match mirror.strip_suffix("/debian") {
        Some(host) => format!("{host}/debian-security"),
        None => "http://security.debian.org/debian-security".to_owned(),
    };
    [
        format!("deb {mirror} {suite} main"),
        format!("deb {mirror} {suite}-updates main"),
        format!("deb {security} {suite}-security main"),
    ]
}

fn missing(program: &str, e: &std::io::Error) -> Error {
    Error::Internal(anyhow::anyhow!("cannot run {program}: {e}; install it with: apt-get install {program}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_keeps_the_security_archive_of_its_mirror() {
        let lines = sources(Suite::Bookworm, "http://mirror.example/debian/");
        assert_eq!(lines[0], "deb http://mirror.example/debian bookworm main");
        assert_eq!(lines[1], "deb http://mirror.example/debian bookworm-updates main");
        assert_eq!(lines[2], "deb http://mirror.example/debian-security bookworm-security main");
        let other = sources(Suite::Trixie, "https://mirror.example/pool");
        assert_eq!(other[2], "deb http://security.debian.org/debian-security trixie-security main");
    }
}
