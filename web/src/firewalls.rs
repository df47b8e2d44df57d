//! Firewalls of a project: the list, one of them with what its rules have met, and the editor of its rules.

use askama::Template;

use crate::format::{Bytes, Field, When};
use crate::shell::{ProjectLink, Shell};

/// A firewall in the list.
#[derive(Clone, Debug)]
pub struct FirewallRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Rules for what comes in.
    pub inbound: usize,
    /// Rules for what goes out.
    pub outbound: usize,
    /// Servers that it holds for.
    pub servers: usize,
    /// Whether it holds in private networks as well.
    pub private: bool,
    /// When it was made.
    pub created: When,
}

/// The list.
#[derive(Clone, Debug, Template)]
#[template(path = "firewalls.html")]
pub struct FirewallsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The firewalls.
    pub rows: Vec<FirewallRow>,
}

/// What was met how often: first packets, since what belongs to something that passed is not counted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// First packets.
    pub packets: i64,
    /// Their bytes.
    pub bytes: i64,
}

impl Met {
    /// In words.
    #[must_use]
    pub fn text(self) -> String {
        match self.packets {
            ..=0 => "never".to_owned(),
            1 => format!("once ({})", Bytes(self.bytes)),
            n => format!("{n} times ({})", Bytes(self.bytes)),
        }
    }
}

/// A rule of a firewall.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// Whether it is about what comes in.
    pub inbound: bool,
    /// `TCP`.
    pub protocol: String,
    /// A port, a range, `any`; none for protocols without ports.
    pub port: Option<String>,
    /// The networks at the other end.
    pub nets: Vec<String>,
    /// What the tenant says about it.
    pub description: Option<String>,
    /// How often it was met, at all servers together; none while no host has told.
    pub met: Option<Met>,
    /// The same in private networks.
    pub met_privately: Option<Met>,
}

/// A server that a firewall holds for.
#[derive(Clone, Debug)]
pub struct HeldServer {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether the firewall was applied to it by name, and not only by its labels.
    pub by_name: bool,
    /// Whether its host has put the rules in force.
    pub applied: bool,
    /// What no firewall of the server let in, and out; none while its host has not told.
    pub dropped: Option<(Met, Met)>,
}

/// Labels that a firewall is applied to.
#[derive(Clone, Debug)]
pub struct SelectorRow {
    /// The selector.
    pub selector: String,
    /// Servers that have such labels now.
    pub servers: usize,
}

/// A firewall, whole.
#[derive(Clone, Debug)]
pub struct FirewallView {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Whether it holds in private networks as well.
    pub private: bool,
    /// When it was made.
    pub created: When,
    /// Its rules, in the tenant's order.
    pub rules: Vec<RuleView>,
    /// The servers that it holds for.
    pub servers: Vec<HeldServer>,
    /// The labels that it is applied to.
    pub selectors: Vec<SelectorRow>,
}

/// What was typed on a firewall's page.
#[derive(Clone, Debug, Default)]
pub struct FirewallForms {
    /// The name of a server to apply it to.
    pub server: Field,
    /// Labels to apply it to.
    pub selector: Field,
    /// Its name.
    pub name: Field,
    /// Its labels.
    pub labels: Field,
    /// The name typed to delete it.
    pub delete: Field,
    /// A request that was refused.
    pub refused: Option<String>,
}

/// The page of one.
#[derive(Clone, Debug, Template)]
#[template(path = "firewall.html")]
pub struct FirewallPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The firewall.
    pub firewall: FirewallView,
    /// Names of servers to choose from.
    pub known: Vec<String>,
    /// What was typed.
    pub forms: FirewallForms,
}

impl FirewallPage {
    fn path(&self, rest: &str) -> String {
        self.project.path(&format!("firewalls/{}/{rest}", self.firewall.id))
    }
}

/// A rule in the editor, as typed.
#[derive(Clone, Debug, Default)]
pub struct RuleForm {
    /// `in` or `out`.
    pub direction: Field,
    /// `tcp`, `udp`, `icmp`, `esp` or `gre`.
    pub protocol: Field,
    /// A port, a range or `any`.
    pub port: Field,
    /// Networks, with commas or spaces between them.
    pub nets: Field,
    /// What the tenant says about it.
    pub description: Field,
}

impl RuleForm {
    fn wrong(&self) -> bool {
        let all = [&self.direction, &self.protocol, &self.port, &self.nets, &self.description];
        all.into_iter().any(|field| field.error.is_some())
    }
}

/// Protocols that a rule may name, and what people call them.
pub(crate) const PROTOCOLS: [(&str, &str); 5] =
    [("tcp", "TCP"), ("udp", "UDP"), ("icmp", "ICMP"), ("esp", "ESP"), ("gre", "GRE")];

/// Rules that fill the editor.
#[derive(Clone, Copy, Debug)]
pub struct RuleTemplate {
    /// Its name in the form.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// What it lets pass.
    pub text: &'static str,
}

/// What other rules would change for one server.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The server's name.
    pub server: String,
    /// What would pass besides, in words.
    pub added: Vec<String>,
    /// What would not pass any more.
    pub removed: Vec<String>,
}

/// The editor, for a new firewall or one that is there.
#[derive(Clone, Debug, Template)]
#[template(path = "firewall_editor.html")]
pub struct FirewallEditor {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The firewall's id and name; none for a new one.
    pub of: Option<(i64, String)>,
    /// The name of a new one.
    pub name: Field,
    /// The rules.
    pub rules: Vec<RuleForm>,
    /// Rules to choose.
    pub templates: Vec<RuleTemplate>,
    /// What is wrong with none of the rules but with the whole.
    pub error: Option<String>,
    /// What the rules would change, when that was asked.
    pub tried: Option<Vec<Trial>>,
}

impl FirewallEditor {
    fn path(&self) -> String {
        self.project.path(&match self.of {
            Some((id, _)) => format!("firewalls/{id}/rules"),
            None => "firewalls/new".to_owned(),
        })
    }

    fn back(&self) -> String {
        self.project.path(&match self.of {
            Some((id, _)) => format!("firewalls/{id}"),
            None => "firewalls".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_met_is_told_in_words() {
        let told = |packets| Met { packets, bytes: packets * 60 }.text();
        assert_eq!([told(0), told(1), told(20)], ["never", "once (60 B)", "20 times (1.2 KB)"]);
    }
}
