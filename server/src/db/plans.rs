//! Plans: what can be rented, and for how much. The hcloud API calls them server types.

use berth_proto::Limits;
use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, PgPool};

use crate::domain::limits::check_plan;
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
    /// As [`Limits::cpu_weight`].
    pub cpu_weight: i64,
    /// As [`Limits::cpu_guarantee_milli`].
    pub cpu_guarantee_milli: i64,
    /// As [`Limits::memory_high_bytes`].
    pub memory_high_bytes: i64,
    /// As [`Limits::memory_guarantee_bytes`].
    pub memory_guarantee_bytes: i64,
    /// As [`Limits::disk_read_bps`].
    pub disk_read_bps: i64,
    /// As [`Limits::disk_write_bps`].
    pub disk_write_bps: i64,
    /// As [`Limits::disk_read_iops`].
    pub disk_read_iops: i64,
    /// As [`Limits::disk_write_iops`].
    pub disk_write_iops: i64,
    /// As [`Limits::inodes`].
    pub inodes: i64,
    /// As [`Limits::open_files`].
    pub open_files: i64,
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

    /// All that a VPS of this plan may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            cpu_milli: self.cpu_milli,
            memory_bytes: self.memory_bytes,
            swap_bytes: self.swap_bytes,
            disk_bytes: self.disk_bytes,
            pids: self.pids,
            bandwidth_mbit: self.bandwidth_mbit,
            cpu_weight: self.cpu_weight,
            cpu_guarantee_milli: self.cpu_guarantee_milli,
            memory_high_bytes: self.memory_high_bytes,
            memory_guarantee_bytes: self.memory_guarantee_bytes,
            disk_read_bps: self.disk_read_bps,
            disk_write_bps: self.disk_write_bps,
            disk_read_iops: self.disk_read_iops,
            disk_write_iops: self.disk_write_iops,
            inodes: self.inodes,
            open_files: self.open_files,
        }
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
    /// What a VPS of it may use.
    pub limits: Limits,
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
                  bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes, memory_guarantee_bytes,
                  disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops, inodes, open_files, included_traffic, price_hourly::text as "price_hourly!",
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
                  bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes, memory_guarantee_bytes,
                  disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops, inodes, open_files, included_traffic, price_hourly::text as "price_hourly!",
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
                  bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes, memory_guarantee_bytes,
                  disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops, inodes, open_files, included_traffic, price_hourly::text as "price_hourly!",
                  price_monthly::text as "price_monthly!", retired_at, created_at
           from plans where retired_at is null and (id = $1 or name = $2) order by id = $1 desc limit 1"#,
        id,
        name
    );
    Ok(found.fetch_optional(db).await?)
}

/// A plan by its id, also a retired one.
pub(super) async fn get(db: impl PgExecutor<'_>, id: PlanId) -> Result<Plan> {
    let found = sqlx::query_as!(
        Plan,
        r#"select id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes, memory_guarantee_bytes,
                  disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops, inodes, open_files, included_traffic,
                  price_hourly::text as "price_hourly!", price_monthly::text as "price_monthly!", retired_at, created_at
           from plans where id = $1"#,
        id.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("server type"))
}

/// Offers a plan.
pub async fn create(db: &PgPool, new: &NewPlan) -> Result<Plan> {
    check_plan(&new.limits)?;
    let l = &new.limits;
    let made = sqlx::query_as!(
        Plan,
        r#"insert into plans (name, description, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                              bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes,
                              memory_guarantee_bytes, disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops,
                              inodes, open_files, included_traffic, price_hourly, price_monthly)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                   $20::text::numeric, $21::text::numeric)
           returning id, name, description, architecture, cpu_milli, memory_bytes, disk_bytes, swap_bytes, pids,
                  bandwidth_mbit, cpu_weight, cpu_guarantee_milli, memory_high_bytes, memory_guarantee_bytes,
                  disk_read_bps, disk_write_bps, disk_read_iops, disk_write_iops, inodes, open_files, included_traffic,
                  price_hourly::text as "price_hourly!", price_monthly::text as "price_monthly!", retired_at, created_at"#,
        new.name.as_str(),
        new.description,
        l.cpu_milli,
        l.memory_bytes,
        l.disk_bytes,
        l.swap_bytes,
        l.pids,
        l.bandwidth_mbit,
        l.cpu_weight,
        l.cpu_guarantee_milli,
        l.memory_high_bytes,
        l.memory_guarantee_bytes,
        l.disk_read_bps,
        l.disk_write_bps,
        l.disk_read_iops,
        l.disk_write_iops,
        l.inodes,
        l.open_files,
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
