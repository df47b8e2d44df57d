//! The interface by which guests reach the world.

/// Interface of the IPv4 default route with the lowest metric.
pub(super) fn of_default_route() -> Option<String> {
    parse(&std::fs::read_to_string("/proc/thread-self/net/route").ok()?)
}

/// Largest packet that an interface takes.
pub(super) fn mtu(interface: &str) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/mtu")).ok()?;
    text.trim().parse().ok().filter(|mtu| (576..=65_535).contains(mtu))
}

fn parse(table: &str) -> Option<String> {
    let default = |line: &str| {
        let f: Vec<_> = line.split_whitespace().collect();
        let (interface, destination, metric, mask) = (f.first()?, f.get(1)?, f.get(6)?, f.get(7)?);
        let is_default = *destination == "00000000" && *mask == "00000000";
        is_default.then(|| Some((metric.parse::<u32>().ok()?, (*interface).to_owned())))?
    };
    table.lines().skip(1).filter_map(default).min().map(|(_, interface)| interface)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_counts() {
        let table = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            wlan0 00000000 010200C0 0003 0 0 600 00000000 0 0 0\n\
            eth0 00000000 010200C0 0003 0 0 100 00000000 0 0 0\n\
            eth1 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        assert_eq!(parse(table).as_deref(), Some("eth0"));
        assert_eq!(parse("Iface\n"), None);
    }
}
