//! The form that makes a server.

use askama::Template;

use crate::format::{Field, Money};
use crate::shell::{ProjectLink, Shell};

/// An image to choose.
#[derive(Clone, Debug)]
pub struct ImageChoice {
    /// Its name, also the form's value.
    pub name: String,
    /// What people call it.
    pub description: String,
}

/// A plan to choose.
#[derive(Clone, Debug)]
pub struct PlanChoice {
    /// Its name, also the form's value.
    pub name: String,
    /// What people call it.
    pub description: String,
    /// Its figures, one a line.
    pub specs: Vec<String>,
    /// Price a month.
    pub monthly: Money,
    /// Price an hour.
    pub hourly: Money,
    /// Why it cannot be had now.
    pub unavailable: Option<String>,
}

/// A location to choose.
#[derive(Clone, Debug)]
pub struct LocationChoice {
    /// Its name, also the form's value.
    pub name: String,
    /// City and country, or what the operator wrote.
    pub description: String,
}

/// A key to choose.
#[derive(Clone, Debug)]
pub struct KeyChoice {
    /// Its id, also the form's value.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// A network or firewall to choose.
#[derive(Clone, Debug)]
pub struct ThingChoice {
    /// Its id, also the form's value.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// What tells it from others.
    pub detail: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// A primary IP to choose.
#[derive(Clone, Debug)]
pub struct AddressChoice {
    /// Its id, also the form's value.
    pub value: String,
    /// Its address and name.
    pub words: String,
}

/// What was typed, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct ServerForm {
    /// Name of the server.
    pub name: Field,
    /// Name of the image.
    pub image: Field,
    /// Name of the plan.
    pub plan: Field,
    /// Name of the location; empty for any.
    pub location: Field,
    /// Name of a key to add.
    pub new_key_name: Field,
    /// A key to add.
    pub new_key: Field,
    /// Labels as typed.
    pub labels: Field,
    /// User data.
    pub user_data: Field,
    /// What is wrong with the chosen keys.
    pub keys: Field,
    /// `none`, the id of a primary IP, or empty for a new address.
    pub ipv4: Field,
    /// As `ipv4`.
    pub ipv6: Field,
    /// What is wrong with the chosen networks.
    pub networks: Field,
    /// What is wrong with the chosen firewalls.
    pub firewalls: Field,
    /// Whether it is made and not started.
    pub stopped: bool,
    /// What makes a form that is sent twice one request.
    pub once: String,
    /// What is wrong with none of the fields but with the whole.
    pub error: Option<String>,
}

/// Price and equivalents of what is chosen; rendered again with every change.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The chosen plan.
    pub plan: Option<PlanChoice>,
    /// The chosen image.
    pub image: Option<String>,
    /// The chosen location.
    pub location: Option<String>,
    /// Names of the chosen keys.
    pub keys: Vec<String>,
    /// Words for its addresses where they are not the usual ones.
    pub addresses: Option<String>,
    /// Names of the chosen networks.
    pub networks: Vec<String>,
    /// Names of the chosen firewalls.
    pub firewalls: Vec<String>,
    /// The request as a command of the `hcloud` CLI.
    pub cli: String,
    /// The request as a call of `curl`.
    pub curl: String,
    /// The request as a configuration for Terraform.
    pub terraform: String,
}

/// The summary alone, for the answer to a change of the form.
#[derive(Clone, Debug, Template)]
#[template(path = "parts/summary.html")]
pub struct SummaryPart {
    /// The summary.
    pub summary: Summary,
}

/// The page.
#[derive(Clone, Debug, Template)]
#[template(path = "create.html")]
pub struct CreatePage {
    /// What stands around it.
    pub shell: Shell,
    /// The project.
    pub project: ProjectLink,
    /// Images to choose from.
    pub images: Vec<ImageChoice>,
    /// Plans to choose from.
    pub plans: Vec<PlanChoice>,
    /// Locations to choose from.
    pub locations: Vec<LocationChoice>,
    /// Keys to choose from.
    pub keys: Vec<KeyChoice>,
    /// Primary IPs of IPv4 that no server has.
    pub ipv4: Vec<AddressChoice>,
    /// Those of IPv6.
    pub ipv6: Vec<AddressChoice>,
    /// Networks to choose from.
    pub networks: Vec<ThingChoice>,
    /// Firewalls to choose from.
    pub firewalls: Vec<ThingChoice>,
    /// What was typed.
    pub form: ServerForm,
    /// Price and equivalents.
    pub summary: Summary,
}

impl CreatePage {
    /// Whether something of the networking is not as it usually is, so that it is shown at once.
    fn networking_is_open(&self) -> bool {
        let form = &self.form;
        let fields = [&form.ipv4, &form.ipv6, &form.networks, &form.firewalls];
        let told = fields.iter().any(|field| field.error.is_some() || !field.value.is_empty());
        told || self.networks.iter().chain(&self.firewalls).any(|thing| thing.chosen)
    }
}
