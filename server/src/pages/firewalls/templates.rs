//! Rules that many firewalls begin with. They fill the editor, where they can be changed before anything is saved.

use berth_web::{Field, RuleForm, RuleTemplate};

/// Everybody.
const ANY: &str = "0.0.0.0/0, ::/0";
/// Addresses of private networks.
const PRIVATE: &str = "10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7";

/// Protocol, port, networks, description; all of them are about what comes in.
type Line = (&'static str, &'static str, &'static str, &'static str);

const SSH: Line = ("tcp", "22", ANY, "SSH");
const PING: Line = ("icmp", "", ANY, "Ping");

const ALL: [(RuleTemplate, &[Line]); 5] = [
    (
        RuleTemplate {
            name: "web",
            title: "Web server",
            text: "HTTP, HTTPS and HTTP/3, SSH and ping from everywhere.",
        },
        &[("tcp", "80", ANY, "HTTP"), ("tcp", "443", ANY, "HTTPS"), ("udp", "443", ANY, "HTTP/3"), SSH, PING],
    ),
    (RuleTemplate { name: "ssh", title: "SSH only", text: "SSH and ping from everywhere." }, &[SSH, PING]),
    (
        RuleTemplate {
            name: "database",
            title: "Database",
            text: "PostgreSQL and MySQL from private addresses, SSH and ping from everywhere.",
        },
        &[("tcp", "5432", PRIVATE, "PostgreSQL"), ("tcp", "3306", PRIVATE, "MySQL, MariaDB"), SSH, PING],
    ),
    (
        RuleTemplate {
            name: "private",
            title: "Private addresses only",
            text: "All of TCP, UDP and ping, from private addresses.",
        },
        &[
            ("tcp", "any", PRIVATE, "TCP from private addresses"),
            ("udp", "any", PRIVATE, "UDP from private addresses"),
            ("icmp", "", PRIVATE, "Ping from private addresses"),
        ],
    ),
    (RuleTemplate { name: "closed", title: "Nothing in", text: "No rules: everything goes out." }, &[]),
];

/// All of them, as they are offered.
pub(super) fn offered() -> Vec<RuleTemplate> {
    ALL.iter().map(|(template, _)| *template).collect()
}

/// The rules of one.
pub(super) fn rules(name: &str) -> Option<Vec<RuleForm>> {
    let (_, lines) = ALL.iter().find(|(template, _)| template.name == name)?;
    Some(lines.iter().map(|line| rule(*line)).collect())
}

fn rule((protocol, port, nets, description): Line) -> RuleForm {
    RuleForm {
        direction: Field::new("in"),
        protocol: Field::new(protocol),
        port: Field::new(port),
        nets: Field::new(nets),
        description: Field::new(description),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::firewall;
    use crate::pages::firewalls::editor::raw;

    #[test]
    fn every_template_is_made_of_good_rules() {
        for template in offered() {
            let rules = rules(template.name).expect("it is one of them");
            let parsed = firewall::parse(rules.iter().map(raw).collect());
            assert_eq!(parsed.expect(template.name).len(), rules.len());
        }
        assert!(rules("mail<script>").is_none());
    }
}
