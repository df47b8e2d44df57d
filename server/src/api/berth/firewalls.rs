//! `/firewalls/{id}`: whether a firewall holds in private networks as well; `…/hits`; and what other rules would change
//! (`…/actions/set_rules?dry_run=true`).

use axum::Json;
use axum::extract::State;
use berth_proto::{FirewallRule, Hits};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::actions::Action;
use crate::api::firewalls::{NewRule, rules};
use crate::api::{Body, Id, Problems, Query};
use crate::app::App;
use crate::auth::Tenant;
use crate::db::firewalls::{self, Counted, Difference, OfVps};
use crate::domain::firewall;
use crate::error::{Error, Result};
use crate::ids::FirewallId;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get, put)).routes(routes!(hits)).routes(routes!(try_rules))
}

/// What a firewall has beyond the hcloud API.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::Firewall)]
struct Firewall {
    id: i64,
    /// Whether its rules hold in private networks as well. The addresses that they name are then those of other members.
    /// A server with no such firewall is open there, whatever its other firewalls say.
    private: bool,
}

impl From<&firewalls::Firewall> for Firewall {
    fn from(firewall: &firewalls::Firewall) -> Self {
        Self { id: firewall.id.0, private: firewall.private }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::FirewallResponse)]
struct FirewallResponse {
    firewall: Firewall,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = berth::ChangeFirewall)]
struct ChangeFirewall {
    /// Whether its rules hold in private networks as well.
    private: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::FirewallChanged)]
struct Changed {
    firewall: Firewall,
    /// One for each server for which something changes; it ends when that is in force.
    actions: Vec<Action>,
}

/// First packets of something; what belongs to something that was let through is not counted again.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = berth::Hits)]
struct Count {
    packets: i64,
    bytes: i64,
}

impl From<Hits> for Count {
    fn from(Hits { packets, bytes }: Hits) -> Self {
        Self { packets, bytes }
    }
}

/// How often rules were met at one server, since the rules of the server were changed last or it was started.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::FirewallHits)]
struct ServerHits {
    server: i64,
    /// In the order of the firewall's rules; null while its host has not told of the rules that hold now.
    rules: Option<Vec<Count>>,
    /// What none of the server's firewalls let in.
    dropped_in: Option<Count>,
    /// What none of them let out.
    dropped_out: Option<Count>,
    /// The same in private networks, all of them together; null also where the firewall does not hold there.
    private: Option<PrivateHits>,
}

/// How often rules were met in private networks.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::PrivateFirewallHits)]
struct PrivateHits {
    /// In the order of the firewall's rules.
    rules: Vec<Count>,
    /// What none of the server's firewalls let in.
    dropped_in: Count,
    /// What none of them let out.
    dropped_out: Count,
}

impl From<Counted> for PrivateHits {
    fn from(Counted { rules, dropped_in, dropped_out }: Counted) -> Self {
        let rules = rules.into_iter().map(Count::from).collect();
        Self { rules, dropped_in: dropped_in.into(), dropped_out: dropped_out.into() }
    }
}

impl From<OfVps> for ServerHits {
    fn from(OfVps { vps, public, private }: OfVps) -> Self {
        Self {
            server: vps.0,
            dropped_in: public.as_ref().map(|counted| counted.dropped_in.into()),
            dropped_out: public.as_ref().map(|counted| counted.dropped_out.into()),
            rules: public.map(|counted| counted.rules.into_iter().map(Count::from).collect()),
            private: private.map(PrivateHits::from),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::FirewallHitsResponse)]
struct HitsResponse {
    /// One for each server that the firewall holds for.
    hits: Vec<ServerHits>,
}

#[derive(Deserialize, ToSchema)]
#[schema(as = berth::TryRules)]
struct TryRules {
    /// At most 50.
    #[schema(max_items = 50)]
    rules: Vec<NewRule>,
}

/// Something that is let through.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::EffectiveRule)]
struct Effective {
    /// `in` or `out`.
    direction: &'static str,
    protocol: String,
    /// A port or a range; null for protocols without ports.
    port: Option<String>,
    /// The networks at the other end.
    networks: Vec<String>,
}

impl From<(bool, FirewallRule)> for Effective {
    fn from((inbound, rule): (bool, FirewallRule)) -> Self {
        let port = rule.ports.map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        });
        Self {
            direction: if inbound { "in" } else { "out" },
            protocol: format!("{:?}", rule.protocol).to_lowercase(),
            port,
            networks: rule.nets.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What would change for one server.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = berth::FirewallDifference)]
struct Change {
    server: i64,
    /// What would be let through besides.
    added: Vec<Effective>,
    /// What would not be let through any more.
    removed: Vec<Effective>,
    /// What would be let through besides in private networks.
    private_added: Vec<Effective>,
    /// What would not be let through any more in private networks.
    private_removed: Vec<Effective>,
}

impl From<Difference> for Change {
    fn from(d: Difference) -> Self {
        let rules = |rules: Vec<(bool, FirewallRule)>| rules.into_iter().map(Effective::from).collect();
        Self {
            server: d.vps.0,
            added: rules(d.added),
            removed: rules(d.removed),
            private_added: rules(d.private_added),
            private_removed: rules(d.private_removed),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = berth::TryRulesResponse)]
struct TryRulesResponse {
    /// The servers for which something would change. One for which another firewall says the same is not among them.
    changes: Vec<Change>,
}

/// Shows what a firewall has beyond the hcloud API.
#[utoipa::path(get, path = "/firewalls/{id}", tag = "berth: firewalls", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = FirewallResponse), Problems))]
async fn get(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
) -> Result<Json<FirewallResponse>> {
    let firewall = firewalls::get(&app.db, tenant.project_id, id).await?;
    Ok(Json(FirewallResponse { firewall: (&firewall).into() }))
}

/// Lets a firewall hold in private networks as well, or no longer there. What is not given stays as it is.
///
/// Connections that are let through go on when rules change. Those that began before the first such firewall of a network
/// are judged by the rules once more.
#[utoipa::path(put, path = "/firewalls/{id}", tag = "berth: firewalls", security(("token" = [])),
    params(("id" = i64, Path)), request_body = ChangeFirewall,
    responses((status = 200, body = Changed), Problems))]
async fn put(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    Body(change): Body<ChangeFirewall>,
) -> Result<Json<Changed>> {
    let actions = match change.private {
        Some(private) => firewalls::set_private(&app, tenant.project_id, id, private).await?,
        None => Vec::new(),
    };
    let firewall = firewalls::get(&app.db, tenant.project_id, id).await?;
    let actions = actions.into_iter().map(Action::from).collect();
    Ok(Json(Changed { firewall: (&firewall).into(), actions }))
}

/// Shows how often each rule of a firewall was met, at each server that it holds for.
#[utoipa::path(get, path = "/firewalls/{id}/hits", tag = "berth: firewalls", security(("token" = [])),
    params(("id" = i64, Path)), responses((status = 200, body = HitsResponse), Problems))]
async fn hits(State(app): State<App>, tenant: Tenant, Id(id): Id<FirewallId>) -> Result<Json<HitsResponse>> {
    let hits = firewalls::hits(&app.db, tenant.project_id, id).await?;
    Ok(Json(HitsResponse { hits: hits.into_iter().map(ServerHits::from).collect() }))
}

/// Says for which servers other rules would change what, and changes nothing. Rules are set by the action of the same
/// name below `/v1`.
#[utoipa::path(post, path = "/firewalls/{id}/actions/set_rules", tag = "berth: firewalls", security(("token" = [])),
    params(("id" = i64, Path), ("dry_run" = Option<bool>, Query, description = "must be true")),
    request_body = TryRules, responses((status = 200, body = TryRulesResponse), Problems))]
async fn try_rules(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id<FirewallId>,
    query: Query,
    Body(new): Body<TryRules>,
) -> Result<Json<TryRulesResponse>> {
    firewalls::get(&app.db, tenant.project_id, id).await?;
    if !query.flag("dry_run")? {
        let message = "must be true: rules are set by POST /v1/firewalls/{id}/actions/set_rules";
        return Err(Error::invalid("dry_run", message));
    }
    let rules = firewall::parse(rules(new.rules))?;
    let changes = firewalls::try_rules(&app.db, tenant.project_id, id, &rules).await?;
    Ok(Json(TryRulesResponse { changes: changes.into_iter().map(Change::from).collect() }))
}
