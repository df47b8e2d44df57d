//! Firewalls as clients of the hcloud API send and expect them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Meta;
use crate::api::actions::Action;
use crate::db::firewalls::{Firewall as Row, Target};
use crate::domain::firewall::{RawRule, Rule as Parsed};
use crate::domain::selector::Selector;
use crate::error::{Error, Result};
use crate::ids::VpsId;

/// Resources that one request may name.
const MAX_RESOURCES: usize = 1000;

/// A firewall.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Firewall {
    id: i64,
    name: String,
    labels: BTreeMap<String, String>,
    created: DateTime<Utc>,
    rules: Vec<Rule>,
    applied_to: Vec<AppliedTo>,
}

/// What a rule lets pass.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct Rule {
    /// `in` or `out`.
    direction: &'static str,
    protocol: String,
    /// A port or a range; null for protocols without ports.
    port: Option<String>,
    source_ips: Vec<String>,
    destination_ips: Vec<String>,
    description: Option<String>,
}

impl From<Parsed> for Rule {
    fn from(rule: Parsed) -> Self {
        let nets: Vec<String> = rule.nets.iter().map(ToString::to_string).collect();
        let (source_ips, destination_ips) =
            if rule.inbound { (nets, Vec::new()) } else { (Vec::new(), nets) };
        Self {
            direction: if rule.inbound { "in" } else { "out" },
            protocol: format!("{:?}", rule.protocol).to_lowercase(),
            port: rule.port(),
            source_ips,
            destination_ips,
            description: rule.description,
        }
    }
}

/// Whom a firewall is applied to.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct AppliedTo {
    /// `server` or `label_selector`.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label_selector: Option<SelectorRef>,
    /// The servers that have such labels now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    applied_to_resources: Option<Vec<AppliedTo>>,
}

/// A server by its id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
struct ServerRef {
    id: i64,
}

/// A label selector.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
struct SelectorRef {
    selector: String,
}

impl AppliedTo {
    fn server(id: i64) -> Self {
        Self {
            kind: "server",
            server: Some(ServerRef { id }),
            label_selector: None,
            applied_to_resources: None,
        }
    }
}

impl From<Row> for Firewall {
    fn from(f: Row) -> Self {
        let selectors = f.selectors.into_iter().map(|(selector, vpses)| AppliedTo {
            kind: "label_selector",
            server: None,
            label_selector: Some(SelectorRef { selector }),
            applied_to_resources: Some(vpses.into_iter().map(AppliedTo::server).collect()),
        });
        Self {
            id: f.id.0,
            name: f.name,
            labels: f.labels.map().clone(),
            created: f.created_at,
            rules: f.rules.into_iter().map(Rule::from).collect(),
            applied_to: f.vpses.into_iter().map(AppliedTo::server).chain(selectors).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct FirewallsResponse {
    pub(super) firewalls: Vec<Firewall>,
    pub(super) meta: Meta,
}

#[derive(Serialize, ToSchema)]
pub(super) struct FirewallResponse {
    pub(super) firewall: Firewall,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CreateFirewallResponse {
    pub(super) firewall: Firewall,
    pub(super) actions: Vec<Action>,
}

/// A new firewall.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateFirewall {
    /// One line of 1 to 128 characters, unique in the project.
    pub(super) name: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    /// At most 50. Without rules nothing comes in and everything goes out.
    #[schema(max_items = 50)]
    pub(super) rules: Option<Vec<NewRule>>,
    pub(super) apply_to: Option<Vec<Resource>>,
}

/// What to change.
#[derive(Deserialize, ToSchema)]
pub(super) struct UpdateFirewall {
    pub(super) name: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

/// A rule, as asked for.
#[derive(Deserialize, ToSchema)]
pub(in crate::api) struct NewRule {
    /// `in` or `out`.
    direction: String,
    /// `tcp`, `udp`, `icmp`, `esp` or `gre`.
    protocol: String,
    /// A port, a range such as `80-85`, or `any`; for TCP and UDP only.
    port: Option<String>,
    /// Networks in CIDR notation, of a rule for what comes in.
    source_ips: Option<Vec<String>>,
    /// Networks in CIDR notation, of a rule for what goes out.
    destination_ips: Option<Vec<String>>,
    /// At most 255 characters.
    description: Option<String>,
}

/// Rules as they came, to be checked.
pub(in crate::api) fn rules(new: Vec<NewRule>) -> Vec<RawRule> {
    let raw = |rule: NewRule| RawRule {
        direction: rule.direction,
        protocol: rule.protocol,
        port: rule.port,
        source_ips: rule.source_ips.unwrap_or_default(),
        destination_ips: rule.destination_ips.unwrap_or_default(),
        description: rule.description,
    };
    new.into_iter().map(raw).collect()
}

/// Whom to apply a firewall to, or to remove it from.
#[derive(Deserialize, ToSchema)]
pub(super) struct Resource {
    /// `server` or `label_selector`.
    #[serde(rename = "type")]
    kind: String,
    server: Option<ServerRef>,
    label_selector: Option<SelectorRef>,
}

/// Reads resources; an error names the field below `field`.
pub(super) fn targets(field: &str, resources: Vec<Resource>) -> Result<Vec<Target>> {
    if resources.len() > MAX_RESOURCES {
        return Err(Error::invalid(field, format!("must be at most {MAX_RESOURCES}")));
    }
    let one = |(n, resource): (usize, Resource)| match (
        resource.kind.as_str(),
        resource.server,
        resource.label_selector,
    ) {
        ("server", Some(server), None) => Ok(Target::Vps(VpsId(server.id))),
        ("label_selector", None, Some(selector)) => {
            let selector = Selector::parse(&selector.selector)?;
            if selector.0.is_empty() {
                return Err(Error::invalid(format!("{field}.{n}.label_selector"), "must not be empty"));
            }
            Ok(Target::Selector(selector))
        }
        ("server", ..) => Err(Error::invalid(format!("{field}.{n}.server"), "is required, and nothing else")),
        ("label_selector", ..) => {
            Err(Error::invalid(format!("{field}.{n}.label_selector"), "is required, and nothing else"))
        }
        _ => Err(Error::invalid(format!("{field}.{n}.type"), "must be 'server' or 'label_selector'")),
    };
    resources.into_iter().enumerate().map(one).collect()
}
