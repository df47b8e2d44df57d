//! The page of one server.

use askama::Template;

use crate::create::PlanChoice;
use crate::format::{Bytes, Cores, Field, When};
use crate::graph::{Graph, Range};
use crate::icon::{Icon, icon};
use crate::limits::{EventRow, LimitRow};
use crate::server_network::ServerNetwork;
use crate::shell::{ProjectLink, Shell};
use crate::status::Status;

/// Which power commands make sense now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// Power on.
    pub on: bool,
    /// Shut down, reboot, and the hard ways.
    pub off: bool,
    /// Make it stand still.
    pub freeze: bool,
    /// Let it go on.
    pub thaw: bool,
}

/// What was asked and how it went.
#[derive(Clone, Debug)]
pub struct ActionRow {
    /// Its id.
    pub id: i64,
    /// `running`, `success` or `error`.
    pub status: String,
    /// The hcloud command: `create_server`.
    pub command: String,
    /// 0 to 100.
    pub progress: i32,
    /// When it was asked for.
    pub started: When,
    /// Code and text of what went wrong.
    pub error: Option<(String, String)>,
}

impl ActionRow {
    /// The command in words.
    #[must_use]
    pub fn text(&self) -> String {
        let words = match self.command.as_str() {
            "create_server" => "Create server",
            "delete_server" => "Delete server",
            "start_server" => "Power on",
            "stop_server" => "Power off",
            "shutdown_server" => "Shut down",
            "reboot_server" => "Reboot",
            "reset_server" => "Hard reset",
            "freeze_server" => "Freeze",
            "thaw_server" => "Thaw",
            "change_server_type" => "Resize",
            "change_limits" => "Change limits",
            "reset_password" | "reset_server_password" => "Reset root password",
            "request_console" => "Open console",
            "apply_firewall" => "Apply firewall",
            "remove_firewall" => "Remove firewall",
            "attach_to_network" => "Attach to network",
            "detach_from_network" => "Detach from network",
            "change_dns_ptr" => "Change reverse DNS",
            "create_primary_ip" => "Create primary IP",
            "assign_primary_ip" => "Assign primary IP",
            "unassign_primary_ip" => "Take primary IP away",
            "assign_floating_ip" => "Assign floating IP",
            "unassign_floating_ip" => "Take floating IP away",
            "change_protection" => "Change protection",
            other => return other.replace('_', " "),
        };
        words.to_owned()
    }

    pub(crate) fn tone(&self) -> &'static str {
        match self.status.as_str() {
            "success" => "ok",
            "error" => "bad",
            _ => "busy",
        }
    }

    pub(crate) fn icon(&self) -> Icon {
        match self.status.as_str() {
            "success" => icon("check"),
            "error" => icon("circle-alert"),
            _ => icon("loader-circle"),
        }
    }

    pub(crate) fn outcome(&self) -> &'static str {
        match self.status.as_str() {
            "success" => "done",
            "error" => "failed",
            _ => "in progress",
        }
    }
}

/// A server, whole.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub status: Status,
    /// Whether it stands still.
    pub frozen: bool,
    /// What happens when it ends by itself: `always`, `on-failure` or `never`.
    pub restart_policy: &'static str,
    /// How it ended last, in words.
    pub last_exit: Option<String>,
    /// Why its desired state could not be reached, if so.
    pub fault: Option<String>,
    /// Limits that it has hit since it was started, in words.
    pub limit_hits: Vec<String>,
    /// Why its network does not work as usual, in sentences.
    pub walls: Vec<String>,
    /// What came in and went out this month.
    pub traffic: Traffic,
    /// Its address.
    pub ipv4: Option<String>,
    /// Ports of its host that lead to it.
    pub ports: Option<Ports>,
    /// The first host address of its /64 of IPv6.
    pub ipv6: Option<String>,
    /// Name of its plan.
    pub plan: String,
    /// CPU.
    pub cores: Cores,
    /// Memory.
    pub memory: Bytes,
    /// Disk.
    pub disk: Bytes,
    /// Name of its image.
    pub image: String,
    /// Name of its location.
    pub location: String,
    /// Its host, for operators only.
    pub host: Option<String>,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Whether it is protected against deletion.
    pub protected: bool,
    /// When it was made.
    pub created: When,
    /// Since when it runs.
    pub started: Option<When>,
    /// Which power commands make sense.
    pub powers: Powers,
}

/// Ports of its host by which a server with a private address is reached.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Address of the host, where it is known.
    pub address: Option<String>,
    /// The first one, for SSH.
    pub first: i32,
    /// The last one.
    pub last: i32,
}

impl Ports {
    fn text(&self) -> String {
        let Self { address, first, last } = self;
        let at = address.as_ref().map(|address| format!("{address}, ")).unwrap_or_default();
        if first == last { format!("{at}port {first}") } else { format!("{at}ports {first} to {last}") }
    }
}

/// Traffic of one month.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Came in.
    pub incoming: Bytes,
    /// Went out.
    pub outgoing: Bytes,
    /// How much may go out for the price of the plan; zero where nothing is said.
    pub included: Bytes,
    /// Came in and went out by private networks, which is no part of the rest.
    pub private: (Bytes, Bytes),
}

impl Traffic {
    fn text(&self) -> String {
        let Self { incoming, outgoing, included, private: _ } = self;
        let of = if included.0 > 0 { format!(" of {included}") } else { String::new() };
        format!("{outgoing}{of} out, {incoming} in")
    }

    fn private_text(&self) -> Option<String> {
        let (incoming, outgoing) = self.private;
        (incoming.0 > 0 || outgoing.0 > 0).then(|| format!("{outgoing} out, {incoming} in"))
    }
}

/// The restart policies, and what they mean.
pub(crate) const RESTART_POLICIES: [(&str, &str); 3] = [
    ("on-failure", "Start it again when it crashes"),
    ("always", "Start it again whenever it ends"),
    ("never", "Leave it off"),
];

impl ServerView {
    /// What one types to get in.
    #[must_use]
    pub fn ssh(&self) -> Option<String> {
        if let Some(Ports { address: Some(address), first, .. }) = &self.ports {
            return Some(format!("ssh -p {first} root@{address}"));
        }
        self.ipv4.as_ref().or(self.ipv6.as_ref()).map(|ip| format!("ssh root@{ip}"))
    }
}

/// What the event stream renews.
#[derive(Clone, Debug)]
pub struct ServerLive {
    /// The project.
    pub project: ProjectLink,
    /// What who looks at it may do.
    pub rights: Rights,
    /// The server.
    pub server: ServerView,
    /// Its addresses, private networks and firewalls.
    pub network: ServerNetwork,
    /// Its newest actions, newest first.
    pub activity: Vec<ActionRow>,
    /// Its limits.
    pub limits: Vec<LimitRow>,
    /// Whether its host has carried out what is asked for now.
    pub limits_current: bool,
    /// What happened to it, newest first.
    pub events: Vec<EventRow>,
    /// Its graphs.
    pub graphs: Vec<Graph>,
    /// The span of the graphs.
    pub range: Range,
}

/// What somebody may do with a server, beside looking at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Power, console, root password.
    pub operate: bool,
    /// Plan, name, labels, settings.
    pub manage: bool,
    /// To delete it.
    pub delete: bool,
    /// To say who may do what with it.
    pub share: bool,
    /// What they were given on it, in words, where that is all they have.
    pub granted: Option<&'static str>,
}

macro_rules! part {
    ($name:ident, $path:literal) => {
        #[derive(Template)]
        #[template(path = $path)]
        struct $name<'a> {
            live: &'a ServerLive,
        }
    };
}
part!(Head, "parts/server_head.html");
part!(Doing, "parts/server_doing.html");
part!(Facts, "parts/server_facts.html");
part!(Network, "parts/server_network.html");
part!(Graphs, "parts/server_graphs.html");
part!(Activity, "parts/server_activity.html");
part!(Limits, "parts/server_limits.html");
part!(Events, "parts/server_events.html");

impl ServerLive {
    /// The moving parts by the id of their element.
    ///
    /// # Errors
    /// Only if a template is broken.
    pub fn parts(&self) -> askama::Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("server-head", Head { live: self }.render()?),
            ("server-doing", Doing { live: self }.render()?),
            ("server-facts", Facts { live: self }.render()?),
            ("server-network", Network { live: self }.render()?),
            ("server-graphs", Graphs { live: self }.render()?),
            ("server-activity", Activity { live: self }.render()?),
            ("server-limits", Limits { live: self }.render()?),
            ("server-events", Events { live: self }.render()?),
        ])
    }

    /// The action that is under way.
    fn doing(&self) -> Option<&ActionRow> {
        self.activity.iter().find(|action| action.status == "running")
    }

    fn path(&self, rest: &str) -> String {
        let id = self.server.id;
        self.project.path(&if rest.is_empty() {
            format!("servers/{id}")
        } else {
            format!("servers/{id}/{rest}")
        })
    }
}

#[derive(Template)]
#[template(path = "parts/server_gone.html")]
struct Gone<'a> {
    list: &'a str,
}

/// What takes the place of the whole page, by the id of its element, when the server is gone.
///
/// # Errors
/// Only if a template is broken.
pub fn server_gone(project: &ProjectLink) -> askama::Result<(&'static str, String)> {
    Ok(("server", Gone { list: &project.path("servers") }.render()?))
}

/// A plan that a server can change to.
#[derive(Clone, Debug)]
pub struct ResizeChoice {
    /// The plan.
    pub plan: PlanChoice,
    /// Whether it is the server's own.
    pub current: bool,
}

impl ResizeChoice {
    /// The plan in a line.
    #[must_use]
    pub fn line(&self) -> String {
        let price =
            if self.plan.monthly.is_zero() { "free".into() } else { format!("{}/month", self.plan.monthly) };
        format!("{}: {}, {price}", self.plan.name, self.plan.specs.join(", "))
    }
}

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "server.html")]
pub struct ServerPage {
    /// What stands around it.
    pub shell: Shell,
    /// Everything that moves.
    pub live: ServerLive,
    /// The root password, shown this once.
    pub password: Option<String>,
    /// The plans that it can change to, by price.
    pub plans: Vec<ResizeChoice>,
    /// The name typed to delete it.
    pub delete: Field,
    /// A request that was refused.
    pub refused: Option<String>,
}
