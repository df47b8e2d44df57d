//! The operators' pages with believable data, with nothing, and with hostile text.

use super::*;

pub(crate) fn pager() -> Pager {
    Pager { total: 120, back: Some("/x?q=&page=1".into()), next: Some("/x?q=&page=3".into()) }
}

/// A form with a field of every kind.
pub(crate) fn form(id: &str) -> Form {
    let choices = vec![("nat".to_owned(), "NAT".to_owned()), ("bgp".to_owned(), "BGP".to_owned())];
    let inputs = vec![
        Input::line("name", "Name").hint("One line."),
        Input::email("email", "E-mail address").optional(),
        Input::secret("key", "Key"),
        Input::area("ports", "Ports").with("tcp/25"),
        Input::check("force", "Do it anyway").hint("Be sure."),
        Input::choice("kind", "Kind", choices).with("bgp"),
        Input::confirm("harbour"),
    ];
    let mut form = Form::new(id, "/fleet/x", "Go on", inputs);
    form.blame("name", "This is taken.");
    form
}

fn tenant(id: i64, name: &str, suspended: bool) -> TenantRow {
    TenantRow {
        id,
        name: name.into(),
        owner: Some("anna@harbour.example".into()),
        members: 3,
        servers: 12,
        suspended: suspended.then(|| "The invoice of March is open.".into()),
        created: ago(id * 9000),
    }
}

fn tenants() -> TenantsPage {
    TenantsPage {
        shell: shell(Section::Tenants, true),
        rows: vec![tenant(1, "harbour", false), tenant(2, "wreck", true)],
        q: Field::new("har"),
        pager: pager(),
        make: form("make"),
    }
}

fn tenant_page() -> TenantPage {
    let member =
        TenantMember { id: 1, email: "anna@harbour.example".into(), words: "owner".into(), since: ago(9000) };
    TenantPage {
        shell: shell(Section::Tenants, true),
        row: tenant(1, "harbour", true),
        members: vec![member],
        rows: fleet_rows(),
        more: 4,
        hold: form("hold").danger(),
        admit: form("admit"),
    }
}

fn person(id: i64, email: &str, verified: bool) -> PersonRow {
    PersonRow {
        id,
        email: email.into(),
        name: "Anna".into(),
        operator: id == 1,
        verified,
        factor: verified,
        projects: 2,
        sessions: 1,
        signed_in: verified.then(|| ago(30)),
        created: ago(id * 7000),
    }
}

fn people() -> PeoplePage {
    PeoplePage {
        shell: shell(Section::People, true),
        rows: vec![person(1, "anna@harbour.example", true), person(2, "ben@harbour.example", false)],
        q: Field::default(),
        pager: pager(),
    }
}

fn person_page() -> PersonPage {
    PersonPage {
        shell: shell(Section::People, true),
        row: person(2, "ben@harbour.example", true),
        projects: vec![(1, "harbour".into(), "owner".into())],
        trail: "/fleet/audit?actor=ben%40harbour.example".into(),
        factor_off: Some(form("factor").danger()),
        act: Some(form("act")),
    }
}

fn plan(id: i64, name: &str, fits: Option<i64>) -> PlanRow {
    let money = |amount: &str| Money { amount: amount.into(), currency: "EUR".into() };
    PlanRow {
        id,
        name: name.into(),
        description: "For small things".into(),
        specs: "2 cores · 4 GB · 40 GB".into(),
        monthly: money("4.90"),
        hourly: money("0.008"),
        servers: 7,
        fits,
        retired: fits.is_none().then(|| ago(5000)),
    }
}

fn plan_page() -> PlanPage {
    PlanPage {
        shell: shell(Section::Plans, true),
        row: plan(1, "b2", Some(12)),
        limits: vec![("CPU", "2 cores".into()), ("Bandwidth each way", "no limit".into())],
        hosts: vec![(1, "quay-1".into(), 12, ""), (2, "quay-2".into(), 0, "It is cordoned.")],
        policy: form("policy"),
        retire: Some(form("retire").danger()),
    }
}

fn location() -> LocationRow {
    LocationRow {
        id: 1,
        name: "fsn1".into(),
        description: "The old mill".into(),
        place: "Falkenstein, DE".into(),
        datacenters: vec!["fsn1-dc1".into(), "fsn1-dc2".into()],
        hosts: 3,
    }
}

fn locations() -> LocationsPage {
    LocationsPage {
        shell: shell(Section::Locations, true),
        rows: vec![location()],
        make: form("make"),
        datacenter: Some(form("datacenter")),
    }
}

fn image(id: i64, retired: bool) -> ImageRow {
    ImageRow {
        id,
        name: "debian-13".into(),
        description: "Debian 13".into(),
        size: Bytes(90 << 20),
        format: "tar.zst".into(),
        sha256: "5d1f2c3b4a596877".repeat(4),
        cloud_init: true,
        servers: 4,
        ready: vec!["quay-1".into()],
        hosts: 3,
        retired: retired.then(|| ago(50)),
        created: ago(id * 900),
    }
}

fn image_page(retired: bool) -> ImagePage {
    ImagePage {
        shell: shell(Section::Images, true),
        row: image(1, retired),
        withdraw: (!retired).then(|| form("withdraw").danger()),
    }
}

fn pool(id: i64, used: f64) -> PoolRow {
    PoolRow {
        id,
        name: "public".into(),
        location: "fsn1".into(),
        cidr: "192.0.2.0/24".into(),
        kind: "BGP",
        held: Load::of("Held", used, 253.0, format!("{used} of 253")),
        resting: 3,
        ports: Some("10000-29999".into()),
        created: ago(9000),
    }
}

fn pools() -> PoolsPage {
    PoolsPage {
        shell: shell(Section::Pools, true),
        rows: vec![pool(1, 250.0), pool(2, 12.0)],
        make: Some(form("make")),
    }
}

fn pool_page() -> PoolPage {
    let name_server =
        NameServerView { pending: 3, refused: 1, error: Some(("It does not answer.".into(), ago(3))) };
    PoolPage {
        shell: shell(Section::Pools, true),
        row: pool(1, 250.0),
        rest: form("rest"),
        ports: Some(form("ports")),
        name_server: Some(name_server),
        names: form("names"),
        forget: Some(form("forget").danger()),
        delete: form("delete").danger(),
    }
}

fn holder(id: i64) -> HolderRow {
    HolderRow {
        ip: "192.0.2.7".into(),
        project: (id, (id == 1).then(|| "harbour".into())),
        by: "primary IP 7".into(),
        server: (id == 1).then(|| (2, "web-1".into())),
        from: ago(id * 900),
        until: (id != 1).then(|| ago(900)),
    }
}

fn holders() -> HoldersPage {
    HoldersPage {
        shell: shell(Section::Pools, true),
        ip: Field::new("192.0.2.7"),
        at: Field { value: "noon".into(), error: Some("This must be a time.".into()) },
        rows: Some(vec![holder(1), holder(2)]),
    }
}

fn settings() -> SettingsPage {
    SettingsPage {
        shell: shell(Section::Settings, true),
        mail: false,
        accounts: form("accounts"),
        traffic: form("traffic"),
        fixed: vec![("Currency", "EUR".into())],
        name_servers: vec![(1, "public".into(), "192.0.2.53:53".into(), Some("It does not answer.".into()))],
        resolvers: vec![(1, "fsn1".into(), String::new())],
        policies: vec![(1, "b2".into(), "its people are told".into(), "tcp/25".into())],
    }
}

fn trouble(id: i64, failed: bool) -> TroubleRow {
    TroubleRow {
        id,
        command: "start_server".into(),
        failed,
        error: failed.then(|| ("start_failed".into(), "The guest's init ended at once.".into())),
        project: (1, "harbour".into()),
        about: failed.then(|| "web-1".into()),
        host: failed.then(|| (1, "quay-1".into())),
        started: ago(id * 11),
    }
}

fn overview() -> OverviewPage {
    let load = |label, part: f64| Load::of(label, part, 1.0, format!("{:.0} of 100", part * 100.0));
    let host =
        HostTrouble { id: 3, name: "quay-3".into(), why: vec!["Was not heard of for 42 minutes.".into()] };
    OverviewPage {
        shell: shell(Section::Fleet, true),
        online: (2, 3),
        cordoned: 1,
        servers: 24,
        projects: 9,
        capacity: vec![Capacity {
            location: "fsn1".into(),
            sold: vec![load("CPU", 0.4), load("Memory", 0.9)],
        }],
        plans: vec![(1, "b2".into(), 12)],
        hosts: vec![host],
        trouble: vec![trouble(2, true), trouble(1, false)],
        versions: vec![("0.1.0".into(), 3)],
        certificate: Some((1, "quay-1".into(), ago(-60 * 24 * 40))),
    }
}

/// Around a tenant's page that an operator looks at.
fn acting(operator: &str) -> Shell {
    let acting = Acting { operator: operator.into(), until: ago(-25) };
    Shell { acting: Some(acting), ..shell(Section::Servers, false) }
}

/// What an operator in somebody's stead is told of an error.
fn message(operator: &str) -> MessagePage {
    let acting = Acting { operator: operator.into(), until: ago(-25) };
    MessagePage { acting: Some((acting, operator.into())), ..super::message() }
}

/// Every page with data, by name.
pub(crate) fn full() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    vec![
        ("message-acting", page(message("operator@berth.example").render())),
        ("fleet-projects", page(tenants().render())),
        ("fleet-project", page(tenant_page().render())),
        ("fleet-people", page(people().render())),
        ("fleet-person", page(person_page().render())),
        (
            "fleet-plans",
            page(
                PlansPage {
                    shell: shell(Section::Plans, true),
                    rows: vec![plan(1, "b2", Some(12)), plan(2, "b4", Some(0)), plan(3, "a1", None)],
                }
                .render(),
            ),
        ),
        ("fleet-plan", page(plan_page().render())),
        (
            "fleet-plan-new",
            page(NewPlanPage { shell: shell(Section::Plans, true), make: form("plan") }.render()),
        ),
        ("fleet-locations", page(locations().render())),
        (
            "fleet-location",
            page(
                LocationPage {
                    shell: shell(Section::Locations, true),
                    row: location(),
                    resolvers: form("names"),
                }
                .render(),
            ),
        ),
        (
            "fleet-images",
            page(
                ImagesPage {
                    shell: shell(Section::Images, true),
                    rows: vec![image(2, false), image(1, true)],
                }
                .render(),
            ),
        ),
        ("fleet-image", page(image_page(false).render())),
        ("fleet-pools", page(pools().render())),
        ("fleet-pool", page(pool_page().render())),
        ("fleet-addresses", page(holders().render())),
        ("fleet-settings", page(settings().render())),
        ("fleet-overview", page(overview().render())),
        ("acting", page(servers_page(acting("operator@berth.example"), list()).render())),
    ]
}

/// Every page of an installation that has nothing yet.
pub(crate) fn empty() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    let none = Pager::default;
    let bare =
        TenantRow { owner: None, suspended: None, servers: 0, members: 0, ..tenant(1, "harbour", false) };
    let nobody =
        PersonRow { name: String::new(), signed_in: None, ..person(2, "ben@harbour.example", false) };
    vec![
        (
            "empty-fleet-projects",
            page(TenantsPage { rows: vec![], q: Field::default(), pager: none(), ..tenants() }.render()),
        ),
        (
            "empty-fleet-project",
            page(TenantPage { row: bare, members: vec![], rows: vec![], more: 0, ..tenant_page() }.render()),
        ),
        ("empty-fleet-people", page(PeoplePage { rows: vec![], pager: none(), ..people() }.render())),
        (
            "empty-fleet-person",
            page(
                PersonPage { row: nobody, projects: vec![], factor_off: None, act: None, ..person_page() }
                    .render(),
            ),
        ),
        ("empty-fleet-plans", page(PlansPage { shell: shell(Section::Plans, true), rows: vec![] }.render())),
        (
            "empty-fleet-plan",
            page(PlanPage { row: plan(1, "b2", None), hosts: vec![], retire: None, ..plan_page() }.render()),
        ),
        (
            "empty-fleet-locations",
            page(LocationsPage { rows: vec![], datacenter: None, ..locations() }.render()),
        ),
        (
            "empty-fleet-images",
            page(ImagesPage { shell: shell(Section::Images, true), rows: vec![] }.render()),
        ),
        ("empty-fleet-image", page(image_page(true).render())),
        ("empty-fleet-pools", page(PoolsPage { rows: vec![], make: None, ..pools() }.render())),
        (
            "empty-fleet-pool",
            page(PoolPage { ports: None, name_server: None, forget: None, ..pool_page() }.render()),
        ),
        ("empty-fleet-addresses", page(HoldersPage { rows: Some(vec![]), ..holders() }.render())),
        ("unasked-fleet-addresses", page(HoldersPage { rows: None, ..holders() }.render())),
        (
            "empty-fleet-overview",
            page(
                OverviewPage {
                    capacity: vec![],
                    plans: vec![],
                    hosts: vec![],
                    trouble: vec![],
                    versions: vec![],
                    certificate: None,
                    ..overview()
                }
                .render(),
            ),
        ),
        (
            "empty-fleet-settings",
            page(
                SettingsPage {
                    mail: true,
                    name_servers: vec![],
                    resolvers: vec![],
                    policies: vec![],
                    ..settings()
                }
                .render(),
            ),
        ),
    ]
}

/// Every page where all that somebody can type is `bad`.
pub(crate) fn hostile(bad: &str) -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    let text = || bad.to_owned();
    let field = || Field { value: text(), error: Some(text()) };
    let form = |id| {
        let choices = vec![(text(), text())];
        let inputs = vec![
            Input::line("name", "Name").hint(text()),
            Input::area("ports", "Ports").with(format!("</textarea>{bad}")),
            Input::choice("kind", "Kind", choices).with(text()),
            Input::confirm(text()),
        ];
        let mut form = Form::new(id, text(), "Go on", inputs);
        form.fill(|_| text());
        form.blame("name", text());
        form.blame("", text());
        form
    };
    let pager = || Pager { total: 3, back: Some(text()), next: Some(text()) };
    let tenant =
        || TenantRow { name: text(), owner: Some(text()), suspended: Some(text()), ..tenant(1, "x", true) };
    let person = || PersonRow { email: text(), name: text(), ..person(1, "x", true) };
    let row = FleetServerRow {
        name: text(),
        project: text(),
        fault: Some(text()),
        host: text(),
        plan: text(),
        ipv4: Some(text()),
        ..fleet_rows().remove(0)
    };
    let member = TenantMember { id: 1, email: text(), words: text(), since: ago(1) };
    vec![
        ("message-acting", page(message(bad).render())),
        (
            "fleet-projects",
            page(
                TenantsPage {
                    rows: vec![tenant()],
                    q: field(),
                    pager: pager(),
                    make: form("make"),
                    ..tenants()
                }
                .render(),
            ),
        ),
        (
            "fleet-project",
            page(
                TenantPage {
                    row: tenant(),
                    members: vec![member],
                    rows: vec![row],
                    hold: form("hold"),
                    admit: form("admit"),
                    ..tenant_page()
                }
                .render(),
            ),
        ),
        (
            "fleet-people",
            page(PeoplePage { rows: vec![person()], q: field(), pager: pager(), ..people() }.render()),
        ),
        (
            "fleet-person",
            page(
                PersonPage {
                    row: person(),
                    projects: vec![(1, text(), text())],
                    trail: text(),
                    factor_off: Some(form("factor")),
                    ..person_page()
                }
                .render(),
            ),
        ),
        (
            "fleet-plan",
            page(
                PlanPage {
                    row: PlanRow {
                        name: text(),
                        description: text(),
                        specs: text(),
                        ..plan(1, "x", Some(1))
                    },
                    limits: vec![("CPU", text())],
                    hosts: vec![(1, text(), 1, "")],
                    policy: form("policy"),
                    ..plan_page()
                }
                .render(),
            ),
        ),
        (
            "fleet-locations",
            page(
                LocationsPage {
                    rows: vec![LocationRow {
                        name: text(),
                        description: text(),
                        place: text(),
                        datacenters: vec![text()],
                        ..location()
                    }],
                    make: form("make"),
                    ..locations()
                }
                .render(),
            ),
        ),
        (
            "fleet-image",
            page(
                ImagePage {
                    row: ImageRow {
                        name: text(),
                        description: text(),
                        format: text(),
                        ready: vec![text()],
                        ..image(1, false)
                    },
                    ..image_page(false)
                }
                .render(),
            ),
        ),
        (
            "fleet-pool",
            page(
                PoolPage {
                    row: PoolRow {
                        name: text(),
                        location: text(),
                        cidr: text(),
                        ports: Some(text()),
                        ..pool(1, 3.0)
                    },
                    name_server: Some(NameServerView {
                        pending: 1,
                        refused: 1,
                        error: Some((text(), ago(1))),
                    }),
                    names: form("names"),
                    ..pool_page()
                }
                .render(),
            ),
        ),
        (
            "fleet-addresses",
            page(
                HoldersPage {
                    ip: field(),
                    at: field(),
                    rows: Some(vec![HolderRow {
                        ip: text(),
                        project: (1, Some(text())),
                        by: text(),
                        server: Some((1, text())),
                        ..holder(1)
                    }]),
                    ..holders()
                }
                .render(),
            ),
        ),
        ("acting", page(servers_page(acting(bad), list()).render())),
        (
            "fleet-overview",
            page(
                OverviewPage {
                    capacity: vec![Capacity { location: text(), sold: vec![] }],
                    plans: vec![(1, text(), 1)],
                    hosts: vec![HostTrouble { id: 1, name: text(), why: vec![text()] }],
                    trouble: vec![TroubleRow {
                        command: text(),
                        error: Some((text(), text())),
                        project: (1, text()),
                        about: Some(text()),
                        host: Some((1, text())),
                        ..trouble(1, true)
                    }],
                    versions: vec![(text(), 1)],
                    certificate: Some((1, text(), ago(1))),
                    ..overview()
                }
                .render(),
            ),
        ),
        (
            "fleet-settings",
            page(
                SettingsPage {
                    fixed: vec![("Currency", text())],
                    name_servers: vec![(1, text(), text(), Some(text()))],
                    resolvers: vec![(1, text(), text())],
                    policies: vec![(1, text(), text(), text())],
                    ..settings()
                }
                .render(),
            ),
        ),
    ]
}
