//! What the page of a server tells of its network: addresses with their names, private networks, firewalls, traffic.

use std::net::IpAddr;

use berth_proto::own_ipv6;
use berth_web::{ProjectLink, ServerAddress, ServerFirewall, ServerMembership, ServerNetwork};
use ipnet::IpNet;

use crate::app::App;
use crate::db::page::Page;
use crate::db::vps::{self, Vps};
use crate::db::{firewalls, floating_ips, networks, reverse, traffic};
use crate::domain::family::shown;
use crate::domain::guard::port_text;
use crate::error::{Error, Result};
use crate::ids::{FirewallId, FloatingIpId, NetworkId, ProjectId};

/// Reads it.
pub(super) async fn load(app: &App, project: &ProjectLink, vps: &Vps) -> Result<ServerNetwork> {
    let of = ProjectId(project.id);
    let known = vps::network(&app.db, of, vps.id).await?;
    let month = traffic::months(&app.db, of, vps.id, Page::first(1)).await?.items;
    Ok(ServerNetwork {
        addresses: addresses(app, project, vps).await?,
        networks: memberships(app, of, vps).await?,
        firewalls: walls(app, of, vps).await?,
        bandwidth_mbit: known.bandwidth_mbit,
        blocked: known.blocked_ports.iter().map(port_text).collect(),
        pooled: known.pooled,
        month_ends: month.first().map(|month| month.ends.to_string()).unwrap_or_default(),
    })
}

/// What was just deleted is left out; that the server itself is gone is said by others.
fn there<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

async fn addresses(app: &App, project: &ProjectLink, vps: &Vps) -> Result<Vec<ServerAddress>> {
    let primary = [vps.ip.zip(vps.primary_ip_id), vps.prefix.zip(vps.prefix_ip_id)];
    let primary = primary.into_iter().flatten().map(|(net, id)| (net, format!("primary-ips/{id}"), false));
    let mut all: Vec<(IpNet, String, bool)> = primary.collect();
    let floating = floating_ips::of_vpses(&app.db, &[vps.id.0]).await?;
    for id in floating.into_values().flatten() {
        let found = floating_ips::get(&app.db, ProjectId(project.id), FloatingIpId(id)).await;
        all.extend(there(found)?.map(|found| (found.ip, format!("floating-ips/{id}"), true)));
    }
    let nets: Vec<IpNet> = all.iter().map(|(net, ..)| *net).collect();
    let mut names = reverse::names(&app.db, &nets).await?;
    let address = |(net, path, floating): (IpNet, String, bool)| {
        let named = names.remove(&net).unwrap_or_default();
        let own: IpAddr = match net {
            IpNet::V4(net) => net.addr().into(),
            IpNet::V6(net) => own_ipv6(net).addr().into(),
        };
        ServerAddress {
            path: project.path(&path),
            ip: own.to_string(),
            network: own.is_ipv6().then(|| shown(net)),
            floating,
            names: named.into_iter().map(|named| (named.ip.to_string(), named.name)).collect(),
        }
    };
    Ok(all.into_iter().map(address).collect())
}

async fn memberships(app: &App, project: ProjectId, vps: &Vps) -> Result<Vec<ServerMembership>> {
    let mut found = Vec::new();
    for member in networks::of_vpses(&app.db, &[vps.id.0]).await?.into_values().flatten() {
        let network = networks::get(&app.db, project, NetworkId(member.network_id)).await;
        found.extend(there(network)?.map(|network| ServerMembership {
            id: network.id.0,
            name: network.name,
            range: network.layout.range.to_string(),
            ip: member.ip.to_string(),
            aliases: member.aliases.iter().map(ToString::to_string).collect(),
        }));
    }
    Ok(found)
}

async fn walls(app: &App, project: ProjectId, vps: &Vps) -> Result<Vec<ServerFirewall>> {
    let mut found = Vec::new();
    for holds in firewalls::of_vpses(&app.db, &[vps.id.0]).await?.into_values().flatten() {
        let firewall = firewalls::get(&app.db, project, FirewallId(holds.firewall_id)).await;
        found.extend(there(firewall)?.map(|firewall| ServerFirewall {
            id: holds.firewall_id,
            name: firewall.name,
            private: firewall.private,
            applied: holds.applied,
        }));
    }
    Ok(found)
}
