use proptest::prelude::*;

use super::*;

const GIB: i64 = 1 << 30;

fn host(id: i64) -> Candidate {
    Candidate {
        host: HostId(id),
        location: LocationId(1),
        datacenter: DatacenterId(1),
        enrolled: true,
        cordoned: false,
        fresh: true,
        architecture: "x86".into(),
        capacity: Resources {
            cpu_milli: 8000,
            cpu_guarantee_milli: 0,
            memory_bytes: 32 * GIB,
            disk_bytes: 500 * GIB,
        },
        allocated: Resources::default(),
        cpu_overcommit: 4.0,
        vps_count: 0,
        has_image: false,
        addresses: Supply::Free,
        has_ports: true,
        reaches_members: true,
        prefixes: Supply::None,
        chosen: None,
    }
}

fn need() -> Need {
    Need {
        resources: Resources {
            cpu_milli: 2000,
            cpu_guarantee_milli: 500,
            memory_bytes: 2 * GIB,
            disk_bytes: 20 * GIB,
        },
        architecture: "x86".into(),
        address: true,
        prefix: PrefixNeed::IfThere,
        place: Place::Anywhere,
    }
}

fn with_memory(id: i64, gib: i64) -> Candidate {
    Candidate { allocated: Resources { memory_bytes: gib * GIB, ..Resources::default() }, ..host(id) }
}

#[test]
fn each_filter_says_what_was_missing() {
    let in_hel = Place::Location(LocationId(2), "hel1".into());
    let in_dc = Place::Datacenter(DatacenterId(1), "fsn1-dc1".into());
    let full = |r: Resources| Candidate { allocated: r, ..host(1) };
    let all = host(1).capacity;
    for (candidate, place, expected) in [
        (host(1), in_hel, "there is no host in location hel1"),
        (
            Candidate { enrolled: false, ..host(1) },
            Place::Anywhere,
            "no host in any location takes new servers",
        ),
        (
            Candidate { cordoned: true, ..host(1) },
            in_dc.clone(),
            "no host in datacenter fsn1-dc1 takes new servers",
        ),
        (Candidate { fresh: false, ..host(1) }, Place::Anywhere, "takes new servers at the moment"),
        (Candidate { architecture: "arm".into(), ..host(1) }, Place::Anywhere, "architecture"),
        (
            full(Resources { disk_bytes: all.disk_bytes - 20 * GIB + 1, ..Resources::default() }),
            in_dc.clone(),
            "20 GiB of disk",
        ),
        (
            full(Resources { memory_bytes: all.memory_bytes - 2 * GIB + 1, ..Resources::default() }),
            in_dc.clone(),
            "2 GiB of memory",
        ),
        (full(Resources { cpu_milli: 4 * all.cpu_milli - 1999, ..Resources::default() }), in_dc, "2 cores"),
        (
            full(Resources { cpu_guarantee_milli: all.cpu_milli - 499, ..Resources::default() }),
            Place::Anywhere,
            "0.5 guaranteed cores",
        ),
        (
            Candidate { reaches_members: false, ..host(1) },
            Place::Anywhere,
            "the other servers of the networks",
        ),
        (Candidate { addresses: Supply::Full, ..host(1) }, Place::Anywhere, "no IPv4 address is free"),
        (Candidate { addresses: Supply::None, ..host(1) }, Place::Anywhere, "no IPv4 address is free"),
        (Candidate { prefixes: Supply::Full, ..host(1) }, Place::Anywhere, "no IPv6 address is free"),
        (
            Candidate { prefixes: Supply::Unserved(Gap::Ipv6), ..host(1) },
            Place::Anywhere,
            "no host in any location that has room has IPv6",
        ),
        (
            Candidate { addresses: Supply::Unserved(Gap::Routers), ..host(1) },
            Place::Anywhere,
            "has routers to announce such addresses to",
        ),
        (Candidate { chosen: Some(Gap::Bird), ..host(1) }, Place::Anywhere, "has bird"),
        (
            Candidate { has_ports: false, ..host(1) },
            Place::Anywhere,
            "no host in any location that has room has ports",
        ),
    ] {
        let message = choose(&[candidate], &Need { place, ..need() }).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} should contain {expected:?}");
    }
    assert_eq!(choose(&[], &need()).unwrap_err().lack, Lack::Host);
}

#[test]
fn the_last_byte_can_be_sold() {
    let room = need().resources;
    let exact = Candidate { capacity: Resources { cpu_milli: 500, ..room }, ..host(1) };
    assert_eq!(choose(&[exact], &need()), Ok(HostId(1)));
}

#[test]
fn without_address_no_pool_is_needed() {
    let candidate = Candidate { addresses: Supply::Full, ..host(1) };
    assert_eq!(choose(&[candidate], &Need { address: false, ..need() }), Ok(HostId(1)));
}

#[test]
fn a_host_that_cannot_serve_an_address_is_passed_over() {
    let unserved = Supply::Unserved(Gap::Ipv6);
    let hosts = [
        Candidate { prefixes: unserved, ..host(1) },
        Candidate { prefixes: Supply::Free, vps_count: 9, ..with_memory(2, 16) },
    ];
    for (prefix, expected) in [(PrefixNeed::None, 1), (PrefixNeed::IfThere, 2), (PrefixNeed::Sure, 2)] {
        assert_eq!(choose(&hosts, &Need { prefix, ..need() }), Ok(HostId(expected)), "{prefix:?}");
    }
    let none = Need { prefix: PrefixNeed::Sure, ..need() };
    assert_eq!(choose(&[host(1)], &none).unwrap_err().lack, Lack::Prefix, "there is no pool");
    assert_eq!(choose(&hosts[..1], &none).unwrap_err().lack, Lack::Gateway(Gap::Ipv6));
    for (code, gap) in Gap::CODES {
        assert_eq!(Gap::parse(code), Some(gap));
    }
}

#[test]
fn the_least_loaded_wins() {
    let table: [(Vec<Candidate>, i64, &str); 5] = [
        (vec![with_memory(1, 16), with_memory(2, 8)], 2, "less memory sold"),
        (vec![host(2), host(1)], 1, "a tie goes to the smaller id"),
        (vec![Candidate { vps_count: 3, ..host(1) }, host(2)], 2, "a tie goes to fewer VPSes"),
        (
            vec![host(1), Candidate { has_image: true, ..with_memory(2, 4) }],
            2,
            "the image is worth a little load",
        ),
        (vec![host(1), Candidate { has_image: true, ..with_memory(2, 16) }], 1, "but not much"),
    ];
    for (candidates, expected, why) in table {
        assert_eq!(choose(&candidates, &need()), Ok(HostId(expected)), "{why}");
    }
}

#[test]
fn the_message_is_about_the_host_that_came_furthest() {
    let cordoned = Candidate { cordoned: true, ..host(1) };
    let full = with_memory(2, 31);
    assert_eq!(choose(&[cordoned, full], &need()).unwrap_err().lack, Lack::Memory(2 * GIB));
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (1..20_i64, 1..3_i64, flags, 0..40_i64, 0..40_i64, 0..600_i64).prop_map(
        |(id, place, flags, cpu, memory, disk)| Candidate {
            location: LocationId(place),
            datacenter: DatacenterId(place),
            enrolled: flags.0 || flags.1,
            cordoned: flags.2 && flags.3,
            fresh: flags.3 || flags.4,
            has_image: flags.0,
            addresses: if flags.1 || flags.3 { Supply::Free } else { Supply::Unserved(Gap::Bird) },
            allocated: Resources {
                cpu_milli: cpu * 1000,
                cpu_guarantee_milli: cpu * 250,
                memory_bytes: memory * GIB,
                disk_bytes: disk * GIB,
            },
            ..host(id)
        },
    )
}

proptest! {
    #[test]
    fn what_is_chosen_fits_and_nothing_that_fits_is_missed(
        candidates in proptest::collection::vec(candidate(), 0..12),
        place in prop_oneof![Just(Place::Anywhere), Just(Place::Location(LocationId(1), "l".into()))],
    ) {
        let need = Need { place, ..need() };
        let fitting: Vec<_> = candidates
            .iter()
            .filter(|c| lack(c, &need).is_none() && (need.place == Place::Anywhere || c.location.0 == 1))
            .map(|c| c.host)
            .collect();
        match choose(&candidates, &need) {
            Ok(host) => prop_assert!(fitting.contains(&host)),
            Err(_) => prop_assert!(fitting.is_empty()),
        }
    }

    #[test]
    fn the_order_of_candidates_does_not_matter(
        mut candidates in proptest::collection::vec(candidate(), 0..12),
    ) {
        candidates.sort_by_key(|c| c.host);
        candidates.dedup_by_key(|c| c.host);
        let forwards = choose(&candidates, &need());
        candidates.reverse();
        prop_assert_eq!(forwards, choose(&candidates, &need()));
    }

    #[test]
    fn filling_up_never_oversells(hosts in 1..4_i64, memory in 1..9_i64, cpu in 1..9_i64) {
        let wanted = Resources {
            cpu_milli: cpu * 500,
            cpu_guarantee_milli: cpu * 250,
            memory_bytes: memory * GIB,
            disk_bytes: 10 * GIB,
        };
        let need = Need { resources: wanted, ..need() };
        let mut candidates: Vec<_> = (1..=hosts).map(host).collect();
        let mut placed = 0;
        while let Ok(chosen) = choose(&candidates, &need) {
            let c = candidates.iter_mut().find(|c| c.host == chosen).unwrap();
            c.allocated.cpu_milli += wanted.cpu_milli;
            c.allocated.cpu_guarantee_milli += wanted.cpu_guarantee_milli;
            c.allocated.memory_bytes += wanted.memory_bytes;
            c.allocated.disk_bytes += wanted.disk_bytes;
            c.vps_count += 1;
            placed += 1;
        }
        let per_host = (32 / memory).min(32_000 / (cpu * 500)).min(8000 / (cpu * 250)).min(50);
        prop_assert_eq!(placed, hosts * per_host);
        for c in &candidates {
            prop_assert!(c.allocated.memory_bytes <= c.capacity.memory_bytes);
            prop_assert!(c.allocated.cpu_guarantee_milli <= c.capacity.cpu_milli);
            prop_assert_eq!(c.vps_count, per_host);
        }
    }
}
