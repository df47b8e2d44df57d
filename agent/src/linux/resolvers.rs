//! Which resolvers a guest gets when the control plane names none.

use std::net::IpAddr;

/// The host's own, from where a distribution keeps the real ones: those on the loopback are not reachable from a guest.
pub(super) fn of_this_host() -> Vec<IpAddr> {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let found = files.iter().map(|file| parse(&std::fs::read_to_string(file).unwrap_or_default()));
    found.into_iter().find(|resolvers| !resolvers.is_empty()).unwrap_or_default()
}

fn parse(text: &str) -> Vec<IpAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    // Guests have IPv4 only, for now.
    addresses.filter(|address| address.is_ipv4() && !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_cannot_reach_is_left_out() {
        let text = "# x\nsearch example.org\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fd00::1\nnameserver x\n";
        assert_eq!(parse(text), [IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(parse(""), [] as [IpAddr; 0]);
    }
}
