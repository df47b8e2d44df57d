//! Plans: what can be rented, and for how much.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use berth_proto::Limits;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db;
use crate::domain::names::Slug;
use crate::domain::price::Price;
use crate::error::{Error, Result};
use crate::ids::PlanId;

/// A plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = operators::Plan)]
pub(super) struct Plan {
    id: i64,
    name: String,
    description: String,
    /// CPU in thousandths of a core.
    cpu_milli: i64,
    memory_bytes: i64,
    disk_bytes: i64,
    swap_bytes: i64,
    /// Processes and threads.
    pids: i64,
    /// Each way, Mbit/s; 0 for unlimited.
    bandwidth_mbit: i64,
    /// Share of the CPU when there is not enough for all, 1 to 10000; 100 is one core's. 0: by the cap.
    cpu_weight: i64,
    /// CPU that is there whatever others do, in thousandths of a core; 0 for none.
    cpu_guarantee_milli: i64,
    /// Memory in bytes from which on the server is slowed down and its cache reclaimed; 0 for none.
    memory_high_bytes: i64,
    /// Memory in bytes that is not taken from the server however short its host is; 0 for none.
    memory_guarantee_bytes: i64,
    /// Bytes read from the disk a second; 0 for no limit.
    disk_read_bps: i64,
    /// Bytes written to the disk a second; 0 for no limit.
    disk_write_bps: i64,
    /// Reads of the disk a second; 0 for no limit.
    disk_read_iops: i64,
    /// Writes to the disk a second; 0 for no limit.
    disk_write_iops: i64,
    /// Files and directories on the disk; 0 for what a disk of its size usually has.
    inodes: i64,
    /// Descriptors that one process may open; 0 for the host's own limit.
    open_files: i64,
    /// Traffic a month that the price includes, bytes.
    included_traffic: i64,
    /// Net.
    price_hourly: String,
    /// Net.
    price_monthly: String,
    /// Since when it is not offered any more.
    retired_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl From<db::plans::Plan> for Plan {
    fn from(p: db::plans::Plan) -> Self {
        Self {
            id: p.id.0,
            name: p.name,
            description: p.description,
            cpu_milli: p.cpu_milli,
            memory_bytes: p.memory_bytes,
            disk_bytes: p.disk_bytes,
            swap_bytes: p.swap_bytes,
            pids: p.pids,
            bandwidth_mbit: p.bandwidth_mbit,
            cpu_weight: p.cpu_weight,
            cpu_guarantee_milli: p.cpu_guarantee_milli,
            memory_high_bytes: p.memory_high_bytes,
            memory_guarantee_bytes: p.memory_guarantee_bytes,
            disk_read_bps: p.disk_read_bps,
            disk_write_bps: p.disk_write_bps,
            disk_read_iops: p.disk_read_iops,
            disk_write_iops: p.disk_write_iops,
            inodes: p.inodes,
            open_files: p.open_files,
            included_traffic: p.included_traffic,
            price_hourly: p.price_hourly,
            price_monthly: p.price_monthly,
            retired_at: p.retired_at,
            created_at: p.created_at,
        }
    }
}

/// A new plan. A plan is never changed, because that would change nothing for those who have it: make another one, and
/// retire this.
#[derive(Clone, Debug, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NewPlan)]
pub(super) struct NewPlan {
    /// Short name, for instance `b2`.
    name: String,
    /// For people.
    #[arg(long, default_value = "")]
    #[serde(default)]
    description: String,
    /// CPU in thousandths of a core.
    #[arg(long)]
    cpu_milli: i64,
    /// Memory in bytes.
    #[arg(long)]
    memory_bytes: i64,
    /// Disk in bytes.
    #[arg(long)]
    disk_bytes: i64,
    /// Swap in bytes.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    swap_bytes: i64,
    /// Processes and threads.
    #[arg(long, default_value_t = default_pids())]
    #[serde(default = "default_pids")]
    pids: i64,
    /// Bandwidth each way in Mbit/s; 0 for unlimited.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    bandwidth_mbit: i64,
    /// Share of the CPU when there is not enough for all, 1 to 10000; 100 is one core's. 0: by the cap.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    cpu_weight: i64,
    /// CPU that is there whatever others do, in thousandths of a core; 0 for none.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    cpu_guarantee_milli: i64,
    /// Memory in bytes from which on the server is slowed down and its cache reclaimed; 0 for none.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    memory_high_bytes: i64,
    /// Memory in bytes that is not taken from the server however short its host is; 0 for none.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    memory_guarantee_bytes: i64,
    /// Bytes read from the disk a second; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    disk_read_bps: i64,
    /// Bytes written to the disk a second; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    disk_write_bps: i64,
    /// Reads of the disk a second; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    disk_read_iops: i64,
    /// Writes to the disk a second; 0 for no limit.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    disk_write_iops: i64,
    /// Files and directories on the disk; 0 for what a disk of its size usually has.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    inodes: i64,
    /// Descriptors that one process may open; 0 for the host's own limit.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    open_files: i64,
    /// Traffic a month that the price includes, in bytes.
    #[arg(long, default_value_t = 0)]
    #[serde(default)]
    included_traffic: i64,
    /// Net price an hour, a decimal number.
    #[arg(long, default_value_t = free())]
    #[serde(default = "free")]
    price_hourly: String,
    /// Net price a month, a decimal number.
    #[arg(long, default_value_t = free())]
    #[serde(default = "free")]
    price_monthly: String,
}

impl NewPlan {
    fn limits(&self) -> Limits {
        Limits {
            cpu_milli: self.cpu_milli,
            memory_bytes: self.memory_bytes,
            disk_bytes: self.disk_bytes,
            swap_bytes: self.swap_bytes,
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

fn default_pids() -> i64 {
    4096
}

fn free() -> String {
    "0".to_owned()
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::PlansResponse)]
struct PlansResponse {
    plans: Vec<Plan>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::PlanResponse)]
struct PlanResponse {
    plan: Plan,
}

/// All plans, also retired ones.
pub(super) async fn list(app: &App) -> Result<Vec<Plan>> {
    Ok(db::plans::list(&app.db).await?.into_iter().map(Plan::from).collect())
}

/// Offers a plan.
pub(super) async fn create(app: &App, new: NewPlan) -> Result<Plan> {
    let row = db::plans::NewPlan {
        name: Slug::parse("name", &new.name)?,
        limits: new.limits(),
        description: new.description,
        included_traffic: new.included_traffic,
        price_hourly: Price::parse("price_hourly", &new.price_hourly)?,
        price_monthly: Price::parse("price_monthly", &new.price_monthly)?,
    };
    Ok(db::plans::create(&app.db, &row).await?.into())
}

/// Stops offering a plan; VPSes that have it keep it.
pub(super) async fn retire(app: &App, plan: &Reference) -> Result<()> {
    let all = db::plans::list(&app.db).await?;
    let plan = plan.find(all, |p| (p.id.0, p.name.clone())).ok_or(Error::NotFound("plan"))?;
    db::plans::retire(&app.db, plan.id).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_all, post)).routes(routes!(delete_one))
}

/// Lists plans, also retired ones.
#[utoipa::path(get, path = "/plans", tag = "Operators: plans", security(("operator" = [])),
    responses((status = 200, body = PlansResponse), Problems))]
async fn get_all(State(app): State<App>, _: Operator) -> Result<Json<PlansResponse>> {
    Ok(Json(PlansResponse { plans: list(&app).await? }))
}

/// Offers a plan.
#[utoipa::path(post, path = "/plans", tag = "Operators: plans", security(("operator" = [])),
    request_body = NewPlan, responses((status = 201, body = PlanResponse), Problems))]
async fn post(
    State(app): State<App>,
    _: Operator,
    Body(new): Body<NewPlan>,
) -> Result<(StatusCode, Json<PlanResponse>)> {
    Ok((StatusCode::CREATED, Json(PlanResponse { plan: create(&app, new).await? })))
}

/// Stops offering a plan; servers that have it keep it.
#[utoipa::path(delete, path = "/plans/{id}", tag = "Operators: plans", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete_one(State(app): State<App>, _: Operator, Id(id): Id<PlanId>) -> Result<StatusCode> {
    db::plans::retire(&app.db, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
