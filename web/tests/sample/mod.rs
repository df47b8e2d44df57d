//! View structs with believable data, for the render tests and the gallery.

pub(crate) mod network;
pub(crate) mod operators;

use berth_proto::LimitName;
use berth_web::*;
use chrono::{DateTime, Duration, Utc};

const GIB: i64 = 1 << 30;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_489_200, 0).expect("a time")
}

pub(crate) fn ago(minutes: i64) -> When {
    When::new(now() - Duration::minutes(minutes), now())
}

pub(crate) fn project() -> ProjectLink {
    ProjectLink {
        id: 1,
        name: "harbour".into(),
        may_change: true,
        may_manage: true,
        suspended: None,
        guest: false,
    }
}

pub(crate) fn shell(section: Section, operator: bool) -> Shell {
    Shell {
        user: User { email: "operator@berth.example".into(), operator },
        project: Some(project()),
        projects: vec![project()],
        section,
        theme: Theme::Auto,
        notice: None,
        banners: vec![Banner {
            id: 1,
            title: "Maintenance of the network".into(),
            text: "On Sunday from 2 to 4 UTC.\nServers run on.".into(),
            kind: "maintenance",
            location: Some("local".into()),
        }],
        here: "/projects/1/servers".into(),
        acting: None,
    }
}

fn memory(used: f64, all: i64) -> Option<Load> {
    let bytes = used * all as f64;
    Some(Load::of("Memory", used, 1.0, Bytes(bytes as i64).to_string()))
}

fn cpu(part: f64) -> Option<Load> {
    Some(Load::of("CPU", part, 1.0, Unit::Percent.tell(part * 100.0)))
}

fn row(id: i64, name: &str, status: Status, part: f64) -> ServerRow {
    let on = matches!(status, Status::Running);
    ServerRow {
        id,
        name: name.into(),
        status,
        fault: None,
        plan: "b2".into(),
        specs: "2 cores · 4 GB · 40 GB".into(),
        image: "Debian 13".into(),
        location: "local".into(),
        ipv4: Some(format!("10.80.0.{id}")),
        cpu: on.then(|| cpu(part)).flatten(),
        memory: on.then(|| memory(0.2 + part / 2.0, 4 * GIB)).flatten(),
        labels: vec![],
        created: ago(id * id * 37),
    }
}

pub(crate) fn rights() -> Rights {
    Rights { operate: true, manage: true, delete: true, share: true, granted: None }
}

pub(crate) fn list() -> ServerList {
    let mut rows = vec![
        row(2, "web-1", Status::Running, 0.34),
        row(3, "web-2", Status::Running, 0.41),
        row(5, "db-primary", Status::Running, 0.92),
        row(7, "worker-a", Status::Running, 0.08),
        row(8, "worker-b", Status::Off, 0.0),
        row(11, "build", Status::Creating, 0.0),
        row(12, "old-mail", Status::Deleting, 0.0),
        row(13, "edge", Status::Unknown, 0.0),
    ];
    rows[0].labels = vec!["env=prod".into(), "team=web".into()];
    rows[2].labels = vec!["env=prod".into()];
    rows[5].ipv4 = None;
    rows[7].fault = Some("The disk pool of the host is full: free space there or add a host.".into());
    let pager = Pager { total: 71, back: None, next: Some("/projects/1/servers?page=2".into()) };
    ServerList { project: project(), rows, searched: false, choosing: false, pager }
}

/// A wave with a gap, so that graphs look like graphs.
fn wave(count: i64, base: f64, height: f64, phase: f64, since: i64) -> Vec<Option<f64>> {
    (0..count)
        .map(|i| {
            let t = i as f64 / 9.0 + phase;
            let noise = ((i * 7919 + 13) % 17) as f64 / 17.0 - 0.5;
            let value = base + height * (0.5 + 0.5 * t.sin() * (t / 3.1).cos()) + noise * height * 0.2;
            (i >= since && !(70..74).contains(&i)).then(|| value.max(0.0))
        })
        .collect()
}

pub(crate) fn graphs(range: Range, since: i64) -> Vec<Graph> {
    let count = range.seconds() / range.step() + 1;
    let start = now().timestamp() - range.seconds();
    let one = |label, base, height, phase| Series { label, values: wave(count, base, height, phase, since) };
    let graph = |id, title, unit, limit, series| Graph { id, title, unit, range, start, limit, series };
    vec![
        graph("cpu", "CPU", Unit::Percent, None, vec![one("CPU", 8.0, 60.0, 0.0)]),
        graph("memory", "Memory", Unit::Bytes, Some(4.0 * GIB as f64), vec![one("memory", 1.1e9, 7e8, 1.0)]),
        graph(
            "network",
            "Network",
            Unit::BitsPerSecond,
            None,
            vec![one("in", 2e6, 9e6, 2.0), one("out", 1e6, 4e6, 0.5)],
        ),
        graph(
            "disk",
            "Disk",
            Unit::BytesPerSecond,
            None,
            vec![one("read", 1e5, 8e5, 3.0), one("write", 4e5, 2e6, 1.5)],
        ),
        graph(
            "waits",
            "Waiting for the CPU limit",
            Unit::Percent,
            None,
            vec![one("waiting", 0.0, 20.0, 0.0)],
        ),
        graph(
            "hits",
            "Limits hit",
            Unit::Times,
            None,
            vec![
                one("memory", 0.0, 9.0, 2.0),
                one("OOM kills", 0.0, 2.0, 1.0),
                one("processes", 0.0, 4.0, 3.0),
            ],
        ),
        graph(
            "space",
            "Disk space",
            Unit::Bytes,
            Some(40.0 * GIB as f64),
            vec![one("in use", 5e9, 1e9, 1.0)],
        ),
    ]
}

pub(crate) fn action(id: i64, command: &str, status: &str, progress: i32, minutes: i64) -> ActionRow {
    ActionRow {
        id,
        status: status.into(),
        command: command.into(),
        progress,
        started: ago(minutes),
        error: None,
    }
}

fn limit(limit: LimitName, asked: i64, applied: Option<i64>, why: Option<&str>) -> LimitRow {
    LimitRow {
        limit,
        asked,
        plan: 2 * asked,
        applied,
        why: why.map(str::to_owned),
        hits: Some("once".into()),
    }
}

fn event(id: i64, kind: &str, text: &str, minutes: i64) -> EventRow {
    EventRow { id, kind: kind.into(), text: text.into(), at: ago(minutes) }
}

pub(crate) fn live() -> ServerLive {
    let mut activity = vec![
        action(31, "reboot_server", "running", 40, 0),
        action(28, "reset_password", "success", 100, 50),
        action(22, "start_server", "error", 100, 190),
        action(9, "create_server", "success", 100, 5_000),
    ];
    activity[2].error =
        Some(("start_failed".into(), "The guest's init ended at once; look at the console for why.".into()));
    ServerLive {
        project: project(),
        rights: rights(),
        server: ServerView {
            id: 5,
            name: "db-primary".into(),
            status: Status::Running,
            frozen: false,
            restart_policy: "on-failure",
            last_exit: Some("rebooted itself".into()),
            fault: None,
            limit_hits: vec!["memory full 3 times".into()],
            walls: vec![
                "Nothing passes to and from this server: the operator has isolated it (sends spam).".into(),
            ],
            traffic: Traffic {
                incoming: Bytes(12 * GIB),
                outgoing: Bytes(90 * GIB),
                included: Bytes(1024 * GIB),
                private: (Bytes(3 * GIB), Bytes(2 * GIB)),
            },
            ipv4: Some("10.80.0.5".into()),
            ports: None,
            ipv6: Some("2001:db8:0:5::1".into()),
            plan: "b2".into(),
            cores: Cores(2000),
            memory: Bytes(4 * GIB),
            disk: Bytes(40 * GIB),
            image: "Debian 13".into(),
            location: "local".into(),
            host: None,
            labels: vec!["env=prod".into(), "role=db".into()],
            protected: false,
            created: ago(5_000),
            started: Some(ago(190)),
            powers: Powers { on: false, off: true, freeze: true, thaw: false },
        },
        network: network::of_server(),
        activity,
        limits: vec![
            limit(LimitName::CpuMilli, 2000, Some(2000), None),
            limit(LimitName::MemoryBytes, 4 * GIB, Some(4 * GIB), None),
            limit(
                LimitName::DiskWriteBps,
                50 << 20,
                None,
                Some("this host's kernel throttles no buffered writes (cgroup v1)"),
            ),
        ],
        limits_current: true,
        events: vec![event(7, "oom_kill", "Process “postgres” (pid 431) was killed for want of memory", 12)],
        graphs: graphs(Range::Hour, 20),
        range: Range::Hour,
    }
}

pub(crate) fn server() -> ServerPage {
    ServerPage {
        shell: shell(Section::Servers, true),
        live: live(),
        plans: vec![
            ResizeChoice {
                plan: plan("b1", ["1 core", "2 GB memory", "20 GB disk"], "3.50", "0.0056"),
                current: true,
            },
            ResizeChoice {
                plan: plan("b2", ["2 cores", "4 GB memory", "40 GB disk"], "6.90", "0.0111"),
                current: false,
            },
        ],
        password: None,
        delete: Field::default(),
        refused: None,
    }
}

/// The page as somebody sees it to whom the server alone was given.
pub(crate) fn guest_server() -> ServerPage {
    let mut page = server();
    let project = ProjectLink { may_change: false, may_manage: false, guest: true, ..project() };
    (page.shell.project, page.shell.projects) = (Some(project.clone()), vec![project.clone()]);
    page.live.project = project;
    page.live.rights = Rights { operate: true, granted: Some("operate"), ..Rights::default() };
    page
}

pub(crate) fn server_settings() -> ServerSettingsPage {
    let inputs = vec![Input::line("name", "Name").with("db"), Input::line("labels", "Labels").optional()];
    let form = |id, inputs| Form::new(id, "/projects/1/servers/5/settings", "Save", inputs);
    ServerSettingsPage {
        shell: shell(Section::Servers, false),
        server: "/projects/1/servers/5".into(),
        name: "db-primary".into(),
        rename: form("rename", inputs),
        protection: form("protection", vec![Input::check("protected", "Protect it against being deleted")]),
        protected: false,
        delete: Some(form("delete", vec![Input::confirm("db-primary")]).danger()),
    }
}

pub(crate) fn server_access() -> ServerAccessPage {
    ServerAccessPage {
        shell: shell(Section::Servers, false),
        server: "/projects/1/servers/5".into(),
        name: "db-primary".into(),
        rows: vec![GrantRow {
            id: 1,
            email: "dan@quay.example".into(),
            name: "Dan".into(),
            level: "operate",
            since: ago(4000),
        }],
        invitations: vec![InvitationRow {
            id: 2,
            email: "eve@quay.example".into(),
            words: "look".into(),
            until: ago(-5000),
        }],
        levels: vec![("view", "look"), ("operate", "operate"), ("manage", "manage")],
        email: Field::default(),
        level: "view",
        link: Some("https://berth.example/invitation?token=5d1f2c3b4a596877".into()),
        mails: false,
    }
}

pub(crate) fn console() -> ConsolePage {
    ConsolePage { shell: shell(Section::Servers, false), project: project(), id: 1, name: "web".into() }
}

fn euro(amount: &str) -> Money {
    Money { amount: amount.into(), currency: "EUR".into() }
}

fn plan(name: &str, specs: [&str; 3], monthly: &str, hourly: &str) -> PlanChoice {
    PlanChoice {
        name: name.into(),
        description: name.into(),
        specs: specs.map(str::to_owned).to_vec(),
        monthly: euro(monthly),
        hourly: euro(hourly),
        unavailable: None,
    }
}

fn thing(id: i64, name: &str, detail: &str, chosen: bool) -> ThingChoice {
    ThingChoice { id, name: name.into(), detail: detail.into(), chosen }
}

pub(crate) fn create() -> CreatePage {
    let mut plans = vec![
        plan("b1", ["1 core", "2 GB memory", "20 GB disk"], "3.50", "0.0056"),
        plan("b2", ["2 cores", "4 GB memory", "40 GB disk"], "6.90", "0.0111"),
        plan("b4", ["4 cores", "8 GB memory", "80 GB disk"], "12.90", "0.0208"),
        plan("b8", ["8 cores", "16 GB memory", "160 GB disk"], "24.90", "0.0400"),
    ];
    plans[3].unavailable = Some("No host has room for it now".into());
    let request = ServerRequest {
        name: "calm-otter".into(),
        plan: "b2".into(),
        image: "debian-13".into(),
        keys: vec!["laptop".into()],
        ipv6: Address::None,
        networks: vec![3],
        ..ServerRequest::default()
    };
    CreatePage {
        shell: shell(Section::Servers, true),
        project: project(),
        images: [("debian-13", "Debian 13"), ("debian-12", "Debian 12")]
            .map(|(name, description)| ImageChoice { name: name.into(), description: description.into() })
            .to_vec(),
        plans: plans.clone(),
        locations: vec![],
        keys: vec![
            KeyChoice {
                id: 1,
                name: "laptop".into(),
                fingerprint: "1e:c4:8a:51:3b:09:77:f0:aa:10:5d:2e:63:9c:40:bf".into(),
                chosen: true,
            },
            KeyChoice {
                id: 2,
                name: "ci".into(),
                fingerprint: "90:12:5f:33:aa:b4:0c:de:71:62:08:e9:4d:17:f6:2b".into(),
                chosen: false,
            },
        ],
        ipv4: vec![AddressChoice { value: "4".into(), words: "192.0.2.4 (mail)".into() }],
        ipv6: vec![],
        networks: vec![thing(3, "inside", "10.0.0.0/16", true)],
        firewalls: vec![thing(5, "web", "2 rules", false)],
        form: ServerForm {
            name: Field::new("calm-otter"),
            image: Field::new("debian-13"),
            plan: Field::new("b2"),
            ..ServerForm::default()
        },
        summary: Summary {
            plan: Some(plans[1].clone()),
            image: Some("Debian 13".into()),
            location: None,
            keys: vec!["laptop".into()],
            addresses: Some("no IPv6".into()),
            networks: vec!["inside".into()],
            firewalls: vec![],
            cli: cli(&request),
            curl: curl(&request, "https://berth.example/v1"),
            terraform: terraform(&request, "https://berth.example/v1"),
        },
    }
}

pub(crate) fn keys() -> KeysPage {
    let key = |id, name: &str, kind: &str| KeyRow {
        id,
        name: name.into(),
        kind: kind.into(),
        fingerprint: "1e:c4:8a:51:3b:09:77:f0:aa:10:5d:2e:63:9c:40:bf".into(),
        created: ago(id * 900),
    };
    KeysPage {
        shell: shell(Section::Keys, true),
        project: project(),
        rows: vec![key(1, "laptop", "ssh-ed25519"), key(2, "ci", "ecdsa-sha2-nistp256")],
        form: KeyForm {
            public_key: Field {
                value: "ssh-rsa AAA".into(),
                error: Some("This is not an OpenSSH public key.".into()),
            },
            ..KeyForm::default()
        },
    }
}

pub(crate) fn tokens() -> TokensPage {
    let token = |id, name: &str, may: &[&str], used| TokenRow {
        id,
        name: name.into(),
        may: may.iter().map(|may| (*may).to_owned()).collect(),
        created: ago(id * 700),
        used,
        ends: (id > 1).then(|| (ago(-9000 + id * 4000), id > 2)),
        sources: if id > 1 { vec!["192.0.2.0/24".into()] } else { vec![] },
    };
    let scope = |name, words, chosen: &str| ScopeChoice {
        name,
        words,
        accesses: vec![("read", "read"), ("write", "read and write")],
        chosen: chosen.into(),
    };
    TokensPage {
        shell: shell(Section::Tokens, false),
        project: project(),
        rows: vec![
            token(1, "terraform", &["read and write"], Some(ago(3))),
            token(2, "monitoring", &["servers: read", "actions: read"], None),
            token(3, "trial", &["read"], None),
        ],
        form: TokenForm {
            access: Field::new("scopes"),
            scopes: vec![scope("servers", "Servers", "write"), scope("keys", "SSH keys", "")],
            ..TokenForm::default()
        },
        secret: Some("s3cr3t".repeat(10) + "abcd"),
        endpoint: "https://berth.example/v1".into(),
    }
}

pub(crate) fn webhook_row() -> WebhookRow {
    WebhookRow {
        id: 1,
        name: "chat".into(),
        url: "https://chat.example.com/hooks/berth?room=ops".into(),
        kinds: vec!["action.error".into(), "guest".into()],
        enabled: true,
        failing: Some(ago(90)),
    }
}

pub(crate) fn webhooks() -> WebhooksPage {
    let off = WebhookRow {
        id: 2,
        name: "old".into(),
        enabled: false,
        kinds: vec![],
        failing: None,
        ..webhook_row()
    };
    let name =
        Field { value: "chat".into(), error: Some("Another webhook of the project has this name.".into()) };
    WebhooksPage {
        shell: shell(Section::Webhooks, false),
        project: project(),
        rows: vec![webhook_row(), off],
        form: WebhookForm { name, ..WebhookForm::default() },
    }
}

pub(crate) fn webhook() -> WebhookPage {
    let tried = |event, status, error: Option<&str>| DeliveryRow {
        event,
        kind: "guest.oom_kill".into(),
        at: ago(3),
        took: "81 ms".into(),
        status,
        error: error.map(str::to_owned),
    };
    WebhookPage {
        shell: shell(Section::Webhooks, false),
        project: project(),
        hook: webhook_row(),
        secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
        form: WebhookForm::default(),
        deliveries: vec![
            tried(Some(71), Some(500), Some("answered with 500, not 2xx")),
            tried(Some(70), Some(204), None),
            tried(None, None, Some("no answer within 10 seconds")),
        ],
    }
}

pub(crate) fn servers_page(shell: Shell, list: ServerList) -> ServersPage {
    ServersPage {
        shell,
        filter: ServerFilter {
            label: Field { value: "a b".into(), error: Some("This is no label selector.".into()) },
            statuses: vec!["running", "off"],
            locations: vec!["local".into(), "fsn1".into()],
            ..ServerFilter::default()
        },
        stream: (!list.choosing).then(|| "/projects/1/servers/events?".into()),
        choose: "/projects/1/servers?choose=yes".into(),
        may_choose: list.project.may_change,
        list,
    }
}

fn host(id: i64, name: &str, online: bool, cordoned: bool, busy: f64) -> HostView {
    let told =
        |label, part: f64, all: &str| Load::of(label, part, 1.0, format!("{:.0} % of {all}", part * 100.0));
    HostView {
        id,
        name: name.into(),
        location: "local".into(),
        online,
        enrolled: true,
        cordoned,
        cordon_reason: cordoned.then(|| "The disk is being replaced.".into()),
        seen: Some(ago(if online { 0 } else { 42 })),
        servers: id * 4,
        load: vec![
            told("CPU", busy, "16 cores"),
            told("Memory", busy + 0.1, "64 GB"),
            told("Disk", 0.3, "900 GB"),
        ],
        sold: vec![
            told("CPU", busy * 2.0, "64 cores"),
            told("Memory", busy + 0.2, "60 GB"),
            told("Disk", 0.6, "850 GB"),
        ],
        facts: vec![
            ("Kernel", "6.12.48".into()),
            ("System", "Debian GNU/Linux 13 (trixie)".into()),
            ("Cgroups", "unified".into()),
            ("Agent", "0.1.0".into()),
        ],
        lacks: vec![Lack {
            feature: "reflink".into(),
            consequence: "A snapshot copies the whole disk instead of sharing it.".into(),
            fatal: false,
        }],
    }
}

pub(crate) fn hosts() -> HostsPage {
    let mut waiting = host(4, "quay-4", false, false, 0.0);
    waiting = HostView {
        enrolled: false,
        seen: None,
        servers: 0,
        load: vec![],
        sold: vec![],
        lacks: vec![],
        ..waiting
    };
    HostsPage {
        shell: shell(Section::Hosts, true),
        live: HostsLive {
            hosts: vec![
                host(1, "quay-1", true, false, 0.31),
                host(2, "quay-2", true, true, 0.78),
                host(3, "quay-3", false, false, 0.2),
                waiting,
            ],
        },
        form: HostForm::default(),
        datacenters: vec!["local-1".into()],
        secret: None,
    }
}

pub(crate) fn fleet_rows() -> Vec<FleetServerRow> {
    let full = |r: ServerRow| FleetServerRow {
        id: r.id,
        name: r.name,
        project_id: 1,
        linked: r.id % 2 == 0,
        project: "harbour".into(),
        status: r.status,
        fault: r.fault,
        host: "quay-1".into(),
        plan: r.plan,
        ipv4: r.ipv4,
        cpu: r.cpu,
        memory: r.memory,
        disk: Some("1.5 MB/s".into()),
        network: (r.id % 3 == 0).then(|| "12 Mbit/s".into()),
        hits: r.id,
        created: r.created,
    };
    list().rows.into_iter().map(full).collect()
}

pub(crate) fn host_page() -> HostPage {
    HostPage {
        shell: shell(Section::Hosts, true),
        host: host(1, "quay-1", true, false, 0.31),
        rows: fleet_rows(),
        pager: operators::pager(),
        cordon: operators::form("cordon"),
        overcommit: operators::form("overcommit"),
        bgp: operators::form("bgp"),
    }
}

pub(crate) fn fleet_servers() -> FleetServersPage {
    FleetServersPage {
        shell: shell(Section::FleetServers, true),
        rows: fleet_rows(),
        sorts: vec![("cpu", "CPU"), ("disk", "Disk")],
        by: "cpu",
        pager: operators::pager(),
    }
}

pub(crate) fn sign_in() -> SignInPage {
    SignInPage {
        theme: Theme::Auto,
        email: Field::default(),
        error: None,
        next: "/".into(),
        open: true,
        mails: true,
        passkey: Some(passkey_ask()),
        provider: Some(("Harbour ID".into(), "/sign-in/provider?next=/".into())),
    }
}

pub(crate) fn passkey_ask() -> PasskeyAsk {
    PasskeyAsk {
        action: "/sign-in/passkey",
        options: "/sign-in/passkey/options",
        origin: "https://berth.example".into(),
        next: "/".into(),
        text: "Sign in with a passkey",
    }
}

pub(crate) fn message() -> MessagePage {
    MessagePage {
        theme: Theme::Auto,
        status: 404,
        title: "There is nothing here".into(),
        text: "The address is wrong, or what was here is gone.".into(),
        acting: None,
        correlation_id: "0d5f0c3e".into(),
    }
}

/// Every page with data, by name.
pub(crate) fn members() -> MembersPage {
    let row = |id: i64, email: &str, role: &str, me: bool| MemberRow {
        id,
        email: email.into(),
        name: "Anna".into(),
        role: role.into(),
        words: role.into(),
        since: ago(id * 4000),
        me,
        mine_to_change: !me,
    };
    MembersPage {
        shell: shell(Section::Members, true),
        project: project(),
        rows: vec![
            row(1, "anna@harbour.example", "owner", true),
            row(2, "ben@harbour.example", "member", false),
        ],
        invitations: vec![InvitationRow {
            id: 1,
            email: "carl@harbour.example".into(),
            words: "read only".into(),
            until: ago(-5000),
        }],
        roles: vec![("owner", "owner"), ("admin", "admin"), ("member", "member"), ("read_only", "read only")],
        email: Field::default(),
        role: "member".into(),
        link: Some("https://berth.example/invitation?token=5d1f2c3b4a596877".into()),
        mails: true,
    }
}

pub(crate) fn usage() -> UsagePage {
    let row = |name: &'static str, used: f64, most: Option<f64>| UsageRow {
        name,
        used: used.to_string(),
        most: most.map(|most| most.to_string()),
        load: most.map(|most| Load::of(name, used, most, format!("{used} of {most}"))),
        full: most.is_some_and(|most| used >= most),
    };
    UsagePage {
        shell: shell(Section::Usage, false),
        rows: vec![
            row("Servers", 3.0, Some(10.0)),
            row("IPv4 addresses", 4.0, Some(4.0)),
            row("CPU", 6.0, None),
        ],
    }
}

pub(crate) fn announcements() -> AnnouncementsPage {
    let row = |id: i64, location: Option<&str>, state| AnnouncementRow {
        id,
        title: "Maintenance of the network".into(),
        text: "On Sunday from 2 to 4 UTC.".into(),
        kind: "maintenance",
        location: location.map(Into::into),
        state,
        from: ago(id * 900),
        until: ago(-id * 900),
    };
    AnnouncementsPage {
        shell: shell(Section::Announcements, true),
        rows: vec![row(2, None, "shown now"), row(1, Some("local"), "over")],
        kinds: vec!["info", "warning", "maintenance"],
        locations: vec!["local".into()],
        form: AnnouncementForm::default(),
    }
}

pub(crate) fn account() -> AccountPage {
    let session = |id: i64, agent: &str, this: bool| SessionRow {
        id,
        agent: agent.into(),
        source: Some("192.0.2.7".into()),
        created: ago(id * 700),
        seen: ago(id),
        this,
    };
    AccountPage {
        shell: shell(Section::Account, true),
        name: Field::new("Anna"),
        current: Field::default(),
        new: Field::default(),
        sessions: vec![session(1, "Firefox 145 on Linux", true), session(2, "Safari on iPhone", false)],
        project: Field::default(),
        factor: true,
        passkeys: 2,
        provider: Some(AccountProvider {
            name: "Harbour ID".into(),
            linked: Some(("anna@id.example".into(), ago(900))),
            password: true,
            error: Some("This is not your password.".into()),
        }),
        closing: Closing::default(),
    }
}

pub(crate) fn factor(state: FactorState) -> FactorPage {
    let codes = vec!["abcd-efgh-jkmn-pqrs".to_owned(); 10];
    FactorPage { shell: shell(Section::Account, true), state, code: Field::default(), codes }
}

pub(crate) fn passkeys() -> PasskeysPage {
    let row = |id: i64, name: &str, used| PasskeyRow { id, name: name.into(), created: ago(id * 900), used };
    PasskeysPage {
        shell: shell(Section::Account, true),
        unavailable: None,
        origin: "https://berth.example".into(),
        rows: vec![row(1, "phone", Some(ago(5))), row(2, "security key", None)],
        left: 9,
        error: Some("This is not your password.".into()),
        codes: vec!["abcd-efgh-jkmn-pqrs".to_owned(); 10],
    }
}

pub(crate) fn gate() -> GatePage {
    let field = |name, label, kind| GateField {
        name,
        label,
        kind,
        autocomplete: "off",
        required: true,
        field: Field::default(),
    };
    GatePage {
        theme: Theme::Auto,
        title: "Make an account".into(),
        lead: "A link to confirm your address comes by mail.".into(),
        error: None,
        action: "/sign-up",
        hidden: vec![("token", "x".into())],
        fields: vec![field("email", "E-mail address", "email"), field("password", "Password", "password")],
        button: Some("Make account"),
        links: vec![("Sign in", "/sign-in".into())],
        passkey: Some(passkey_ask()),
    }
}

pub(crate) fn audit() -> AuditPage {
    let change = |name: &str, before: Option<&str>, after: Option<&str>| Change {
        name: name.into(),
        before: before.map(Into::into),
        after: after.map(Into::into),
    };
    let row = |id: i64, who: &str, event: &str, target: &str, changes| AuditRow {
        id,
        at: ago(id * 9),
        who: who.into(),
        source: Some("192.0.2.7".into()),
        event: event.into(),
        target: target.into(),
        request: "POST /v1/servers".into(),
        correlation_id: "5d1f2c3b4a596877".into(),
        changes,
    };
    AuditPage {
        shell: shell(Section::Audit, true),
        path: "/projects/1/audit".into(),
        whose: "the project harbour".into(),
        rows: vec![
            row(1, "token ci", "server created", "web-1 #2", vec![change("name", None, Some("web-1"))]),
            row(
                2,
                "anna@harbour.example",
                "firewall changed",
                "web #1",
                vec![change("rules", Some("[]"), Some("…"))],
            ),
        ],
        event: Field::default(),
        actor: Field::default(),
        total: 51,
        newer: None,
        older: Some("/projects/1/audit?page=2".into()),
    }
}

pub(crate) fn full() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    let mut all = operators::full();
    all.extend(network::full());
    all.extend(vec![
        ("sign-in", page(sign_in().render())),
        ("servers", page(servers_page(shell(Section::Servers, true), list()).render())),
        (
            "servers-chosen",
            page(
                servers_page(shell(Section::Servers, false), ServerList { choosing: true, ..list() })
                    .render(),
            ),
        ),
        ("create", page(create().render())),
        ("server", page(server().render())),
        ("server-guest", page(guest_server().render())),
        ("server-settings", page(server_settings().render())),
        ("server-access", page(server_access().render())),
        ("console", page(console().render())),
        ("keys", page(keys().render())),
        ("tokens", page(tokens().render())),
        ("webhooks", page(webhooks().render())),
        ("webhook", page(webhook().render())),
        ("hosts", page(hosts().render())),
        ("host", page(host_page().render())),
        ("audit", page(audit().render())),
        ("members", page(members().render())),
        ("usage", page(usage().render())),
        ("announcements", page(announcements().render())),
        ("account", page(account().render())),
        ("gate", page(gate().render())),
        ("factor-on", page(factor(FactorState::On { left: 9 }).render())),
        (
            "factor-begun",
            page(
                factor(FactorState::Begun {
                    secret: "GEZDGNBV".into(),
                    size: 8,
                    path: "M4 4h1v1h-1z".into(),
                })
                .render(),
            ),
        ),
        ("passkeys", page(passkeys().render())),
        ("fleet-servers", page(fleet_servers().render())),
        ("message", page(message().render())),
    ]);
    all
}

/// Every page of somebody who has nothing yet.
pub(crate) fn empty() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    let nobody = |section| Shell { project: None, projects: vec![], ..shell(section, true) };
    let list = ServerList { rows: vec![], ..list() };
    let create = CreatePage {
        images: vec![],
        plans: vec![],
        keys: vec![],
        ipv4: vec![],
        networks: vec![],
        firewalls: vec![],
        form: ServerForm::default(),
        ..create()
    };
    let mut server = server();
    server.live = ServerLive {
        network: ServerNetwork::default(),
        activity: vec![],
        limits: vec![],
        events: vec![],
        graphs: graphs(Range::Day, i64::MAX),
        range: Range::Day,
        ..server.live
    };
    server.live.server =
        ServerView { ipv4: None, ipv6: None, labels: vec![], started: None, ..server.live.server };
    let lonely = HostView {
        load: vec![],
        sold: vec![],
        lacks: vec![],
        facts: vec![],
        ..host(9, "quay-9", true, false, 0.0)
    };
    let mut all = operators::empty();
    all.extend(network::empty());
    all.extend(vec![
        ("empty-servers", page(servers_page(shell(Section::Servers, false), list).render())),
        ("empty-create", page(create.render())),
        ("empty-server", page(server.render())),
        (
            "empty-server-access",
            page(
                ServerAccessPage { rows: vec![], invitations: vec![], link: None, ..server_access() }
                    .render(),
            ),
        ),
        (
            "empty-server-settings",
            page(ServerSettingsPage { protected: true, delete: None, ..server_settings() }.render()),
        ),
        ("empty-keys", page(KeysPage { rows: vec![], form: KeyForm::default(), ..keys() }.render())),
        ("empty-tokens", page(TokensPage { rows: vec![], secret: None, ..tokens() }.render())),
        (
            "empty-webhooks",
            page(WebhooksPage { rows: vec![], form: WebhookForm::default(), ..webhooks() }.render()),
        ),
        ("empty-webhook", page(WebhookPage { deliveries: vec![], ..webhook() }.render())),
        (
            "empty-hosts",
            page(
                HostsPage { shell: nobody(Section::Hosts), live: HostsLive { hosts: vec![] }, ..hosts() }
                    .render(),
            ),
        ),
        ("empty-host", page(HostPage { host: lonely, rows: vec![], ..host_page() }.render())),
        (
            "empty-members",
            page(MembersPage { rows: vec![], invitations: vec![], link: None, ..members() }.render()),
        ),
        (
            "empty-announcements",
            page(AnnouncementsPage { rows: vec![], locations: vec![], ..announcements() }.render()),
        ),
        ("empty-usage", page(UsagePage { rows: vec![], ..usage() }.render())),
        ("empty-factor", page(FactorPage { codes: vec![], ..factor(FactorState::Off) }.render())),
        (
            "empty-passkeys",
            page(
                PasskeysPage {
                    unavailable: Some("the address has no name".into()),
                    rows: vec![],
                    error: None,
                    codes: vec![],
                    ..passkeys()
                }
                .render(),
            ),
        ),
        ("empty-audit", page(AuditPage { rows: vec![], total: 0, older: None, ..audit() }.render())),
        (
            "empty-fleet-servers",
            page(FleetServersPage { rows: vec![], pager: Pager::default(), ..fleet_servers() }.render()),
        ),
    ]);
    all
}
