//! Settings of single interfaces. The machine's global switches are never touched.

use std::path::Path;

use super::{NetError, Result};

/// Settings of the host side of a VPS's interface.
const GUEST: [(&str, &str); 6] = [
    ("ipv4/conf/{}/forwarding", "1"),
    ("ipv4/conf/{}/rp_filter", "1"),
    ("ipv4/conf/{}/arp_ignore", "1"), // ARP only for the gateway address, not for others of the host
    ("ipv4/conf/{}/accept_redirects", "0"),
    ("ipv4/conf/{}/send_redirects", "0"),
    ("ipv6/conf/{}/disable_ipv6", "1"),
];

/// Makes a VPS's interface forward, and deaf to games.
pub(super) fn harden(interface: &str) -> Result<()> {
    for (setting, value) in GUEST {
        match write(&setting.replace("{}", interface), value) {
            // a kernel without IPv6 has no such file
            Err(NetError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && setting.starts_with("ipv6") => {}
            other => other?,
        }
    }
    Ok(())
}

/// Lets an uplink forward; keeps what it was before in the run directory.
pub(super) fn forward_and_remember(run_dir: &Path, interface: &str) -> Result<()> {
    change_and_remember(run_dir, "uplink-forwarding", &format!("ipv4/conf/{interface}/forwarding"), "1")
}

/// Changes a setting of an uplink; keeps what it was before under this name in the run directory.
pub(super) fn change_and_remember(run_dir: &Path, name: &str, setting: &str, value: &str) -> Result<()> {
    let before = std::fs::read_to_string(path(setting)).map_err(|source| failed(setting, source))?;
    if before.trim() == value {
        return Ok(());
    }
    let note = run_dir.join(name);
    std::fs::write(&note, format!("{setting}\n{before}"))
        .map_err(|source| failed(&note.display().to_string(), source))?;
    write(setting, value)
}

/// Sets an uplink back to what it was.
pub(super) fn restore(run_dir: &Path) -> Result<()> {
    restore_one(run_dir, "uplink-forwarding")
}

/// Sets back what was noted under this name.
pub(super) fn restore_one(run_dir: &Path, name: &str) -> Result<()> {
    let note = run_dir.join(name);
    let Ok(text) = std::fs::read_to_string(&note) else { return Ok(()) };
    if let Some((setting, before)) = text.split_once('\n').filter(|(s, _)| !s.contains("..")) {
        let _ = write(setting, before.trim()); // the interface may be gone
    }
    std::fs::remove_file(&note).map_err(|source| failed(&note.display().to_string(), source))
}

pub(super) fn write(setting: &str, value: &str) -> Result<()> {
    std::fs::write(path(setting), value).map_err(|source| failed(setting, source))
}

fn path(setting: &str) -> String {
    format!("/proc/sys/net/{setting}")
}

fn failed(what: &str, source: std::io::Error) -> NetError {
    NetError::Io { what: format!("setting {what}"), source }
}
