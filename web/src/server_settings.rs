//! The settings of a server, and who may do what with it.

use askama::Template;

use crate::form::Form;
use crate::format::{Field, When};
use crate::members::InvitationRow;
use crate::shell::Shell;

/// The page of settings.
#[derive(Clone, Debug, Template)]
#[template(path = "server_settings.html")]
pub struct ServerSettingsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The path of the server's page.
    pub server: String,
    /// The server's name.
    pub name: String,
    /// Name and labels.
    pub rename: Form,
    /// Protection against being deleted.
    pub protection: Form,
    /// Whether it is protected.
    pub protected: bool,
    /// Its end, for whoever may end it and while it is not protected.
    pub delete: Option<Form>,
}

/// Somebody who was given a right on the server.
#[derive(Clone, Debug)]
pub struct GrantRow {
    /// The grant's id.
    pub id: i64,
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may, by its name in forms.
    pub level: &'static str,
    /// Since when.
    pub since: When,
}

/// The page of who may do what with a server.
#[derive(Clone, Debug, Template)]
#[template(path = "server_access.html")]
pub struct ServerAccessPage {
    /// What stands around it.
    pub shell: Shell,
    /// The path of the server's page.
    pub server: String,
    /// The server's name.
    pub name: String,
    /// Who was given what.
    pub rows: Vec<GrantRow>,
    /// Who was asked and has not come yet.
    pub invitations: Vec<InvitationRow>,
    /// What can be given: its name in forms, and words.
    pub levels: Vec<(&'static str, &'static str)>,
    /// The address that was typed.
    pub email: Field,
    /// The level that was chosen.
    pub level: &'static str,
    /// The link of an invitation, shown this once.
    pub link: Option<String>,
    /// Whether mail leaves.
    pub mails: bool,
}
