//! What the create form holds, as typed; the price and the commands that it stands for.

use berth_web::{
    Bytes, Cores, Field, ImageChoice, KeyChoice, LocationChoice, Money, PlanChoice, ServerForm,
    ServerRequest, Summary,
};

use super::fields::Fields;
use super::{names, tokens, views};
use crate::app::App;
use crate::db::page::Page;
use crate::db::plans::Plan;
use crate::db::{images, locations, plans, ssh_keys, vps};
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
}

impl Choices {
    /// Reads what is offered.
    pub(super) async fn load(app: &App, project: ProjectId) -> Result<Self> {
        let available = locations::available_plans(&app.db).await?;
        let no_room = |plan: &Plan| {
            let has_room = available.iter().any(|(_, id)| *id == plan.id);
            (!has_room).then_some("No host has room for it now")
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
            plans: plans::offered(&app.db).await?.iter().map(|p| plan_choice(p, no_room(p))).collect(),
            locations: locations::list(&app.db).await?.into_iter().map(location).collect(),
            keys: ssh_keys::all(&app.db, project).await?.into_iter().map(key).collect(),
        })
    }

    /// An empty form with what most people would choose: the newest image, the first plan with room, the only key.
    pub(super) async fn first_form(&mut self, app: &App, project: ProjectId) -> Result<ServerForm> {
        let servers = vps::list(&app.db, project, &vps::Filter::default(), Page::first(1000)).await?;
        let taken: Vec<String> = servers.items.into_iter().map(|v| v.name).collect();
        if let [only] = &mut self.keys[..] {
            only.chosen = true;
        }
        let plan = self.plans.iter().find(|p| p.unavailable.is_none());
        Ok(ServerForm {
            name: Field::new(names::suggest(&taken)),
            image: Field::new(self.images.last().map_or("", |i| &i.name)),
            plan: Field::new(plan.map_or("", |p| &p.name)),
            ..ServerForm::default()
        })
    }

    /// The form as posted.
    pub(super) fn posted(&mut self, fields: &Fields) -> ServerForm {
        for key in &mut self.keys {
            key.chosen = fields.all("ssh_keys").any(|id| id == key.id.to_string());
        }
        let field = |name: &str| Field::new(fields.trimmed(name));
        ServerForm {
            name: field("name"),
            image: field("image"),
            plan: field("server_type"),
            location: field("location"),
            new_key_name: field("new_key_name"),
            new_key: field("new_key"),
            labels: field("labels"),
            user_data: Field::new(fields.get("user_data")),
            error: None,
        }
    }

    /// Price and commands of a form.
    pub(super) fn summary(&self, app: &App, form: &ServerForm) -> Summary {
        let filled = |field: &Field| Some(field.value.clone()).filter(|value| !value.is_empty());
        let mut keys: Vec<String> = self.keys.iter().filter(|k| k.chosen).map(|k| k.name.clone()).collect();
        if !form.new_key.value.is_empty() {
            keys.push(filled(&form.new_key_name).unwrap_or_else(|| "the new key".into()));
        }
        let request = ServerRequest {
            name: form.name.value.clone(),
            plan: form.plan.value.clone(),
            image: form.image.value.clone(),
            location: filled(&form.location),
            keys: keys.clone(),
            labels: berth_web::parse_labels(&form.labels.value).unwrap_or_default(),
            user_data: filled(&form.user_data),
        };
        Summary {
            plan: self.plans.iter().find(|p| p.name == form.plan.value).cloned(),
            image: self.images.iter().find(|i| i.name == form.image.value).map(|i| i.description.clone()),
            location: filled(&form.location),
            keys,
            cli: berth_web::cli(&request),
            curl: berth_web::curl(&request, &tokens::endpoint(app)),
        }
    }
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
