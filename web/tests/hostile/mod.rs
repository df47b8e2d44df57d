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
    vec![
        networks.render(),
        network.render(),
        firewalls.render(), firewall.render(),
        deletable.render(),
        editor.render(),
        new.render(),
    ]
}
