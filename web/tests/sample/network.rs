//! Firewalls, networks and addresses.

use berth_web::*;

use super::{ago, project, shell};

pub(crate) fn firewalls() -> FirewallsPage {
    let row = |id: i64, name: &str, servers| FirewallRow {
        id,
        name: name.into(),
        labels: vec!["env=prod".into()],
        inbound: 4,
        outbound: 0,
        servers,
        private: id == 2,
        created: ago(id * 800),
    };
    FirewallsPage {
        shell: shell(Section::Firewalls, true),
        project: project(),
        rows: vec![row(1, "web", 2), row(2, "db", 1), row(3, "spare", 0)],
    }
}

pub(crate) fn firewall() -> FirewallPage {
    let met = |packets| Met { packets, bytes: packets * 60 };
    let rule = |port: Option<&str>, protocol: &str, description: &str, packets| RuleView {
        inbound: true,
        protocol: protocol.into(),
        port: port.map(Into::into),
        nets: vec!["0.0.0.0/0".into(), "::/0".into()],
        description: Some(description.into()).filter(|text: &String| !text.is_empty()),
        met: Some(met(packets)),
        met_privately: (packets > 1000).then(|| met(7)),
    };
    let out = RuleView {
        inbound: false,
        nets: vec!["192.0.2.0/24".into()],
        met: None,
        ..rule(Some("8000-8100"), "UDP", "", 0)
    };
    let server = |id: i64, name: &str, by_name, applied| HeldServer {
        id,
        name: name.into(),
        by_name,
        applied,
        dropped: applied.then(|| (met(4211), met(0))),
    };
    FirewallPage {
        shell: shell(Section::Firewalls, true),
        project: project(),
        firewall: FirewallView {
            id: 1,
            name: "web".into(),
            labels: vec!["env=prod".into()],
            private: true,
            created: ago(8000),
            rules: vec![
                rule(Some("80"), "TCP", "HTTP", 1204),
                rule(Some("443"), "TCP", "HTTPS", 98_213),
                rule(None, "ICMP", "Ping", 1),
                out,
            ],
            servers: vec![server(2, "web-1", true, true), server(3, "web-2", false, false)],
            selectors: vec![SelectorRow { selector: "tier in (web)".into(), servers: 1 }],
        },
        known: vec!["web-1".into(), "web-2".into()],
        forms: FirewallForms {
            name: Field::new("web"),
            labels: Field::new("env=prod"),
            ..FirewallForms::default()
        },
    }
}

pub(crate) fn editor() -> FirewallEditor {
    let rule = |direction: &str, protocol: &str, port: &str| RuleForm {
        direction: Field::new(direction),
        protocol: Field::new(protocol),
        port: Field::new(port),
        nets: Field::new("0.0.0.0/0, ::/0"),
        description: Field::new("HTTP"),
    };
    let mut rules = vec![rule("in", "tcp", "80"), rule("in", "icmp", ""), rule("out", "udp", "99999")];
    rules[2].port.error =
        Some("This must be a port from 1 to 65535, a range such as '80-85', or 'any'.".into());
    FirewallEditor {
        shell: shell(Section::Firewalls, true),
        project: project(),
        of: Some((1, "web".into())),
        name: Field::default(),
        rules,
        templates: vec![RuleTemplate {
            name: "ssh",
            title: "SSH only",
            text: "SSH and ping from everywhere.",
        }],
        error: Some("A rule is wrong; it says below how.".into()),
        tried: Some(vec![Trial {
            server: "web-1".into(),
            added: vec!["in: TCP 443 from 0.0.0.0/0".into()],
            removed: vec![],
        }]),
    }
}

pub(crate) fn networks() -> NetworksPage {
    let row = |id: i64, name: &str, range: &str| NetworkRow {
        id,
        name: name.into(),
        labels: vec![],
        range: range.into(),
        subnets: 1,
        servers: 2,
        created: ago(id * 4000),
    };
    NetworksPage {
        shell: shell(Section::Networks, true),
        project: project(),
        rows: vec![row(1, "internal", "10.0.0.0/16"), row(2, "backup", "fd00:7::/48")],
        zones: vec!["local".into()],
        form: NetworkForm {
            range: Field {
                value: "11.0.0.0/8".into(),
                error: Some("This must be part of 10.0.0.0/8.".into()),
            },
            zone: Field::new("local"),
            ..NetworkForm::default()
        },
    }
}

pub(crate) fn network() -> NetworkPage {
    let server = |id: i64, name: &str| Attached {
        id,
        name: name.into(),
        ip: format!("10.0.0.{id}"),
        aliases: if id == 3 { vec!["10.0.0.40".into()] } else { vec![] },
        mac: format!("86:00:00:11:22:0{id}"),
    };
    NetworkPage {
        shell: shell(Section::Networks, true),
        project: project(),
        network: NetworkView {
            id: 1,
            name: "internal".into(),
            labels: vec!["env=prod".into()],
            range: "10.0.0.0/16".into(),
            gateway: "10.0.0.1".into(),
            protected: false,
            created: ago(8000),
            subnets: vec![
                SubnetRow { range: "10.0.0.0/24".into(), zone: "local".into(), used: 3 },
                SubnetRow { range: "10.0.7.0/24".into(), zone: "local".into(), used: 0 },
            ],
            routes: vec![
                RouteRow {
                    destination: "192.168.7.0/24".into(),
                    gateway: "10.0.0.2".into(),
                    via: Some("web-1".into()),
                },
                RouteRow { destination: "192.168.8.0/24".into(), gateway: "10.0.0.9".into(), via: None },
            ],
            servers: vec![server(2, "web-1"), server(3, "db-primary")],
        },
        zones: vec!["local".into()],
        known: vec!["db-primary".into(), "web-1".into()],
        forms: NetworkForms {
            name: Field::new("internal"),
            range: Field::new("10.0.0.0/16"),
            ip: Field { value: "10.0.0.2".into(), error: Some("10.0.0.2 is in use in this network.".into()) },
            ..NetworkForms::default()
        },
    }
}

pub(crate) fn addresses() -> AddressesPage {
    let row = |id: i64, kind: &str, ip: &str, names: &[&str]| AddressRow {
        path: project().path(&format!("{kind}/{id}")),
        name: format!("address-{id}"),
        ip: ip.into(),
        location: "local".into(),
        server: (id % 2 == 0).then(|| (2, "web-1".into())),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        labels: vec!["env=prod".into()],
        auto_delete: id == 2,
        protected: id == 4,
    };
    AddressesPage {
        shell: shell(Section::Addresses, true),
        project: project(),
        primary: vec![
            row(2, "primary-ips", "192.0.2.7", &["www.example.com"]),
            row(4, "primary-ips", "2001:db8:0:5::/64", &["a.example.com", "b.example.com", "c.example.com"]),
        ],
        floating: vec![row(1, "floating-ips", "192.0.2.80", &[])],
        locations: vec!["local".into(), "far".into()],
        known: vec!["web-1".into()],
        form: AddressForm {
            kind: Field::new("primary"),
            family: Field::new("ipv6"),
            name: Field { value: " ".into(), error: Some("This must be one line.".into()) },
            auto_delete: true,
            ..AddressForm::default()
        },
    }
}

pub(crate) fn address(floating: bool, network: bool) -> AddressPage {
    let (ip, own) = match network {
        true => ("2001:db8:0:5::/64", "2001:db8:0:5::1"),
        false => ("192.0.2.80", "192.0.2.80"),
    };
    AddressPage {
        shell: shell(Section::Addresses, true),
        project: project(),
        address: AddressView {
            id: 1,
            floating,
            name: "vip".into(),
            description: "moves when the primary dies".into(),
            ip: ip.into(),
            own: own.into(),
            network,
            location: "local".into(),
            server: Some((2, "web-1".into())),
            auto_delete: !floating,
            protected: false,
            labels: vec!["env=prod".into()],
            names: vec![(own.into(), "www.example.com".into())],
            created: ago(9000),
            activity: vec![
                super::action(31, "assign_floating_ip", "running", 40, 0),
                super::action(30, "change_dns_ptr", "success", 100, 50),
            ],
        },
        known: vec!["web-1".into(), "web-2".into()],
        forms: AddressForms {
            name: Field::new("vip"),
            dns: Field { value: "a b".into(), error: Some("This must be a host name.".into()) },
            ..AddressForms::default()
        },
    }
}

pub(crate) fn of_server() -> ServerNetwork {
    let address = |ip: &str, network: Option<&str>, floating, names: &[(&str, &str)]| ServerAddress {
        path: project().path("primary-ips/1"),
        ip: ip.into(),
        network: network.map(Into::into),
        floating,
        names: names.iter().map(|(ip, name)| ((*ip).to_owned(), (*name).to_owned())).collect(),
    };
    ServerNetwork {
        addresses: vec![
            address("10.80.0.5", None, false, &[("10.80.0.5", "db.example.com")]),
            address(
                "2001:db8:0:5::1",
                Some("2001:db8:0:5::/64"),
                false,
                &[("2001:db8:0:5::25", "mail.example.com")],
            ),
            address("192.0.2.80", None, true, &[]),
        ],
        networks: vec![ServerMembership {
            id: 1,
            name: "internal".into(),
            range: "10.0.0.0/16".into(),
            ip: "10.0.0.5".into(),
            aliases: vec!["10.0.0.40".into()],
        }],
        firewalls: vec![
            ServerFirewall { id: 1, name: "web".into(), private: true, applied: true },
            ServerFirewall { id: 2, name: "db".into(), private: false, applied: false },
        ],
        bandwidth_mbit: 200,
        blocked: vec!["tcp/25".into()],
        pooled: true,
        month_ends: "2026-12-01".into(),
    }
}

/// Every page with data, by name.
pub(crate) fn full() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    vec![
        ("firewalls", page(firewalls().render())),
        ("firewall", page(firewall().render())),
        ("firewall-editor", page(editor().render())),
        ("networks", page(networks().render())),
        ("network", page(network().render())),
        ("addresses", page(addresses().render())),
        ("floating-ip", page(address(true, false).render())),
        ("primary-ip", page(address(false, true).render())),
    ]
}

/// Every page of somebody who has nothing yet, or may only look.
pub(crate) fn empty() -> Vec<(&'static str, String)> {
    let page = |result: askama::Result<String>| result.expect("renders");
    let looking = || ProjectLink { may_change: false, may_manage: false, ..project() };
    let mut firewall = firewall();
    let looked_at = FirewallPage { project: looking(), ..firewall.clone() }.render();
    (firewall.firewall.rules, firewall.firewall.servers, firewall.firewall.selectors) = Default::default();
    let mut network = network();
    let network_looked_at = NetworkPage { project: looking(), ..network.clone() }.render();
    (network.network.servers, network.network.subnets, network.network.routes) = Default::default();
    network.network.protected = true;
    let mut spare = address(false, false);
    (spare.address.server, spare.address.names, spare.address.activity) = Default::default();
    let address_looked_at = AddressPage { project: looking(), ..address(true, true) }.render();
    let none =
        AddressesPage { primary: vec![], floating: vec![], form: AddressForm::default(), ..addresses() };
    vec![
        ("empty-addresses", page(none.render())),
        ("spare-primary-ip", page(spare.render())),
        ("read-only-floating-ip", page(address_looked_at)),
        (
            "empty-networks",
            page(NetworksPage { rows: vec![], form: NetworkForm::default(), ..networks() }.render()),
        ),
        ("empty-network", page(network.render())),
        ("read-only-network", page(network_looked_at)),
        ("empty-firewalls", page(FirewallsPage { rows: vec![], ..firewalls() }.render())),
        ("empty-firewall", page(firewall.render())),
        ("read-only-firewall", page(looked_at)),
        (
            "new-firewall",
            page(FirewallEditor { of: None, rules: vec![], error: None, tried: None, ..editor() }.render()),
        ),
    ]
}
