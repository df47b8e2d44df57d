//! Pages in which everything that a tenant can type is hostile.

use berth_web::*;

use crate::sample::network as sample;

/// Firewalls, networks and addresses.
pub(crate) fn pages(text: &str) -> Vec<askama::Result<String>> {
    let bad = || text.to_owned();
    let field = || Field { value: bad(), error: Some(bad()) };

    let mut firewalls = sample::firewalls();
    (firewalls.rows[0].name, firewalls.rows[0].labels) = (bad(), vec![bad()]);
    let mut firewall = sample::firewall();
    firewall.firewall.name = bad();
    firewall.firewall.labels = vec![bad()];
    let rule = &mut firewall.firewall.rules[0];
    (rule.description, rule.nets, rule.port, rule.protocol) = (Some(bad()), vec![bad()], Some(bad()), bad());
    firewall.firewall.servers[0].name = bad();
    firewall.firewall.selectors[0].selector = bad();
    firewall.known = vec![bad()];
    firewall.forms = FirewallForms {
        server: field(),
        selector: field(),
        name: field(),
        labels: field(),
        delete: field(),
        refused: Some(bad()),
    };
    let mut deletable = firewall.clone();
    (deletable.firewall.servers, deletable.firewall.selectors) = (vec![], vec![]);
    let mut editor = sample::editor();
    editor.of = Some((1, bad()));
    editor.rules = vec![RuleForm {
        direction: field(),
        protocol: field(),
        port: field(),
        nets: field(),
        description: field(),
    }];
    editor.error = Some(bad());
    editor.tried = Some(vec![Trial { server: bad(), added: vec![bad()], removed: vec![bad()] }]);
    let new = FirewallEditor { of: None, name: field(), ..editor.clone() };

    let mut networks = sample::networks();
    let row = &mut networks.rows[0];
    (row.name, row.labels, row.range) = (bad(), vec![bad()], bad());
    networks.form = NetworkForm { name: field(), range: field(), zone: field(), error: Some(bad()) };
    let mut network = sample::network();
    let of = &mut network.network;
    (of.name, of.labels) = (bad(), vec![bad()]);
    (of.servers[0].name, of.servers[0].ip, of.servers[0].mac) = (bad(), bad(), bad());
    of.servers[0].aliases = vec![bad()];
    of.subnets[1].range = bad();
    (of.routes[0].destination, of.routes[0].gateway, of.routes[0].via) = (bad(), bad(), Some(bad()));
    network.known = vec![bad()];
    network.zones = vec![bad()];
    network.forms = NetworkForms {
        subnet: field(),
        zone: field(),
        destination: field(),
        gateway: field(),
        range: field(),
        server: field(),
        ip: field(),
        name: field(),
        labels: field(),
        delete: field(),
        refused: Some(bad()),
    };

    let mut addresses = sample::addresses();
    let row = &mut addresses.primary[0];
    (row.name, row.ip, row.location, row.server) = (bad(), bad(), bad(), Some((1, bad())));
    (row.names, row.labels) = (vec![bad()], vec![bad()]);
    (addresses.locations, addresses.known) = (vec![bad()], vec![bad()]);
    addresses.form = AddressForm {
        kind: field(),
        family: field(),
        name: field(),
        location: field(),
        server: field(),
        auto_delete: true,
        error: Some(bad()),
    };
    let mut address = sample::address(true, true);
    let of = &mut address.address;
    (of.name, of.description, of.ip, of.own) = (bad(), bad(), bad(), bad());
    (of.location, of.server, of.labels, of.names) =
        (bad(), Some((1, bad())), vec![bad()], vec![(bad(), bad())]);
    (of.activity[0].command, of.activity[0].error) = (bad(), Some((bad(), bad())));
    address.known = vec![bad()];
    address.forms = AddressForms {
        server: field(),
        ip: field(),
        dns: field(),
        name: field(),
        description: field(),
        labels: field(),
        delete: field(),
        refused: Some(bad()),
    };
    let mut spare = address.clone();
    (spare.address.server, spare.address.floating) = (None, false);
    vec![
        addresses.render(),
        address.render(),
        spare.render(),
        networks.render(),
        network.render(),
        firewalls.render(),
        firewall.render(),
        deletable.render(),
        editor.render(),
        new.render(),
    ]
}

/// The networking section of a server's page.
pub(crate) fn of_server(network: &mut ServerNetwork, text: &str) {
    let bad = || text.to_owned();
    let address = &mut network.addresses[0];
    (address.ip, address.network, address.names) = (bad(), Some(bad()), vec![(bad(), bad())]);
    let member = &mut network.networks[0];
    (member.name, member.range, member.ip, member.aliases) = (bad(), bad(), bad(), vec![bad()]);
    network.firewalls[0].name = bad();
    (network.blocked, network.month_ends) = (vec![bad()], bad());
}
