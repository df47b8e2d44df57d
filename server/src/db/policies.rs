//! What operators set for plans, projects and the whole installation, and change while VPSes run: what follows on
//! traffic, ports that nobody is reached at, and the day on which months of traffic begin.

use berth_proto::BlockedPort;
use sqlx::PgPool;
use sqlx::types::Json;

use super::settings;
use crate::app::App;
use crate::domain::traffic::Over;
use crate::error::{Error, Result};
use crate::ids::{PlanId, ProjectId};
use crate::wake::Changed;

/// The operator's policy for the VPSes of a plan.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which plan.
    pub plan: PlanId,
    /// What it does with VPSes that have used up what is included.
    pub over_traffic: String,
    /// To what it lowers their bandwidth, Mbit/s.
    pub throttle_mbit: i64,
    /// What nobody is reached at from them.
    pub blocked_ports: Json<Vec<BlockedPort>>,
}

/// What to change; `None` leaves a value as it is.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// As [`Policy::over_traffic`].
    pub over_traffic: Option<Over>,
    /// As [`Policy::throttle_mbit`].
    pub throttle_mbit: Option<i64>,
    /// As [`Policy::blocked_ports`], all of them.
    pub blocked_ports: Option<Vec<BlockedPort>>,
}

/// The policy of a plan, also of a retired one.
pub async fn get(db: &PgPool, plan: PlanId) -> Result<Policy> {
    let found = sqlx::query_as!(
        Policy,
        r#"select id as plan, over_traffic, throttle_mbit, blocked_ports as "blocked_ports: Json<Vec<BlockedPort>>"
           from plans where id = $1"#,
        plan.0
    );
    found.fetch_optional(db).await?.ok_or(Error::NotFound("plan"))
}

/// Changes the policy of a plan. Hosts of its VPSes are told when the ports are others; about traffic the next look
/// decides.
pub async fn set(app: &App, plan: PlanId, change: &Change) -> Result<Policy> {
    if change.throttle_mbit.is_some_and(|mbit| !(1..=4_000_000).contains(&mbit)) {
        return Err(Error::invalid("throttle_mbit", "must be 1 to 4000000"));
    }
    let before = get(&app.db, plan).await?;
    let ports = change.blocked_ports.as_ref().filter(|ports| **ports != before.blocked_ports.0);
    let mut tx = app.db.begin().await?;
    let mut hosts = Vec::new();
    if ports.is_some() {
        // Hosts first, by id; a VPS that is made meanwhile is told of the new ports anyway, or waits for this one.
        let held = sqlx::query_scalar!(
            "with locked as (
               select h.id from hosts h
               where exists (select from vps v where v.host_id = h.id and v.plan_id = $1 and v.deleted_at is null)
               order by h.id for update of h
             )
             update hosts h set seq = seq + 1 from locked where h.id = locked.id returning h.id",
            plan.0
        );
        hosts = held.fetch_all(&mut *tx).await?;
    }
    sqlx::query!(
        "update plans set over_traffic = coalesce($2, over_traffic), throttle_mbit = coalesce($3, throttle_mbit),
                          blocked_ports = coalesce($4, blocked_ports) where id = $1",
        plan.0,
        change.over_traffic.map(Over::name),
        change.throttle_mbit,
        ports.map(|ports| Json(ports)) as _
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "update vps v set generation = generation + 1, host_seq = h.seq from hosts h
         where h.id = v.host_id and h.id = any($2) and v.plan_id = $1 and v.deleting_at is null and v.deleted_at is null",
        plan.0,
        &hosts
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    get(&app.db, plan).await
}

/// Whether what plans include is one sum for all VPSes of a project.
pub async fn pooled(db: &PgPool, project: ProjectId) -> Result<bool> {
    let found = sqlx::query_scalar!("select traffic_pooled from projects where id = $1", project.0);
    found.fetch_optional(db).await?.ok_or(Error::NotFound("project"))
}

/// Sets [`pooled`].
pub async fn set_pooled(db: &PgPool, project: ProjectId, pooled: bool) -> Result<()> {
    let set = sqlx::query!("update projects set traffic_pooled = $2 where id = $1", project.0, pooled);
    match set.execute(db).await?.rows_affected() {
        0 => Err(Error::NotFound("project")),
        _ => Ok(()),
    }
}

/// The day on which months of traffic begin.
pub async fn reset_day(db: &PgPool) -> Result<i64> {
    Ok(settings::get(db, settings::TRAFFIC_RESET_DAY).await?.unwrap_or(1))
}

/// Sets [`reset_day`]. What was counted stays in the months in which it was counted.
pub async fn set_reset_day(db: &PgPool, day: i64) -> Result<()> {
    if !(1..=28).contains(&day) {
        return Err(Error::invalid("reset_day", "must be 1 to 28, a day that every month has"));
    }
    Ok(settings::set(db, settings::TRAFFIC_RESET_DAY, day).await?)
}
