use proptest::prelude::*;

use super::*;

const PLAN: Limits = Limits {
    cpu_milli: 2000,
    memory_bytes: 2 * GIB,
    swap_bytes: GIB,
    disk_bytes: 20 * GIB,
    pids: 4096,
    bandwidth_mbit: 100,
    cpu_weight: 0,
    cpu_guarantee_milli: 500,
    memory_high_bytes: 0,
    memory_guarantee_bytes: GIB,
    disk_read_bps: 100 * MIB,
    disk_write_bps: 0,
    disk_read_iops: 1000,
    disk_write_iops: 0,
    inodes: 0,
    open_files: 0,
};

fn wanted(name: &str, figure: i64) -> Change {
    serde_json::from_value(serde_json::json!({name: figure})).unwrap()
}

/// The field that a refusal names.
fn field(refused: Result<Limits>) -> String {
    match refused.unwrap_err() {
        Error::InvalidInput { field, .. } => field,
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_those_of_the_protocol() {
    for known in ALL {
        assert_eq!(serde_json::to_value(known.limit).unwrap(), known.name);
        let whole: Limits = {
            let mut limits = Limits::default();
            known.set(&mut limits, 7);
            limits
        };
        assert_eq!(serde_json::to_value(whole).unwrap()[known.name], 7, "{}", known.name);
        assert_eq!(wanted(known.name, 7).figures().len(), 1, "{}", known.name);
    }
    let all = serde_json::to_value(Limits::default()).unwrap();
    assert_eq!(all.as_object().unwrap().len(), ALL.len(), "no limit is forgotten");
    let unknown = Change::check_names(&["pids".to_owned(), "memory".to_owned()]).unwrap_err();
    assert!(
        unknown.to_string().contains("'memory'") && unknown.to_string().contains("memory_bytes"),
        "{unknown}"
    );
}

#[test]
fn impossible_figures_name_their_field() {
    for (name, bad) in [
        ("cpu_milli", 0),
        ("cpu_milli", -1),
        ("cpu_weight", 10_001),
        ("memory_bytes", MIB),
        ("memory_bytes", i64::MAX),
        ("memory_high_bytes", 4 * GIB),
        ("memory_guarantee_bytes", 3 * GIB),
        ("cpu_guarantee_milli", 2001),
        ("swap_bytes", -1),
        ("disk_bytes", 20 * GIB + 1),
        ("disk_bytes", 19 * GIB),
        ("pids", 0),
        ("open_files", 1),
        ("disk_read_bps", 1),
        ("disk_write_iops", i64::MIN),
        ("bandwidth_mbit", -5),
        ("inodes", i64::MAX),
    ] {
        let refused = change(&PLAN, &PLAN, &wanted(name, bad), By::Operator);
        assert_eq!(field(refused), name, "{name} {bad}");
    }
    // What must be lowered too is said where the request can be put right.
    let refused = change(&PLAN, &PLAN, &wanted("memory_bytes", GIB / 2), By::Tenant).unwrap_err().to_string();
    assert!(refused.contains("'memory_bytes'") && refused.contains("memory_guarantee_bytes"), "{refused}");
}

#[test]
fn a_tenant_moves_within_what_it_rents() {
    for (name, figure, may) in [
        ("cpu_milli", 1000, true),
        ("cpu_milli", 2001, false),
        ("cpu_weight", 200, true), // that of two cores
        ("cpu_weight", 201, false),
        ("cpu_guarantee_milli", 0, true),
        ("cpu_guarantee_milli", 600, false),
        ("memory_high_bytes", GIB, true),
        ("memory_guarantee_bytes", GIB + 1, false),
        ("swap_bytes", 0, true),
        ("swap_bytes", 2 * GIB, false),
        ("disk_bytes", 21 * GIB, false),
        ("pids", 100, true),
        ("pids", 5000, false),
        ("open_files", 1024, true),
        ("open_files", OPEN_FILES + 1, false),
        ("disk_read_bps", 50 * MIB, true),
        ("disk_read_bps", 0, false), // no limit at all
        ("disk_write_bps", 50 * MIB, true),
        ("bandwidth_mbit", 0, false),
        ("bandwidth_mbit", 10, true),
    ] {
        let asked = wanted(name, figure);
        let outcome = change(&PLAN, &PLAN, &asked, By::Tenant);
        assert_eq!(outcome.is_ok(), may, "{name} {figure}: {outcome:?}");
        if !may {
            assert_eq!(field(outcome), name);
        }
        assert!(change(&PLAN, &PLAN, &asked, By::Operator).is_ok(), "{name} {figure} by an operator");
    }
}

#[test]
fn what_was_lowered_comes_back_and_gifts_stay() {
    let less = change(&PLAN, &PLAN, &wanted("pids", 100), By::Tenant).unwrap();
    assert_eq!(change(&less, &PLAN, &wanted("pids", 4096), By::Tenant).unwrap(), PLAN);
    let given = change(&PLAN, &PLAN, &wanted("memory_bytes", 4 * GIB), By::Operator).unwrap();
    assert!(change(&given, &PLAN, &wanted("pids", 64), By::Tenant).is_ok(), "other limits can be changed");
    assert!(change(&given, &PLAN, &wanted("memory_bytes", 4 * GIB), By::Tenant).is_ok(), "nothing changes");
    assert!(change(&given, &PLAN, &wanted("memory_bytes", 5 * GIB), By::Tenant).is_err());
    let back = change(&given, &PLAN, &wanted("memory_bytes", 2 * GIB), By::Tenant).unwrap();
    assert_eq!(field(change(&back, &PLAN, &wanted("memory_bytes", 3 * GIB), By::Tenant)), "memory_bytes");
}

#[test]
fn the_plan_stays_booked() {
    let less = Limits { cpu_milli: 500, cpu_guarantee_milli: 0, memory_bytes: GIB, ..PLAN };
    assert_eq!(booked(&less, &PLAN), booked(&PLAN, &PLAN));
    let more = Limits { memory_bytes: 3 * GIB, cpu_guarantee_milli: 2000, ..PLAN };
    let taken = booked(&more, &PLAN);
    assert_eq!((taken.memory_bytes, taken.cpu_guarantee_milli), (3 * GIB, 2000));
}

proptest! {
    /// Whatever a tenant asks for, one thing after another, it never has more than its plan.
    #[test]
    fn a_tenant_never_gets_more_than_its_plan(asked in prop::collection::vec((0..ALL.len(), any::<u64>(), any::<bool>()), 0..20)) {
        let mut now = PLAN;
        for (which, n, small) in asked {
            let known = &ALL[which];
            let plan = known.of(&PLAN).max(known.least);
            let span = if small { plan.saturating_mul(2) } else { known.most };
            let figure = (n % u64::try_from(span).unwrap()) as i64;
            if let Ok(new) = change(&now, &PLAN, &wanted(known.name, figure), By::Tenant) {
                now = new;
            }
            for known in ALL {
                // a weight of 0 follows the cap, and the cap is never above the plan's
                prop_assert!(amount(known, &now) <= amount(known, &PLAN), "{} {:?}", known.name, now);
            }
            prop_assert!(fits_together(&now).is_ok() && now.disk_bytes >= PLAN.disk_bytes);
            prop_assert_eq!(booked(&now, &PLAN), booked(&PLAN, &PLAN));
        }
    }
}
