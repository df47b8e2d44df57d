//! What a create names, looked up: plan, image, place and keys, each by id or name.
//!
//! Happens before the transaction: a plan or image that is retired a moment later was still on offer when it was asked for.

use super::create::{NewVps, PublicIp};
use crate::app::App;
use crate::db::images::{self, Image};
use crate::db::plans::{self, Plan};
use crate::db::primary_ips;
use crate::domain::family::Family;
use crate::domain::limits::booked;
use crate::domain::placement::{Need, Place, PrefixNeed};
use crate::error::{Error, Result};
use crate::ids::{PrimaryIpId, ProjectId};

/// Something named by its id or its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference(String);

impl Reference {
    /// Takes an id or a name; whether there is such a thing is seen later. Postgres has no text with NUL, so nothing
    /// has such a name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.replace('\0', "\u{fffd}"))
    }

    /// The offered plan that this names.
    pub(super) async fn plan(&self, app: &App) -> Result<Plan> {
        let plan = plans::find_offered(&app.db, self.id(), &self.0).await?;
        plan.ok_or_else(|| Error::invalid("server_type", format!("server type '{}' not found", self.0)))
    }

    /// The id, if it can be one.
    fn id(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

/// Where a VPS should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlaceName {
    /// Anywhere.
    #[default]
    Anywhere,
    /// In this location.
    Location(Reference),
    /// In this data centre.
    Datacenter(Reference),
}

/// The request with everything looked up.
pub(super) struct Order {
    pub(super) plan: Plan,
    pub(super) image: Image,
    /// Lines of the SSH keys.
    pub(super) keys: Vec<String>,
    pub(super) need: Need,
    /// Hash of the root password, once there is one.
    pub(super) password_hash: Option<String>,
}

/// Looks everything up; the error names the field whose thing is not there.
pub(super) async fn resolve(app: &App, project: ProjectId, new: &NewVps) -> Result<Order> {
    let unknown =
        |field: &str, what: &str, r: &Reference| Error::invalid(field, format!("{what} '{}' not found", r.0));
    let plan = new.plan.plan(app).await?;
    let image = images::find_offered(&app.db, new.image.id(), &new.image.0).await?;
    let image = image.ok_or_else(|| unknown("image", "image", &new.image))?;
    if image.architecture != plan.architecture {
        let message = format!("is for {}, but the server type is {}", image.architecture, plan.architecture);
        return Err(Error::invalid("image", message));
    }
    if image.disk_bytes > plan.disk_bytes {
        return Err(Error::invalid("image", "is larger than the disk of this server type"));
    }
    let place = match &new.place {
        PlaceName::Anywhere => Place::Anywhere,
        PlaceName::Location(r) => {
            let found = sqlx::query!(
                "select id, name from locations where id = $1 or name = $2 order by id = $1 desc limit 1",
                r.id(),
                r.0
            );
            let found =
                found.fetch_optional(&app.db).await?.ok_or_else(|| unknown("location", "location", r))?;
            Place::Location(found.id.into(), found.name)
        }
        PlaceName::Datacenter(r) => {
            let found = sqlx::query!(
                "select id, name from datacenters where id = $1 or name = $2 order by id = $1 desc limit 1",
                r.id(),
                r.0
            );
            let found =
                found.fetch_optional(&app.db).await?.ok_or_else(|| unknown("datacenter", "datacenter", r))?;
            Place::Datacenter(found.id.into(), found.name)
        }
    };
    let mut place = place;
    for (family, wanted) in [(Family::V4, new.ipv4), (Family::V6, new.ipv6)] {
        if let PublicIp::Chosen(id) = wanted {
            place = near(app, project, family, id, place).await?;
        }
    }
    let resources = booked(&plan.limits(), &plan.limits());
    let address = new.ipv4 == PublicIp::New;
    let prefix = match new.ipv6 {
        PublicIp::None | PublicIp::Chosen(_) => PrefixNeed::None,
        PublicIp::IfThere => PrefixNeed::IfThere,
        PublicIp::New => PrefixNeed::Sure,
    };
    let need = Need { resources, architecture: plan.architecture.clone(), address, prefix, place };
    let keys = ssh_keys(app, project, &new.ssh_keys).await?;
    Ok(Order { plan, image, keys, need, password_hash: None })
}

/// The place that is left when the VPS must be where a primary IP of the project is.
async fn near(app: &App, project: ProjectId, family: Family, id: PrimaryIpId, place: Place) -> Result<Place> {
    let at = sqlx::query!(
        "select l.id, l.name, a.ip, array(select d.id from datacenters d where d.location_id = l.id) as datacenters
         from primary_ips i join addresses a on a.primary_ip_id = i.id join pools p on p.id = a.pool_id
              join locations l on l.id = p.location_id
         where i.project_id = $1 and i.id = $2",
        project.0,
        id.0
    );
    let at = at.fetch_optional(&app.db).await?.ok_or_else(|| primary_ips::unknown(family, id))?;
    if Family::of(at.ip) != family {
        return Err(primary_ips::mismatch(family, id));
    }
    let fits = match &place {
        Place::Anywhere => return Ok(Place::Location(at.id.into(), at.name)),
        Place::Location(location, _) => location.0 == at.id,
        Place::Datacenter(datacenter, _) => at.datacenters.unwrap_or_default().contains(&datacenter.0),
    };
    if fits { Ok(place) } else { Err(primary_ips::elsewhere(id)) }
}

/// The keys' lines, each once, in the order of the request.
async fn ssh_keys(app: &App, project: ProjectId, wanted: &[Reference]) -> Result<Vec<String>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = wanted.iter().filter_map(Reference::id).collect();
    let names: Vec<String> = wanted.iter().map(|r| r.0.clone()).collect();
    let rows = sqlx::query!(
        "select id, name, public_key from ssh_keys where project_id = $1 and (id = any($2) or name = any($3))",
        project.0,
        &ids,
        &names
    );
    let rows = rows.fetch_all(&app.db).await?;
    let mut lines = Vec::new();
    for reference in wanted {
        let by_id = rows.iter().find(|r| Some(r.id) == reference.id());
        let found = by_id.or_else(|| rows.iter().find(|r| r.name == reference.0));
        let found = found
            .ok_or_else(|| Error::invalid("ssh_keys", format!("SSH key '{}' not found", reference.0)))?;
        if !lines.contains(&found.public_key) {
            lines.push(found.public_key.clone());
        }
    }
    Ok(lines)
}
