//! How the machine is set up: rights, swap, routes, ids, and settings that reach into guests.

use super::{Check, read};
use crate::linux::LinuxConfig;

/// `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: u32 = 24;

pub(super) fn checks(config: &LinuxConfig) -> Vec<Check> {
    vec![
        Check::needed(
            "root",
            nix::unistd::geteuid().is_root(),
            format!("uid {}", nix::unistd::geteuid()),
            "namespaces, mounts and rules need root; run berth-agent as root",
        ),
        Check::wanted(
            "oom protection",
            has_capability(&read("/proc/self/status"), SYS_RESOURCE),
            "CAP_SYS_RESOURCE",
            "monitors cannot be protected from the kernel's OOM killer; a host that runs out of memory may lose guests",
        ),
        uplink(config),
        swap(&read("/proc/swaps")),
        core_pattern(read("/proc/sys/kernel/core_pattern").trim()),
        terminals(read("/proc/sys/kernel/pty/max").trim()),
        id_ranges(config, &read("/etc/subuid")),
    ]
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    bits >> capability & 1 == 1
}

fn uplink(config: &LinuxConfig) -> Check {
    let routes = read("/proc/net/route");
    let default = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let interface = fields.next()?;
        (fields.next()? == "00000000").then(|| interface.to_owned())
    });
    let found = config.uplink.clone().or(default);
    let detail = found.clone().unwrap_or_else(|| "no default route".to_owned());
    Check::wanted(
        "uplink",
        found.is_some(),
        detail,
        "guests cannot reach the world; give the host a default route",
    )
}

fn swap(swaps: &str) -> Check {
    let devices = swaps.lines().skip(1).count();
    let detail = if devices == 0 { "none".to_owned() } else { format!("{devices} in use") };
    Check::wanted(
        "swap",
        devices > 0,
        detail,
        "the swap of plans has no effect; guests are killed earlier when memory is short",
    )
}

fn core_pattern(pattern: &str) -> Check {
    Check::wanted(
        "core_pattern",
        !pattern.starts_with('|'),
        pattern,
        "programs that crash in guests start a program on the host; set kernel.core_pattern to a file name",
    )
}

/// A guest makes as many as its memory holds, in instances of devpts of its own; the kernel's default is 4096 for all.
fn terminals(most: &str) -> Check {
    Check::wanted(
        "terminals",
        most.parse::<u64>().is_ok_and(|most| most >= 1 << 16),
        format!("kernel.pty.max = {most}"),
        "one guest can take all terminals that guests may have; set kernel.pty.max as in deploy/sysctl.conf",
    )
}

/// Ids of guests that are also given to users for their own containers would be shared.
fn id_ranges(config: &LinuxConfig, subuid: &str) -> Check {
    let overlap = subuid.lines().find(|line| {
        let mut fields = line.split(':').skip(1).map(str::parse::<u64>);
        let (Some(Ok(first)), Some(Ok(count))) = (fields.next(), fields.next()) else { return false };
        first + count > u64::from(config.id_base)
    });
    let detail = match overlap {
        Some(line) => format!("/etc/subuid: {line}"),
        None => format!("from {}", config.id_base),
    };
    Check::wanted(
        "id ranges",
        overlap.is_none(),
        detail,
        "containers of local users may share ids with guests; set id_base above every range in /etc/subuid",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_for_cores_is_a_finding() {
        assert!(core_pattern("core").ok);
        assert!(!core_pattern("|/usr/share/apport/apport %p").ok);
    }

    #[test]
    fn few_terminals_are_a_finding() {
        assert!(terminals("1048576").ok);
        assert!(!terminals("4096").ok);
        assert!(!terminals("").ok);
    }

    #[test]
    fn capabilities_are_read_from_the_mask() {
        assert!(!has_capability("CapEff:\t000001fffeffffff\n", SYS_RESOURCE));
        assert!(has_capability("CapEff:\t000001ffffffffff\n", SYS_RESOURCE));
    }

    #[test]
    fn ids_of_local_users_must_lie_below_those_of_guests() {
        let config = LinuxConfig { id_base: 1 << 20, ..LinuxConfig::default() };
        assert!(id_ranges(&config, "alice:100000:65536\n").ok);
        assert!(!id_ranges(&config, "alice:1000000:65536\n").ok);
        assert!(id_ranges(&config, "nonsense\n").ok);
    }

    #[test]
    fn swap_is_counted_below_the_heading() {
        assert!(!swap("Filename Type Size Used Priority\n").ok);
        assert!(swap("Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n").ok);
    }
}
