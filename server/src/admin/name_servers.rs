//! Name servers of pools.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pools;
use super::reference::Reference;
use crate::api::{Body, Id, Problems};
use crate::app::App;
use crate::auth::Operator;
use crate::db::reverse::name_servers::{self as rows, NameServer, Wanted};
use crate::dns::Algorithm;
use crate::domain::reverse::{KeyName, Template, Zone};
use crate::error::{Error, Result};

/// Bytes of a secret. Fewer can be guessed, and more are not made by anybody.
const SECRET: std::ops::RangeInclusive<usize> = 16..=512;

/// An hour.
const TTL_S: i64 = 3600;

/// Where and how the reverse names of a pool are written.
#[derive(Deserialize, ToSchema, clap::Args)]
#[schema(as = operators::NameServerSettings)]
pub(crate) struct NameServerSettings {
    /// Address and port of the zones' primary server, such as 192.0.2.53:53. It must take updates (RFC 2136) over TCP.
    #[arg(long)]
    pub(crate) server: String,
    /// Zone of reverse names such as 2.0.192.in-addr.arpa; several, where the pool is in several.
    #[arg(long = "zone", required = true)]
    pub(crate) zones: Vec<String>,
    /// Name of the TSIG key.
    #[arg(long)]
    pub(crate) key_name: String,
    /// How the key signs.
    #[arg(long, value_enum, default_value = "hmac-sha256")]
    #[serde(default)]
    pub(crate) key_algorithm: Algorithm,
    /// The key, base64, as tsig-keygen prints it. It is never shown; without one the key that is known stays.
    #[arg(long, env = "BERTH_TSIG_SECRET", hide_env_values = true)]
    pub(crate) key_secret: Option<String>,
    /// Name of addresses that nobody has named, such as static.{ip-with-dashes}.example.com; without one they have none.
    #[arg(long)]
    pub(crate) default_name: Option<String>,
    /// How long others may keep a name, seconds.
    #[arg(long, default_value_t = TTL_S)]
    #[serde(default = "usual")]
    pub(crate) ttl_s: i64,
}

pub(crate) fn usual() -> i64 {
    TTL_S
}

#[derive(Serialize, ToSchema)]
#[schema(as = operators::NameServerResponse)]
struct NameServerResponse {
    name_server: NameServer,
}

/// The name server of a pool.
pub(super) async fn show(app: &App, pool: &Reference) -> Result<NameServer> {
    rows::get(&app.db, pools::find(app, pool).await?.id).await
}

/// Sets it.
pub(super) async fn set_by_name(
    app: &App,
    pool: &Reference,
    wanted: &NameServerSettings,
) -> Result<NameServer> {
    set(app, pools::find(app, pool).await?.id, wanted).await
}

/// Forgets it.
pub(super) async fn forget_by_name(app: &App, pool: &Reference) -> Result<()> {
    rows::forget(app, pools::find(app, pool).await?.id).await
}

pub(crate) async fn set(app: &App, pool: i64, wanted: &NameServerSettings) -> Result<NameServer> {
    let server = "must be an address and a port such as 192.0.2.53:53 or [2001:db8::53]:53";
    let server: SocketAddr = wanted.server.parse().map_err(|_| Error::invalid("server", server))?;
    if server.ip().is_unspecified() || server.port() == 0 {
        return Err(Error::invalid("server", format!("{server} is nobody's address")));
    }
    let secret = wanted.key_secret.as_deref().map(|text| {
        let secret = STANDARD.decode(text.trim()).ok().filter(|bytes| SECRET.contains(&bytes.len()));
        let rule = format!(
            "must be {} to {} bytes in base64, as tsig-keygen prints them",
            SECRET.start(),
            SECRET.end()
        );
        secret.ok_or_else(|| Error::invalid("key_secret", rule))
    });
    let wanted = Wanted {
        server,
        zones: wanted.zones.iter().map(|zone| Zone::parse("zones", zone)).collect::<Result<_>>()?,
        key_name: KeyName::parse("key_name", &wanted.key_name)?,
        key_algorithm: wanted.key_algorithm,
        key_secret: secret.transpose()?,
        default_name: wanted
            .default_name
            .as_deref()
            .map(|t| Template::parse("default_name", t))
            .transpose()?,
        ttl_s: wanted.ttl_s,
    };
    rows::set(app, pool, &wanted).await
}

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, put, delete))
}

/// Shows the name server of a pool, and how it does.
#[utoipa::path(get, path = "/pools/{id}/name_server", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = NameServerResponse), Problems))]
async fn get(State(app): State<App>, _: Operator, Id(id): Id<i64>) -> Result<Json<NameServerResponse>> {
    Ok(Json(NameServerResponse { name_server: rows::get(&app.db, id).await? }))
}

/// Sets the name server of a pool, and tells it all names anew.
#[utoipa::path(put, path = "/pools/{id}/name_server", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), request_body = NameServerSettings,
    responses((status = 200, body = NameServerResponse), Problems))]
async fn put(
    State(app): State<App>,
    _: Operator,
    Id(id): Id<i64>,
    Body(wanted): Body<NameServerSettings>,
) -> Result<Json<NameServerResponse>> {
    Ok(Json(NameServerResponse { name_server: set(&app, id, &wanted).await? }))
}

/// Forgets the name server of a pool. It keeps the names that it has; nobody can change them any more.
#[utoipa::path(delete, path = "/pools/{id}/name_server", tag = "Operators: pools", security(("operator" = [])),
    params(("id" = i64, Path)), responses((status = 204), Problems))]
async fn delete(State(app): State<App>, _: Operator, Id(id): Id<i64>) -> Result<StatusCode> {
    rows::forget(&app, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
