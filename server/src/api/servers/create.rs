//! `POST /servers`.

use std::collections::BTreeMap;
use std::fmt;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::wire::Server;
use crate::api::Problems;
use crate::api::actions::Action;
use crate::api::body::{Raw, parse};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::vps::{self, IdempotencyKey, NewVps, PlaceName, PublicIp, Reference};
use crate::domain::labels::Labels;
use crate::domain::names::{UserData, VpsName};
use crate::error::{Error, Result};
use crate::ids::NetworkId;

/// A new server.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreateServer {
    /// Host name, unique in the project.
    name: String,
    #[schema(value_type = String)]
    server_type: IdOrName,
    #[schema(value_type = String)]
    image: IdOrName,
    /// Where; not together with `datacenter`.
    #[schema(value_type = Option<String>)]
    location: Option<IdOrName>,
    /// Where, more exactly; deprecated.
    #[schema(value_type = Option<String>)]
    datacenter: Option<IdOrName>,
    /// Ids or names of SSH keys. Without any a root password is made.
    #[schema(value_type = Option<Vec<String>>)]
    ssh_keys: Option<Vec<IdOrName>>,
    labels: Option<BTreeMap<String, String>>,
    /// At most 32 KiB.
    #[schema(max_length = 32768)]
    user_data: Option<String>,
    /// Whether it is started; default true.
    start_after_create: Option<bool>,
    public_net: Option<PublicNet>,
    #[expect(dead_code, reason = "accepted as it is: without volumes there is nothing to mount")]
    automount: Option<bool>,
    /// Not supported yet: must be empty.
    #[schema(max_items = 0)]
    volumes: Option<Vec<serde_json::Value>>,
    /// Ids of networks; it gets an address of each.
    networks: Option<Vec<i64>>,
    /// Firewalls that apply to it from the first packet on.
    firewalls: Option<Vec<FirewallRef>>,
    /// Not supported yet: must be absent.
    placement_group: Option<i64>,
}

/// A firewall by its id.
#[derive(Deserialize, ToSchema)]
struct FirewallRef {
    firewall: i64,
}

/// How the world reaches a new server.
#[derive(Default, Deserialize, ToSchema)]
struct PublicNet {
    /// Default true.
    enable_ipv4: Option<bool>,
    /// Default: where the location has IPv6 addresses. With `true` and without `enable_ipv4` it must get one; clients that
    /// write out both defaults get what the location has.
    enable_ipv6: Option<bool>,
    /// A primary IP of the project that no server has. Without one the server gets a new one, which goes with it.
    ipv4: Option<i64>,
    /// A primary IP of the project that no server has, as `ipv4`.
    ipv6: Option<i64>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct CreateServerResponse {
    server: Server,
    action: Action,
    next_actions: Vec<Action>,
    /// Only when no SSH key was given. It is shown here and never again.
    root_password: Option<String>,
}

/// An id as a number or a text, or a name.
pub(in crate::api) struct IdOrName(String);

impl<'de> Deserialize<'de> for IdOrName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = IdOrName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id or a name")
            }

            fn visit_str<E>(self, name: &str) -> std::result::Result<IdOrName, E> {
                Ok(IdOrName(name.into()))
            }

            fn visit_i64<E>(self, id: i64) -> std::result::Result<IdOrName, E> {
                Ok(IdOrName(id.to_string()))
            }

            fn visit_u64<E>(self, id: u64) -> std::result::Result<IdOrName, E> {
                Ok(IdOrName(id.to_string()))
            }
        }
        from.deserialize_any(Either)
    }
}

impl IdOrName {
    /// What the client wrote.
    pub(in crate::api) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a thing with this id and name is meant.
    pub(in crate::api) fn is(&self, id: i64, name: &str) -> bool {
        self.0 == name || self.0.parse() == Ok(id)
    }
}

impl From<IdOrName> for Reference {
    fn from(given: IdOrName) -> Self {
        Self::new(&given.0)
    }
}

impl CreateServer {
    /// Checks everything that can be checked without the inventory.
    fn parse(self) -> Result<NewVps> {
        let empty = |field: &str, values: &Option<Vec<serde_json::Value>>| match values {
            Some(values) if !values.is_empty() => Err(Error::invalid(field, "is not supported yet")),
            _ => Ok(()),
        };
        empty("volumes", &self.volumes)?;
        if self.placement_group.is_some() {
            return Err(Error::invalid("placement_group", "is not supported yet"));
        }
        let net = self.public_net.unwrap_or_default();
        let usual = if net.enable_ipv6 == Some(true) && net.enable_ipv4 != Some(true) {
            PublicIp::New
        } else {
            PublicIp::IfThere
        };
        let ipv4 = public_ip("ipv4", net.enable_ipv4, net.ipv4, PublicIp::New)?;
        let ipv6 = public_ip("ipv6", net.enable_ipv6, net.ipv6, usual)?;
        let place = match (self.location, self.datacenter) {
            (None, None) => PlaceName::Anywhere,
            (Some(location), None) => PlaceName::Location(location.into()),
            (None, Some(datacenter)) => PlaceName::Datacenter(datacenter.into()),
            (Some(_), Some(_)) => {
                return Err(Error::invalid("location", "cannot be given together with datacenter"));
            }
        };
        Ok(NewVps {
            name: VpsName::parse(&self.name)?,
            plan: self.server_type.into(),
            image: self.image.into(),
            place,
            ssh_keys: self.ssh_keys.unwrap_or_default().into_iter().map(Reference::from).collect(),
            labels: Labels::parse(self.labels.unwrap_or_default())?,
            user_data: self.user_data.as_deref().map(UserData::parse).transpose()?.flatten(),
            start: self.start_after_create.unwrap_or(true),
            ipv4,
            ipv6,
            firewalls: self.firewalls.unwrap_or_default().iter().map(|f| f.firewall.into()).collect(),
            networks: self.networks.unwrap_or_default().into_iter().map(NetworkId).collect(),
            idempotency: None,
        })
    }
}

/// Reads the body of a create: this API's, and that of the form of the dashboard.
pub(crate) fn new_server(body: &[u8]) -> Result<NewVps> {
    parse::<CreateServer>(body)?.parse()
}

/// Where an address comes from, by what was said of its family; `usual` without any primary IP.
fn public_ip(family: &str, enable: Option<bool>, chosen: Option<i64>, usual: PublicIp) -> Result<PublicIp> {
    match (enable.unwrap_or(true), chosen) {
        (true, None) => Ok(usual),
        (true, Some(id)) => Ok(PublicIp::Chosen(id.into())),
        (false, None) => Ok(PublicIp::None),
        (false, Some(_)) => {
            let why = format!("cannot be given when enable_{family} is false");
            Err(Error::invalid(format!("public_net.{family}"), why))
        }
    }
}

/// Creates a server. With an `Idempotency-Key` a repeated request gets the server that the first one made.
#[utoipa::path(post, path = "/servers", tag = "servers", security(("token" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Any text; kept for a day")),
    request_body = CreateServer, responses((status = 201, body = CreateServerResponse), Problems))]
pub(super) async fn create(
    State(app): State<App>,
    tenant: Tenant,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<CreateServerResponse>)> {
    let mut new = new_server(&body)?;
    if let Some(key) = headers.get("idempotency-key") {
        new.idempotency = Some(IdempotencyKey::parse(key.to_str().unwrap_or_default(), &body)?);
    }
    let made = vps::create(&app, tenant.project_id, &new).await?;
    let response = CreateServerResponse {
        server: Server::one(&app, &made.vps).await?,
        action: made.action.into(),
        next_actions: Vec::new(),
        root_password: made.root_password.map(|p| p.expose().to_owned()),
    };
    Ok((StatusCode::CREATED, Json(response)))
}
