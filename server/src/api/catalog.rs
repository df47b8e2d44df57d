//! What servers, types and data centres are shown with: the operator's catalogue, read once a request.
//!
//! Where there is room right now takes a look at every host, so only the lists of types and data centres ask for it.
//! Inside of a server nobody wants to know; whatever is offered counts as available there.

use crate::app::App;
use crate::db::locations::{self, Datacenter, Location};
use crate::db::plans::{self, Plan, PlanPrice};
use crate::error::Result;
use crate::ids::{DatacenterId, LocationId, PlanId};

/// Locations, data centres, plans and prices.
pub(super) struct Catalog {
    pub(super) locations: Vec<Location>,
    pub(super) datacenters: Vec<Datacenter>,
    pub(super) plans: Vec<Plan>,
    pub(super) prices: Vec<PlanPrice>,
    room: Option<Vec<(DatacenterId, PlanId)>>,
}

impl Catalog {
    /// Reads it.
    pub(super) async fn load(app: &App) -> Result<Self> {
        Ok(Self {
            locations: locations::list(&app.db).await?,
            datacenters: locations::datacenters(&app.db).await?,
            plans: plans::list(&app.db).await?,
            prices: plans::prices(&app.db).await?,
            room: None,
        })
    }

    /// Reads it, and where there is room.
    pub(super) async fn load_with_room(app: &App) -> Result<Self> {
        Ok(Self { room: Some(locations::available_plans(&app.db).await?), ..Self::load(app).await? })
    }

    /// Whether a plan is offered, and can be had in a data centre now.
    pub(super) fn available(&self, datacenter: DatacenterId, plan: &Plan) -> bool {
        let room = self.room.as_ref().is_none_or(|room| room.contains(&(datacenter, plan.id)));
        plan.retired_at.is_none() && room
    }

    /// Whether a plan is offered, and can be had in some data centre of a location now.
    pub(super) fn available_at(&self, location: LocationId, plan: &Plan) -> bool {
        self.datacenters.iter().any(|d| d.location_id == location && self.available(d.id, plan))
    }

    pub(super) fn location(&self, id: LocationId) -> Result<&Location> {
        self.locations.iter().find(|l| l.id == id).ok_or_else(|| missing("location", id.0))
    }

    pub(super) fn datacenter(&self, id: DatacenterId) -> Result<&Datacenter> {
        self.datacenters.iter().find(|d| d.id == id).ok_or_else(|| missing("datacenter", id.0))
    }

    pub(super) fn plan(&self, id: PlanId) -> Result<&Plan> {
        self.plans.iter().find(|p| p.id == id).ok_or_else(|| missing("plan", id.0))
    }

    pub(super) fn offered(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().filter(|p| p.retired_at.is_none())
    }
}

fn missing(what: &str, id: i64) -> crate::error::Error {
    anyhow::anyhow!("{what} {id} is referred to and is not in the catalogue").into()
}
