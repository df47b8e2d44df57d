//! Traffic counters, from the table of interfaces of our own network namespace.

/// Traffic as the guest sees it: what the host side of the veth sends comes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes into the guest.
    pub in_bytes: i64,
    /// Packets into the guest.
    pub in_packets: i64,
    /// Bytes out of the guest.
    pub out_bytes: i64,
    /// Packets out of the guest.
    pub out_packets: i64,
}

/// Every interface with its counters. `/sys/class/net` would show those of the namespace that sysfs was mounted in.
pub(super) fn interfaces() -> impl Iterator<Item = (String, Counters)> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    parse(&table).into_iter()
}

fn parse(table: &str) -> Vec<(String, Counters)> {
    let line = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let n: Vec<i64> = numbers.split_whitespace().map_while(|n| n.parse().ok()).collect();
        let counters = Counters {
            out_bytes: *n.first()?,
            out_packets: *n.get(1)?,
            in_bytes: *n.get(8)?,
            in_packets: *n.get(9)?,
        };
        Some((name.trim().to_owned(), counters))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_sends_comes_into_the_guest() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets errs|bytes packets\n\
            \x20 bv7:     100       2    0    0    0     0          0         0      900       8    0    0    0     0       0          0\n";
        let expected = Counters { in_bytes: 900, in_packets: 8, out_bytes: 100, out_packets: 2 };
        assert_eq!(parse(table), [("bv7".to_owned(), expected)]);
    }
}
