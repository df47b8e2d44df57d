//! Tables and properties of the decisions about private networks.

use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn raw(range: Option<&str>) -> RawSubnet {
    RawSubnet { kind: "cloud".into(), range: range.map(Into::into), zone: "local".into() }
}

fn layout(range: &str, subnets: &[&str]) -> Layout {
    let mut layout = Layout::new(range).unwrap();
    for subnet in subnets {
        layout.add_subnet("", &raw(Some(subnet))).unwrap();
    }
    layout
}

fn taken(ips: &[&str]) -> BTreeSet<IpAddr> {
    ips.iter().map(|text| ip(text)).collect()
}

fn says(error: &Error, text: &str) -> bool {
    error.to_string().contains(text)
}

#[test]
fn ranges_are_private_and_not_tiny() {
    for good in
        ["10.0.0.0/8", "10.0.0.0/24", "172.16.0.0/12", "192.168.0.0/16", "fd00:1234::/48", "fd00::/64"]
    {
        assert!(Layout::new(good).is_ok(), "{good}");
    }
    for bad in [
        "11.0.0.0/8",
        "10.0.0.0/7",
        "172.15.0.0/16",
        "100.64.0.0/10",
        "2001:db8::/64",
        "fe80::/64",
        "0.0.0.0/0",
    ] {
        assert!(says(&Layout::new(bad).unwrap_err(), "must be part of"), "{bad}");
    }
    assert!(says(&Layout::new("10.0.0.0/25").unwrap_err(), "/24"));
    assert!(says(&Layout::new("10.0.0.1/16").unwrap_err(), "10.0.0.0/16"));
    assert!(says(&Layout::new("ten").unwrap_err(), "CIDR"));
    assert_eq!(Layout::new("10.1.0.0/16").unwrap().gateway(), ip("10.1.0.1"));
    assert_eq!(Layout::new("fd00::/64").unwrap().gateway(), ip("fd00::1"));
}

#[test]
fn subnets_fit_into_their_network_and_beside_each_other() {
    let mut network = layout("172.16.0.0/12", &["172.16.1.0/24"]);
    network.add_route("", "172.20.0.0/16", "172.16.1.2").unwrap();
    for (range, why) in [
        ("10.0.0.0/24", "part of the network's range"),
        ("172.16.1.128/25", "overlaps the subnet 172.16.1.0/24"),
        ("172.16.0.0/16", "overlaps the subnet"),
        ("172.20.3.0/24", "overlaps the route"),
        ("172.31.1.0/24", "172.31.1.1"),
        ("172.16.2.0/31", "at least a /30"),
        ("172.16.2.1/24", "did you mean 172.16.2.0/24"),
    ] {
        let error = network.add_subnet("subnets.1.", &raw(Some(range))).unwrap_err();
        assert!(says(&error, "'subnets.1.ip_range'") && says(&error, why), "{range}: {error}");
    }
    for kind in ["vswitch", "", "Cloud"] {
        let error = network.add_subnet("", &RawSubnet { kind: kind.into(), ..raw(None) }).unwrap_err();
        assert!(says(&error, "'type'"), "{error}");
    }
    assert_eq!(network.add_subnet("", &raw(None)).unwrap().range, net("172.16.0.0/24"));
    assert_eq!(network.add_subnet("", &raw(None)).unwrap().range, net("172.16.2.0/24"));
    let mut small = layout("10.0.0.0/24", &["10.0.0.0/24"]);
    assert_eq!(small.add_subnet("", &raw(None)).unwrap_err().code(), "no_subnet_available");
}

#[test]
fn a_subnet_goes_when_nobody_is_in_it() {
    let mut network = layout("10.0.0.0/16", &["10.0.1.0/24", "10.0.2.0/24"]);
    let used = taken(&["10.0.1.7"]);
    assert_eq!(network.remove_subnet(net("10.0.1.0/24"), &used).unwrap_err().code(), "resource_in_use");
    assert_eq!(network.remove_subnet(net("10.0.1.0/25"), &used).unwrap_err().code(), "not_found");
    network.remove_subnet(net("10.0.2.0/24"), &used).unwrap();
    assert_eq!(network.subnets.len(), 1);
}

#[test]
fn routes_lead_somewhere_else_by_somebody_in_it() {
    let mut network = layout("10.0.0.0/16", &["10.0.1.0/24"]);
    for (to, by, field) in [
        ("10.0.1.0/24", "10.0.1.2", "destination"),
        ("10.0.0.0/8", "10.0.1.2", "destination"),
        ("172.31.0.0/16", "10.0.1.2", "destination"),
        ("127.0.0.0/8", "10.0.1.2", "destination"),
        ("169.254.169.254/32", "10.0.1.2", "destination"),
        ("224.0.0.0/8", "10.0.1.2", "destination"),
        ("fd00::/64", "10.0.1.2", "destination"),
        ("10.50.0.1/16", "10.0.1.2", "destination"),
        ("10.50.0.0/16", "10.1.0.1", "gateway"),
        ("10.50.0.0/16", "10.0.0.1", "gateway"),
        ("10.50.0.0/16", "10.0.0.0", "gateway"),
        ("10.50.0.0/16", "10.0.255.255", "gateway"),
        ("10.50.0.0/16", "fd00::1", "gateway"),
        ("10.50.0.0/16", "", "gateway"),
    ] {
        let error = network.add_route("routes.0.", to, by).unwrap_err();
        assert!(says(&error, &format!("'routes.0.{field}'")), "{to} by {by}: {error}");
    }
    network.add_route("", "10.50.0.0/16", "10.0.1.2").unwrap();
    network.add_route("", "0.0.0.0/0", "10.0.1.3").unwrap();
    for again in ["10.50.7.0/24", "0.0.0.0/0", "10.50.0.0/16"] {
        assert!(
            says(&network.add_route("", again, "10.0.1.2").unwrap_err(), "overlaps the route"),
            "{again}"
        );
    }
    let route = network.routes[1];
    let other = Route { gateway: ip("10.0.1.9"), ..route };
    assert_eq!(network.remove_route(other).unwrap_err().code(), "not_found");
    network.remove_route(route).unwrap();
    assert_eq!(network.routes.len(), 1);
}

#[test]
fn a_range_only_grows_at_its_end() {
    let mut network = layout("10.0.0.0/16", &["10.0.1.0/24"]);
    for bad in ["10.0.0.0/17", "10.1.0.0/16", "11.0.0.0/8", "fd00::/64"] {
        assert!(says(&network.extend(bad).unwrap_err(), "'ip_range'"), "{bad}");
    }
    network.extend("10.0.0.0/8").unwrap();
    assert_eq!((network.range, network.gateway()), (net("10.0.0.0/8"), ip("10.0.0.1")));
}

#[test]
fn wishes_are_granted_where_they_can_be() {
    let network = layout("10.0.0.0/16", &["10.0.0.0/24", "10.0.1.0/30"]);
    let used = taken(&["10.0.0.2"]);
    let pick = |wish| network.pick("local", wish, &used);
    assert_eq!(pick(Wish::default()).unwrap(), ip("10.0.0.3"));
    let by = |text: &str| Wish { ip: Some(ip(text)), subnet: None };
    assert_eq!(pick(by("10.0.1.2")).unwrap(), ip("10.0.1.2"));
    assert_eq!(pick(by("10.0.0.2")).unwrap_err().code(), "ip_not_available");
    for bad in ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.3", "10.0.2.5", "192.168.0.2", "fd00::2"] {
        assert!(says(&pick(by(bad)).unwrap_err(), "'ip'"), "{bad}");
    }
    let of = |text: &str| Wish { ip: None, subnet: Some(net(text)) };
    assert_eq!(pick(of("10.0.1.0/30")).unwrap(), ip("10.0.1.1"));
    assert!(says(&pick(of("10.0.5.0/24")).unwrap_err(), "'ip_range'"));
    assert_eq!(network.pick("eu", Wish::default(), &used).unwrap_err().code(), "no_subnet_available");
    let full = taken(&["10.0.1.1", "10.0.1.2"]);
    let none = network.pick("local", of("10.0.1.0/30"), &full).unwrap_err();
    assert_eq!(none.code(), "no_subnet_available");
    assert!(network.check_alias(0, ip("10.0.1.1"), &used).is_ok());
    assert!(says(&network.check_alias(3, ip("10.0.0.1"), &used).unwrap_err(), "'alias_ips.3'"));
    assert_eq!(network.check_alias(0, ip("10.0.1.1"), &full).unwrap_err().code(), "ip_not_available");
}

#[test]
fn aliases_are_few_and_each_once() {
    let owned = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert!(says(&parse_aliases(&owned(&["10.0.0.2", "10.0.0.2"])).unwrap_err(), "'alias_ips.1'"));
    assert!(says(&parse_aliases(&owned(&["10.0.0.2", "x"])).unwrap_err(), "'alias_ips.1'"));
    assert!(says(&parse_aliases(&owned(&["10.0.0.2"; 6])).unwrap_err(), "'alias_ips'"));
    assert_eq!(parse_aliases(&owned(&["10.0.0.2", "fd00::2"])).unwrap().len(), 2);
}

#[derive(Clone, Debug)]
enum Change {
    Subnet(Option<(u32, u8)>),
    NoSubnet(usize),
    Route(u32, u8, u32),
    Extend(u8),
    Join(Option<u32>),
    Leave(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let inside = 0_u32..1 << 17;
    prop_oneof![
        prop::option::of((inside.clone(), 20_u8..=32)).prop_map(Change::Subnet),
        (0_usize..8).prop_map(Change::NoSubnet),
        (inside.clone(), 0_u8..=32, inside.clone())
            .prop_map(|(to, length, by)| Change::Route(to, length, by)),
        (8_u8..=24).prop_map(Change::Extend),
        prop::option::of(inside).prop_map(Change::Join),
        (0_usize..8).prop_map(Change::Leave),
    ]
}

fn at(offset: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + offset)
}

proptest! {
    /// Whatever is asked for, one thing after another, the network stays one in which everybody has an address of his own
    /// that can be routed.
    #[test]
    fn a_network_stays_sound(changes in prop::collection::vec(change(), 0..60)) {
        let mut network = Layout::new("10.0.0.0/16").unwrap();
        let mut members = BTreeSet::new();
        for change in changes {
            match change {
                Change::Subnet(None) => { let _ = network.add_subnet("", &raw(None)); }
                Change::Subnet(Some((offset, length))) => {
                    let range = Ipv4Net::new(at(offset), length).unwrap().trunc().to_string();
                    let _ = network.add_subnet("", &raw(Some(&range)));
                }
                Change::NoSubnet(n) => if let Some(subnet) = network.subnets.get(n) {
                    let range = subnet.range;
                    let _ = network.remove_subnet(range, &members);
                }
                Change::Route(to, length, by) => {
                    let to = Ipv4Net::new(at(to), length).unwrap().trunc().to_string();
                    let _ = network.add_route("", &to, &at(by).to_string());
                }
                Change::Extend(length) => {
                    let range = Ipv4Net::new(at(0), length).unwrap().to_string();
                    let _ = network.extend(&range);
                }
                Change::Join(offset) => {
                    let wish = Wish { ip: offset.map(|offset| IpAddr::V4(at(offset))), subnet: None };
                    if let Ok(ip) = network.pick("local", wish, &members) {
                        prop_assert!(members.insert(ip), "{} was taken", ip);
                    }
                }
                Change::Leave(n) => if let Some(ip) = members.iter().nth(n).copied() {
                    members.remove(&ip);
                }
            }
            for (n, a) in network.subnets.iter().enumerate() {
                prop_assert!(network.range.contains(&a.range));
                prop_assert!(network.subnets[n + 1..].iter().all(|b| !overlap(a.range, b.range)));
                let routes = network.routes.iter().filter(|route| !is_default(route));
                prop_assert!(routes.into_iter().all(|route| !overlap(route.destination, a.range)));
            }
            for ip in &members {
                let homes: Vec<_> = network.subnets.iter().filter(|s| s.range.contains(ip)).collect();
                prop_assert_eq!(homes.len(), 1);
                let range = homes[0].range;
                prop_assert!(*ip != range.network() && *ip != range.broadcast() && *ip != network.gateway());
            }
            for route in &network.routes {
                prop_assert!(network.range.contains(&route.gateway) && route.gateway != network.gateway());
            }
        }
    }

    /// Without a wish there is an address exactly as long as one is left.
    #[test]
    fn the_last_address_is_given_out(length in 27_u8..=30, second in any::<bool>()) {
        let subnet = if second { format!("10.0.1.0/{length}") } else { format!("10.0.0.0/{length}") };
        let network = layout("10.0.0.0/16", &[&subnet]);
        let mut members = BTreeSet::new();
        while let Ok(ip) = network.pick("local", Wish::default(), &members) {
            prop_assert!(members.insert(ip));
        }
        // without the first, the last and, where it lies in here, the gateway
        let expected = (1_usize << (32 - length)) - 2 - usize::from(!second);
        prop_assert_eq!(members.len(), expected);
    }
}
