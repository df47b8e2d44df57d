//! With whom a host may speak BGP.

use std::collections::HashSet;
use std::net::IpAddr;

use berth_proto::Bgp;

/// Routers that a host may speak with.
const MOST_NEIGHBOURS: usize = 8;

/// Refuses what no router would take, with the field and why.
///
/// # Errors
/// When a number is reserved, an address is nobody's, or there are none or too many neighbours.
pub fn check(bgp: &Bgp) -> Result<(), (&'static str, String)> {
    if let Some(why) = reserved(bgp.asn) {
        return Err(("asn", why));
    }
    if bgp.router_id.is_some_and(|id| id.is_unspecified()) {
        return Err(("router_id", "0.0.0.0 names nobody".to_owned()));
    }
    if bgp.neighbours.is_empty() || bgp.neighbours.len() > MOST_NEIGHBOURS {
        return Err(("neighbours", format!("must be 1 to {MOST_NEIGHBOURS} routers")));
    }
    let mut seen = HashSet::new();
    for neighbour in &bgp.neighbours {
        let address = neighbour.address;
        if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
            return Err(("neighbours", format!("{address} is no router's address")));
        }
        if matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            let why = format!("{address} says nothing of the interface: name the router by a global address");
            return Err(("neighbours", why));
        }
        if !seen.insert(address) {
            return Err(("neighbours", format!("{address} is named twice")));
        }
        if let Some(why) = reserved(neighbour.asn) {
            return Err(("neighbours", why));
        }
    }
    Ok(())
}

/// Numbers that RFCs 7607, 6793 and 7300 keep from everybody.
fn reserved(asn: u32) -> Option<String> {
    let why = [0, 23_456, 65_535, u32::MAX].contains(&asn);
    why.then(|| format!("{asn} is reserved and no AS number; private ones are 64512 to 65534"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use berth_proto::BgpNeighbour;

    use super::*;

    fn with(neighbours: &[(&str, u32)]) -> Bgp {
        let one =
            |(address, asn): &(&str, u32)| BgpNeighbour { address: address.parse().unwrap(), asn: *asn };
        Bgp { asn: 64_512, router_id: None, neighbours: neighbours.iter().map(one).collect() }
    }

    #[test]
    fn what_no_router_would_take_is_refused_with_the_field() {
        let good = with(&[("192.0.2.1", 64_500), ("2001:db8::1", 4_200_000_000)]);
        assert_eq!(check(&good), Ok(()));
        let field = |bgp: &Bgp| check(bgp).unwrap_err().0;
        assert_eq!(field(&Bgp { asn: 0, ..good.clone() }), "asn");
        assert_eq!(field(&Bgp { asn: 23_456, ..good.clone() }), "asn");
        assert_eq!(field(&Bgp { router_id: Some(Ipv4Addr::UNSPECIFIED), ..good.clone() }), "router_id");
        for bad in [
            with(&[]),
            with(&[("127.0.0.1", 1)]),
            with(&[("224.0.0.1", 1)]),
            with(&[("::", 1)]),
            with(&[("fe80::1", 1)]),
            with(&[("192.0.2.1", 65_535)]),
            with(&[("192.0.2.1", 1), ("192.0.2.1", 2)]),
        ] {
            assert_eq!(field(&bad), "neighbours", "{bad:?}");
        }
        let mut many = good;
        many.neighbours =
            (1..=9).map(|n| BgpNeighbour { address: IpAddr::from([192, 0, 2, n]), asn: 1 }).collect();
        assert_eq!(field(&many), "neighbours");
    }
}
