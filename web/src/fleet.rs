//! The operators' pages: hosts with load and capacity, all servers of the fleet.

use askama::Template;

use crate::form::{Form, Pager};
use crate::format::{Field, Load, When};
use crate::shell::Shell;
use crate::status::Status;

/// Something that a host lacks.
#[derive(Clone, Debug)]
pub struct Lack {
    /// Short name.
    pub feature: String,
    /// What that costs.
    pub consequence: String,
    /// Whether no server can run without it.
    pub fatal: bool,
}

/// A host.
#[derive(Clone, Debug)]
pub struct HostView {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Name of its location.
    pub location: String,
    /// Whether it reports.
    pub online: bool,
    /// Whether it has a certificate.
    pub enrolled: bool,
    /// Whether it takes no new servers.
    pub cordoned: bool,
    /// Why, if somebody said so.
    pub cordon_reason: Option<String>,
    /// When it reported last.
    pub seen: Option<When>,
    /// Servers on it.
    pub servers: i64,
    /// What is busy: CPU, memory, disk as measured.
    pub load: Vec<Load>,
    /// What is sold: CPU, memory, disk of its capacity.
    pub sold: Vec<Load>,
    /// What it is: kernel, distribution, cgroups, agent.
    pub facts: Vec<(&'static str, String)>,
    /// What it lacks.
    pub lacks: Vec<Lack>,
}

impl HostView {
    fn state(&self) -> (&'static str, crate::Icon, &'static str) {
        match (self.enrolled, self.online) {
            (false, _) => ("idle", crate::icon("circle-dashed"), "Not enrolled"),
            (true, true) => ("ok", crate::icon("circle-check"), "Online"),
            (true, false) => ("bad", crate::icon("circle-alert"), "Silent"),
        }
    }
}

/// What the event stream renews.
#[derive(Clone, Debug)]
pub struct HostsLive {
    /// The hosts.
    pub hosts: Vec<HostView>,
}

#[derive(Template)]
#[template(path = "parts/hosts.html")]
struct HostsPart<'a> {
    live: &'a HostsLive,
}

impl HostsLive {
    /// The moving parts by the id of their element.
    ///
    /// # Errors
    /// Only if a template is broken.
    pub fn parts(&self) -> askama::Result<Vec<(&'static str, String)>> {
        Ok(vec![("hosts", HostsPart { live: self }.render()?)])
    }

    fn online(&self) -> usize {
        self.hosts.iter().filter(|host| host.online).count()
    }

    fn servers(&self) -> i64 {
        self.hosts.iter().map(|host| host.servers).sum()
    }
}

/// What was typed to enrol a host.
#[derive(Clone, Debug, Default)]
pub struct HostForm {
    /// Name of the host.
    pub name: Field,
    /// Name of its datacenter.
    pub datacenter: Field,
}

/// A one-time token, just made.
#[derive(Clone, Debug)]
pub struct EnrolSecret {
    /// Name of the host.
    pub host: String,
    /// The commands to run there.
    pub command: String,
}

/// The page of hosts.
#[derive(Clone, Debug, Template)]
#[template(path = "hosts.html")]
pub struct HostsPage {
    /// What stands around it.
    pub shell: Shell,
    /// The hosts.
    pub live: HostsLive,
    /// What was typed.
    pub form: HostForm,
    /// Datacenters to choose from.
    pub datacenters: Vec<String>,
    /// A token just made, shown this once.
    pub secret: Option<EnrolSecret>,
}

/// A server of the fleet.
#[derive(Clone, Debug)]
pub struct FleetServerRow {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its project's id.
    pub project_id: i64,
    /// Whether the operator is a member of the project, so that the page may link there.
    pub linked: bool,
    /// Its project's name.
    pub project: String,
    /// What it is doing.
    pub status: Status,
    /// Why its desired state could not be reached, if so.
    pub fault: Option<String>,
    /// Name of its host.
    pub host: String,
    /// Name of its plan.
    pub plan: String,
    /// Its address.
    pub ipv4: Option<String>,
    /// CPU in use.
    pub cpu: Option<Load>,
    /// Memory in use.
    pub memory: Option<Load>,
    /// Read from and written to the disk now; only on the page of all servers.
    pub disk: Option<String>,
    /// In and out by the network now; only on the page of all servers.
    pub network: Option<String>,
    /// How often its limits were hit since it was started; only on the page of all servers.
    pub hits: i64,
    /// When it was made.
    pub created: When,
}

/// The page of one host.
#[derive(Clone, Debug, Template)]
#[template(path = "host.html")]
pub struct HostPage {
    /// What stands around it.
    pub shell: Shell,
    /// The host.
    pub host: HostView,
    /// Some of the servers on it.
    pub rows: Vec<FleetServerRow>,
    /// Where the others are.
    pub pager: Pager,
    /// Keeps new servers away from it, or lets them come again.
    pub cordon: Form,
    /// How many times its CPU is sold.
    pub overcommit: Form,
    /// Whom it announces addresses to.
    pub bgp: Form,
}

/// The page of all servers.
#[derive(Clone, Debug, Template)]
#[template(path = "fleet_servers.html")]
pub struct FleetServersPage {
    /// What stands around it.
    pub shell: Shell,
    /// This page's servers, those that use most first.
    pub rows: Vec<FleetServerRow>,
    /// By what they can be ordered: name and words.
    pub sorts: Vec<(&'static str, &'static str)>,
    /// By which of these they are.
    pub by: &'static str,
    /// Where the others are.
    pub pager: Pager,
}
