//! Locations and their data centres.

use std::net::IpAddr;

use sqlx::PgPool;
use sqlx::types::Json;

use super::hosts;
use crate::app::App;
use crate::domain::names::Slug;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::{DatacenterId, LocationId, PlanId};

/// A location.
#[derive(Clone, Debug)]
pub struct Location {
    /// Which location.
    pub id: LocationId,
    /// Short name, for instance `fsn1`.
    pub name: String,
    /// For people.
    pub description: String,
    /// ISO 3166 code of the country.
    pub country: String,
    /// City.
    pub city: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Locations of one zone share private networks.
    pub network_zone: String,
}

/// A data centre of a location.
#[derive(Clone, Debug)]
pub struct Datacenter {
    /// Which data centre.
    pub id: DatacenterId,
    /// Where it is.
    pub location_id: LocationId,
    /// Short name, for instance `fsn1-dc1`.
    pub name: String,
    /// For people.
    pub description: String,
}

/// What an operator says of a new location.
#[derive(Clone, Debug, Default)]
pub struct NewLocation {
    /// For people.
    pub description: String,
    /// ISO 3166 code of the country.
    pub country: String,
    /// City.
    pub city: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
}

/// All locations, by id.
pub async fn list(db: &PgPool) -> Result<Vec<Location>> {
    let all = sqlx::query_as!(
        Location,
        "select id, name, description, country, city, latitude, longitude, network_zone from locations order by id"
    );
    Ok(all.fetch_all(db).await?)
}

/// All data centres, by id.
pub async fn datacenters(db: &PgPool) -> Result<Vec<Datacenter>> {
    let all =
        sqlx::query_as!(Datacenter, "select id, location_id, name, description from datacenters order by id");
    Ok(all.fetch_all(db).await?)
}

/// Which plans some host of a data centre has room for now.
pub async fn available_plans(db: &PgPool) -> Result<Vec<(DatacenterId, PlanId)>> {
    let rows = sqlx::query!(
        "select distinct h.datacenter_id, p.id as plan_id
         from hosts h join plans p on p.retired_at is null
              and h.allocated_memory + p.memory_bytes <= h.capacity_memory
              and h.allocated_disk + p.disk_bytes <= h.capacity_disk
              and h.allocated_cpu_milli + p.cpu_milli <= floor(h.capacity_cpu_milli * h.cpu_overcommit)
              and (p.cpu_guarantee_milli = 0
                   or h.allocated_cpu_guarantee_milli + p.cpu_guarantee_milli <= h.capacity_cpu_milli)
         where h.enrolled_at is not null and h.revoked_at is null and not h.cordoned
           and h.last_report_at > now() - interval '60 seconds'
         order by 1, 2"
    );
    let rows = rows.fetch_all(db).await?;
    Ok(rows.into_iter().map(|r| (r.datacenter_id.into(), r.plan_id.into())).collect())
}

/// Makes a location.
pub async fn create(db: &PgPool, name: &Slug, new: &NewLocation) -> Result<Location> {
    let made = sqlx::query_as!(
        Location,
        "insert into locations (name, description, country, city, latitude, longitude)
         values ($1, $2, $3, $4, $5, $6)
         returning id, name, description, country, city, latitude, longitude, network_zone",
        name.as_str(),
        new.description,
        new.country,
        new.city,
        new.latitude,
        new.longitude
    );
    made.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("locations_name_key") => Error::Uniqueness("a location with this name exists already".into()),
        _ => e.into(),
    })
}

/// Whether private networks are encrypted between hosts of a location.
pub async fn encrypted(db: &PgPool, id: LocationId) -> Result<bool> {
    let found = sqlx::query_scalar!("select encrypted from locations where id = $1", id.0);
    found.fetch_optional(db).await?.ok_or(Error::NotFound("location"))
}

/// Sets [`encrypted`]; all hosts are told, for those of other locations speak with them too.
pub async fn set_encrypted(app: &App, id: LocationId, encrypted: bool) -> Result<()> {
    let set = sqlx::query!("update locations set encrypted = $2 where id = $1", id.0, encrypted);
    if set.execute(&app.db).await?.rows_affected() == 0 {
        return Err(Error::NotFound("location"));
    }
    let all = sqlx::query_scalar!("select id from hosts where enrolled_at is not null").fetch_all(&app.db);
    hosts::wake(app, &all.await?);
    Ok(())
}

/// Whom guests of a location ask for names.
pub async fn resolvers(db: &PgPool, id: LocationId) -> Result<Vec<IpAddr>> {
    let found = sqlx::query_scalar!(
        r#"select resolvers as "resolvers: Json<Vec<IpAddr>>" from locations where id = $1"#,
        id.0
    );
    Ok(found.fetch_optional(db).await?.ok_or(Error::NotFound("location"))?.0)
}

/// Sets [`resolvers`]; the hosts of the location are told.
pub async fn set_resolvers(app: &App, id: LocationId, resolvers: &[IpAddr]) -> Result<()> {
    let mut tx = app.db.begin().await?;
    let told = hosts::touch(&mut tx, Some(id)).await?;
    let set = sqlx::query!("update locations set resolvers = $2 where id = $1", id.0, Json(resolvers) as _);
    if set.execute(&mut *tx).await?.rows_affected() == 0 {
        return Err(Error::NotFound("location"));
    }
    tx.commit().await?;
    hosts::wake(app, &told);
    Ok(())
}

/// Makes a data centre.
pub async fn create_datacenter(
    db: &PgPool,
    location: LocationId,
    name: &Slug,
    description: &str,
) -> Result<Datacenter> {
    let made = sqlx::query_as!(
        Datacenter,
        "insert into datacenters (location_id, name, description) values ($1, $2, $3)
         returning id, location_id, name, description",
        location.0,
        name.as_str(),
        description
    );
    made.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("datacenters_name_key") => {
            Error::Uniqueness("a datacenter with this name exists already".into())
        }
        Some("datacenters_location_id_fkey") => Error::NotFound("location"),
        _ => e.into(),
    })
}
