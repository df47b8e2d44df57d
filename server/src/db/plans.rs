//! Plans: what can be rented, and for how much. The hcloud API calls them server types.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::domain::names::Slug;
use crate::domain::price::Price;
use crate::error::{Error, Result, broken_constraint};
use crate::ids::PlanId;

/// A plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which plan.
    pub id: PlanId,
    /// Short name, for instance `cx22`.
    pub name: String,
    /// For people.
    pub description: String,
    /// `x86` or `arm`.
    pub architecture: String,
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Disk in bytes.
    pub disk_bytes: i64,
    /// Swap in bytes.
    pub swap_bytes: i64,
    /// Processes and threads.
    pub pids: i64,
    /// Bandwidth each way in Mbit/s; 0 for unlimited.
    pub bandwidth_mbit: i64,
    /// Traffic a month that the price includes, in bytes.
    pub included_traffic: i64,
    /// Net price, a decimal with ten places.
    pub price_hourly: String,
    /// Net price, a decimal with ten places.
    pub price_monthly: String,
    /// Since when it is not offered any more.
    pub retired_at: Option<DateTime<Utc>>,
    /// Since when it is there.
    pub created_at: DateTime<Utc>,
}

impl Plan {
    /// Whole CPUs that a guest sees.
    #[must_use]
    pub fn cores(&self) -> i64 {
        (self.cpu_milli + 999) / 1000
    }
}

/// What a plan costs. Decimals with ten places.
#[derive(Clone, Debug)]
pub struct PlanPrice {
    /// Which plan.
    pub plan_id: PlanId,
    /// Net, an hour.
    pub hourly_net: String,
    /// With value-added tax, an hour.
    pub hourly_gross: String,
    /// Net, a month.
    pub monthly_net: String,
    /// With value-added tax, a month.
    pub monthly_gross: String,
}

/// In what is paid.
#[derive(Clone, Debug)]
pub struct Terms {
    /// ISO 4217 code; the setting `currency`.
    pub currency: String,
    /// Value-added tax in per cent; the setting `vat_rate`.
    pub vat_rate: String,
}

/// What an operator says of a new plan.
#[derive(Clone, Debug)]
pub struct NewPlan {
    /// Short name.
    pub name: Slug,
    /// For people.
    pub description: String,
    /// CPU in thousandths of a core.
    pub cpu_milli: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Disk in bytes.
    pub disk_bytes: i64,
    /// Swap in bytes.
    pub swap_bytes: i64,
    /// Processes and threads.
    pub pids: i64,
    /// Bandwidth each way in Mbit/s; 0 for unlimited.
    pub bandwidth_mbit: i64,
    /// Traffic a month that the price includes, in bytes.
    pub included_traffic: i64,
    /// Net price.
    pub price_hourly: Price,
    /// Net price.
    pub price_monthly: Price,
}

/// All plans, also retired ones, by id.
pub async fn list(db: &PgPool) -> Result<Vec<Plan>> {
    let all = sqlx::query_as!(
        Plan,
        r#"select id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, included_traffic, price_hourly::text as "price_hourly!",
                  price_monthly::text as "price_monthly!", retired_at, created_at
           from plans order by id"#
    );
    Ok(all.fetch_all(db).await?)
}

/// The plans that are offered, by price.
pub async fn offered(db: &PgPool) -> Result<Vec<Plan>> {
    let all = sqlx::query_as!(
        Plan,
        r#"select id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, included_traffic, price_hourly::text as "price_hourly!",
                  price_monthly::text as "price_monthly!", retired_at, created_at
           from plans where retired_at is null order by plans.price_monthly, id"#
    );
    Ok(all.fetch_all(db).await?)
}

/// The prices of all plans.
pub async fn prices(db: &PgPool) -> Result<Vec<PlanPrice>> {
    let all = sqlx::query_as!(
        PlanPrice,
        r#"select p.id as plan_id, price_hourly::text as "hourly_net!", price_monthly::text as "monthly_net!",
                  round(price_hourly * (1 + vat.rate / 100), 10)::text as "hourly_gross!",
                  round(price_monthly * (1 + vat.rate / 100), 10)::text as "monthly_gross!"
           from plans p,
                (select coalesce((select (value #>> '{}')::numeric from settings where key = 'vat_rate'), 0)) vat(rate)
           order by p.id"#
    );
    Ok(all.fetch_all(db).await?)
}

/// Currency and tax, as the operator set them.
pub async fn terms(db: &PgPool) -> Result<Terms> {
    let terms = sqlx::query_as!(
        Terms,
        r#"select coalesce((select value #>> '{}' from settings where key = 'currency'), 'EUR') as "currency!",
                  round(coalesce((select (value #>> '{}')::numeric from settings where key = 'vat_rate'), 0), 6)::text
                      as "vat_rate!""#
    );
    Ok(terms.fetch_one(db).await?)
}

/// The offered plan with this id or name.
pub(super) async fn find_offered(db: &PgPool, id: Option<i64>, name: &str) -> Result<Option<Plan>> {
    let found = sqlx::query_as!(
        Plan,
        r#"select id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, included_traffic, price_hourly::text as "price_hourly!",
                  price_monthly::text as "price_monthly!", retired_at, created_at
           from plans where retired_at is null and (id = $1 or name = $2) order by id = $1 desc limit 1"#,
        id,
        name
    );
    Ok(found.fetch_optional(db).await?)
}

/// Offers a plan.
pub async fn create(db: &PgPool, new: &NewPlan) -> Result<Plan> {
    let made = sqlx::query_as!(
        Plan,
        r#"insert into plans (name, description, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                              bandwidth_mbit, included_traffic, price_hourly, price_monthly)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::numeric, $11::text::numeric)
           returning id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, included_traffic, price_hourly::text as "price_hourly!",
                  price_monthly::text as "price_monthly!", retired_at, created_at"#,
        new.name.as_str(),
        new.description,
        new.cpu_milli,
        new.memory_bytes,
        new.disk_bytes,
        new.swap_bytes,
        new.pids,
        new.bandwidth_mbit,
        new.included_traffic,
        new.price_hourly.as_str(),
        new.price_monthly.as_str()
    );
    made.fetch_one(db).await.map_err(|e| match broken_constraint(&e) {
        Some("plans_name_key") => Error::Uniqueness("a plan with this name exists already".into()),
        Some(check) => match check.strip_prefix("plans_").and_then(|c| c.strip_suffix("_check")) {
            Some(field) => Error::invalid(field, "is too small"),
            None => e.into(),
        },
        None => e.into(),
    })
}

/// Stops offering a plan; VPSes that have it keep it.
pub async fn retire(db: &PgPool, id: PlanId) -> Result<()> {
    let retired =
        sqlx::query!("update plans set retired_at = coalesce(retired_at, now()) where id = $1", id.0);
    match retired.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("server type")),
        _ => Ok(()),
    }
}
