//! Settings of single interfaces. The machine's global switches are never touched, but for IPv6 on older kernels
//! ([`super::forward6`]).

use std::path::Path;

use super::{NetError, Result};

/// Settings of the host side of a VPS's interface.
const GUEST: [(&str, &str); 6] = [
    ("ipv4/conf/{}/forwarding", "1"),
    ("ipv4/conf/{}/rp_filter", "1"),
    ("ipv4/conf/{}/arp_ignore", "1"), // ARP only for the gateway address, not for others of the host
    ("ipv4/conf/{}/accept_redirects", "0"),
    ("ipv4/conf/{}/send_redirects", "0"),
    ("ipv6/conf/{}/disable_ipv6", "1"), // until it has a prefix: [`harden6`]
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

/// Settings of the host side of an interface with IPv6, below `ipv6/conf`.
const GUEST6: [(&str, &str); 8] = [
    ("addr_gen_mode", "1"), // no addresses but those that are given
    ("dad_transmits", "0"),
    ("accept_ra", "0"),
    ("accept_redirects", "0"),
    ("router_solicitations", "0"),
    ("proxy_ndp", "0"),
    ("forwarding", "1"), // to be a router to its neighbour
    ("disable_ipv6", "0"),
];

/// Gives a VPS's interface IPv6; it forwards and is deaf to games.
pub(super) fn harden6(interface: &str) -> Result<()> {
    for (setting, value) in GUEST6 {
        write(&format!("ipv6/conf/{interface}/{setting}"), value)?;
    }
    let alone = format!("ipv6/conf/{interface}/force_forwarding");
    if exists(&alone) { write(&alone, "1") } else { Ok(()) }
}

/// Changes settings in this order, and writes into a file what they were before.
pub(super) fn change_and_remember(note: &Path, changes: &[(String, &str)]) -> Result<()> {
    for (setting, value) in changes {
        let was = read(setting)?;
        if was == *value {
            continue;
        }
        let before = std::fs::read_to_string(note).unwrap_or_default();
        std::fs::write(note, format!("{setting} {was}\n{before}"))
            .map_err(|source| failed(&note.display().to_string(), source))?;
        write(setting, value)?;
    }
    Ok(())
}

/// Sets everything that is noted back to what it was, the newest first, and removes the note.
pub(super) fn set_back(note: &Path) -> Result<()> {
    let Ok(text) = std::fs::read_to_string(note) else { return Ok(()) };
    for (setting, was) in text.lines().filter_map(|line| line.split_once(' ')) {
        if !setting.contains("..") {
            let _ = write(setting, was); // the interface may be gone
        }
    }
    std::fs::remove_file(note).map_err(|source| failed(&note.display().to_string(), source))
}

pub(super) fn exists(setting: &str) -> bool {
    Path::new(&path(setting)).exists()
}

pub(super) fn read(setting: &str) -> Result<String> {
    let text = std::fs::read_to_string(path(setting)).map_err(|source| failed(setting, source))?;
    Ok(text.trim().to_owned())
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
