//! What holds for the whole installation.

use askama::Template;

use crate::form::Form;
use crate::shell::Shell;

/// The page of settings.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_settings.html")]
pub struct SettingsPage {
    /// What stands around it.
    pub shell: Shell,
    /// Whether mail leaves.
    pub mail: bool,
    /// Who may make an account.
    pub accounts: Form,
    /// When months of traffic begin.
    pub traffic: Form,
    /// What was said at the start of the control plane, or by its setup: what it is, and what it is now.
    pub fixed: Vec<(&'static str, String)>,
    /// Pools and the name server of each, with its error: id, name, server, what is wrong.
    pub name_servers: Vec<(i64, String, String, Option<String>)>,
    /// Locations and whom guests there ask for names: id, name, addresses.
    pub resolvers: Vec<(i64, String, String)>,
    /// Plans and what follows when the included traffic is used up, and the ports that are blocked: id, name, words, ports.
    pub policies: Vec<(i64, String, String, String)>,
}
