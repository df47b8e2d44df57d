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
    vec![firewalls.render(), firewall.render(), deletable.render(), editor.render(), new.render()]
}
