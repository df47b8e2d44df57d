//! The interface by which guests reach the world.

/// Interface of the IPv4 default route with the lowest metric.
pub(super) fn of_default_route() -> Option<String> {
    parse(&std::fs::read_to_string("/proc/thread-self/net/route").ok()?)
}

/// Interface of the IPv6 default route with the lowest metric.
pub(super) fn of_default_route6() -> Option<String> {
    parse6(&std::fs::read_to_string("/proc/thread-self/net/ipv6_route").ok()?)
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

fn parse6(table: &str) -> Option<String> {
    let default = |line: &str| {
        let f: Vec<_> = line.split_whitespace().collect();
        let (destination, length, metric, interface) = (f.first()?, f.get(1)?, f.get(5)?, f.get(9)?);
        let is_default = destination.bytes().all(|b| b == b'0') && *length == "00" && *interface != "lo";
        is_default.then(|| Some((u32::from_str_radix(metric, 16).ok()?, (*interface).to_owned())))?
    };
    table.lines().filter_map(default).min().map(|(_, interface)| interface)
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

    #[test]
    fn the_default_route_of_ipv6_is_no_refusal() {
        let none = "0".repeat(32);
        let line = |destination: &str, length: &str, metric: &str, interface: &str| {
            format!(
                "{destination} {length} {none} 00 fe80{:028} {metric} 00000001 00000000 00000003 {interface}\n",
                1
            )
        };
        let table = line(&none, "00", "00000400", "eth1")
            + &line(&none, "00", "00000064", "eth0")
            + &line("20010db8000000000000000000000000", "20", "00000001", "eth2")
            + &line(&none, "00", "00000000", "lo");
        assert_eq!(parse6(&table).as_deref(), Some("eth0"));
        assert_eq!(parse6(&line(&none, "00", "ffffffff", "lo")), None);
    }
}
