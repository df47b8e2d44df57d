//! The page of a server's console.

use askama::Template;

use crate::shell::{ProjectLink, Shell};

/// The page. Its script (`console.js`) does the rest; the WebSocket's address is never part of the page.
#[derive(Clone, Debug, Template)]
#[template(path = "console.html")]
pub struct ConsolePage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The server's id.
    pub id: i64,
    /// Its name.
    pub name: String,
}

impl ConsolePage {
    fn server(&self) -> String {
        self.project.path(&format!("servers/{}", self.id))
    }
}
