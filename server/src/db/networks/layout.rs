//! Changes of a network's range, subnets and routes, each with the action that the hcloud API promises. They are desired
//! state at once, so the actions have ended before they began; hosts follow.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{check_zone, hold, members};
use crate::app::App;
use crate::db::actions::{self, Action, Subject};
use crate::domain::network::{Layout, RawSubnet, Route, overlap, parse_ip, parse_net};
use crate::error::{Error, Result};
use crate::ids::{NetworkId, ProjectId};
use crate::wake::Changed;

/// What to change.
#[derive(Clone, Debug)]
pub enum Change {
    /// One more subnet.
    AddSubnet(RawSubnet),
    /// One less, named by its range.
    DeleteSubnet(String),
    /// One more route: destination and gateway.
    AddRoute(String, String),
    /// One less.
    DeleteRoute(String, String),
    /// A larger range.
    Extend(String),
}

impl Change {
    fn command(&self) -> &'static str {
        match self {
            Self::AddSubnet(_) => "add_subnet",
            Self::DeleteSubnet(_) => "delete_subnet",
            Self::AddRoute(..) => "add_route",
            Self::DeleteRoute(..) => "delete_route",
            Self::Extend(_) => "change_ip_range",
        }
    }

    /// Carries it out.
    fn of(&self, layout: &mut Layout, taken: &BTreeSet<IpAddr>) -> Result<()> {
        match self {
            Self::AddSubnet(raw) => layout.add_subnet("", raw).map(drop),
            Self::DeleteSubnet(range) => layout.remove_subnet(parse_net("ip_range", range)?, taken),
            Self::AddRoute(destination, gateway) => layout.add_route("", destination, gateway),
            Self::DeleteRoute(destination, gateway) => {
                let destination = parse_net("destination", destination)?;
                layout.remove_route(Route { destination, gateway: parse_ip("gateway", gateway)? })
            }
            Self::Extend(range) => layout.extend(range),
        }
    }
}

/// Changes a network.
///
/// # Errors
/// What [`Layout`] says, and `networks_overlap` for a range that would reach into another network of a member.
pub async fn change(app: &App, project: ProjectId, id: NetworkId, change: &Change) -> Result<Action> {
    let mut tx = app.db.begin().await?;
    let held = hold(&mut tx, project, id).await?;
    let mut layout = held.layout.clone();
    change.of(&mut layout, &members::taken(&mut tx, id).await?)?;
    if let Change::AddSubnet(raw) = change {
        check_zone(&mut tx, "network_zone", &raw.zone).await?;
    }
    if layout.range != held.layout.range {
        check_others(&mut tx, id, layout.range).await?;
    }
    let written = sqlx::query!(
        "update networks set ip_range = $2::inet::cidr, subnets = $3, routes = $4 where id = $1",
        id.0,
        layout.range as _,
        Json(&layout.subnets) as _,
        Json(&layout.routes) as _
    );
    written.execute(&mut *tx).await?;
    // subnets are nothing that a host or a guest knows of
    let told = (layout.range, &layout.routes) != (held.layout.range, &held.layout.routes);
    let hosts = if told { members::tell_all(&mut tx, id).await? } else { Vec::new() };
    let action = actions::insert_about(&mut tx, project, change.command(), Subject::Network(id)).await?;
    tx.commit().await?;
    hosts.into_iter().for_each(|host| app.wake.changed(Changed::Host(host)));
    app.wake.changed(Changed::Project(project.0));
    Ok(action)
}

/// No member may be in another network with addresses of this range.
async fn check_others(tx: &mut PgConnection, id: NetworkId, range: IpNet) -> Result<()> {
    let others = sqlx::query!(
        r#"select m.vps_id, n.name, n.ip_range as "ip_range: IpNet"
           from vps_networks m join vps_networks o on o.vps_id = m.vps_id and o.network_id <> m.network_id
                join networks n on n.id = o.network_id
           where m.network_id = $1"#,
        id.0
    );
    for other in others.fetch_all(tx).await? {
        if overlap(other.ip_range, range) {
            let message = format!(
                "server {} is in the network '{}' with the range {}, which overlaps {range}",
                other.vps_id, other.name, other.ip_range
            );
            return Err(Error::Refused { code: "networks_overlap", message });
        }
    }
    Ok(())
}
