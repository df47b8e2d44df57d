//! The list of a project's servers.

use askama::Template;

use crate::format::{Load, When};
use crate::shell::{ProjectLink, Shell};
use crate::status::Status;

/// A server in the list.
#[derive(Clone, Debug)]
pub struct ServerRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub status: Status,
    /// Why its desired state could not be reached, if so.
    pub fault: Option<String>,
    /// Name of its plan.
    pub plan: String,
    /// Its plan in figures: `1 core · 2 GB · 20 GB`.
    pub specs: String,
    /// Name of its image.
    pub image: String,
    /// Name of its location.
    pub location: String,
    /// Its address.
    pub ipv4: Option<String>,
    /// CPU in use; none while it does not run.
    pub cpu: Option<Load>,
    /// Memory in use; none while it does not run.
    pub memory: Option<Load>,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// When it was made.
    pub created: When,
}

/// What the event stream renews.
#[derive(Clone, Debug)]
pub struct ServerList {
    /// The project.
    pub project: ProjectLink,
    /// Its servers.
    pub rows: Vec<ServerRow>,
}

#[derive(Template)]
#[template(path = "parts/server_list.html")]
struct ListPart<'a> {
    list: &'a ServerList,
}

impl ServerList {
    /// The moving parts by the id of their element.
    ///
    /// # Errors
    /// Only if a template is broken.
    pub fn parts(&self) -> askama::Result<Vec<(&'static str, String)>> {
        Ok(vec![("servers", ListPart { list: self }.render()?)])
    }

    fn running(&self) -> usize {
        self.rows.iter().filter(|row| row.status == Status::Running).count()
    }
}

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "servers.html")]
pub struct ServersPage {
    /// What stands around it.
    pub shell: Shell,
    /// The list.
    pub list: ServerList,
}
