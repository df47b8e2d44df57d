//! Primary and floating IPs of a project: both lists, and the page of one.

use askama::Template;

use crate::format::{Field, When};
use crate::server::ActionRow;
use crate::shell::{ProjectLink, Shell};

/// A primary or floating IP in its list.
#[derive(Clone, Debug)]
pub struct AddressRow {
    /// Path of its page.
    pub path: String,
    /// Its name.
    pub name: String,
    /// The address; of IPv6 a /64.
    pub ip: String,
    /// Name of its location.
    pub location: String,
    /// Id and name of the server that has it.
    pub server: Option<(i64, String)>,
    /// Names that it, or addresses in it, lead to.
    pub names: Vec<String>,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Whether it goes with the server that has it.
    pub auto_delete: bool,
    /// Whether it may not be deleted.
    pub protected: bool,
}

/// What was typed to get an address.
#[derive(Clone, Debug, Default)]
pub struct AddressForm {
    /// `primary` or `floating`.
    pub kind: Field,
    /// `ipv4` or `ipv6`.
    pub family: Field,
    /// Its name.
    pub name: Field,
    /// The name of a location.
    pub location: Field,
    /// The name of a server that gets it; empty for none.
    pub server: Field,
    /// Whether a primary one goes with its server.
    pub auto_delete: bool,
    /// What is wrong with the whole.
    pub error: Option<String>,
}

/// Both lists.
#[derive(Clone, Debug, Template)]
#[template(path = "addresses.html")]
pub struct AddressesPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// Primary IPs.
    pub primary: Vec<AddressRow>,
    /// Floating IPs.
    pub floating: Vec<AddressRow>,
    /// Names of locations to choose from.
    pub locations: Vec<String>,
    /// Names of servers to choose from.
    pub known: Vec<String>,
    /// What was typed.
    pub form: AddressForm,
}

/// One of the two lists: title, what is told when it is empty, its rows.
struct Listed<'a> {
    id: &'static str,
    title: &'static str,
    none: &'static str,
    rows: &'a [AddressRow],
}

impl Listed<'_> {
    /// How many of them servers have.
    fn used(&self) -> String {
        let used = self.rows.iter().filter(|row| row.server.is_some()).count();
        format!("{used} of {} in use", self.rows.len())
    }
}

impl AddressesPage {
    fn lists(&self) -> [Listed<'_>; 2] {
        [
            Listed {
                id: "primary",
                title: "Primary IPs",
                none: "A server has its addresses by primary IPs. One comes with every new server, unless that is told otherwise.",
                rows: &self.primary,
            },
            Listed {
                id: "floating",
                title: "Floating IPs",
                none: "A floating IP moves between running servers of its location within moments.",
                rows: &self.floating,
            },
        ]
    }
}

/// A primary or floating IP, whole.
#[derive(Clone, Debug)]
pub struct AddressView {
    /// Its id.
    pub id: i64,
    /// Whether it is a floating one.
    pub floating: bool,
    /// Its name.
    pub name: String,
    /// What the tenant says about it; of floating ones only.
    pub description: String,
    /// The address; of IPv6 a /64.
    pub ip: String,
    /// The address that a server configures; of IPv6 the first of the /64.
    pub own: String,
    /// Whether it is a network of IPv6, in which each address has a name of its own.
    pub network: bool,
    /// Name of its location.
    pub location: String,
    /// Id and name of the server that has it.
    pub server: Option<(i64, String)>,
    /// Whether it goes with the server that has it.
    pub auto_delete: bool,
    /// Whether it may not be deleted.
    pub protected: bool,
    /// Labels, `key=value`.
    pub labels: Vec<String>,
    /// Addresses and the names that they lead to.
    pub names: Vec<(String, String)>,
    /// Since when the project holds it.
    pub created: When,
    /// Its newest actions, newest first.
    pub activity: Vec<ActionRow>,
}

/// What was typed on the page of one.
#[derive(Clone, Debug, Default)]
pub struct AddressForms {
    /// The name of a server.
    pub server: Field,
    /// An address in it that is to be named.
    pub ip: Field,
    /// The name that it is to lead to.
    pub dns: Field,
    /// Its own name.
    pub name: Field,
    /// What the tenant says about it.
    pub description: Field,
    /// Its labels.
    pub labels: Field,
    /// The name typed to delete it.
    pub delete: Field,
    /// A request that was refused.
    pub refused: Option<String>,
}

/// The page of one.
#[derive(Clone, Debug, Template)]
#[template(path = "address.html")]
pub struct AddressPage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// The address.
    pub address: AddressView,
    /// Names of servers to choose from.
    pub known: Vec<String>,
    /// What was typed.
    pub forms: AddressForms,
}

impl AddressPage {
    fn path(&self, rest: &str) -> String {
        let kind = if self.address.floating { "floating-ips" } else { "primary-ips" };
        self.project.path(&format!("{kind}/{}/{rest}", self.address.id))
    }

    fn kind(&self) -> &'static str {
        if self.address.floating { "floating IP" } else { "primary IP" }
    }
}
