//! What the create form holds, as typed; the price and the commands that it stands for.

use std::collections::{BTreeMap, BTreeSet};

use berth_web::{
    Address, AddressChoice, Bytes, Cores, Field, ImageChoice, KeyChoice, LocationChoice, Money, NewKey,
    PlanChoice, ServerForm, ServerRequest, Summary, ThingChoice,
};
use ipnet::IpNet;
use uuid::Uuid;

use super::fields::Fields;
use super::{names, tokens, views};
use crate::app::App;
use crate::db::page::Page;
use crate::db::plans::Plan;
use crate::db::{firewalls, images, locations, networks, plans, primary_ips, quotas, ssh_keys, vps};
use crate::domain::family::Family;
use crate::domain::quota::{Amounts, check};
use crate::error::Result;
use crate::ids::ProjectId;

/// Currency of prices, until an installation can choose.
const CURRENCY: &str = "EUR";

/// Everything that can be chosen.
#[derive(Clone, Debug)]
pub(super) struct Choices {
    pub(super) images: Vec<ImageChoice>,
    pub(super) plans: Vec<PlanChoice>,
    pub(super) locations: Vec<LocationChoice>,
    pub(super) keys: Vec<KeyChoice>,
    pub(super) ipv4: Vec<AddressChoice>,
    pub(super) ipv6: Vec<AddressChoice>,
    pub(super) networks: Vec<ThingChoice>,
    pub(super) firewalls: Vec<ThingChoice>,
    /// In which locations there is room for each plan, by their names.
    room: BTreeMap<String, BTreeSet<String>>,
}

/// Of each kind of thing that is chosen from.
const MOST: i64 = 500;

impl Choices {
    /// Reads what is offered.
    pub(super) async fn load(app: &App, project: ProjectId) -> Result<Self> {
        let locations = locations::list(&app.db).await?;
        let plans = plans::offered(&app.db).await?;
        let room = room(app, &locations, &plans).await?;
        let (quota, used) = quotas::get(&app.db, project).await?;
        let why_not = |plan: &Plan| {
            let more = Amounts {
                servers: 1,
                cpu_milli: plan.cpu_milli,
                memory_bytes: plan.memory_bytes,
                disk_bytes: plan.disk_bytes,
                ..Amounts::default()
            };
            match check(&quota, &used, &(used + more)) {
                Err(e) => Some(super::server::capital(&e.to_string())),
                Ok(()) if !room.contains_key(&plan.name) => Some("No host has room for it now".to_owned()),
                Ok(()) => None,
            }
        };
        let held =
            primary_ips::list(&app.db, project, &primary_ips::Filter::default(), Page::first(MOST)).await?;
        let free: Vec<_> = held.items.into_iter().filter(|ip| ip.vps_id.is_none()).collect();
        let of = |family: Family| {
            let those = free.iter().filter(move |ip| Family::of(ip.ip) == family);
            let choice = |ip: &primary_ips::PrimaryIp| AddressChoice {
                value: ip.id.to_string(),
                words: match ip.ip {
                    IpNet::V4(net) => format!("{} ({})", net.addr(), ip.name),
                    IpNet::V6(net) => format!("{net} ({})", ip.name),
                },
            };
            those.map(choice).collect::<Vec<_>>()
        };
        let networks =
            networks::list(&app.db, project, &networks::Filter::default(), Page::first(MOST)).await?;
        let network = |n: networks::Network| ThingChoice {
            id: n.id.0,
            detail: n.layout.range.to_string(),
            name: n.name,
            chosen: false,
        };
        let firewalls =
            firewalls::list(&app.db, project, &firewalls::Filter::default(), Page::first(MOST)).await?;
        let firewall = |f: firewalls::Firewall| ThingChoice {
            id: f.id.0,
            detail: match f.rules.len() {
                1 => "1 rule".to_owned(),
                rules => format!("{rules} rules"),
            },
            name: f.name,
            chosen: false,
        };
        let image = |i: images::Image| ImageChoice { description: views::image_title(&i), name: i.name };
        let key = |k: ssh_keys::SshKey| KeyChoice {
            id: k.id.0,
            name: k.name,
            fingerprint: k.fingerprint,
            chosen: false,
        };
        Ok(Self {
            images: images::offered(&app.db).await?.into_iter().map(image).collect(),
            plans: plans.iter().map(|p| plan_choice(p, why_not(p).as_deref())).collect(),
            locations: locations.into_iter().map(location).collect(),
            keys: ssh_keys::all(&app.db, project).await?.into_iter().map(key).collect(),
            ipv4: of(Family::V4),
            ipv6: of(Family::V6),
            networks: networks.items.into_iter().map(network).collect(),
            firewalls: firewalls.items.into_iter().map(firewall).collect(),
            room,
        })
    }

    /// Greys out the plans that do not fit where the server is to be.
    fn place(&mut self, location: &str) {
        if self.locations.iter().all(|known| known.name != location) {
            return;
        }
        for plan in self.plans.iter_mut().filter(|plan| plan.unavailable.is_none()) {
            if self.room.get(&plan.name).is_none_or(|there| !there.contains(location)) {
                plan.unavailable = Some(format!("No host in {location} has room for it now"));
            }
        }
    }

    /// An empty form with what most people would choose: the newest image, the first plan with room, the only key.
    pub(super) async fn first_form(&mut self, app: &App, project: ProjectId) -> Result<ServerForm> {
        let taken: Vec<String> = vps::names(&app.db, project).await?.into_values().collect();
        if let [only] = &mut self.keys[..] {
            only.chosen = true;
        }
        let plan = self.plans.iter().find(|p| p.unavailable.is_none());
        Ok(ServerForm {
            name: Field::new(names::suggest(&taken)),
            image: Field::new(self.images.last().map_or("", |i| &i.name)),
            plan: Field::new(plan.map_or("", |p| &p.name)),
            once: Uuid::new_v4().to_string(),
            ..ServerForm::default()
        })
    }

    /// The form as posted. Networks and firewalls that are gone are told: the server would be another one without them.
    pub(super) fn posted(&mut self, fields: &Fields) -> ServerForm {
        for key in &mut self.keys {
            key.chosen = fields.all("ssh_keys").any(|id| id == key.id.to_string());
        }
        let networks = choose(&mut self.networks, fields, "networks", "network");
        let firewalls = choose(&mut self.firewalls, fields, "firewalls", "firewall");
        let field = |name: &str| Field::new(fields.trimmed(name));
        let address = |name: &str| {
            let mut field = field(name);
            if address(&field.value).is_none() {
                field.error = Some("Choose one of these.".to_owned());
            }
            field
        };
        let form = ServerForm {
            name: field("name"),
            image: field("image"),
            plan: field("server_type"),
            location: field("location"),
            new_key_name: field("new_key_name"),
            new_key: field("new_key"),
            labels: field("labels"),
            user_data: Field::new(fields.get("user_data")),
            keys: Field::default(),
            ipv4: address("ipv4"),
            ipv6: address("ipv6"),
            networks,
            firewalls,
            stopped: !fields.get("stopped").is_empty(),
            once: fields.get("once").to_owned(),
            error: None,
        };
        self.place(&form.location.value);
        form
    }

    /// The request that a form stands for: what is posted, and what the texts say. Where something cannot be read it is as
    /// if it were not there; such a form is refused before its request is made.
    pub(super) fn request(&self, form: &ServerForm) -> ServerRequest {
        let mut keys: Vec<String> = self.keys.iter().filter(|k| k.chosen).map(reference).collect();
        let new_key = new_key(form);
        keys.extend(new_key.iter().map(|key| key.name.clone()));
        let ids = |things: &[ThingChoice]| things.iter().filter(|t| t.chosen).map(|t| t.id).collect();
        ServerRequest {
            name: form.name.value.clone(),
            plan: form.plan.value.clone(),
            image: form.image.value.clone(),
            location: filled(&form.location),
            keys,
            new_key,
            ipv4: address(&form.ipv4.value).unwrap_or_default(),
            ipv6: address(&form.ipv6.value).unwrap_or_default(),
            networks: ids(&self.networks),
            firewalls: ids(&self.firewalls),
            labels: berth_web::parse_labels(&form.labels.value).unwrap_or_default(),
            user_data: filled(&form.user_data),
            stopped: form.stopped,
        }
    }

    /// Price and commands of a form.
    pub(super) fn summary(&self, app: &App, form: &ServerForm) -> Summary {
        let request = self.request(form);
        let names = |things: &[ThingChoice]| {
            things.iter().filter(|t| t.chosen).map(|t| t.name.clone()).collect::<Vec<_>>()
        };
        let mut keys: Vec<String> = self.keys.iter().filter(|k| k.chosen).map(|k| k.name.clone()).collect();
        keys.extend(request.new_key.iter().map(|key| key.name.clone()));
        let endpoint = tokens::endpoint(app);
        Summary {
            plan: self.plans.iter().find(|p| p.name == form.plan.value).cloned(),
            image: self.images.iter().find(|i| i.name == form.image.value).map(|i| i.description.clone()),
            location: request.location.clone(),
            keys,
            addresses: self.addresses(&request),
            networks: names(&self.networks),
            firewalls: names(&self.firewalls),
            cli: berth_web::cli(&request),
            curl: berth_web::curl(&request, &endpoint),
            terraform: berth_web::terraform(&request, &endpoint),
        }
    }

    fn addresses(&self, request: &ServerRequest) -> Option<String> {
        let say =
            |family, address, held: &[AddressChoice]| match address {
                Address::New => None,
                Address::None => Some(format!("no {family}")),
                Address::Held(id) => {
                    let known = held.iter().find(|choice| choice.value == id.to_string());
                    Some(known.map_or_else(
                        || format!("{family} of primary IP {id}"),
                        |choice| choice.words.clone(),
                    ))
                }
            };
        let said = [say("IPv4", request.ipv4, &self.ipv4), say("IPv6", request.ipv6, &self.ipv6)];
        let said: Vec<_> = said.into_iter().flatten().collect();
        (!said.is_empty()).then(|| said.join(", "))
    }
}

fn filled(field: &Field) -> Option<String> {
    Some(field.value.clone()).filter(|value| !value.is_empty())
}

/// Where an address is to come from, as the form says it.
fn address(value: &str) -> Option<Address> {
    match value {
        "" => Some(Address::New),
        "none" => Some(Address::None),
        id => id.parse().ok().map(Address::Held),
    }
}

/// How a key is named in a request: what looks like an id would be taken for one.
fn reference(key: &KeyChoice) -> String {
    if key.name.parse::<i64>().is_ok() { key.id.to_string() } else { key.name.clone() }
}

/// The key that was pasted, by the name that it will get.
fn new_key(form: &ServerForm) -> Option<NewKey> {
    let pasted = form.new_key.value.split_whitespace().collect::<Vec<_>>().join(" ");
    let comment = pasted.splitn(3, ' ').nth(2).unwrap_or_default();
    let name = [form.new_key_name.value.trim(), comment, "key"].into_iter().find(|n| !n.is_empty());
    let name = name.unwrap_or_default().to_owned();
    (!pasted.is_empty()).then_some(NewKey { name, public_key: pasted })
}

/// Marks what was chosen.
fn choose(things: &mut [ThingChoice], fields: &Fields, name: &str, what: &str) -> Field {
    for thing in things.iter_mut() {
        thing.chosen = fields.all(name).any(|id| id == thing.id.to_string());
    }
    let known = |id: &str| things.iter().any(|thing| thing.id.to_string() == id);
    let gone = fields.all(name).any(|id| !known(id));
    let error =
        gone.then(|| format!("A {what} that you chose is not there any more. Look at the others again."));
    Field { value: String::new(), error }
}

/// In which locations there is room for each plan.
async fn room(
    app: &App,
    locations: &[locations::Location],
    plans: &[Plan],
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let datacenters = locations::datacenters(&app.db).await?;
    let mut room = BTreeMap::<String, BTreeSet<String>>::new();
    for (datacenter, plan) in locations::available_plans(&app.db).await? {
        let at = datacenters.iter().find(|d| d.id == datacenter);
        let at = at.and_then(|d| locations.iter().find(|l| l.id == d.location_id));
        if let (Some(at), Some(plan)) = (at, plans.iter().find(|p| p.id == plan)) {
            room.entry(plan.name.clone()).or_default().insert(at.name.clone());
        }
    }
    Ok(room)
}

/// A plan as a choice, and why it cannot be had.
pub(super) fn plan_choice(plan: &Plan, unavailable: Option<&str>) -> PlanChoice {
    let money = |amount: &str| Money { amount: amount.to_owned(), currency: CURRENCY.to_owned() };
    let mut specs = vec![
        Cores(plan.cpu_milli).to_string(),
        format!("{} memory", Bytes(plan.memory_bytes)),
        format!("{} disk", Bytes(plan.disk_bytes)),
    ];
    if plan.included_traffic > 0 {
        specs.push(format!("{} traffic", Bytes(plan.included_traffic)));
    }
    PlanChoice {
        name: plan.name.clone(),
        description: plan.description.clone(),
        specs,
        monthly: money(&plan.price_monthly),
        hourly: money(&plan.price_hourly),
        unavailable: unavailable.map(str::to_owned),
    }
}

fn location(location: locations::Location) -> LocationChoice {
    let place = [location.city, location.country].into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>();
    let described = if place.is_empty() { location.description } else { place.join(", ") };
    LocationChoice { name: location.name, description: described }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_id_is_named_by_its_own() {
        let key =
            |name: &str| KeyChoice { id: 7, name: name.into(), fingerprint: String::new(), chosen: true };
        assert_eq!((reference(&key("laptop")), reference(&key("42"))), ("laptop".to_owned(), "7".to_owned()));
    }

    #[test]
    fn addresses_are_read_strictly() {
        assert_eq!(address(""), Some(Address::New));
        assert_eq!(address("none"), Some(Address::None));
        assert_eq!(address("12"), Some(Address::Held(12)));
        assert!(address("new").is_none() && address("1 2").is_none());
    }

    #[test]
    fn a_pasted_key_is_called_as_it_will_be() {
        let form = |name: &str, line: &str| ServerForm {
            new_key: Field::new(line),
            new_key_name: Field::new(name),
            ..ServerForm::default()
        };
        let called = |name, line| new_key(&form(name, line)).map(|key| key.name);
        assert_eq!(called("", " "), None);
        assert_eq!(called("", "ssh-ed25519 AAAA\n me at home").as_deref(), Some("me at home"));
        assert_eq!(called("mine", "ssh-ed25519 AAAA me").as_deref(), Some("mine"));
        assert_eq!(called("", "ssh-ed25519 AAAA").as_deref(), Some("key"));
    }
}
