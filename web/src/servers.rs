//! The list of a project's servers.

use askama::Template;

use crate::form::Pager;
use crate::format::{Field, Load, When};
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
    /// Those of its servers that are shown.
    pub rows: Vec<ServerRow>,
    /// Whether only some were looked for.
    pub searched: bool,
    /// Whether they can be chosen, to do something with many at once.
    pub choosing: bool,
    /// The others.
    pub pager: Pager,
}

/// What somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct ServerFilter {
    /// Part of the name.
    pub name: Field,
    /// A label selector.
    pub label: Field,
    /// A status; empty: any.
    pub status: String,
    /// The name of a location; empty: any.
    pub location: String,
    /// All statuses.
    pub statuses: Vec<&'static str>,
    /// All locations.
    pub locations: Vec<String>,
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
    /// Whether several can be chosen, to do something with.
    pub may_choose: bool,
    /// The list.
    pub list: ServerList,
    /// What is looked for.
    pub filter: ServerFilter,
    /// Where the list is told of news; none: it stands still.
    pub stream: Option<String>,
    /// The same list with boxes to choose servers by, or without them again.
    pub choose: String,
}
