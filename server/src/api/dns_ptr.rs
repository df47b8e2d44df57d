//! `…/actions/change_dns_ptr`: the names that addresses of servers, primary and floating IPs lead to.

use std::net::IpAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::actions::ActionResponse;
use super::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::reverse::{self, Named, Of};
use crate::domain::reverse::HostName;
use crate::error::{Error, Result};
use crate::ids::{FloatingIpId, PrimaryIpId, VpsId};

/// A name that an address leads to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct DnsPtr {
    ip: String,
    dns_ptr: String,
}

impl DnsPtr {
    /// Those of an address, or of the addresses of a network.
    pub(super) fn all(named: &[Named]) -> Vec<Self> {
        let one = |named: &Named| Self { ip: named.ip.to_string(), dns_ptr: named.name.clone() };
        named.iter().map(one).collect()
    }
}

#[derive(Deserialize, ToSchema)]
struct ChangeDnsPtr {
    /// An address of what is named in the path.
    ip: String,
    /// A host name of at most 253 characters; null: the default.
    #[serde(deserialize_with = "Option::deserialize")] // that it may be null does not mean that it may be left out
    #[schema(required)]
    dns_ptr: Option<String>,
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(of_server))
        .routes(routes!(of_primary_ip))
        .routes(routes!(of_floating_ip))
}

type Begun = (StatusCode, Json<ActionResponse>);

async fn change(app: &App, tenant: Tenant, of: Of, wanted: &ChangeDnsPtr) -> Result<Begun> {
    let ip: IpAddr =
        wanted.ip.parse().map_err(|_| Error::invalid("ip", "must be an address such as 192.0.2.7"))?;
    let name = wanted.dns_ptr.as_deref().map(|name| HostName::parse("dns_ptr", name)).transpose()?;
    let action = reverse::change(app, tenant.project_id, of, ip, name.as_ref()).await?;
    Ok((StatusCode::CREATED, Json(action.into())))
}

/// Sets the name that an address of a server leads to. The action is done when the name server has it.
#[utoipa::path(post, path = "/servers/{id}/actions/change_dns_ptr", tag = "server actions", security(("token" = [])),
    params(("id" = i64, Path)), request_body = ChangeDnsPtr, responses((status = 201, body = ActionResponse), Problems))]
async fn of_server(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<VpsId>,
    Body(wanted): Body<ChangeDnsPtr>,
) -> Result<Begun> {
    change(&app, tenant, Of::Vps(id), &wanted).await
}

/// Sets the name that a primary IP leads to. The action is done when the name server has it.
#[utoipa::path(post, path = "/primary_ips/{id}/actions/change_dns_ptr", tag = "primary IP actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ChangeDnsPtr,
    responses((status = 201, body = ActionResponse), Problems))]
async fn of_primary_ip(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<PrimaryIpId>,
    Body(wanted): Body<ChangeDnsPtr>,
) -> Result<Begun> {
    change(&app, tenant, Of::Primary(id), &wanted).await
}

/// Sets the name that a floating IP leads to. The action is done when the name server has it.
#[utoipa::path(post, path = "/floating_ips/{id}/actions/change_dns_ptr", tag = "floating IP actions",
    security(("token" = [])), params(("id" = i64, Path)), request_body = ChangeDnsPtr,
    responses((status = 201, body = ActionResponse), Problems))]
async fn of_floating_ip(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FloatingIpId>,
    Body(wanted): Body<ChangeDnsPtr>,
) -> Result<Begun> {
    change(&app, tenant, Of::Floating(id), &wanted).await
}
