//! Private networks of a project: the list, and one of them with its subnets, routes and servers.

use askama::Template;

use crate::format::{Field, When};
use crate::shell::{ProjectLink, Shell};

/// A network in the list.
#[derive(Clone, Debug)]
pub struct NetworkRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Its range.
    pub range: String,
    /// How many subnets it has.
    pub subnets: usize,
    /// How many servers are in it.
    pub servers: usize,
    /// When it was made.
    pub created: When,
}

/// What was typed to make a network.
#[derive(Clone, Debug, Default)]
pub struct NetworkForm {
    /// Its name.
    pub name: Field,
    /// Its range.
    pub range: Field,
    /// The network zone of a first subnet; empty for none.
    pub zone: Field,
    /// What is wrong with the whole.
    pub error: Option<String>,
}

/// The list.
#[derive(Clone, Debug, Template)]
#[template(path = "networks.html")]
pub struct NetworksPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The networks.
    pub rows: Vec<NetworkRow>,
    /// Network zones to choose from.
    pub zones: Vec<String>,
    /// What was typed.
    pub form: NetworkForm,
}

/// A subnet of a network.
#[derive(Clone, Debug)]
pub struct SubnetRow {
    /// Its addresses.
    pub range: String,
    /// Servers of this network zone get them.
    pub zone: String,
    /// Addresses of it that servers have.
    pub used: usize,
}

/// A route of a network.
#[derive(Clone, Debug)]
pub struct RouteRow {
    /// Where to.
    pub destination: String,
    /// The address that packets go to.
    pub gateway: String,
    /// The server that has this address, if one has.
    pub via: Option<String>,
}

/// A server in a network.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its address.
    pub ip: String,
    /// More addresses that lead to it.
    pub aliases: Vec<String>,
    /// Of its interface.
    pub mac: String,
}

/// A network, whole.
#[derive(Clone, Debug)]
pub struct NetworkView {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Its range.
    pub range: String,
    /// Its first address, the gateway of all its servers.
    pub gateway: String,
    /// Whether it may not be deleted.
    pub protected: bool,
    /// When it was made.
    pub created: When,
    /// Its subnets.
    pub subnets: Vec<SubnetRow>,
    /// Its routes.
    pub routes: Vec<RouteRow>,
    /// The servers in it.
    pub servers: Vec<Attached>,
}

/// What was typed on a network's page.
#[derive(Clone, Debug, Default)]
pub struct NetworkForms {
    /// The range of a new subnet; empty for the next free one.
    pub subnet: Field,
    /// Its network zone.
    pub zone: Field,
    /// Where a new route leads.
    pub destination: Field,
    /// The address by which it leads there.
    pub gateway: Field,
    /// A larger range.
    pub range: Field,
    /// The name of a server to attach.
    pub server: Field,
    /// The address that it is to get; empty for a free one.
    pub ip: Field,
    /// The network's name.
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
#[template(path = "network.html")]
pub struct NetworkPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The network.
    pub network: NetworkView,
    /// Network zones to choose from.
    pub zones: Vec<String>,
    /// Names of servers to choose from.
    pub known: Vec<String>,
    /// What was typed.
    pub forms: NetworkForms,
}

impl NetworkPage {
    fn path(&self, rest: &str) -> String {
        self.project.path(&format!("networks/{}/{rest}", self.network.id))
    }
}
