//! Quotas: what projects may have at most.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{Body, Id, Problems, Quotas};
use crate::app::App;
use crate::auth::Operator;
use crate::db::quotas as rows;
use crate::domain::quota::{MOST, Quota};
use crate::error::{Error, Result};
use crate::ids::ProjectId;

/// A limit, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Most(Option<i64>);

impl FromStr for Most {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self(None)),
            figure => figure
                .parse()
                .map(|figure| Self(Some(figure)))
                .map_err(|_| "must be a number, or none for no limit".to_owned()),
        }
    }
}

/// A value that is there, be it null, which is not one that is left out.
fn given<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Most>, D::Error> {
    Option::deserialize(json).map(|figure| Some(Most(figure)))
}

/// What to change; what is not named stays, null is no limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::ChangeQuotas)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeQuotas {
    /// Servers; on the command line none for no limit, as for all.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    servers: Option<Most>,
    /// Thousandths of a core, as plans count them.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    cpu_milli: Option<Most>,
    /// Bytes of memory.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    memory_bytes: Option<Most>,
    /// Bytes of disk.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    disk_bytes: Option<Most>,
    /// IPv4 addresses of primary and floating IPs.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    addresses: Option<Most>,
    /// IPv6 prefixes (/64) of primary and floating IPs.
    #[arg(long)]
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>)]
    prefixes: Option<Most>,
}

impl ChangeQuotas {
    fn parse(self) -> Result<rows::Change> {
        let figure = |field: &str, most: Option<Most>| match most {
            Some(Most(Some(figure))) if !(0..=MOST).contains(&figure) => {
                Err(Error::invalid(field, format!("must be from 0 to {MOST}, or none")))
            }
            most => Ok(most.map(|Most(figure)| figure)),
        };
        Ok(rows::Change {
            servers: figure("servers", self.servers)?,
            cpu_milli: figure("cpu_milli", self.cpu_milli)?,
            memory_bytes: figure("memory_bytes", self.memory_bytes)?,
            disk_bytes: figure("disk_bytes", self.disk_bytes)?,
            addresses: figure("addresses", self.addresses)?,
            prefixes: figure("prefixes", self.prefixes)?,
        })
    }
}

/// What projects may have at most that people make themselves; null is no limit.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = operators::DefaultQuotas)]
pub(super) struct DefaultQuotas {
    servers: Option<i64>,
    cpu_milli: Option<i64>,
    memory_bytes: Option<i64>,
    disk_bytes: Option<i64>,
    addresses: Option<i64>,
    prefixes: Option<i64>,
}

impl From<Quota> for DefaultQuotas {
    fn from(quota: Quota) -> Self {
        let Quota { servers, cpu_milli, memory_bytes, disk_bytes, addresses, prefixes } = quota;
        Self { servers, cpu_milli, memory_bytes, disk_bytes, addresses, prefixes }
    }
}

/// What a project may have and what it has.
pub(super) async fn get(app: &App, project: ProjectId) -> Result<Quotas> {
    Ok(rows::get(&app.db, project).await?.into())
}

/// Changes what a project may have.
pub(super) async fn change(app: &App, project: ProjectId, wanted: ChangeQuotas) -> Result<Quotas> {
    rows::set(&app.db, project, &wanted.parse()?).await?;
    get(app, project).await
}

/// What projects may have that people make themselves.
pub(super) async fn defaults(app: &App) -> Result<DefaultQuotas> {
    Ok(rows::defaults(&app.db).await?.into())
}

/// Changes that, for projects that are made from now on.
pub(super) async fn change_defaults(app: &App, wanted: ChangeQuotas) -> Result<DefaultQuotas> {
    rows::set_defaults(&app.db, &wanted.parse()?).await?;
    defaults(app).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_one, patch_one)).routes(routes!(get_defaults, patch_defaults))
}

/// Shows what a project may have at most, and what it has.
#[utoipa::path(get, path = "/projects/{id}/quotas", tag = "Operators: quotas", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = Quotas), Problems))]
async fn get_one(State(app): State<App>, _: Operator, Id(id): Id<ProjectId>) -> Result<Json<Quotas>> {
    Ok(Json(get(&app, id).await?))
}

/// Changes what a project may have at most. What it has above that it keeps.
#[utoipa::path(patch, path = "/projects/{id}/quotas", tag = "Operators: quotas", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = ChangeQuotas, responses((status = 200, body = Quotas), Problems))]
async fn patch_one(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<ProjectId>,
    Body(wanted): Body<ChangeQuotas>,
) -> Result<Json<Quotas>> {
    Ok(Json(change(&app, id, wanted).await?))
}

/// Shows what projects may have at most that people make themselves.
#[utoipa::path(get, path = "/default_quotas", tag = "Operators: quotas", security(("operator" = [])),
    responses((status = 200, body = DefaultQuotas), Problems))]
async fn get_defaults(State(app): State<App>, _: Operator) -> Result<Json<DefaultQuotas>> {
    Ok(Json(defaults(&app).await?))
}

/// Changes that, for projects that are made from now on.
#[utoipa::path(patch, path = "/default_quotas", tag = "Operators: quotas", security(("operator" = [])),
    request_body = ChangeQuotas, responses((status = 200, body = DefaultQuotas), Problems))]
async fn patch_defaults(
    State(app): State<App>,
    _: Operator,
    Body(wanted): Body<ChangeQuotas>,
) -> Result<Json<DefaultQuotas>> {
    Ok(Json(change_defaults(&app, wanted).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_no_limit_and_left_out_is_no_change() {
        let wanted: ChangeQuotas = serde_json::from_str(r#"{"servers": 3, "disk_bytes": null}"#).unwrap();
        let change = wanted.parse().unwrap();
        assert_eq!((change.servers, change.disk_bytes, change.addresses), (Some(Some(3)), Some(None), None));
        assert!(serde_json::from_str::<ChangeQuotas>(r#"{"server": 3}"#).is_err(), "a typing error");
        assert_eq!(("none".parse(), "7".parse()), (Ok(Most(None)), Ok(Most(Some(7)))));
        for bad in ["", "-", "7 GB", "unlimited"] {
            assert!(bad.parse::<Most>().is_err(), "{bad}");
        }
        for bad in [-1, MOST + 1] {
            let wanted = ChangeQuotas { servers: Some(Most(Some(bad))), ..ChangeQuotas::default() };
            assert!(wanted.parse().unwrap_err().to_string().contains("'servers'"));
        }
    }
}
